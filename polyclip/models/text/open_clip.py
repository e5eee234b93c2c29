"""The text part of an open_clip model, with its projection: `open_clip:FOLDER`, `open_clip:ViT-B-32,pretrained=laion2b_s34b_b79k`.

Its vectors are aligned with those of `towers/open_clip.py`. It runs as a whole, with open_clip's own tokenizer.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyclip.models.backbone import BackboneSpec
from polyclip.models.pretrained.open_clip import describe_part, load
from polyclip.models.trunk import State, Whole


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """See `polyclip.models.pretrained.open_clip.describe_part`."""
    return describe_part("text", argument, options, build)


def build(folder: Path, dim: int) -> Any:
    """Load weights and tokenizer."""
    from polyclip.models.text_encoder import TextEncoder

    model, tokenizer = load(folder, "text")

    def tokenize(texts: Sequence[str]) -> dict[str, Tensor]:
        """Ids, as many for every caption; which of them count is the model's business."""
        ids = tokenizer(list(texts)).long()
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def vectors(inputs: State) -> State:
        """One aligned vector a caption, in place of its tokens."""
        hidden = model.encode_text(inputs["input_ids"])[:, None]
        return {"hidden": hidden, "mask": torch.ones(hidden.shape[:2], dtype=torch.long, device=hidden.device)}

    encoder = TextEncoder(model, tokenize, dim, "cls")
    encoder.trunk = Whole(model, vectors)
    return encoder
