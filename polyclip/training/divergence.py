"""Why a step's loss is not finite: damaged features of some rows, which are named, or weights that diverged."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from polyclip.core.text import show_line
from polyclip.data.pairs import Pairs
from polyclip.training.grad_cache import Inputs, StepPairs

NAMED = 3  # rows that a message names
LONGEST = 60  # characters of a caption in a message


def explain_divergence(pairs: Pairs, step: StepPairs, *, taught: bool = False) -> str:
    """Say which rows of a step have features that are not finite, and what to do; else name rows of the step.

    Args:
        pairs: What the step was sampled from.
        step: Its pairs.
        taught: Whether captions' rows took the place of image rows.

    Returns:
        Sentences.

    """
    captions = step.shown if step.others is None else torch.cat([step.shown, step.others])
    images: Sequence[Any] = pairs.captions if taught else pairs.images
    bad = [
        *name_bad_rows(captions, step.text, pairs.captions, "captions"),
        *name_bad_rows(step.images, step.image, images, "captions of the teacher" if taught else "images"),
    ]
    if bad:
        return f"NaN or infinite features: {'; '.join(bad)}. Encode them again after 'polyclip cache clear'."
    return (
        "Its features are finite, so the weights diverged: lower --learning-rate. The step had "
        f"{len(step.shown)} pairs, such as {name_rows(step.shown, pairs.captions)} with "
        f"{name_rows(step.images, images)}."
    )


def name_bad_rows(rows: Tensor, inputs: Inputs, items: Sequence[Any], what: str) -> list[str]:
    """How many of the rows have features that are not finite, and the first of them; empty for none."""
    different = rows.unique()
    features = inputs(different).get("vectors")  # absent where the encoder itself is trained
    if features is None or bool(features.isfinite().all()):
        return []
    bad = different[~features.cpu().isfinite().flatten(1).all(dim=1)]
    return [f"{len(bad)} of {len(different)} {what} ({name_rows(bad, items)})"]


def name_rows(rows: Tensor, items: Sequence[Any]) -> str:
    """Name the first few rows: captions in quotes, images by file."""
    found = [items[row] for row in rows[:NAMED].tolist()]
    said = [repr(show_line(one)[:LONGEST]) if isinstance(one, str) else show_line(str(one.name)) for one in found]
    return ", ".join(said) + (f" and {len(rows) - NAMED} more" if len(rows) > NAMED else "")
