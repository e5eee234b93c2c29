"""A text encoder of Multilingual-CLIP (Carlsson et al. 2022): a transformer, the mean of its tokens, and one linear map into a CLIP's space.

`m_clip:FOLDER` or a hub name; config.json names the transformer (modelBase) and the lengths. Safetensors only: the published models keep their weights
pickled and have to be converted first. Option: `revision`.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polyclip.errors import WeightsError
from polyclip.models.backbone import BackboneSpec, take
from polyclip.models.hf import hub_identity, loading
from polyclip.models.trunk import State, Whole

DEFAULTS = {"revision": "main"}
HINT = "Give a folder with config.json (modelBase, numDims), model.safetensors and the tokenizer, or a hub name that has them while online."
MAX_TOKENS = 512


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """The encoder at `argument`.

    Raises DataError for an unknown option, WeightsError when the model cannot be had or is none of Multilingual-CLIP's.
    """
    chosen = take(options, DEFAULTS, "m_clip")
    folder = folder_of(argument, chosen["revision"])
    facts = config(folder)
    with torch.device("meta"):
        model = empty(facts, folder)
    return BackboneSpec(
        name=f"m_clip:{argument}" + (f",revision={chosen['revision']}" if chosen["revision"] != "main" else ""),
        identity=hub_identity(str(folder), "", "m_clip, mean pooling"),
        dim=facts["numDims"],
        parameters=sum(p.numel() for p in model.parameters()),
        embeddings=model["transformer"].get_input_embeddings().weight.numel(),  # type: ignore[operator]
        build=lambda: build(folder),
    )


def folder_of(argument: str, revision: str) -> Path:
    """A local folder, or the hub's copy, without pickled files."""
    if Path(argument).is_dir():
        return Path(argument)
    from huggingface_hub import snapshot_download

    with loading("M-CLIP encoder", argument, HINT):
        return Path(
            snapshot_download(
                argument, revision=revision, allow_patterns=["*.safetensors", "*.json", "*.model", "*.txt"]
            )
        )


def config(folder: Path) -> dict[str, Any]:
    """modelBase, transformerDimensions, numDims.

    Raises WeightsError where config.json does not say them, or the weights are not there.
    """
    path = folder / "config.json"
    found: dict[str, Any] = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    lacking = [key for key in ("modelBase", "transformerDimensions", "numDims") if key not in found]
    if lacking or not (folder / "model.safetensors").is_file():
        what = f"its config.json has no {', '.join(lacking)}" if lacking else "it has no model.safetensors"
        raise WeightsError(f"{folder} is no text encoder of Multilingual-CLIP that polyclip can read: {what}. {HINT}")
    return found


def empty(facts: dict[str, Any], folder: Path) -> nn.ModuleDict:
    """The transformer and the map, by the names that the weights have."""
    from transformers import AutoConfig, AutoModel

    with loading("M-CLIP encoder", str(folder), HINT):
        base = AutoConfig.from_pretrained(facts["modelBase"], trust_remote_code=False)
        transformer = AutoModel.from_config(base)
    transformer.pooler = None
    return nn.ModuleDict(
        {
            "transformer": transformer,
            "LinearTransformation": nn.Linear(facts["transformerDimensions"], facts["numDims"]),
        }
    )


def build(folder: Path) -> Any:
    """Load weights and tokenizer."""
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    from polyclip.models.text_encoder import TextEncoder

    facts = config(folder)
    model = empty(facts, folder)
    with loading("M-CLIP encoder", str(folder), HINT):
        state = {
            name: t.float()
            for name, t in load_file(folder / "model.safetensors").items()
            if ".pooler." not in name and not name.endswith("position_ids")
        }
        model.load_state_dict(state, strict=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    tokenizer.padding_side = "right"

    def tokenize(texts: Sequence[str]) -> dict[str, Tensor]:
        """Ids padded to the longest caption of the batch."""
        limit = min(MAX_TOKENS, tokenizer.model_max_length)
        tokens = tokenizer(list(texts), padding=True, truncation=True, max_length=limit, return_tensors="pt")
        return {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}

    def vectors(inputs: State) -> State:
        """One aligned vector a caption, in place of its tokens."""
        hidden, mask = model["transformer"](**inputs).last_hidden_state, inputs["attention_mask"][..., None]
        pooled = model["LinearTransformation"]((hidden * mask).sum(1) / mask.sum(1))[:, None]
        return {"hidden": pooled, "mask": torch.ones(pooled.shape[:2], dtype=torch.long, device=pooled.device)}

    transformer: Any = model["transformer"]
    encoder = TextEncoder(transformer, tokenize, facts["numDims"], "cls")
    encoder.model, encoder.trunk = model, Whole(model, vectors)
    return encoder.requires_grad_(False).eval()
