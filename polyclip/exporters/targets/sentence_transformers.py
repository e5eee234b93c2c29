"""Export a folder that `SentenceTransformer(DIR)` loads: Transformer, Pooling, Dense, Normalize; images too for timm
encoders.
"""

import shutil
from pathlib import Path
from typing import Any

from torch import nn

from polyclip.errors import RunError
from polyclip.exporters.base import ExportNotes, ExportOrder, Target
from polyclip.exporters.limits import Limits, Plan, limit_images, limit_text
from polyclip.exporters.merge import EVERY, Affine, build_plain_encoder, compute_affine, compute_layers
from polyclip.exporters.timm_config import write_timm
from polyclip.exporters.tokenizer import write_tokenizer
from polyclip.models.branch import Branch
from polyclip.models.hf import find_config

NAME = "sentence-transformers"


def write(order: ExportOrder) -> ExportNotes:
    """Write the text modules, and a route for images where the vision branch can be expressed.

    Raises:
        RunError: The text branch cannot be expressed.

    """
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Router

    text = build_text_modules(order.aligner.text, order.folder / "work" / "text")
    try:
        images = build_image_modules(order.aligner.vision, order.folder / "work" / "vision")
        why = ""
    except RunError as error:
        images, why = [], str(error)
    routed = (
        [
            Router(
                {"text": text, "image": images},
                default_route="text",
                route_mappings={(None, "text"): "text", (None, "image"): "image"},
            )
        ]
        if images
        else text
    )
    SentenceTransformer(modules=[*routed, Normalize()], device="cpu").save(str(order.folder), create_model_card=False)
    shutil.rmtree(order.folder / "work")
    return ExportNotes(images=bool(images), notes=(f"captions only, no images: {why}",) if why else ())


def build_text_modules(branch: Branch, work: Path) -> list[nn.Module]:
    """Build Transformer (with the encoder's prefix in its tokenizer), pooling, and the head as Dense layers.

    Raises:
        RunError: The text encoder is not a stand-alone transformers encoder.

    """
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    encoder = build_plain_encoder(branch, NAME)
    config = find_config(encoder)
    if config is None or config.is_encoder_decoder or encoder.tokenizer_spec is None:
        raise RunError(
            f"{NAME} supports stand-alone transformers text encoders only, but this run's is {branch.tower.name}. "
            f"{EVERY}."
        )
    encoder.model.save_pretrained(work)
    write_tokenizer(encoder, work, branch.tower.name)
    transformer = Transformer(str(work), max_seq_length=encoder.tokenizer_spec.limit)
    return [transformer, Pooling(encoder.dim, pooling_mode=encoder.pooling), *build_dense_layers(branch)]


def build_image_modules(branch: Branch, work: Path) -> list[nn.Module]:
    """Build the vision encoder as transformers' wrapper of timm, and the head.

    Raises:
        RunError: It is not a timm model.

    """
    from sentence_transformers.base.modules import Transformer

    write_timm(branch, build_plain_encoder(branch, NAME), work, NAME)
    modalities: Any = {"image": {"method": "forward", "method_output_name": "pooler_output"}}
    return [
        Transformer(str(work), modality_config=modalities, module_output_name="sentence_embedding"),
        build_dense(compute_affine(branch, NAME)),
    ]


def build_dense_layers(branch: Branch) -> list[nn.Module]:
    """Build the text head: one linear layer, or two with GELU between them."""
    found = compute_layers(branch, NAME)
    return (
        [build_dense(compute_affine(branch, NAME))]
        if found is None
        else [build_dense(found.inner, nn.GELU()), build_dense(found.outer)]
    )


def build_dense(map_: Affine, activation: nn.Module | None = None) -> nn.Module:
    """Build one linear layer with bias, and the activation after it."""
    from sentence_transformers.base.modules import Dense

    dim, width = map_.weight.shape
    return Dense(
        width,
        dim,
        activation_function=activation or nn.Identity(),
        init_weight=map_.weight.float(),
        init_bias=map_.bias.float(),
    )


def find_limits(plan: Plan) -> Limits:
    """Reasons against an export, as `polyclip.exporters.base.Target.limits`."""
    return Limits(limit_text(plan, NAME), limit_images(plan, NAME))


TARGET = Target(
    about="a SentenceTransformer; images too where the tower is timm's",
    needs=("sentence_transformers",),
    write=write,
    limits=find_limits,
    text_only=True,
    checks=("transformers",),
)
