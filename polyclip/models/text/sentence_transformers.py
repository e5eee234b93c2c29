"""Any model of sentence-transformers with all its modules, Dense layers among them: `sentence_transformers:FOLDER` or a hub name.

A multilingual one that was taught by a CLIP (clip-ViT-B-32-multilingual-v1) is aligned with that CLIP's pictures. Safetensors only. Option: `revision`.
"""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyclip.core.storage import digest, sha256
from polyclip.errors import WeightsError
from polyclip.models.backbone import BackboneSpec, take
from polyclip.models.hf import hub_identity, loading
from polyclip.models.trunk import State, Whole

DEFAULTS = {"revision": "main"}
HINT = "Give a folder with modules.json and safetensors, or a hub name while online."
PATTERNS = ["*.safetensors", "*.json", "*.model", "*.txt", "*/*.safetensors", "*/*.json"]


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """The model at `argument`; it is loaded to learn the length of its vectors.

    Raises DataError for an unknown option, WeightsError when the library is missing, or the model cannot be had or keeps weights pickled.
    """
    chosen = take(options, DEFAULTS, "sentence_transformers")
    if find_spec("sentence_transformers") is None:
        raise WeightsError(
            f"sentence_transformers:{argument} needs sentence-transformers, which is not installed: pip install 'polyclip[export]'."
        )
    folder = folder_of(argument, chosen["revision"])
    model = load(folder)
    table = next(
        (module.get_input_embeddings() for module in model.modules() if hasattr(module, "get_input_embeddings")), None
    )
    inner = digest(
        *(
            f"{path.relative_to(folder)} {sha256(path)}"
            for path in sorted(folder.glob("*/*"))
            if path.suffix in {".safetensors", ".json"}
        )
    )
    return BackboneSpec(
        name=f"sentence_transformers:{argument}"
        + (f",revision={chosen['revision']}" if chosen["revision"] != "main" else ""),
        identity=hub_identity(str(folder), "", f"sentence_transformers {inner}"),
        dim=int(model.get_embedding_dimension()),
        parameters=sum(p.numel() for p in model.parameters()),
        embeddings=0 if table is None else table.weight.numel(),
        build=lambda: build(folder),
    )


def folder_of(argument: str, revision: str) -> Path:
    """A local folder, or the hub's copy, without pickled files.

    Raises WeightsError where a module's weights are there pickled only.
    """
    folder = Path(argument)
    if not folder.is_dir():
        from huggingface_hub import snapshot_download

        with loading("sentence-transformers model", argument, HINT):
            folder = Path(snapshot_download(argument, revision=revision, allow_patterns=PATTERNS))
    if not (folder / "modules.json").is_file():
        raise WeightsError(f"{folder} is no sentence-transformers model: it has no modules.json. {HINT}")
    for pickled in [*folder.glob("*.bin"), *folder.glob("*/*.bin")]:
        if not any(pickled.parent.glob("*.safetensors")):
            raise WeightsError(f"{pickled} is pickled, and polyclip reads safetensors alone. {HINT}")
    return folder


def load(folder: Path) -> Any:
    """All modules, on the CPU, without remote code."""
    from sentence_transformers import SentenceTransformer

    with loading("sentence-transformers model", str(folder), HINT):
        return SentenceTransformer(
            str(folder), device="cpu", trust_remote_code=False, model_kwargs={"use_safetensors": True}
        ).float()


def build(folder: Path) -> Any:
    """Load weights and tokenizer."""
    from polyclip.models.text_encoder import TextEncoder

    model = load(folder)

    def tokenize(texts: Sequence[str]) -> dict[str, Tensor]:
        """Ids and mask, with what else the first module takes."""
        return {name: value for name, value in model.preprocess(list(texts)).items() if isinstance(value, Tensor)}

    def vectors(inputs: State) -> State:
        """One vector a caption, in place of its tokens."""
        hidden = model(dict(inputs))["sentence_embedding"][:, None]
        return {"hidden": hidden, "mask": torch.ones(hidden.shape[:2], dtype=torch.long, device=hidden.device)}

    encoder = TextEncoder(model, tokenize, int(model.get_embedding_dimension()), "cls")
    encoder.trunk = Whole(model, vectors)
    return encoder
