"""Images as users have them: files, PIL images, numpy arrays and tensors."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeAlias, runtime_checkable

import numpy as np
from PIL import Image, ImageFile

from polyclip.data.image_modes import convert_to_rgb
from polyclip.data.images import open_image, turn_upright
from polyclip.data.types import ImageSource
from polyclip.errors import DataError

ImageLike: TypeAlias = (
    Any  # str | Path | PIL.Image.Image | np.ndarray [height, width(, channel)] | Tensor [(channel,) height, width]
)
EXPECTED = "expected a path, a PIL image, a numpy array [height, width, channel] or a tensor [channel, height, width]"


@runtime_checkable
class ArrayLike(Protocol):
    """A numpy array, a tensor, or another library's array."""

    @property
    def ndim(self) -> int:
        """Number of its dimensions."""
        ...

    @property
    def dtype(self) -> Any:
        """Type of its elements."""
        ...


def is_one_image(images: ImageLike | Sequence[ImageLike]) -> bool:
    """Whether the argument is a single image and not a sequence of images."""
    if isinstance(images, str | Path | Image.Image):
        return True
    return isinstance(images, ArrayLike) and images.ndim < 4


def image_sources(images: Sequence[ImageLike]) -> list[ImageSource]:
    """Wrap images so that each is decoded when its batch is prepared.

    Args:
        images: Paths, PIL images, arrays or tensors, in any mixture. Integers are in [0, 255], floats in [0, 1].

    Returns:
        One source an image. Opening it gives RGB, turned upright by its EXIF orientation, transparent parts on white.

    Raises:
        DataError: An element is none of these. What cannot be decoded raises it when it is opened, and is named.

    """
    return [image_source(image, number, len(images)) for number, image in enumerate(images)]


def image_source(image: ImageLike, number: int, total: int) -> ImageSource:
    """Wrap one image; errors call it image `number` of `total`."""
    where = f"Image {number} of {total}"
    if isinstance(image, str | Path):
        return ImageSource(str(image), "", partial(open_image, Path(image)))
    if isinstance(image, Image.Image):
        return ImageSource(str(number), "", partial(from_pil, image, where))
    if isinstance(image, ArrayLike):
        return ImageSource(str(number), "", partial(from_pil, Image.fromarray(pixels_of(image, where)), where))
    raise DataError(f"{where} is a {type(image).__name__}; {EXPECTED}.")


def from_pil(image: Image.Image, where: str) -> Image.Image:
    """RGB of a PIL image, upright.

    Raises:
        DataError: Its file is damaged or truncated, or its mode is refused.

    """
    try:
        return convert_to_rgb(turn_upright(image))
    except Exception as error:  # a lazy image decodes here, and Pillow raises whatever a damaged file leads it to
        name = str(image.filename) if isinstance(image, ImageFile.ImageFile) else ""
        said = str(error).removesuffix(".")
        raise DataError(f"{where}{f' ({name})' if name else ''} cannot be decoded: {said}.") from error


def pixels_of(image: Any, where: str) -> np.ndarray:
    """Bytes [height, width] or [height, width, 3 or 4] of an array or tensor.

    Raises:
        DataError: Another shape, or values outside [0, 255] for integers and [0, 1] for floats.

    """
    is_tensor = not isinstance(image, np.ndarray)
    values = np.asarray(image.detach().cpu().numpy() if is_tensor else image)
    if values.ndim == 3 and (is_tensor or (values.shape[0] in (1, 3, 4) and values.shape[2] not in (1, 3, 4))):
        values = values.transpose(1, 2, 0)  # [channel, height, width]
    if values.ndim == 3 and values.shape[2] == 1:
        values = values[:, :, 0]
    if values.size == 0 or not (values.ndim == 2 or (values.ndim == 3 and values.shape[2] in (3, 4))):
        raise DataError(f"{where} has shape {tuple(image.shape)}; {EXPECTED}, with 1, 3 or 4 channels.")
    most = 1.0 if np.issubdtype(values.dtype, np.floating) else 255
    if not (values.min() >= 0 and values.max() <= most):
        raise DataError(
            f"{where} has values in [{values.min():g}, {values.max():g}]; expected [0, {most:g}] for {values.dtype}."
        )
    return (values * (255 if most == 1.0 else 1)).round().astype(np.uint8) if values.dtype != np.uint8 else values
