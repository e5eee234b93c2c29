"""A text encoder of Multilingual-CLIP (Carlsson et al. 2022): a transformer, mean pooling, and a linear map into a
CLIP's space.

`m_clip:FOLDER` or a hub name; config.json names the transformer (modelBase) and the dimensions. Safetensors only: the
published models keep their weights pickled and have to be converted first. Option: `revision`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from polyclip.core.json import parse_json
from polyclip.errors import WeightsError
from polyclip.models.backbone import BackboneSpec, take
from polyclip.models.hf import compute_identity, explain_loading_errors
from polyclip.models.shapes import without_values
from polyclip.models.trunk import State, WholeModel

DEFAULTS = {"revision": "main"}
HINT = (
    "Give a folder with config.json (modelBase, numDims), model.safetensors and the tokenizer, "
    "or a hub name that has them while online."
)
MAX_TOKENS = 512


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """Describe the encoder; shapes are read, weights are not.

    Args:
        argument: Hub name or folder.
        options: `revision`.

    Returns:
        Its description.

    Raises:
        DataError: An option does not exist.
        WeightsError: The model cannot be fetched or is not one of Multilingual-CLIP's.

    """
    chosen = take(options, DEFAULTS, "m_clip")
    folder = fetch_folder(argument, chosen["revision"])
    facts = read_config(folder)
    with without_values():
        model = build_empty(facts, folder)
    return BackboneSpec(
        name=f"m_clip:{argument}" + (f",revision={chosen['revision']}" if chosen["revision"] != "main" else ""),
        identity=compute_identity(str(folder), "", "m_clip, mean pooling"),
        dim=facts["numDims"],
        parameters=sum(p.numel() for p in model.parameters()),
        embeddings=model["transformer"].get_input_embeddings().weight.numel(),  # type: ignore[operator]
        build=lambda: build(folder),
    )


def fetch_folder(argument: str, revision: str) -> Path:
    """A local folder as it is, or the hub's copy without pickled files."""
    if Path(argument).is_dir():
        return Path(argument)
    from huggingface_hub import snapshot_download

    with explain_loading_errors("M-CLIP encoder", argument, HINT):
        return Path(
            snapshot_download(
                argument, revision=revision, allow_patterns=["*.safetensors", "*.json", "*.model", "*.txt"]
            )
        )


def read_config(folder: Path) -> dict[str, Any]:
    """Read modelBase, transformerDimensions and numDims from config.json.

    Raises:
        WeightsError: One of them is missing, or the weights are.

    """
    path = folder / "config.json"
    found: dict[str, Any] = parse_json(path.read_text("utf-8")) if path.is_file() else {}
    lacking = [key for key in ("modelBase", "transformerDimensions", "numDims") if key not in found]
    if lacking or not (folder / "model.safetensors").is_file():
        what = f"its config.json has no {', '.join(lacking)}" if lacking else "it has no model.safetensors"
        raise WeightsError(
            f"{folder} is not a text encoder of Multilingual-CLIP that polyclip can read: {what}. {HINT}"
        )
    return found


def build_empty(facts: dict[str, Any], folder: Path) -> nn.ModuleDict:
    """Build the transformer and the linear map without weights, under the names that the weights have."""
    from transformers import AutoConfig, AutoModel

    with explain_loading_errors("M-CLIP encoder", str(folder), HINT):
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

    facts = read_config(folder)
    model = build_empty(facts, folder)
    with explain_loading_errors("M-CLIP encoder", str(folder), HINT):
        state = {
            name: t.float()
            for name, t in load_file(folder / "model.safetensors").items()
            if ".pooler." not in name and not name.endswith("position_ids")
        }
        model.load_state_dict(state, strict=True)
        tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
    tokenizer.padding_side = "right"

    def tokenize(texts: Sequence[str]) -> dict[str, Tensor]:
        """Ids padded to the longest caption of the batch, and their mask."""
        limit = min(MAX_TOKENS, tokenizer.model_max_length)
        tokens = tokenizer(list(texts), padding=True, truncation=True, max_length=limit, return_tensors="pt")
        return {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}

    def embed(inputs: State) -> State:
        """One aligned embedding a caption, in place of its token states."""
        hidden, mask = model["transformer"](**inputs).last_hidden_state, inputs["attention_mask"][..., None]
        pooled = model["LinearTransformation"]((hidden * mask).sum(1) / mask.sum(1))[:, None]
        return {"hidden": pooled, "mask": torch.ones(pooled.shape[:2], dtype=torch.long, device=pooled.device)}

    transformer: Any = model["transformer"]
    encoder = TextEncoder(transformer, tokenize, facts["numDims"], "cls")
    encoder.model, encoder.trunk = model, WholeModel(model, embed)
    return encoder.requires_grad_(False).eval()
