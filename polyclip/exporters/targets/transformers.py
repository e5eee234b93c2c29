"""Export a `VisionTextDualEncoderModel` folder, without remote code.

That class uses the pooler of the text model - tanh(dense(first token)) - and projects without bias. So:
- a mean over tokens becomes one more layer with uniform attention, which gives the mean of all real tokens to the first
one;
- what passes through that layer's norms keeps its direction and loses its sum, so the head is applied before them, its
last row minus
  the sum of the others; a head as wide as the encoder loses its weakest direction;
- tanh is used where it is a straight line; biases are folded as in `merge.fold_bias`.
"""

import json
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.errors import RunError
from polyclip.exporters.base import ExportNotes, ExportOrder, Target
from polyclip.exporters.head_layer import add_head_layer
from polyclip.exporters.limits import Limits, Plan, limit_constant, limit_head_layer, limit_images, limit_text
from polyclip.exporters.merge import (
    EVERY,
    build_plain_encoder,
    compute_affine,
    compute_layers,
    find_final_norm,
    fold_bias,
)
from polyclip.exporters.preprocess_cfg import build_preprocess_cfg
from polyclip.exporters.timm_config import build_wrapper_config, fold_constant_channel
from polyclip.exporters.tokenizer import write_tokenizer
from polyclip.models.branch import Branch
from polyclip.models.hf import get_model_type

NAME = "transformers"
KNOWN = ("bert", "roberta", "xlm-roberta")
LINE = 1e-4  # scale of tanh's input, where its relative error is a third of its square
OUTSHINE = 1e4  # factor by which the mean dominates the first token's own state, which is added to it


def write(order: ExportOrder) -> ExportNotes:
    """Write config.json, model.safetensors, tokenizer and preprocessor_config.json.

    Raises:
        RunError: transformers cannot express the run.

    """
    from transformers import VisionTextDualEncoderConfig, VisionTextDualEncoderModel

    aligner, folder = order.aligner, order.folder
    text, projection = build_text_model(aligner.text)
    write_tokenizer(build_plain_encoder(aligner.text, NAME), folder, aligner.text.tower.name)
    encoder = build_plain_encoder(aligner.vision, NAME)
    vision_config = build_wrapper_config(aligner.vision, encoder, NAME) | {"hidden_size": encoder.dim}
    seen = build_image_projection(aligner.vision, encoder)
    config = VisionTextDualEncoderConfig(
        projection_dim=len(seen), vision_config=vision_config, text_config=text.config.to_dict()
    )
    model: Any = VisionTextDualEncoderModel(config, text_model=text).eval()
    model.vision_model.timm_model.load_state_dict(encoder.model.state_dict(), strict=True)
    with torch.no_grad():
        model.text_projection.weight.copy_(projection)
        model.visual_projection.weight.copy_(seen)
        model.logit_scale.copy_(aligner.scale().log())
    model.save_pretrained(folder)
    processor = build_image_processor(build_preprocess_cfg(encoder, aligner.vision.tower.name))
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n", encoding="utf-8")
    return ExportNotes(
        notes=(
            "images are read by AutoImageProcessor, captions by AutoTokenizer; get_text_features(...).pooler_output "
            "is to be normalised",
        )
    )


def build_text_model(branch: Branch) -> tuple[Any, Float[Tensor, "dim width"]]:
    """Build the text model with a pooler that gives what the head needs, and the projection after it.

    Raises:
        RunError: The text model has no such pooler.

    """
    from transformers import AutoModel

    encoder = build_plain_encoder(branch, NAME)
    kind, norm = get_model_type(encoder), find_final_norm(encoder)
    if kind not in KNOWN or norm is None:
        raise RunError(
            f"{NAME} supports no dual encoder without remote code for text models of type {kind!r}: expected "
            f"{', '.join(KNOWN)}. {EVERY}."
        )
    head = compute_layers(branch, NAME)
    if head is not None:
        with_one, placed = add_head_layer(branch, encoder, head, NAME)
        return linearize_pooler(with_one), (placed / LINE).float()
    before = norm.bias.detach().double().clone()
    weight = fold_bias(compute_affine(branch, NAME), norm)
    moved = norm.bias.detach().double() - before
    usual = (norm.weight.detach().double().square() + norm.bias.detach().double().square()).sum().sqrt()
    config = encoder.model.config
    mean = encoder.pooling == "mean"
    grown = type(config)(**config.to_dict() | {"num_hidden_layers": config.num_hidden_layers + mean})
    model: Any = AutoModel.from_config(grown).eval()
    kept = model.load_state_dict(encoder.model.state_dict(), strict=False)
    if kept.unexpected_keys:
        raise RunError(f"{NAME} does not support {kept.unexpected_keys[0]} in a {kind}. {EVERY}.")
    out = (
        fill_mean_layer(model.encoder.layer[-1], weight, compute_second_moment(branch, moved), usual)
        if mean
        else weight
    )
    return linearize_pooler(model), (out / LINE).float()


