"""Embed images, each decoded once: what cannot be read is named, and features of a frozen encoder are kept."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from polyclip.core.encode_precision import current_encode_precision
from polyclip.core.progress import Progress
from polyclip.data.images import make_image_source
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, WeightsError
from polyclip.models.aligner import PolyCLIP
from polyclip.models.encoding import encode_items
from polyclip.models.finite import describe_damaged
from polyclip.models.image_features import ImageFeatures

BATCH = 128  # images per batch: the most that an interruption loses


class DecodeGuard:
    """Keeps one unreadable file from ending a batch: a white pixel takes its place, and its row is dropped
    afterwards.
    """

    def __init__(self, seen: Callable[[ImageSource, Image.Image], None] | None = None) -> None:
        self.problems: dict[str, tuple[str, str]] = {}  # by content: the file that was tried, and what is wrong
        self._seen = seen  # gets every image that was decoded

    def wrap(self, image: ImageSource) -> ImageSource:
        """Return the same image source, opened through this guard."""
        return replace(image, open=partial(self.open, image))

    def open(self, image: ImageSource) -> Image.Image:
        """Open the image; on failure record the problem and return a white pixel."""
        try:
            decoded = image.open()
        except DataError as error:
            self.problems[image.key] = image.name, str(error)
            return Image.new("RGB", (1, 1), "white")
        if self._seen is not None:
            self._seen(image, decoded)
        return decoded

    def describe(self, image: ImageSource) -> str:
        """Say what is wrong with an unreadable image, by its own name where another file of the same bytes was
        tried.
        """
        tried, said = self.problems[image.key]
        return said.replace(tried, image.name, 1)


class ImageEmbedder:
    """Embeds images with one model. The encoder is built for the first image whose features are not kept."""

    def __init__(self, aligner: PolyCLIP) -> None:
        self.aligner = aligner
        self._running: object = None

    def embed(self, images: Sequence[ImageSource], guard: DecodeGuard) -> Float[Tensor, "image dim"]:
        """Embed images of different content; rows of those that the guard names mean nothing.

        Args:
            images: The images.
            guard: Receives what cannot be read.

        Returns:
            Unit vectors [image, dim], float32.

        Raises:
            WeightsError: The model returned values that are not finite.

        """
        embeddings = self.aligner.vision.unit(self._compute_features(images, guard))
        good = [row for row, image in enumerate(images) if image.key not in guard.problems]
        read = [images[row] for row in good]
        if bad := describe_damaged(embeddings[good].isfinite().all(dim=1), read, "images"):
            raise WeightsError(
                f"{self.aligner.vision.tower.name} gave NaN or infinity for {bad}; its weights are damaged."
            )
        return embeddings

    @torch.inference_mode()
    def _compute_features(self, images: Sequence[ImageSource], guard: DecodeGuard) -> Float[Tensor, "image width"]:
        """Features of images: those of a frozen encoder are read where they were kept before, and kept."""
        vision = self.aligner.vision
        precision = vision.precision or current_encode_precision(vision.device)
        kept = None
        if vision.encoder is None and vision.dtype == torch.float32:
            kept = ImageFeatures(vision.tower, precision)
        have = {} if kept is None else kept.read([image.key for image in images])
        absent = [image for image in images if image.key not in have]
        if absent:
            self._running = self._running or vision.running()
            rows = encode_items(self._running, [guard.wrap(image) for image in absent], lambda _: None)
            good = [
                row
                for row, image in enumerate(absent)
                if image.key not in guard.problems and bool(rows[row].isfinite().all())
            ]
            if kept is not None and good:
                kept.write([absent[row].key for row in good], rows[good])
            have |= {image.key: row for image, row in zip(absent, rows, strict=True)}
        return torch.stack([have[image.key] for image in images])


def embed_files(
    aligner: PolyCLIP,
    paths: Sequence[Path],
    what: str,
    seen: Callable[[ImageSource, Image.Image], None] | None = None,
) -> tuple[list[Path], Float[Tensor, "image dim"], list[str]]:
    """Embed image files; each is decoded once, or not at all where its features were kept before.

    Args:
        aligner: The model.
        paths: Image files.
        what: What they are, for the progress bar.
        seen: Called with every image that is decoded.

    Returns:
        The readable files, an embedding for each, and one sentence for each other file; none is replaced by another.

    Raises:
        WeightsError: The model returned values that are not finite.

    """
    encoder, guard = ImageEmbedder(aligner), DecodeGuard(seen)
    embeddings: dict[str, Tensor] = {}
    found: list[ImageSource | str] = []
    with Progress(f"encoding {what}", len(paths)) as progress, ThreadPoolExecutor() as pool:
        for start in range(0, len(paths), BATCH):
            batch = list(pool.map(read_source, paths[start : start + BATCH]))
            tried = {image.key: image for image in batch if isinstance(image, ImageSource)}
            new = [image for key, image in tried.items() if key not in embeddings]
            if new:
                embeddings.update(zip([image.key for image in new], encoder.embed(new, guard), strict=True))
            found += batch
            progress.advance(len(batch))
    problems = [
        image if isinstance(image, str) else guard.describe(image)
        for image in found
        if isinstance(image, str) or image.key in guard.problems
    ]
    good = [image for image in found if isinstance(image, ImageSource) and image.key not in guard.problems]
    rows = [embeddings[image.key] for image in good]
    vectors = torch.stack(rows) if rows else torch.empty(0, aligner.dim)
    return [Path(image.name) for image in good], vectors, problems


def read_source(path: Path) -> ImageSource | str:
    """Hash an image file; a sentence where it cannot be read."""
    try:
        return make_image_source(path)
    except DataError as error:
        return str(error)
