"""Export a folder that `open_clip.create_model_and_transforms("local-dir:DIR")` loads: plain weights, no custom
code.
"""

import json
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

from polyclip.errors import RunError
from polyclip.exporters.base import ExportNotes, ExportOrder, Target
from polyclip.exporters.head_layer import add_head_layer
from polyclip.exporters.limits import Limits, Plan, limit_head_layer, limit_images, limit_text
from polyclip.exporters.merge import (
    EVERY,
    build_plain_encoder,
    compute_affine,
    compute_layers,
    find_final_norm,
    fold_bias,
)
from polyclip.exporters.preprocess_cfg import build_preprocess_cfg
from polyclip.exporters.timm_config import find_timm_name
from polyclip.exporters.tokenizer import write_tokenizer
from polyclip.models.branch import Branch
from polyclip.models.hf import get_model_type

NAME = "open_clip"
CONTEXT = 77  # tokens, open_clip's own default: every caption is padded to it
POOLERS = {"mean": "mean_pooler", "cls": "cls_last_hidden_state_pooler"}
KNOWN = ("bert", "roberta", "xlm-roberta", "m2m_100")  # of its text models, those that are cut here


def write(order: ExportOrder) -> ExportNotes:
    """Write open_clip_config.json, open_clip_model.safetensors, and the text model's config and tokenizer.

    Raises:
        RunError: open_clip cannot express the run.

    """
    aligner, folder = order.aligner, order.folder
    text_state, text_cfg = export_text_tower(aligner.text, order)
    vision_state, vision_cfg, preprocess = export_vision_tower(aligner.vision)
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
    return ExportNotes(
        notes=(
            f"captions are truncated at {text_cfg['context_length']} tokens; the run reads up to "
            f"{read_limit(aligner.text)}",
            "text_cfg.hf_model_name is this folder's path: when it moves or goes to a hub, write its new path or "
            f"name there ({order.final})",
        )
    )


def read_limit(branch: Branch) -> int:
    """Return the maximum number of tokens of a caption in the run."""
    words = branch.get_encoder().tokenizer_spec
    return words.limit if words else CONTEXT


def export_text_tower(branch: Branch, order: ExportOrder) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return weights of open_clip's HFTextEncoder and its configuration.

    Raises:
        RunError: open_clip does not support the text model.

    """
    encoder = build_plain_encoder(branch, NAME)
    kind = get_model_type(encoder)
    norm = find_final_norm(encoder)
    if kind not in KNOWN or norm is None:
        raise RunError(
            f"{NAME} does not know text models of type {kind!r}: expected one of {', '.join(KNOWN)}. {EVERY}."
        )
    head = compute_layers(branch, NAME)
    model, weight = (
        (encoder.model, fold_bias(compute_affine(branch, NAME), norm))
        if head is None
        else add_head_layer(branch, encoder, head, NAME)
    )
    state = {f"transformer.{name}": t for name, t in model.state_dict().items() if not name.startswith("pooler.")} | {
        "proj.weight": weight.float()
    }
    model.config.save_pretrained(order.folder)
    write_tokenizer(encoder, order.folder, branch.tower.name)
    config = {
        "hf_model_name": str(order.final),
        "hf_tokenizer_name": str(order.final),
        "hf_pooler_type": POOLERS[encoder.pooling],
        "hf_proj_type": "linear",
        "context_length": min(CONTEXT, encoder.tokenizer_spec.limit),
    }
    return state, config


def export_vision_tower(branch: Branch) -> tuple[dict[str, Tensor], dict[str, Any], dict[str, Any]]:
    """Return weights of open_clip's TimmModel, its configuration, and the image preprocessing.

    Raises:
        RunError: The vision encoder is not a whole timm model.

    """
    encoder = build_plain_encoder(branch, NAME)
    name = find_timm_name(branch, encoder, NAME)
    cfg = build_preprocess_cfg(encoder, branch.tower.name)
    if cfg["interpolation"] not in ("bicubic", "bilinear"):
        raise RunError(
            f"{NAME} resizes images bicubic or bilinear, but vision encoder {branch.tower.name} requires "
            f"{cfg['interpolation']}. {EVERY}."
        )
    own = compute_affine(branch, NAME)
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


def find_limits(plan: Plan) -> Limits:
    """Reasons against an export, as `polyclip.exporters.base.Target.limits`."""
    return Limits(limit_text(plan, NAME, KNOWN) + limit_head_layer(plan, NAME), limit_images(plan, NAME))


TARGET = Target(
    about="a folder that open_clip loads by local-dir:",
    needs=("open_clip",),
    write=write,
    limits=find_limits,
    checks=("timm", "transformers"),
)
