"""polyclip: a language gets a CLIP of its own."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from polyclip.models.aligner import PolyCLIP

__version__ = "0.1.0"
__all__ = ["load"]


def load(run: "str | Path", revision: str | None = None) -> "PolyCLIP":
    """The aligner of a run folder, or of a run on the Hugging Face hub (owner/name) at a branch, tag or commit.

    `encode_text(list[str])` and `encode_image(list[PIL.Image])` give unit vectors [n, dim]; `source` says what was loaded, of the hub
    with the commit. Raises RunError when `run` is no run folder, WeightsError when a repository cannot be had or holds no run, and when
    weights are damaged or belong to other towers.
    """
    from polyclip.core.progress import console
    from polyclip.errors import RunError
    from polyclip.models.aligner import load_model as load_aligner  # torch is imported only when a model is wanted
    from polyclip.models.hub import is_repository, pull

    if not is_repository(str(run)):
        if revision is not None:
            raise RunError(
                f"revision {revision!r} is for a run on the hub (owner/name), but {run} is not written like one or is a folder here; leave it out."
            )
        return load_aligner(run)
    folder, commit = pull(str(run), revision)
    aligner = load_aligner(folder)
    aligner.source = f"{run}@{commit}"
    console.print(f"loaded {aligner.source}", markup=False, highlight=False, soft_wrap=True)
    return aligner
