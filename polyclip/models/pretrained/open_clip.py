"""Aligned models in open_clip's layout (open_clip_config.json beside safetensors): a local folder, a hub repository, or a name with its tag.

Each of the two parts is a tower whose vectors are in the shared space already. Safetensors only. Options: `pretrained` (a tag of open_clip's own
list, such as laion2b_s34b_b79k) and `revision`.
"""

import json
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from safetensors import safe_open

from polyclip.errors import WeightsError
from polyclip.models.backbone import BackboneSpec, take
from polyclip.models.hf import hub_identity, loading

DEFAULTS = {"pretrained": "", "revision": "main"}
WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "model.safetensors",
)  # in open_clip's own order
PICKLED = ("*.bin", "*.pth", "*.pt")
TABLES = ("token_embedding.weight", "word_embeddings.weight", "embed_tokens.weight")
HINT = "Give a folder with open_clip_config.json and open_clip_model.safetensors, hf-hub:OWNER/NAME, or NAME,pretrained=TAG while online."
Build = Callable[[Path, int], Any]  # (folder, length of a vector) -> Encoder


def describe_part(kind: str, argument: str, options: dict[str, str], build: Build) -> BackboneSpec:
    """The text or vision part of the model at `argument`; shapes are read, weights are not.

    Raises DataError for an unknown option, WeightsError when the model cannot be found, is not open_clip's, or has no safetensors.
    """
    chosen = take(options, DEFAULTS, "open_clip")
    installed(argument)
    folder = folder_of(argument, chosen)
    dim = config(folder)["embed_dim"]
    shapes = sizes(folder)
    own = {
        name: size
        for name, size in shapes.items()
        if name.startswith("visual.") == (kind == "vision") and not name.startswith("logit_")
    }
    return BackboneSpec(
        name=f"open_clip:{argument}"
        + "".join(f",{key}={value}" for key, value in chosen.items() if value != DEFAULTS[key]),
        identity=hub_identity(str(folder), "", f"open_clip, aligned {kind} vectors"),
        dim=dim,
        parameters=sum(own.values()),
        embeddings=sum(size for name, size in own.items() if name.endswith(TABLES)),
        build=partial(build, folder, dim),
    )


def installed(argument: str) -> None:
    """Raises WeightsError without open_clip."""
    if find_spec("open_clip") is None:
        raise WeightsError(
            f"open_clip:{argument} needs open_clip, which is not installed: pip install 'polyclip[export]'."
        )


def folder_of(argument: str, chosen: dict[str, str]) -> Path:
    """A local folder as it is; anything else fetched from the hub, without pickled files.

    Raises WeightsError when it cannot be had.
    """
    if Path(argument).is_dir():
        return Path(argument)
    from huggingface_hub import snapshot_download
    from open_clip.pretrained import get_pretrained_cfg

    repository = argument.removeprefix("hf-hub:")
    if chosen["pretrained"]:
        found = get_pretrained_cfg(argument, chosen["pretrained"]) or {}
        repository = str(found.get("hf_hub", "")).rstrip("/")
        if repository.count("/") != 1:
            raise WeightsError(
                f"open_clip has no model {argument!r} with tag {chosen['pretrained']!r} on a hub. {HINT}"
            )
    with loading("open_clip model", argument, HINT):
        patterns = ["*.safetensors", "*.json", "*.model", "*.txt"]
        return Path(snapshot_download(repository, revision=chosen["revision"], allow_patterns=patterns))


def config(folder: Path) -> dict[str, Any]:
    """The table model_cfg.

    Raises WeightsError where there is none.
    """
    path = folder / "open_clip_config.json"
    try:
        found: dict[str, Any] = json.loads(path.read_text("utf-8"))["model_cfg"]
        int(found["embed_dim"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path} is no configuration of open_clip ({type(error).__name__}: {error}): expected model_cfg with embed_dim. {HINT}"
        ) from error
    return found


def sizes(folder: Path) -> dict[str, int]:
    """Name and size of every tensor, from the header alone.

    Raises WeightsError for a folder without safetensors, or in which open_clip might choose a pickled file instead.
    """
    path = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    pickled = [found.name for pattern in PICKLED for found in folder.glob(pattern)]
    if path is None or (path.name == WEIGHTS[-1] and pickled):
        found = ", ".join(pickled) or "no weights"
        raise WeightsError(f"{folder} holds {found}, expected {WEIGHTS[0]}: polyclip reads no pickled weights. {HINT}")
    with loading("open_clip model", str(path), HINT), safe_open(path, "pt") as handle:
        shapes = {name: handle.get_slice(name).get_shape() for name in handle.keys()}  # noqa: SIM118 (no mapping)
    return {name: product(shape) for name, shape in shapes.items()}


def product(shape: list[int]) -> int:
    """Of all dimensions."""
    total = 1
    for edge in shape:
        total *= edge
    return total


def load(folder: Path, kind: str) -> tuple[Any, Any]:
    """The model with its weights, left with one part, and how it reads: a tokenizer for text, a transform for vision."""
    import open_clip

    name = f"local-dir:{folder}"
    with loading("open_clip model", str(folder), HINT):
        model, _, preprocess = open_clip.create_model_and_transforms(name, weights_only=True)
        reader = open_clip.get_tokenizer(name) if kind == "text" else preprocess
    for child, _ in list(model.named_children()):
        if (child == "visual") == (kind == "text"):
            setattr(model, child, None)
    for parameter, _ in list(model.named_parameters(recurse=False)):
        if parameter.startswith("logit_") or kind == "vision":  # what else stands there belongs to the text part
            setattr(model, parameter, None)
    return model.float().eval(), reader
