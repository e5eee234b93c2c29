"""Why a step's loss is not finite: features or embeddings of some rows, which are named, or weights that diverged."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Bool, Int
from torch import Tensor, nn

from polyclip.data.pairs import Pairs
from polyclip.models.finite import name_rows
from polyclip.training.grad_cache import Inputs, StepPairs


def explain_divergence(model: nn.Module, pairs: Pairs, step: StepPairs, *, taught: bool = False) -> str:
    """Say which rows of a step have features or embeddings that are not finite, and what to do; else name rows of the
    step.

    Args:
        model: As the step embeds with it.
        pairs: What the step was sampled from.
        step: Its pairs.
        taught: Whether captions' rows took the place of image rows.

    Returns:
        Sentences.

    """
    captions = (step.shown if step.others is None else torch.cat([step.shown, step.others])).unique()
    shown = step.images.unique()
    images: Sequence[Any] = pairs.captions if taught else pairs.images
    what = "captions of the teacher" if taught else "images"
    bad = [
        *name_bad_rows(captions, has_finite_inputs(captions, step.text), pairs.captions, "captions"),
        *name_bad_rows(shown, has_finite_inputs(shown, step.image), images, what),
    ]
    if bad:
        return f"NaN or infinite features: {'; '.join(bad)}. Encode them again after 'polyclip cache clear'."
    with torch.no_grad():
        text, image, *_ = model.eval()(step.text(captions), step.image(shown))
    finite = [found.cpu().isfinite().all(dim=1) for found in (text, image)]
    if any(found.any() and not found.all() for found in finite):
        bad = [
            *name_bad_rows(captions, finite[0], pairs.captions, "captions"),
            *name_bad_rows(shown, finite[1], images, what),
        ]
        return (
            f"The encoders or heads give NaN or infinity for {'; '.join(bad)}, for the others they do not: lower "
            "--learning-rate, write --precision fp32, or leave these out."
        )
    return (
        "Its features are finite, so the weights diverged: lower --learning-rate. The step had "
        f"{len(step.shown)} pairs, such as {name_rows(step.shown, pairs.captions)} with "
        f"{name_rows(step.images, images)}."
    )


def has_finite_inputs(rows: Int[Tensor, " row"], inputs: Inputs) -> Bool[Tensor, " row"]:
    """Whether each row's features, or its hidden states where the encoder itself is trained, are finite."""
    return torch.tensor([all_finite(inputs(row[None])) for row in rows], dtype=torch.bool)


def all_finite(value: Any) -> bool:
    """Whether every number in tensors, and in lists and dicts of them, is finite."""
    if isinstance(value, Tensor):
        return bool(value.isfinite().all())
    parts = value.values() if isinstance(value, dict) else value
    return all(all_finite(part) for part in parts)


def name_bad_rows(rows: Tensor, finite: Tensor, items: Sequence[Any], what: str) -> list[str]:
    """How many of the rows are not finite, and the first of them; empty for none."""
    bad = rows[~finite]
    return [f"{len(bad)} of {len(rows)} {what} ({name_rows(bad, items)})"] if len(bad) else []
