"""The vision part of an open_clip model, with its projection: `open_clip:FOLDER`, `open_clip:ViT-B-32,pretrained=laion2b_s34b_b79k`.

Its vectors are aligned with those of `encoders/open_clip.py`. Pictures go through the model's own transform.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from polyclip.data.types import ImageSource
from polyclip.models.backbone import BackboneSpec
from polyclip.models.pretrained.open_clip import describe_part, load
from polyclip.models.trunk import State, Whole
from polyclip.models.vision._images import Pictures
from polyclip.models.vision._opened import edge_of_transform, opened


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """See `polyclip.models.pretrained.open_clip.describe_part`."""
    return describe_part("vision", argument, options, build)


def build(folder: Path, dim: int) -> "OpenClipTower":
    """Load weights and transform."""
    return OpenClipTower(*load(folder, "vision"), dim)


class OpenClipTower(Pictures):
    """Frozen tower in eval mode; one aligned vector a picture, not normalised."""

    def __init__(self, model: Any, transform: Any, dim: int) -> None:
        nn.Module.__init__(self)
        self.model, self.transform, self.dim = model, transform, dim
        self.trunk = Whole(model, self.vectors)
        self.requires_grad_(False).eval()

    def prepare(self, items: Sequence[ImageSource]) -> State:
        """Pixels by the model's own transform."""
        return {
            "pixels": torch.stack([self.transform(image) for image in opened(items, edge_of_transform(self.transform))])
        }

    def vectors(self, inputs: State) -> State:
        """The model's own aligned vectors."""
        return {"pooled": self.model.encode_image(inputs["pixels"])}
