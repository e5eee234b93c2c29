"""Express a joint text head as one more BERT layer: its attention averages all tokens, its feed-forward block is the
head.

A BERT layer adds its input to its output and normalizes twice, so:
- a mean over tokens is uniform attention, scaled to dominate the token's own state;
- a LayerNorm divides by the length of its input: a large constant beside the mean keeps that length constant, and the
norm linear;
- the output of the feed-forward block dominates its input and keeps its direction through the last norm.
The feed-forward blocks of the other layers are padded with zero units to the width of the head.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.storage import hash_parts
from polyclip.data.corpus import load_corpus
from polyclip.errors import RunError
from polyclip.exporters.merge import EVERY, Layers, find_final_norm
from polyclip.languages.schema import list_languages, load_language
from polyclip.models.branch import Branch

CAPTIONS = 3000  # to measure the distribution of the encoder's features
OUTSHINE = 1e4  # factor by which the computed output dominates the residual input
# the constant beside the mean, in usual distances of features from their mean; an error of 1 / (2 * 300^2) in lengths
CONSTANT = 300.0


def add_head_layer(branch: Branch, encoder: Any, head: Layers, target: str) -> tuple[Any, Float[Tensor, "dim width"]]:
    """Add the head as one more layer of the text model.

    Args:
        branch: The text branch.
        encoder: Its encoder, with mean pooling.
        head: Its head.
        target: Name of the export target, for messages.

    Returns:
        The text model, and the projection [dim, width] that gives the head's output from any of its tokens.

    Raises:
        RunError: The encoder pools otherwise or has another activation than GELU, or the head has too many dimensions.

    """
    from transformers import AutoModel

    config, norm = encoder.model.config, find_final_norm(encoder)
    width, dim = config.hidden_size, len(head.outer.weight)
    if encoder.pooling != "mean" or config.hidden_act != "gelu" or norm is None or dim >= width:
        raise RunError(
            f"{target} expresses this run's text head as a BERT layer, which requires mean pooling, GELU and fewer "
            f"than {width} dimensions; "
            f"found {encoder.pooling} pooling, {config.hidden_act} and {dim} dimensions. {EVERY}."
        )
    wide = max(config.intermediate_size, len(head.inner.weight))
    grown = type(config)(
        **config.to_dict() | {"num_hidden_layers": config.num_hidden_layers + 1, "intermediate_size": wide}
    )
    model: Any = AutoModel.from_config(grown).eval()
    load_widened(model, encoder.model.state_dict(), target)
    normal = torch.nn.functional.normalize(1 / norm.weight.detach().double(), dim=0)
    return model, fill_layer(model.encoder.layer[-1], head, branch, normal)


def load_widened(model: Any, state: dict[str, Tensor], target: str) -> None:
    """Load the weights of the layers below; feed-forward blocks are padded with zeros.

    Raises:
        RunError: The model has no place for a tensor.

    """
    own = model.state_dict()
    for name, tensor in state.items():
        if name not in own:
            raise RunError(f"{target} does not support {name} in a {model.config.model_type}. {EVERY}.")
        place = torch.zeros_like(own[name])
        place[tuple(slice(0, size) for size in tensor.shape)] = tensor
        own[name] = place
    model.load_state_dict(own)


def encode_names(branch: Branch) -> Float[Tensor, "caption width"]:
    """Encode emoji names in many languages, to measure the distribution of the encoder's features."""
    corpus = load_corpus("emoji")
    languages = [pack for pack in (load_language(code) for code in list_languages()) if pack.xm3600]
    rows = [
        row for language in languages for row in corpus.reader.read(corpus.folder, corpus.get_locale(language), "train")
    ]
    rows.sort(key=lambda row: hash_parts(row.language, row.concept))
    captions = [row.captions[0] for row in rows[:CAPTIONS]]
    return branch.encode_features(captions, "captions", keep=branch.encoder is None).double()


def drop_least_direction(
    weight: Float[Tensor, "hidden width"], features: Float[Tensor, "caption width"], normal: Float[Tensor, " width"]
) -> tuple[Float[Tensor, "less width"], Float[Tensor, "width less"]]:
    """Return maps to two dimensions fewer and back that change `weight` times the features as little as possible.

    A norm leaves two dimensions fewer than a layer has; means of tokens never move along one of them. The other one
    dropped is the
    principal direction of the features, as seen by `weight`, with the least effect.

    Args:
        weight: First linear map of the head [hidden, width].
        features: Features of sample captions [caption, width].
        normal: Direction along which no mean of tokens moves [width].

    Returns:
        The map there [width - 2, width] and back [width, width - 2].

    """
    width = len(normal)
    plane = torch.linalg.svd(normal[None]).Vh[1:].T  # [width, width - 1]
    seen = (features - features.mean(0)) @ plane
    covariance = seen.T @ seen / len(seen)
    values, vectors = torch.linalg.eigh(
        covariance + 1e-6 * covariance.diagonal().mean() * torch.eye(width - 1, dtype=torch.float64)
    )
    root, back = vectors * values.sqrt(), vectors / values.sqrt()
    said = torch.linalg.svd(weight @ plane @ root, full_matrices=len(weight) < width - 1).Vh[: width - 2]
    return said @ back.T @ plane.T, plane @ root @ said.T


@torch.no_grad()
def fill_layer(layer: Any, head: Layers, branch: Branch, normal: Float[Tensor, " width"]) -> Float[Tensor, "dim width"]:
    """Set a layer's weights to compute the head of the token mean; returns the projection.

    `normal` is the direction along which no mean of tokens moves.
    """
    width, dim, hidden = len(normal), len(head.outer.weight), len(head.inner.weight)
    features = encode_names(branch)
    mean = features.mean(0)
    usual = (features - mean).norm(dim=1).mean()
    places = torch.linalg.svd(torch.ones(1, width, dtype=torch.float64)).Vh[1:]  # of sum zero, which a norm leaves
    constant, places = places[0], places[1:]
    moving, kept = drop_least_direction(head.inner.weight, features, normal)
    scale = OUTSHINE * mean.norm() / usual
    for parameter in layer.parameters():
        parameter.zero_()
    attention, norm = layer.attention, layer.attention.output.LayerNorm
    attention.self.value.weight.copy_(torch.eye(width))
    attention.output.dense.weight.copy_(scale * places.T @ moving)
    attention.output.dense.bias.copy_(scale * (CONSTANT * usual * constant - places.T @ (moving @ mean)))
    norm.weight.fill_(float(CONSTANT * usual) / width**0.5)
    layer.intermediate.dense.weight[:hidden].copy_(head.inner.weight @ kept @ places)
    layer.intermediate.dense.bias[:hidden].copy_(head.inner.bias + head.inner.weight @ mean)
    said = torch.nn.functional.gelu(head.inner.bias + head.inner.weight @ mean) @ head.outer.weight.T + head.outer.bias
    loud = OUTSHINE * CONSTANT * usual / said.norm().clamp(min=1e-3 * head.outer.weight.norm())
    out = torch.cat([constant[None], places])[:dim]
    layer.output.dense.weight[:, :hidden].copy_(loud * out.T @ head.outer.weight)
    layer.output.dense.bias.copy_(loud * out.T @ head.outer.bias)
    layer.output.LayerNorm.weight.fill_(1.0)
    return out
