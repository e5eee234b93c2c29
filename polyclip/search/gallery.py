"""Images and embeddings for a command: from an index where there is one, else encoded (and kept in the feature
cache).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from polyclip.data.image_files import scan_folder
from polyclip.data.image_hash import record_fingerprints
from polyclip.data.types import ImageSource
from polyclip.errors import DataError
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.search._format import MANIFEST, find_index_folder
from polyclip.search._images import embed_files
from polyclip.search.index import Index


@dataclass(frozen=True)
class SearchGallery:
    """Images, their embeddings, the model that made them, and one message for each skipped image."""

    root: Path
    paths: list[Path]
    embeddings: Float[Tensor, "image dim"]
    aligner: PolyCLIP
    run: Path
    problems: list[str]
    indexed: bool = False


def load_gallery(
    folder: Path,
    model: Path | None,
    *,
    follow_links: bool = False,
    seen: Callable[[ImageSource, Image.Image], None] | None = None,
) -> SearchGallery:
    """Load the images of an index, or encode those below a folder.

    Args:
        folder: An index, a folder that holds one, or a folder of images. An index is used as it was written.
        model: Run folder; required where there is no index.
        follow_links: Whether links that lead out of a folder of images are followed.
        seen: Called with every image that is decoded.

    Returns:
        Images and embeddings.

    Raises:
        DataError: No image can be read, there is neither index nor model, or the index cannot be opened.
        RunError: The index was made by another model.

    """
    if (find_index_folder(folder) / MANIFEST).is_file():
        index = Index.open(folder, model=model)
        return SearchGallery(
            index.root,
            [index.root / path for path in index.paths],
            index.embeddings,
            index.load_aligner(),
            index.model,
            [],
            indexed=True,
        )
    if model is None:
        raise DataError(
            f"{folder} has no index; make one with 'polyclip index {folder} --model RUN', or give the run that "
            "encodes its images with --model RUN."
        )
    return encode_folder(folder, load_model(model), model, follow_links=follow_links, seen=seen)


def encode_folder(
    folder: Path,
    aligner: PolyCLIP,
    run: Path,
    *,
    follow_links: bool = False,
    seen: Callable[[ImageSource, Image.Image], None] | None = None,
) -> SearchGallery:
    """Encode the images below a folder, each decoded once; features of a frozen encoder are kept in the cache.

    Args:
        folder: Folder of images, searched recursively.
        aligner: The model.
        run: Its run folder.
        follow_links: Whether links that lead out of the folder are followed.
        seen: Called with every image that is decoded.

    Returns:
        Images and embeddings.

    Raises:
        DataError: There is no image, or none can be read.

    """
    paths, unread = scan_folder(folder, follow_links=follow_links)
    with record_fingerprints() as recorder:  # an index of the folder hashes what it has not seen
        found, embeddings, problems = embed_files(aligner, paths, f"images of {folder}", seen or recorder)
    if not found:
        raise DataError(f"None of the {len(problems)} images below {folder} can be read; the first: {problems[0]}")
    return SearchGallery(folder, found, embeddings, aligner, run, [*unread, *problems])
