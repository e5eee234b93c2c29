"""The vision encoder of an open_clip model with its projection: `open_clip:FOLDER`,
`open_clip:ViT-B-32,pretrained=laion2b_s34b_b79k`.

Its embeddings are aligned with those of the text encoder `open_clip`. Images go through the model's own transform.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from polyclip.data.types import ImageSource
from polyclip.models.backbone import BackboneSpec
from polyclip.models.pretrained.open_clip import describe_part, load_part
from polyclip.models.trunk import State, WholeModel
from polyclip.models.vision._images import ImageEncoder
from polyclip.models.vision._opened import get_transform_edge, open_images


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """Describe the vision encoder of an open_clip model; see `polyclip.models.pretrained.open_clip.describe_part`."""
    return describe_part("vision", argument, options, build)


def build(folder: Path, dim: int) -> "OpenClipVisionEncoder":
    """Load weights and transform."""
    return OpenClipVisionEncoder(*load_part(folder, "vision"), dim)


class OpenClipVisionEncoder(ImageEncoder):
    """Frozen vision encoder in eval mode; one aligned embedding an image, not normalized."""

    def __init__(self, model: Any, transform: Any, dim: int) -> None:
        nn.Module.__init__(self)
        self.model, self.transform, self.dim = model, transform, dim
        self.trunk = WholeModel(model, self.embed)
        self.requires_grad_(False).eval()

    def prepare(self, items: Sequence[ImageSource]) -> State:
        """Pixels by the model's own transform."""
        return {
            "pixels": torch.stack(
                [self.transform(image) for image in open_images(items, get_transform_edge(self.transform))]
            )
        }

    def embed(self, inputs: State) -> State:
        """The model's own aligned embeddings."""
        return {"pooled": self.model.encode_image(inputs["pixels"])}
