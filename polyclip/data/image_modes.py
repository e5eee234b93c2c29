"""Every mode of Pillow as 8-bit RGB on white: each is converted by its own range of values, or refused by name."""

from functools import cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms

from polyclip.errors import DataError

# White, by the depths that scanners, microscopes and cameras write (8, 12, 16, 24 and 31 bits): a file holds 12-bit
# values in 16 bits without saying so.
DEPTHS = (255, 4_095, 65_535, 16_777_215, 2_147_483_647)
SCALES = (1.0, 255.0, 65_535.0)  # of floating values
RANGED = ("I", "F")  # and all that start with I; as I;16B
PLAIN = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV")  # converted by Pillow
SEE_THROUGH = ("RGBA", "LA", "PA")


def convert_to_rgb(image: Image.Image) -> Image.Image:
    """Convert an image of any mode to RGB; transparent parts become white.

    Grey values of more than 8 bits are scaled so that 0 is black and the largest value of the image's depth white: the
    least of `DEPTHS` (or 0 to 1, 255, 65,535 for floating values) that holds every pixel.

    Args:
        image: The image, upright.

    Returns:
        An RGB image of the same size.

    Raises:
        DataError: The mode is unknown, or values are negative, not finite or beyond 65,535 in floating numbers.

    """
    mode = image.mode
    if is_ranged(mode):
        return scale_grey(image)
    if mode in ("La", "RGBa"):  # colours multiplied with their opacity
        image = image.convert("LA" if mode == "La" else "RGBA")
    elif mode == "LAB":
        return ImageCms.applyTransform(image, make_lab_transform()) or image
    elif mode not in (*PLAIN, *SEE_THROUGH):
        raise DataError(f"pixels of mode {mode} are not read; save it as 8-bit RGB")
    return flatten_on_white(image)


def is_ranged(mode: str) -> bool:
    """Whether a mode holds grey values of more than 8 bits, or floating ones."""
    return mode in RANGED or mode.startswith("I;")


def flatten_on_white(image: Image.Image) -> Image.Image:
    """Convert 8-bit modes to RGB; transparent parts become white."""
    if image.has_transparency_data:
        drawn = image.convert("RGBA")
        white = Image.new("RGBA", drawn.size, "white")
        return Image.alpha_composite(white, drawn).convert("RGB")
    return image.convert("RGB")


def scale_grey(image: Image.Image) -> Image.Image:
    """Convert grey values of 16 or 32 bits, or floating ones, to RGB."""
    values: np.ndarray = np.asarray(image)
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high) and low >= 0):
        raise DataError(f"grey values from {low:g} to {high:g} (mode {image.mode}), expected 0 or more; save it as PNG")
    white = next((scale for scale in (SCALES if image.mode == "F" else DEPTHS) if high <= scale), None)
    if white is None:
        raise DataError(f"floating grey values up to {high:g}, expected at most 1, 255 or 65,535; save it as PNG")
    grey: np.ndarray = np.rint(values.astype(np.float64) * (255 / white)).astype(np.uint8)
    clear = image.info.get("transparency")  # of a grey PNG: the one value that is see-through
    if isinstance(clear, int):
        grey[values == clear] = 255
    return Image.fromarray(grey, "L").convert("RGB")


@cache
def make_lab_transform() -> Any:
    """The transform from CIELAB to sRGB."""
    lab, srgb = ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB")
    return ImageCms.buildTransform(lab, srgb, "LAB", "RGB")