@torch.no_grad()
def linearize_pooler(model: Any) -> Any:
    """Set the pooler to the first token, scaled down to where tanh is a straight line."""
    model.pooler.dense.weight.copy_(LINE * torch.eye(model.config.hidden_size))
    model.pooler.dense.bias.zero_()
    return model


def compute_second_moment(branch: Branch, moved: Float[Tensor, " width"]) -> Float[Tensor, "width spread"]:
    """Return columns whose outer products sum to about the second moment of the head's input, after the norm's bias has
    `moved`.
    """
    mean, deviation = branch.head.get_statistics(len(moved))
    return torch.cat([deviation.double().diag(), (mean.double() + moved)[:, None]], dim=1)


@torch.no_grad()
def fill_mean_layer(
    layer: Any, weight: Float[Tensor, "dim width"], spread: Float[Tensor, "width spread"], usual: Tensor
) -> Float[Tensor, "dim width"]:
    """Set a layer to put `weight` times the token mean into the first token; returns the map from there to the head's
    output.
    """
    dim, width = weight.shape
    kept = min(dim, width - 1)
    basis = torch.linalg.svd(weight @ spread).U[:, :kept] if dim >= width else torch.eye(dim, dtype=weight.dtype)
    rows = basis.T @ weight
    placed = torch.cat([rows, -rows.sum(0, keepdim=True), rows.new_zeros(width - kept - 1, width)])
    scale = OUTSHINE * usual / (placed @ spread).norm()
    for parameter in layer.parameters():
        parameter.zero_()
    layer.attention.self.value.weight.copy_(torch.eye(width))
    layer.attention.output.dense.weight.copy_(scale * placed)
    for norm in (layer.attention.output.LayerNorm, layer.output.LayerNorm):
        norm.weight.fill_(1.0)
    return torch.cat([basis, basis.new_zeros(dim, width - kept)], dim=1)


def build_image_projection(branch: Branch, encoder: Any) -> Float[Tensor, "dim width"]:
    """Return the head without its bias, which a norm or one channel of the encoder takes over."""
    norm = find_final_norm(encoder)
    map_ = compute_affine(branch, NAME)
    found = fold_bias(map_, norm) if norm is not None else fold_constant_channel(map_, branch, encoder, NAME)
    return found.float()


def build_image_processor(cfg: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of transformers' CLIP image processor: resize the shorter side, centre crop, scale."""
    height, width = cfg["size"]
    squash = cfg["resize_mode"] == "squash"
    return {
        "image_processor_type": "CLIPImageProcessor",
        "do_resize": True,
        "size": {"height": height, "width": width} if squash else {"shortest_edge": height},
        "resample": {"nearest": 0, "lanczos": 1, "bilinear": 2, "bicubic": 3}[cfg["interpolation"]],
        "do_center_crop": not squash,
        "crop_size": {"height": height, "width": width},
        "do_rescale": True,
        "do_normalize": True,
        "do_convert_rgb": True,
        "image_mean": cfg["mean"],
        "image_std": cfg["std"],
    }


def find_limits(plan: Plan) -> Limits:
    """Reasons against an export, as `polyclip.exporters.base.Target.limits`."""
    return Limits(
        limit_text(plan, NAME, KNOWN) + limit_head_layer(plan, NAME),
        limit_images(plan, NAME) + limit_constant(plan, NAME),
    )


TARGET = Target(
    about="a VisionTextDualEncoderModel of transformers, no remote code",
    needs=("transformers",),
    write=write,
    limits=find_limits,
    checks=("timm", "torch"),
)
