"""A `VisionTextDualEncoderModel` folder, without remote code.

That class takes the pooler of the text model - tanh(dense(first token)) - and projects without a constant. So:
- a mean over tokens becomes one more layer, whose attention has no preference and so gives the mean of all real tokens to the first one;
- what passes through that layer's norms keeps its direction and loses its sum, so the head is applied before them, its last row minus the
  sum of the others; a head as wide as the encoder loses its weakest direction;
- tanh is used where it is a straight line; constants are folded as `_merged.without_bias` says.
"""

import json
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.errors import RunError
from polyclip.export.base import Order, Target, Written
from polyclip.export.head_layer import with_head
from polyclip.export.merge import EVERY, affine, closing_norm, layers, plain, without_bias
from polyclip.export.preprocess_cfg import preprocess_cfg
from polyclip.export.timm_config import constant_channel, wrapper_config
from polyclip.export.tokenizer import write_tokenizer
from polyclip.models.branch import Branch

NAME = "transformers"
KNOWN = ("bert", "roberta", "xlm-roberta")
LINE = 1e-4  # what is given to tanh, whose error there is a third of its square
OUTSHINE = 1e4  # by how much the mean outweighs the first token's own vector, which is added to it


def write(order: Order) -> Written:
    """config.json, model.safetensors, tokenizer and preprocessor_config.json."""
    from transformers import VisionTextDualEncoderConfig, VisionTextDualEncoderModel

    aligner, folder = order.aligner, order.folder
    text, projection = text_model(aligner.text)
    write_tokenizer(plain(aligner.text, NAME), folder, aligner.text.tower.name)
    encoder = plain(aligner.vision, NAME)
    vision_config = wrapper_config(aligner.vision, encoder, NAME) | {"hidden_size": encoder.dim}
    seen = picture_projection(aligner.vision, encoder)
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
    processor = image_processor(preprocess_cfg(encoder, aligner.vision.tower.name))
    (folder / "preprocessor_config.json").write_text(json.dumps(processor, indent=2) + "\n", encoding="utf-8")
    return Written(
        notes=(
            "images are read by AutoImageProcessor, captions by AutoTokenizer; get_text_features(...).pooler_output is to be normalised",
        )
    )


def text_model(side: Branch) -> tuple[Any, Float[Tensor, "dim width"]]:
    """The text model with a pooler that gives what the head needs, and the projection after it.

    Raises RunError for text models without such a pooler.
    """
    from transformers import AutoModel

    encoder = plain(side, NAME)
    kind, norm = getattr(getattr(encoder.model, "config", None), "model_type", "unknown"), closing_norm(encoder)
    if kind not in KNOWN or norm is None:
        raise RunError(
            f"{NAME} has no dual encoder without remote code for text models of type {kind!r}: expected {', '.join(KNOWN)}. {EVERY}."
        )
    head = layers(side, NAME)
    if head is not None:
        with_one, placed = with_head(side, encoder, head, NAME)
        return straight_pooler(with_one), (placed / LINE).float()
    before = norm.bias.detach().double().clone()
    weight = without_bias(affine(side, NAME), norm)
    moved = norm.bias.detach().double() - before
    usual = (norm.weight.detach().double().square() + norm.bias.detach().double().square()).sum().sqrt()
    config = encoder.model.config
    mean = encoder.pooling == "mean"
    grown = type(config)(**config.to_dict() | {"num_hidden_layers": config.num_hidden_layers + mean})
    model: Any = AutoModel.from_config(grown).eval()
    kept = model.load_state_dict(encoder.model.state_dict(), strict=False)
    if kept.unexpected_keys:
        raise RunError(f"{NAME} knows no {kept.unexpected_keys[0]} in a {kind}. {EVERY}.")
    out = average(model.encoder.layer[-1], weight, moments(side, moved), usual) if mean else weight
    return straight_pooler(model), (out / LINE).float()


@torch.no_grad()
def straight_pooler(model: Any) -> Any:
    """The model with a pooler that gives the first token, made small enough for tanh to be a straight line."""
    model.pooler.dense.weight.copy_(LINE * torch.eye(model.config.hidden_size))
    model.pooler.dense.bias.zero_()
    return model


def moments(side: Branch, moved: Float[Tensor, " width"]) -> Float[Tensor, "width spread"]:
    """Columns whose outer products add up to about the second moment of what enters the head, after the norm's bias has `moved`."""
    mean, deviation = (
        getattr(side.head, "mean", torch.zeros_like(moved)),
        getattr(side.head, "deviation", torch.ones_like(moved)),
    )
    return torch.cat([deviation.double().diag(), (mean.double() + moved)[:, None]], dim=1)


@torch.no_grad()
def average(
    layer: Any, weight: Float[Tensor, "dim width"], spread: Float[Tensor, "width spread"], usual: Tensor
) -> Float[Tensor, "dim width"]:
    """Make a layer that puts `weight` times the mean of all tokens into the first; returns what turns that into the head's vector."""
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


def picture_projection(side: Branch, encoder: Any) -> Float[Tensor, "dim width"]:
    """The head without its constant, which a norm or one channel of the tower takes over."""
    norm = closing_norm(encoder)
    map_ = affine(side, NAME)
    found = without_bias(map_, norm) if norm is not None else constant_channel(map_, side, encoder, NAME)
    return found.float()


def image_processor(cfg: dict[str, Any]) -> dict[str, Any]:
    """Of transformers' CLIP, whose steps are these: shorter side, centre crop, scale."""
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


TARGET = Target(
    about="a VisionTextDualEncoderModel of transformers, no remote code",
    needs=("transformers",),
    write=write,
    checks=("timm", "torch"),
)
