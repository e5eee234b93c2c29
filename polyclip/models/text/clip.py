"""The text part of a CLIP or SigLIP of transformers, with its projection: `clip:openai/clip-vit-base-patch32`, or `clip:` and a folder.

Its vectors are aligned with those of `towers/clip.py`; teachers speak through it.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from polyclip.models.backbone import BackboneSpec
from polyclip.models.hf import loading
from polyclip.models.pretrained.clip import aligned, describe_part, load
from polyclip.models.trunk import State, Whole


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """See `polyclip.models.pretrained.clip.describe_part`."""
    return describe_part("text", argument, options, build)


def build(name: str, revision: str, dim: int) -> Any:
    """Load weights and tokenizer."""
    from transformers import AutoTokenizer

    from polyclip.models.text_encoder import TextEncoder

    model = load(name, revision, "text")
    with loading("CLIP", name):
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
    limit = min(tokenizer.model_max_length, model.config.text_config.max_position_embeddings)
    padding = (
        "max_length" if model.config.model_type.startswith("siglip") else "longest"
    )  # SigLIP's vector is its last token's, padding or not

    def tokenize(texts: Sequence[str]) -> dict[str, Tensor]:
        """Ids as the model expects them; where it reads its padding, all of them count."""
        tokens = tokenizer(list(texts), padding=padding, truncation=True, max_length=limit, return_tensors="pt")
        ids = tokens["input_ids"]
        return {
            "input_ids": ids,
            "attention_mask": tokens["attention_mask"] if "attention_mask" in tokens else torch.ones_like(ids),
        }

    def vectors(inputs: State) -> State:
        """One aligned vector a caption, in place of its tokens."""
        hidden = aligned(model.get_text_features(**inputs), dim, name)[:, None]
        return {"hidden": hidden, "mask": torch.ones(hidden.shape[:2], dtype=torch.long, device=hidden.device)}

    encoder = TextEncoder(model, tokenize, dim, "cls")
    encoder.trunk = Whole(model, vectors)
    return encoder
