"""polyclip: a language gets a CLIP of its own."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polyclip.aligner import Aligner

__version__ = "0.1.0"
__all__ = ["load"]


def load(run: "str | Path") -> "Aligner":
    """The aligner of a run folder: `encode_text(list[str])` and `encode_image(list[PIL.Image])` give unit vectors [n, dim].

    Raises RunError when `run` is no run folder, WeightsError when its weights are damaged or belong to other towers.
    """
    from polyclip.aligner import load as load_aligner  # torch is imported only when a model is wanted

    return load_aligner(run)
