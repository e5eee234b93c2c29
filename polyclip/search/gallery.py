"""The pictures a command works on and their vectors: from a ready index where there is one, else encoded (and kept in the feature cache)."""

from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from torch import Tensor

from polyclip.data.images import look_through, readable
from polyclip.errors import DataError
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.search._format import MANIFEST, located
from polyclip.search.index import Index


@dataclass(frozen=True)
class Gallery:
    """Pictures, their unit vectors, the model that made these, and a sentence for each picture that was skipped."""

    root: Path
    paths: list[Path]
    vectors: Float[Tensor, "picture dim"]
    aligner: PolyCLIP
    run: Path
    problems: list[str]
    indexed: bool = False


def gathered(folder: Path, model: Path | None) -> Gallery:
    """The pictures of an index, or below a folder.

    An index in the folder, or the folder itself, is taken as it was written. Raises DataError for a folder without pictures that can be
    read, or without an index where no model is named; what `Index.open` raises.
    """
    if (located(folder) / MANIFEST).is_file():
        index = Index.open(folder, model=model)
        return Gallery(
            index.root,
            [index.root / path for path in index.paths],
            index.vectors,
            index.aligner(),
            index.model,
            [],
            indexed=True,
        )
    if model is None:
        raise DataError(
            f"{folder} has no index; make one with 'polyclip index {folder} --model RUN', or say which run encodes its pictures with --model RUN."
        )
    paths, unread = look_through(folder)
    aligner = load_model(model)
    pictures, problems = readable(paths)
    if not pictures:
        raise DataError(f"None of the {len(problems)} pictures below {folder} can be read; the first: {problems[0]}")
    vectors = aligner.vision.embed(pictures, f"pictures of {folder}", keep=True)
    return Gallery(folder, [Path(picture.name) for picture in pictures], vectors, aligner, model, [*unread, *problems])
