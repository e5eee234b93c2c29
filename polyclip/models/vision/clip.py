"""The vision part of a CLIP or SigLIP of transformers, with its projection: `clip:openai/clip-vit-base-patch32`, or `clip:` and a folder.

Its vectors are aligned with those of `encoders/clip.py`. Pictures go through the model's own image processor.
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from polyclip.data.types import ImageSource
from polyclip.models.backbone import BackboneSpec
from polyclip.models.hf import loading
from polyclip.models.pretrained.clip import aligned, describe_part, load
from polyclip.models.trunk import State, Whole
from polyclip.models.vision._images import Pictures
from polyclip.models.vision._opened import edge_of_processor, opened


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """See `polyclip.models.pretrained.clip.describe_part`."""
    return describe_part("vision", argument, options, build)


def build(name: str, revision: str, dim: int) -> "ClipTower":
    """Load weights and image processor."""
    from transformers import AutoImageProcessor

    model = load(name, revision, "vision")
    with loading("CLIP", name):
        processor = AutoImageProcessor.from_pretrained(name, revision=revision, trust_remote_code=False)
    return ClipTower(model, processor, dim, name)


class ClipTower(Pictures):
    """Frozen tower in eval mode; one aligned vector a picture, not normalised."""

    def __init__(self, model: Any, processor: Any, dim: int, name: str) -> None:
        nn.Module.__init__(self)
        self.model, self.processor, self.dim, self.name = model, processor, dim, name
        self.trunk = Whole(model, self.vectors)
        self.requires_grad_(False).eval()

    def prepare(self, items: Sequence[ImageSource]) -> State:
        """What the model's own processor gives: pixels, and what else its vision part takes."""
        return dict(self.processor(opened(items, edge_of_processor(self.processor)), return_tensors="pt"))

    def vectors(self, inputs: State) -> State:
        """The model's own aligned vectors."""
        return {"pooled": aligned(self.model.get_image_features(**inputs), self.dim, self.name)}
