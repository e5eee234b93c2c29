"""A folder that `SentenceTransformer(DIR)` loads: Transformer, Pooling, Dense, Normalize; pictures too where the tower is a timm model."""

import shutil
from pathlib import Path
from typing import Any

from torch import nn

from polyclip.errors import RunError
from polyclip.export.base import Order, Target, Written
from polyclip.export.merge import EVERY, Affine, affine, layers, plain
from polyclip.export.timm_config import write_timm
from polyclip.export.tokenizer import write_tokenizer
from polyclip.models.branch import Branch

NAME = "sentence-transformers"


def write(order: Order) -> Written:
    """Text modules, and beside them a route for pictures where the vision side can be expressed."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Normalize, Router

    text = text_modules(order.aligner.text, order.folder / "work" / "text")
    try:
        pictures = picture_modules(order.aligner.vision, order.folder / "work" / "vision")
        why = ""
    except RunError as error:
        pictures, why = [], str(error)
    routed = (
        [
            Router(
                {"text": text, "image": pictures},
                default_route="text",
                route_mappings={(None, "text"): "text", (None, "image"): "image"},
            )
        ]
        if pictures
        else text
    )
    SentenceTransformer(modules=[*routed, Normalize()], device="cpu").save(str(order.folder), create_model_card=False)
    shutil.rmtree(order.folder / "work")
    return Written(pictures=bool(pictures), notes=(f"text only: {why}",) if why else ())


def text_modules(side: Branch, work: Path) -> list[nn.Module]:
    """Transformer with the tower's prefix in its tokenizer, pooling, and the head as one Dense layer."""
    from sentence_transformers.base.modules import Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    encoder = plain(side, NAME)
    config = getattr(encoder.model, "config", None)
    if config is None or config.is_encoder_decoder or encoder.words is None:
        raise RunError(
            f"{NAME} takes text encoders of transformers that stand alone, and this run's is {side.tower.name}. {EVERY}."
        )
    encoder.model.save_pretrained(work)
    write_tokenizer(encoder, work, side.tower.name)
    transformer = Transformer(str(work), max_seq_length=encoder.words.limit)
    return [transformer, Pooling(encoder.dim, pooling_mode=encoder.pooling), *dense_layers(side)]


def picture_modules(side: Branch, work: Path) -> list[nn.Module]:
    """The vision tower as transformers' wrapper of timm, its pooled vector, and the head.

    Raises RunError for a tower that is none of timm's.
    """
    from sentence_transformers.base.modules import Transformer

    write_timm(side, plain(side, NAME), work, NAME)
    modalities: Any = {"image": {"method": "forward", "method_output_name": "pooler_output"}}
    return [
        Transformer(str(work), modality_config=modalities, module_output_name="sentence_embedding"),
        dense(affine(side, NAME)),
    ]


def dense_layers(side: Branch) -> list[nn.Module]:
    """The text head: one linear layer, or two with GELU between them."""
    found = layers(side, NAME)
    return [dense(affine(side, NAME))] if found is None else [dense(found.inner, nn.GELU()), dense(found.outer)]


def dense(map_: Affine, activation: nn.Module | None = None) -> nn.Module:
    """One linear layer with its constant, and what follows it."""
    from sentence_transformers.base.modules import Dense

    dim, width = map_.weight.shape
    return Dense(
        width,
        dim,
        activation_function=activation or nn.Identity(),
        init_weight=map_.weight.float(),
        init_bias=map_.bias.float(),
    )


TARGET = Target(
    about="a SentenceTransformer; pictures too where the tower is timm's",
    needs=("sentence_transformers",),
    write=write,
    checks=("transformers",),
)
