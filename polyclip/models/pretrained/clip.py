"""Aligned models of transformers that read captions and pictures: CLIP, SigLIP and their kind, by hub name or local folder.

Each of the two parts is a tower whose vectors are in the shared space already. Safetensors only, no remote code. Option: `revision`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import Tensor

from polyclip.errors import WeightsError
from polyclip.models.backbone import BackboneSpec, take
from polyclip.models.converted_weights import without_memory
from polyclip.models.hf import hub_identity, loading

DEFAULTS = {"revision": "main"}
PARTS = {"text": ("text_",), "vision": ("vision_", "visual_", "image_")}  # how the names of a part's modules begin
Build = Callable[[str, str, int], Any]  # (name, revision, length of a vector) -> Encoder


def describe_part(kind: str, argument: str, options: dict[str, str], build: Build) -> BackboneSpec:
    """The text or vision part of the model at `argument`; its configuration is read, its weights are not.

    Raises DataError for an unknown option, WeightsError when the model cannot be found or is no CLIP.
    """
    chosen = take(options, DEFAULTS, "clip")
    model = without_memory(partial(empty, argument, chosen["revision"]))
    dim = length(model, argument)
    own = part(model, kind)
    return BackboneSpec(
        name=f"clip:{argument}" + "".join(f",{key}={value}" for key, value in chosen.items() if value != DEFAULTS[key]),
        identity=hub_identity(argument, chosen["revision"], f"aligned {kind} vectors"),
        dim=dim,
        parameters=sum(p.numel() for p in own.parameters()),
        embeddings=own.text_model.get_input_embeddings().weight.numel() if kind == "text" else 0,
        build=partial(build, argument, chosen["revision"], dim),
    )


def empty(name: str, revision: str) -> Any:
    """The model of the configuration at `name`.

    Raises WeightsError when it cannot be had or does not read both captions and pictures.
    """
    from transformers import AutoConfig, AutoModel

    with loading("CLIP", name):
        model = AutoModel.from_config(AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False))
    if not all(hasattr(model, method) for method in ("get_text_features", "get_image_features", "text_model")):
        raise no_clip(name, model)
    return model


def length(model: Any, name: str) -> int:
    """Of a vector in the shared space, by the configuration.

    Raises WeightsError where it does not say.
    """
    config = model.config
    dim = getattr(config, "projection_dim", None) or getattr(
        getattr(config, "text_config", None), "projection_size", None
    )
    if dim is None:
        raise no_clip(name, model)
    return dim


def part(model: Any, kind: str) -> Any:
    """The same model, left with what makes vectors of one kind."""
    for name, _ in list(model.named_children()):
        if not name.startswith(PARTS[kind]):
            setattr(model, name, None)
    for name, _ in list(model.named_parameters(recurse=False)):  # scale and bias of its logits
        setattr(model, name, None)
    return model


def load(name: str, revision: str, kind: str) -> Any:
    """One part with its weights, in full precision."""
    from transformers import AutoModel

    with loading("CLIP", name):
        return part(
            AutoModel.from_pretrained(name, revision=revision, use_safetensors=True, trust_remote_code=False), kind
        ).float()


def aligned(output: Any, dim: int, name: str) -> Tensor:
    """Vectors of shape [row, dim]: what get_text_features and get_image_features return, or keep in their output object since transformers 5.

    Raises WeightsError for any other shape.
    """
    vectors: Any = getattr(output, "pooler_output", output)
    if not isinstance(vectors, Tensor) or vectors.shape[1:] != (dim,):
        found = list(vectors.shape[1:]) if isinstance(vectors, Tensor) else type(vectors).__name__
        raise WeightsError(
            f"{name!r} is no CLIP that polyclip can use: one of its vectors has shape {found}, expected [{dim}]. Choose another model."
        )
    return vectors


def no_clip(name: str, model: Any) -> WeightsError:
    """What is wrong with a model of another kind."""
    return WeightsError(
        f"{name!r} is no CLIP: a {type(model).__name__} of transformers does not put captions and pictures into one space. "
        "Give a CLIP or SigLIP, such as openai/clip-vit-base-patch32 or a folder that holds one."
    )
