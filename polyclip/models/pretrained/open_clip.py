"""Aligned models in open_clip's layout: a local folder, a hub repository, or a name with its tag.

The layout is open_clip_config.json beside safetensors. Each of the two encoders comes with its projection, so its
embeddings are in the shared space already. Safetensors only. Options: `pretrained` (a tag of open_clip's own list, such
as laion2b_s34b_b79k) and `revision`.
"""

from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from safetensors import safe_open

from polyclip.core.json import parse_json
from polyclip.core.storage import read_plain_text
from polyclip.errors import WeightsError
from polyclip.models.backbone import BackboneSpec, take
from polyclip.models.hf import compute_identity, explain_loading_errors

DEFAULTS = {"pretrained": "", "revision": "main"}
WEIGHTS = (
    "open_clip_model.safetensors",
    "open_clip_pytorch_model.safetensors",
    "model.safetensors",
)  # in open_clip's own order
PICKLED = ("*.bin", "*.pth", "*.pt")
TABLES = ("token_embedding.weight", "word_embeddings.weight", "embed_tokens.weight")
HINT = (
    "Give a folder with open_clip_config.json and open_clip_model.safetensors, hf-hub:OWNER/NAME, "
    "or NAME,pretrained=TAG while online."
)
Build = Callable[[Path, int], Any]  # (folder, length of an embedding) -> a built encoder


def describe_part(kind: str, argument: str, options: dict[str, str], build: Build) -> BackboneSpec:
    """Describe the text or vision encoder of an open_clip model; shapes are read, weights are not.

    Args:
        kind: "text" or "vision".
        argument: Folder, hub repository, or name of a model.
        options: `pretrained`, `revision`.
        build: Builds the encoder from (folder, length of an embedding).

    Returns:
        Its description.

    Raises:
        DataError: An option does not exist.
        WeightsError: The model cannot be found, is not open_clip's, or has no safetensors.

    """
    chosen = take(options, DEFAULTS, "open_clip")
    check_installed(argument)
    folder = fetch_folder(argument, chosen)
    dim = read_config(folder)["embed_dim"]
    shapes = read_tensor_sizes(folder)
    own = {
        name: size
        for name, size in shapes.items()
        if name.startswith("visual.") == (kind == "vision") and not name.startswith("logit_")
    }
    return BackboneSpec(
        name=f"open_clip:{argument}"
        + "".join(f",{key}={value}" for key, value in chosen.items() if value != DEFAULTS[key]),
        identity=compute_identity(str(folder), "", f"open_clip, aligned {kind} vectors"),
        dim=dim,
        parameters=sum(own.values()),
        embeddings=sum(size for name, size in own.items() if name.endswith(TABLES)),
        build=partial(build, folder, dim),
    )


def check_installed(argument: str) -> None:
    """Check that open_clip is installed.

    Raises:
        WeightsError: It is not.

    """
    if find_spec("open_clip") is None:
        raise WeightsError(
            f"open_clip:{argument} requires open_clip, which is not installed: pip install 'polyclip[export]'."
        )


def fetch_folder(argument: str, chosen: dict[str, str]) -> Path:
    """A local folder as it is; anything else is fetched from the hub, without pickled files.

    Raises:
        WeightsError: It cannot be fetched.

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
    with explain_loading_errors("open_clip model", argument, HINT):
        patterns = ["*.safetensors", "*.json", "*.model", "*.txt"]
        return Path(snapshot_download(repository, revision=chosen["revision"], allow_patterns=patterns))


def read_config(folder: Path) -> dict[str, Any]:
    """Read the table model_cfg of open_clip_config.json.

    Raises:
        WeightsError: It is missing or cannot be read.

    """
    path = folder / "open_clip_config.json"
    try:
        found: dict[str, Any] = parse_json(read_plain_text(path))["model_cfg"]
        int(found["embed_dim"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path} is not a configuration of open_clip ({type(error).__name__}: {error}): expected model_cfg with "
            f"embed_dim. {HINT}"
        ) from error
    return found


def read_tensor_sizes(folder: Path) -> dict[str, int]:
    """Read name and size of every tensor from the header alone.

    Raises:
        WeightsError: The folder has no safetensors, or open_clip might choose a pickled file instead.

    """
    path = next((folder / name for name in WEIGHTS if (folder / name).is_file()), None)
    pickled = [found.name for pattern in PICKLED for found in folder.glob(pattern)]
    if path is None or (path.name == WEIGHTS[-1] and pickled):
        found = ", ".join(pickled) or "no weights"
        raise WeightsError(f"{folder} holds {found}, expected {WEIGHTS[0]}: polyclip reads no pickled weights. {HINT}")
    with explain_loading_errors("open_clip model", str(path), HINT), safe_open(path, "pt") as handle:
        shapes = {name: handle.get_slice(name).get_shape() for name in handle.keys()}  # noqa: SIM118 (no mapping)
    return {name: multiply_edges(shape) for name, shape in shapes.items()}


def multiply_edges(shape: list[int]) -> int:
    """Number of values of a tensor of this shape."""
    total = 1
    for edge in shape:
        total *= edge
    return total


def load_part(folder: Path, kind: str) -> tuple[Any, Any]:
    """Load one encoder of the model.

    Args:
        folder: With configuration and weights.
        kind: "text" or "vision".

    Returns:
        The model without its other encoder, and its tokenizer (text) or image transform (vision).

    """
    import open_clip

    name = f"local-dir:{folder}"
    with explain_loading_errors("open_clip model", str(folder), HINT):
        model, _, preprocess = open_clip.create_model_and_transforms(name, weights_only=True)
        reader = open_clip.get_tokenizer(name) if kind == "text" else preprocess
    for child, _ in list(model.named_children()):
        if (child == "visual") == (kind == "text"):
            setattr(model, child, None)
    for parameter, _ in list(model.named_parameters(recurse=False)):
        if parameter.startswith("logit_") or kind == "vision":  # what else stands there belongs to the text part
            setattr(model, parameter, None)
    return model.float().eval(), reader
