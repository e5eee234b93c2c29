"""Blocks of EfficientNet-Lite an image, or some of its rows, at a time, so that their wide maps stay in a core's cache.

A block makes its map four to six times as wide and narrow again. Of an image of 224 pixels the widest is 4.8 MB, which
would be written to memory and read again.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyclip.models.vision._fused import FusedConv2d

STRIP = 2_500_000  # bytes of wide maps at a time


class StripedBlock(nn.Module):
    """A block that works on a few rows at a time where its wide map is large.

    Args:
        widen: Makes the map wide, each pixel by itself; None: it is wide.
        depthwise: Convolution over the wide map.
        narrow: Makes its result narrow again, each pixel by itself.
        has_skip: Whether the block adds its result to the map.

    """

    def __init__(self, widen: FusedConv2d | None, depthwise: FusedConv2d, narrow: FusedConv2d, has_skip: bool) -> None:
        super().__init__()
        self.widen, self.depthwise, self.narrow, self.has_skip = widen, depthwise, narrow, has_skip
        (self.padding, _), (self.stride, _), _, self.channels = depthwise.where
        self.kernel = depthwise.kernel

    def forward(self, maps: Float[Tensor, "image channel height width"]) -> Float[Tensor, "image out height2 width2"]:
        """Apply the block to maps of images."""
        row = maps.shape[3] * self.channels * self.depthwise.dtype.itemsize
        images, rows = STRIP // (row * maps.shape[2]), max(STRIP // row, 1)
        if images >= len(maps):
            found = self.run_images(maps)
        elif images:
            found = torch.cat([self.run_images(some) for some in maps.split(images)])
        else:
            found = torch.cat([self.run_rows(image, rows) for image in maps.split(1)])
        return found + maps if self.has_skip else found

    def run_images(self, maps: Tensor) -> Tensor:
        """Apply the block, but for the shortcut, to whole images."""
        return self.narrow(self.depthwise(self.make_wide(maps)))

    def make_wide(self, maps: Tensor) -> Tensor:
        """Apply the part before the depthwise convolution."""
        return maps if self.widen is None else self.widen(maps)

    def run_rows(self, image: Tensor, rows: int) -> Tensor:
        """Apply the block, but for the shortcut, to so many rows of an image at a time.

        Each strip reads some rows of its neighbours: next to its edges the convolution sees zeros, and what it gives
        there is left out, but for the image's own edges.
        """
        height = (image.shape[2] + 2 * self.padding - self.kernel) // self.stride + 1
        step, margin = max(rows // self.stride, 1), -(-self.padding // self.stride)
        parts = []
        for first in range(0, height, step):
            start, end = max(first - margin, 0), min(first + step, height)
            strip = image[:, :, start * self.stride : (end - 1) * self.stride - self.padding + self.kernel]
            found = self.depthwise(self.make_wide(strip))[:, :, first - start : end - start]
            parts.append(self.narrow(found))
        return torch.cat(parts, dim=2)


def stripe_blocks(model: Any) -> None:
    """Let the blocks of timm's EfficientNet-Lite, with its convolutions fused, work in strips; in place."""
    for stage in model.blocks:
        for place, block in enumerate(stage):
            layers = (None, block.conv_dw, block.conv_pw)
            if hasattr(block, "conv_pwl"):
                layers = (block.conv_pw, block.conv_dw, block.conv_pwl)
            if all(layer is None or isinstance(layer, FusedConv2d) for layer in layers):
                stage[place] = StripedBlock(*layers, block.has_skip)
