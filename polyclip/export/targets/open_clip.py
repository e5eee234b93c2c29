"""A folder that `open_clip.create_model_and_transforms("local-dir:DIR")` loads: plain weights, no code of ours."""

import json
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from polyclip.errors import RunError
from polyclip.export.base import Order, Target, Written
from polyclip.export.head_layer import with_head
from polyclip.export.merge import EVERY, affine, closing_norm, layers, plain, without_bias
from polyclip.export.preprocess_cfg import preprocess_cfg
from polyclip.export.timm_config import timm_name
from polyclip.export.tokenizer import write_tokenizer
from polyclip.models.branch import Branch

NAME = "open_clip"
CONTEXT = 77  # tokens, open_clip's own default: every caption is padded to it
POOLERS = {"mean": "mean_pooler", "cls": "cls_last_hidden_state_pooler"}
KNOWN = ("bert", "roberta", "xlm-roberta", "m2m_100")  # of its text models, those that are cut here


def write(order: Order) -> Written:
    """open_clip_config.json, open_clip_model.safetensors, and beside them the text model's config and tokenizer."""
    aligner, folder = order.aligner, order.folder
    text_state, text_cfg = text_tower(aligner.text, order)
    vision_state, vision_cfg, preprocess = vision_tower(aligner.vision)
    state = {f"text.{name}": t for name, t in text_state.items()} | {
        f"visual.{name}": t for name, t in vision_state.items()
    }
    state["logit_scale"] = aligner.scale().detach().log()
    model: dict[str, Any] = {
        "embed_dim": len(state["visual.head.proj.weight"]),
        "vision_cfg": vision_cfg,
        "text_cfg": text_cfg,
    }
    if aligner.loss == "sigmoid":
        state["logit_bias"] = aligner.logit_bias.detach()
        model["init_logit_bias"] = aligner.logit_bias.item()
    save_file(
        {name: t.contiguous() for name, t in state.items()},
        folder / "open_clip_model.safetensors",
        metadata={"format": "pt"},
    )
    table = {"model_cfg": model, "preprocess_cfg": preprocess}
    (folder / "open_clip_config.json").write_text(
        json.dumps(table, ensure_ascii=False, indent=2) + "\n", encoding="utf-8"
    )
    return Written(
        notes=(
            f"captions are cut at {text_cfg['context_length']} tokens; the run reads up to {limit_of(aligner.text)}",
            f"text_cfg.hf_model_name is this folder's path: when it moves or goes to a hub, write its new path or name there ({order.final})",
        )
    )


def limit_of(side: Branch) -> int:
    """Tokens of a caption that the run reads."""
    words = side.built().words
    return words.limit if words else CONTEXT


def text_tower(side: Branch, order: Order) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Weights of open_clip's HFTextEncoder, and its configuration.

    Raises RunError for a text model that open_clip has no place for.
    """
    encoder = plain(side, NAME)
    kind = getattr(getattr(encoder.model, "config", None), "model_type", "unknown")
    norm = closing_norm(encoder)
    if kind not in KNOWN or norm is None:
        raise RunError(
            f"{NAME} does not know text models of type {kind!r}: expected one of {', '.join(KNOWN)}. {EVERY}."
        )
    head = layers(side, NAME)
    model, weight = (
        (encoder.model, without_bias(affine(side, NAME), norm))
        if head is None
        else with_head(side, encoder, head, NAME)
    )
    state = {f"transformer.{name}": t for name, t in model.state_dict().items() if not name.startswith("pooler.")} | {
        "proj.weight": weight.float()
    }
    model.config.save_pretrained(order.folder)
    write_tokenizer(encoder, order.folder, side.tower.name)
    config = {
        "hf_model_name": str(order.final),
        "hf_tokenizer_name": str(order.final),
        "hf_pooler_type": POOLERS[encoder.pooling],
        "hf_proj_type": "linear",
        "context_length": min(CONTEXT, encoder.words.limit),
    }
    return state, config


def vision_tower(side: Branch) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """Weights of open_clip's TimmModel, its configuration, and how pictures are read.

    Raises RunError for a vision tower that is no timm model of its own name.
    """
    encoder = plain(side, NAME)
    name = timm_name(side, encoder, NAME)
    cfg = preprocess_cfg(encoder, side.tower.name)
    if cfg["interpolation"] not in ("bicubic", "bilinear"):
        raise RunError(
            f"{NAME} resizes pictures bicubic or bilinear, and vision tower {side.tower.name} wants {cfg['interpolation']}. {EVERY}."
        )
    own = affine(side, NAME)
    state = {f"trunk.{key}": t for key, t in encoder.model.state_dict().items()}
    state |= {"head.proj.weight": own.weight.float(), "head.proj.bias": own.bias.float()}
    config = {
        "image_size": cfg["size"][0],
        "timm_model_name": name,
        "timm_pool": "",
        "timm_proj": "linear",
        "timm_proj_bias": True,
    }
    return state, config, cfg


TARGET = Target(
    about="a folder that open_clip loads by local-dir:",
    needs=("open_clip",),
    write=write,
    checks=("timm", "transformers"),
)
