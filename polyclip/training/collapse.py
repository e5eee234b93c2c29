"""Collapse: training that makes all captions, or all images, alike. Measured at each validation, and stopped."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.errors import RunError
from polyclip.training.config import OptimizerConfig

LEAST = 1e-4  # share of the spread before the phase; below it embeddings are alike
SPREADS = {
    "caption_spread": "the embeddings of all validation captions are alike",
    "image_spread": "the embeddings of all validation images are alike",
    "score_spread": "each validation caption is equally similar to all images",
}


@torch.no_grad()
def measure_spreads(text: Float[Tensor, "text dim"], image: Float[Tensor, "image dim"]) -> dict[str, float]:
    """Measure how far apart embeddings and scores lie.

    Args:
        text: Embeddings of captions, of length 1.
        image: Embeddings of images, of length 1.

    Returns:
        The mean squared distance of the captions' embeddings from their mean, in [0, 1]; that of the images'; and the
        variance of a caption's similarities with all images, averaged over captions. The first two are 0 where all
        embeddings are the same, the last also where no caption's embedding tells the images apart.

    """
    spread = image - image.mean(0)
    if len(image) <= image.shape[1]:
        scores = (text @ spread.T).square().mean()
    else:  # without the matrix of all scores
        scores = ((text @ (spread.T @ spread / len(image))) * text).sum(1).mean()
    return {
        "caption_spread": (text - text.mean(0)).square().sum(1).mean().item(),
        "image_spread": spread.square().sum(1).mean().item(),
        "score_spread": scores.item(),
    }


def check_collapse(line: dict[str, Any], first: dict[str, Any], settings: OptimizerConfig) -> None:
    """Check that training has not made all captions or all images alike.

    Args:
        line: Of the log, with the spreads of the epoch.
        first: The phase's first line: before training. What is alike there, such as a single image, stays so.
        settings: Of the phase.

    Raises:
        RunError: A spread is less than `LEAST` of what it was.

    """
    for name, what in SPREADS.items():
        before, now = first.get(name, 0.0), line.get(name, 0.0)
        if now < before * LEAST:
            raise RunError(
                f"Phase {line['phase']} collapsed in epoch {line['epoch']}: {what}. The spread is {now:.1e}; expected "
                f"at least {before * LEAST:.1e}, since it was {before:.1e} before. Training stopped and no model was "
                f"saved: start again with another --out and a lower --learning-rate ({describe_rates(settings)}) or "
                f"--weight-decay ({settings.weight_decay:g})."
            )


def describe_rates(settings: OptimizerConfig) -> str:
    """Describe the learning rates: of the heads, and inside the encoders where it is another one."""
    rates = dict.fromkeys(f"{rate:g}" for rate in (settings.learning_rate, settings.tower_learning_rate) if rate)
    return " and ".join(rates)
