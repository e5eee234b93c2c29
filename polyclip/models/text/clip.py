"""The text encoder of a transformers CLIP or SigLIP with its projection: `clip:openai/clip-vit-base-patch32` or
`clip:FOLDER`.

Its embeddings are aligned with those of the vision encoder `clip`; distillation uses it as the teacher.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from polyclip.models.backbone import BackboneSpec
from polyclip.models.hf import explain_loading_errors
from polyclip.models.pretrained.clip import describe_part, extract_embeddings, load_part
from polyclip.models.trunk import State, WholeModel


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """Describe the text encoder of a CLIP; see `polyclip.models.pretrained.clip.describe_part`."""
    return describe_part("text", argument, options, build)


def build(name: str, revision: str, dim: int) -> Any:
    """Load weights and tokenizer."""
    from transformers import AutoTokenizer

    from polyclip.models.text_encoder import TextEncoder

    model = load_part(name, revision, "text")
    with explain_loading_errors("CLIP", name):
        tokenizer = AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=False)
    limit = min(tokenizer.model_max_length, model.config.text_config.max_position_embeddings)
    padding = (
        "max_length" if model.config.model_type.startswith("siglip") else "longest"
    )  # SigLIP's embedding is its last token's, padding or not

    def tokenize(texts: Sequence[str]) -> dict[str, Tensor]:
        """Token ids as the model expects them; where the model attends to padding, the mask is 1 there too."""
        tokens = tokenizer(list(texts), padding=padding, truncation=True, max_length=limit, return_tensors="pt")
        ids = tokens["input_ids"]
        return {
            "input_ids": ids,
            "attention_mask": tokens["attention_mask"] if "attention_mask" in tokens else torch.ones_like(ids),
        }

    def embed(inputs: State) -> State:
        """One aligned embedding a caption, in place of its token states."""
        hidden = extract_embeddings(model.get_text_features(**inputs), dim, name)[:, None]
        return {"hidden": hidden, "mask": torch.ones(hidden.shape[:2], dtype=torch.long, device=hidden.device)}

    encoder = TextEncoder(model, tokenize, dim, "cls")
    encoder.trunk = WholeModel(model, embed)
    return encoder
