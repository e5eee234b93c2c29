"""A joint text head as one more layer of a BERT: its attention takes the mean of all tokens, its feed-forward part is the head.

A layer of BERT adds what comes in to what it computes and normalises both times, so:
- a mean over tokens is attention without preference; it is made to outweigh the token's own vector;
- a LayerNorm divides by the length of what it gets: a large constant beside the mean makes that length constant, and the norm a linear map;
- what leaves the feed-forward part outweighs what came in, and keeps its direction through the last norm.
The feed-forward parts of the other layers become as wide as the head, with units that say nothing.
"""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.storage import digest
from polyclip.data.corpus import load_corpus
from polyclip.errors import RunError
from polyclip.export.merge import EVERY, Layers, closing_norm
from polyclip.languages.schema import known_languages, load_language
from polyclip.models.branch import Branch

CAPTIONS = 3000  # by which the encoder's spread is measured
OUTSHINE = 1e4  # by how much what is computed outweighs what is added to it
CONSTANT = 300.0  # the constant beside the mean, in usual distances of features from their mean; an error of 1 / (2 * 300^2) in lengths


def with_head(side: Branch, encoder: Any, head: Layers, target: str) -> tuple[Any, Float[Tensor, "dim width"]]:
    """The text model with one more layer, and the projection that gives the head's vectors from any of its tokens.

    Args:
        side: The text side.
        encoder: Its encoder, which pools by the mean over tokens.
        head: Its head.
        target: The library, for errors.

    Raises:
        RunError: The encoder pools in another way, has another activation than GELU, or the head has more dimensions than the layer holds.

    """
    from transformers import AutoModel

    config, norm = encoder.model.config, closing_norm(encoder)
    width, dim = config.hidden_size, len(head.outer.weight)
    if encoder.pooling != "mean" or config.hidden_act != "gelu" or norm is None or dim >= width:
        raise RunError(
            f"{target} holds this run's text head in a layer of a BERT that takes the mean of its tokens through GELU, of fewer than {width} dimensions; "
            f"here are {encoder.pooling} pooling, {config.hidden_act} and {dim} dimensions. {EVERY}."
        )
    wide = max(config.intermediate_size, len(head.inner.weight))
    grown = type(config)(
        **config.to_dict() | {"num_hidden_layers": config.num_hidden_layers + 1, "intermediate_size": wide}
    )
    model: Any = AutoModel.from_config(grown).eval()
    load_widened(model, encoder.model.state_dict(), target)
    normal = torch.nn.functional.normalize(1 / norm.weight.detach().double(), dim=0)
    return model, fill(model.encoder.layer[-1], head, side, normal)


def load_widened(model: Any, state: dict[str, Tensor], target: str) -> None:
    """Load the layers below; feed-forward parts are filled up with zeros.

    Raises:
        RunError: The model has no place for a tensor.

    """
    own = model.state_dict()
    for name, tensor in state.items():
        if name not in own:
            raise RunError(f"{target} knows no {name} in a {model.config.model_type}. {EVERY}.")
        place = torch.zeros_like(own[name])
        place[tuple(slice(0, size) for size in tensor.shape)] = tensor
        own[name] = place
    model.load_state_dict(own)


def spoken(side: Branch) -> Float[Tensor, "caption width"]:
    """The encoder's features of names in many languages: how its vectors are spread."""
    corpus = load_corpus("emoji")
    languages = [pack for pack in (load_language(code) for code in known_languages()) if pack.xm3600]
    rows = [
        row for language in languages for row in corpus.reader.read(corpus.folder, corpus.locale(language), "train")
    ]
    rows.sort(key=lambda row: digest(row.language, row.concept))
    return side.pooled([row.captions[0] for row in rows[:CAPTIONS]], "captions", keep=False).double()


def without_least(
    weight: Float[Tensor, "hidden width"], features: Float[Tensor, "caption width"], normal: Float[Tensor, " width"]
) -> tuple[Float[Tensor, "less width"], Float[Tensor, "width less"]]:
    """Two maps, there and back, through two dimensions fewer, that change `weight` times features as little as can be.

    A norm leaves two dimensions fewer than a layer has, one of which no mean of tokens moves along. The other is the one of features' principal
    directions, as `weight` sees them, that says least.
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
def fill(layer: Any, head: Layers, side: Branch, normal: Float[Tensor, " width"]) -> Float[Tensor, "dim width"]:
    """Make a layer compute the head of the mean of all tokens; returns the projection. `normal` is what no mean of tokens moves along."""
    width, dim, hidden = len(normal), len(head.outer.weight), len(head.inner.weight)
    features = spoken(side)
    mean = features.mean(0)
    usual = (features - mean).norm(dim=1).mean()
    places = torch.linalg.svd(torch.ones(1, width, dtype=torch.float64)).Vh[1:]  # of sum zero, which a norm leaves
    constant, places = places[0], places[1:]
    moving, kept = without_least(head.inner.weight, features, normal)
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
