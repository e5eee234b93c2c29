"""The text encoder of an open_clip model with its projection: `open_clip:FOLDER`,
`open_clip:ViT-B-32,pretrained=laion2b_s34b_b79k`.

Its embeddings are aligned with those of the vision encoder `open_clip`. It runs as a whole, with open_clip's own
tokenizer.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyclip.models.backbone import BackboneSpec
from polyclip.models.pretrained.open_clip import describe_part, load_part
from polyclip.models.trunk import State, WholeModel


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """Describe the text encoder of an open_clip model; see `polyclip.models.pretrained.open_clip.describe_part`."""
    return describe_part("text", argument, options, build)


def build(folder: Path, dim: int) -> Any:
    """Load weights and tokenizer."""
    from polyclip.models.text_encoder import TextEncoder

    model, tokenizer = load_part(folder, "text")

    def tokenize(texts: Sequence[str]) -> dict[str, Tensor]:
        """Ids, as many for every caption; the model itself knows which are padding."""
        ids = tokenizer(list(texts)).long()
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}

    def embed(inputs: State) -> State:
        """One aligned embedding a caption, in place of its token states."""
        hidden = model.encode_text(inputs["input_ids"])[:, None]
        return {"hidden": hidden, "mask": torch.ones(hidden.shape[:2], dtype=torch.long, device=hidden.device)}

    encoder = TextEncoder(model, tokenize, dim, "cls")
    encoder.trunk = WholeModel(model, embed)
    return encoder
