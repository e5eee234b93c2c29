"""Images to pixel values, by the encoder's own size, interpolation, mean and standard deviation."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Preprocessing:
    """Resize the shorter side to `size`, center crop, (x / 255 - mean) / std.

    The whole height or width stays in view: there is no further crop.
    """

    size: int  # pixels
    interpolation: str  # bilinear, bicubic ...: a name of PIL.Image.Resampling, lower case
    mean: tuple[float, ...]  # RGB, of values in [0, 1]
    std: tuple[float, ...]

    def to_bytes(self, images: Iterable[Image.Image]) -> UInt8[Tensor, "image size size 3"]:
        """Resize and crop images, as bytes; of those that are opened one by one no more than two are held at once."""
        return torch.from_numpy(np.stack([self.resize(image) for image in images]))

    def normalize(self, pixels: UInt8[Tensor, "image size size 3"]) -> Float[Tensor, "image 3 size size"]:
        """Normalize bytes to the encoder's inputs, in channels-last memory order."""
        width = pixels.shape[2]  # a row of the image at a time: three numbers at a time take eight times as long
        mean, std = (torch.tensor(values, device=pixels.device).repeat(width) * 255 for values in (self.mean, self.std))
        rows = pixels.flatten(2).float().sub_(mean).div_(std)
        return rows.view(pixels.shape).permute(0, 3, 1, 2)  # NHWC memory seen as NCHW: no copy

    def __call__(self, images: Sequence[Image.Image]) -> Float[Tensor, "image 3 size size"]:
        """Resize, crop and normalize images."""
        return self.normalize(self.to_bytes(images))

    def resize(self, image: Image.Image) -> np.ndarray:
        """Resize and crop an image to an array [size, size, 3] of bytes."""
        image = image.convert("RGB")
        scale = self.size / min(image.size)
        width, height = (max(self.size, round(side * scale)) for side in image.size)
        left, top = (width - self.size) / 2, (height - self.size) / 2
        box = (left / scale, top / scale, (left + self.size) / scale, (top + self.size) / scale)
        box = (max(0.0, box[0]), max(0.0, box[1]), min(float(image.width), box[2]), min(float(image.height), box[3]))
        return np.asarray(image.resize((self.size, self.size), Image.Resampling[self.interpolation.upper()], box=box))
