"""Pictures to pixels, by the tower's own numbers: size, interpolation, mean and standard deviation."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor


@dataclass(frozen=True)
class Preprocessing:
    """Shorter side to `size`, centre crop, (x / 255 - mean) / std. The whole height or width stays in view: no further crop."""

    size: int  # pixels
    interpolation: str  # bilinear, bicubic ...: a name of PIL.Image.Resampling, lower case
    mean: tuple[float, ...]  # RGB, of values in [0, 1]
    std: tuple[float, ...]

    def bytes_of(self, images: Sequence[Image.Image]) -> UInt8[Tensor, "picture size size 3"]:
        """Resized and cropped pictures."""
        return torch.from_numpy(np.stack([self.resized(image) for image in images]))

    def normalised(self, pixels: UInt8[Tensor, "picture size size 3"]) -> Float[Tensor, "picture 3 size size"]:
        """What the tower takes, in channels-last memory order."""
        mean, std = (torch.tensor(values, device=pixels.device).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return pixels.permute(0, 3, 1, 2).float().sub_(mean * 255).div_(std * 255)  # NHWC memory seen as NCHW: no copy

    def __call__(self, images: Sequence[Image.Image]) -> Float[Tensor, "picture 3 size size"]:
        """Pixels of pictures."""
        return self.normalised(self.bytes_of(images))

    def resized(self, image: Image.Image) -> np.ndarray:
        """Array [size, size, 3] of bytes."""
        image = image.convert("RGB")
        scale = self.size / min(image.size)
        width, height = (max(self.size, round(side * scale)) for side in image.size)
        left, top = (width - self.size) / 2, (height - self.size) / 2
        box = (left / scale, top / scale, (left + self.size) / scale, (top + self.size) / scale)
        box = (max(0.0, box[0]), max(0.0, box[1]), min(float(image.width), box[2]), min(float(image.height), box[3]))
        return np.asarray(image.resize((self.size, self.size), Image.Resampling[self.interpolation.upper()], box=box))
