"""The vision encoder of a transformers CLIP or SigLIP with its projection: `clip:openai/clip-vit-base-patch32` or
`clip:FOLDER`.

Its embeddings are aligned with those of the text encoder `clip`. Images go through the model's own image processor.
"""

from collections.abc import Sequence
from typing import Any

from torch import nn

from polyclip.data.types import ImageSource
from polyclip.models.backbone import BackboneSpec
from polyclip.models.hf import explain_loading_errors
from polyclip.models.pretrained.clip import describe_part, extract_embeddings, load_part
from polyclip.models.trunk import State, WholeModel
from polyclip.models.vision._images import ImageEncoder
from polyclip.models.vision._opened import get_processor_edge, open_images


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """Describe the vision encoder of a CLIP; see `polyclip.models.pretrained.clip.describe_part`."""
    return describe_part("vision", argument, options, build)


def build(name: str, revision: str, dim: int) -> "ClipVisionEncoder":
    """Load weights and image processor."""
    from transformers import AutoImageProcessor

    model = load_part(name, revision, "vision")
    with explain_loading_errors("CLIP", name):
        processor = AutoImageProcessor.from_pretrained(name, revision=revision, trust_remote_code=False)
    return ClipVisionEncoder(model, processor, dim, name)


class ClipVisionEncoder(ImageEncoder):
    """Frozen vision encoder in eval mode; one aligned embedding an image, not normalized."""

    def __init__(self, model: Any, processor: Any, dim: int, name: str) -> None:
        nn.Module.__init__(self)
        self.model, self.processor, self.dim, self.name = model, processor, dim, name
        self.trunk = WholeModel(model, self.embed)
        self.requires_grad_(False).eval()

    def prepare(self, items: Sequence[ImageSource]) -> State:
        """Pixels by the model's own processor, and whatever else its vision encoder takes."""
        return dict(self.processor(open_images(items, get_processor_edge(self.processor)), return_tensors="pt"))

    def embed(self, inputs: State) -> State:
        """The model's own aligned embeddings."""
        return {"pooled": extract_embeddings(self.model.get_image_features(**inputs), self.dim, self.name)}
