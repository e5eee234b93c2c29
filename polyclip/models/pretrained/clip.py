"""Aligned two-tower models of transformers (CLIP, SigLIP and similar), by hub name or local folder.

Each of the two encoders comes with its projection, so its embeddings are in the shared space already. Safetensors only,
no remote code. Option: `revision`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from polyclip.errors import WeightsError
from polyclip.models.backbone import BackboneSpec, take
from polyclip.models.hf import compute_identity, explain_loading_errors
from polyclip.models.shapes import build_without_memory

DEFAULTS = {"revision": "main"}
PARTS = {"text": ("text_",), "vision": ("vision_", "visual_", "image_")}  # how the names of a part's modules begin
Build = Callable[[str, str, int], Any]  # (name, revision, length of an embedding) -> a built encoder


def describe_part(kind: str, argument: str, options: dict[str, str], build: Build) -> BackboneSpec:
    """Describe the text or vision encoder of a CLIP; its configuration is read, its weights are not.

    Args:
        kind: "text" or "vision".
        argument: Hub name or folder.
        options: `revision`.
        build: Builds the encoder from (name, revision, length of an embedding).

    Returns:
        Its description.

    Raises:
        DataError: An option does not exist.
        WeightsError: The model cannot be found or is not a CLIP.

    """
    chosen = take(options, DEFAULTS, "clip")
    model = build_without_memory(partial(build_empty, argument, chosen["revision"]))
    dim = get_embedding_dim(model, argument)
    own = keep_part(model, kind)
    return BackboneSpec(
        name=f"clip:{argument}" + "".join(f",{key}={value}" for key, value in chosen.items() if value != DEFAULTS[key]),
        identity=compute_identity(argument, chosen["revision"], f"aligned {kind} vectors"),
        dim=dim,
        parameters=sum(p.numel() for p in own.parameters()),
        embeddings=own.text_model.get_input_embeddings().weight.numel() if kind == "text" else 0,
        build=partial(build, argument, chosen["revision"], dim),
    )


def build_empty(name: str, revision: str) -> Any:
    """Build the model of a configuration without weights.

    Raises:
        WeightsError: It cannot be loaded or does not read both captions and images.

    """
    from transformers import AutoConfig, AutoModel

    with explain_loading_errors("CLIP", name):
        model = AutoModel.from_config(AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False))
    if not all(hasattr(model, method) for method in ("get_text_features", "get_image_features", "text_model")):
        raise make_kind_error(name, model)
    return model


def get_embedding_dim(model: Any, name: str) -> int:
    """Length of an embedding in the shared space, by the configuration.

    Raises:
        WeightsError: The configuration does not say it.

    """
    config = model.config
    dim = getattr(config, "projection_dim", None) or getattr(
        getattr(config, "text_config", None), "projection_size", None
    )
    if dim is None:
        raise make_kind_error(name, model)
    return dim


def keep_part(model: Any, kind: str) -> Any:
    """Remove from the model what does not embed inputs of this kind."""
    for name, _ in list(model.named_children()):
        if not name.startswith(PARTS[kind]):
            setattr(model, name, None)
    for name, _ in list(model.named_parameters(recurse=False)):  # scale and bias of its logits
        setattr(model, name, None)
    return model


def load_part(name: str, revision: str, kind: str) -> Any:
    """Load one encoder with its weights, in float32."""
    from transformers import AutoModel

    with explain_loading_errors("CLIP", name):
        return keep_part(
            AutoModel.from_pretrained(name, revision=revision, use_safetensors=True, trust_remote_code=False), kind
        ).float()


def extract_embeddings(output: Any, dim: int, name: str) -> Tensor:
    """Take the embeddings from what get_text_features or get_image_features returned.

    Args:
        output: A tensor, or since transformers 5 an object that holds it.
        dim: Expected length.
        name: Of the model, for the error.

    Returns:
        Embeddings [row, dim], not normalized.

    Raises:
        WeightsError: They have another shape.

    """
    embeddings: Any = getattr(output, "pooler_output", output)
    if not isinstance(embeddings, Tensor) or embeddings.shape[1:] != (dim,):
        found = list(embeddings.shape[1:]) if isinstance(embeddings, Tensor) else type(embeddings).__name__
        raise WeightsError(
            f"{name!r} is not a CLIP that polyclip can use: one of its embeddings has shape {found}, expected [{dim}]. "
            "Choose another model."
        )
    return embeddings


def make_kind_error(name: str, model: Any) -> WeightsError:
    """Make the error for a model that is not a CLIP."""
    return WeightsError(
        f"{name!r} is not a CLIP: a {type(model).__name__} of transformers does not put captions and images into one "
        "space. "
        "Give a CLIP or SigLIP, such as openai/clip-vit-base-patch32 or a folder that holds one."
    )
