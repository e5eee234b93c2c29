"""Any sentence-transformers model with all its modules, such as Dense layers: `sentence_transformers:FOLDER` or a hub
name.

A multilingual one distilled from a CLIP (clip-ViT-B-32-multilingual-v1) is aligned with that CLIP's image embeddings.
Safetensors only. Option: `revision`.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyclip.core.storage import hash_file, hash_parts
from polyclip.errors import WeightsError
from polyclip.models.backbone import BackboneSpec, take
from polyclip.models.hf import compute_identity, explain_loading_errors
from polyclip.models.modules import TokenModel
from polyclip.models.trunk import State, WholeModel

DEFAULTS = {"revision": "main"}
HINT = "Give a folder with modules.json and safetensors, or a hub name while online."
PATTERNS = ["*.safetensors", "*.json", "*.model", "*.txt", "*/*.safetensors", "*/*.json"]


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """Describe the encoder; it is loaded to learn the length of its embeddings.

    Args:
        argument: Hub name or folder.
        options: `revision`.

    Returns:
        Its description.

    Raises:
        DataError: An option does not exist.
        WeightsError: The library is missing, or the model cannot be fetched or keeps its weights pickled.

    """
    chosen = take(options, DEFAULTS, "sentence_transformers")
    if find_spec("sentence_transformers") is None:
        raise WeightsError(
            f"sentence_transformers:{argument} requires sentence-transformers, which is not installed: pip install "
            "'polyclip[export]'."
        )
    folder = fetch_folder(argument, chosen["revision"])
    model = load(folder)
    table = next((module.get_input_embeddings() for module in model.modules() if isinstance(module, TokenModel)), None)
    inner = hash_parts(
        *(
            f"{path.relative_to(folder)} {hash_file(path)}"
            for path in sorted(folder.glob("*/*"))
            if path.suffix in {".safetensors", ".json"}
        )
    )
    return BackboneSpec(
        name=f"sentence_transformers:{argument}"
        + (f",revision={chosen['revision']}" if chosen["revision"] != "main" else ""),
        identity=compute_identity(str(folder), "", f"sentence_transformers {inner}"),
        dim=int(model.get_embedding_dimension()),
        parameters=sum(p.numel() for p in model.parameters()),
        embeddings=0 if table is None else table.weight.numel(),
        build=lambda: build(folder),
    )


def fetch_folder(argument: str, revision: str) -> Path:
    """A local folder as it is, or the hub's copy without pickled files.

    Raises:
        WeightsError: It is not a sentence-transformers model, or a module's weights exist in pickled form only.

    """
    folder = Path(argument)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        with explain_loading_errors("sentence-transformers model", argument, HINT):
            folder = Path(snapshot_download(argument, revision=revision, allow_patterns=PATTERNS))
    if not (folder / "modules.json").is_file():
        raise WeightsError(f"{folder} is not a sentence-transformers model: modules.json not found. {HINT}")
    for pickled in [*folder.glob("*.bin"), *folder.glob("*/*.bin")]:
        if not any(pickled.parent.glob("*.safetensors")):
            raise WeightsError(f"{pickled} is pickled, and polyclip reads safetensors only. {HINT}")
    return folder


def load(folder: Path) -> Any:
    """Load all modules on the CPU, without remote code."""
    from sentence_transformers import SentenceTransformer

    with explain_loading_errors("sentence-transformers model", str(folder), HINT):
        return SentenceTransformer(
            str(folder), device="cpu", trust_remote_code=False, model_kwargs={"use_safetensors": True}
        ).float()


def build(folder: Path) -> Any:
    """Load weights and tokenizer."""
    from polyclip.models.text_encoder import TextEncoder

    model = load(folder)

    def tokenize(texts: Sequence[str]) -> dict[str, Tensor]:
        """Ids and mask, with whatever else the first module takes."""
        return {name: value for name, value in model.preprocess(list(texts)).items() if isinstance(value, Tensor)}

    def embed(inputs: State) -> State:
        """One embedding a caption, in place of its token states."""
        hidden = model(dict(inputs))["sentence_embedding"][:, None]
        return {"hidden": hidden, "mask": torch.ones(hidden.shape[:2], dtype=torch.long, device=hidden.device)}

    encoder = TextEncoder(model, tokenize, int(model.get_embedding_dimension()), "cls")
    encoder.trunk = WholeModel(model, embed)
    return encoder
