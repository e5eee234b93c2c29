"""STRUCTURE (Groeger et al. 2025, arXiv 2506.16895): keep neighbourhoods in the projection, and use the layers that
agree most.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.progress import Progress
from polyclip.core.vectors import normalize
from polyclip.models.backbone import describe, with_layers
from polyclip.models.trunk import State

WEIGHT = 10.0  # of the penalty, as in the paper
HOPS = 2
TEMPERATURE = 0.05
SAMPLE = 512  # pairs by which layers are compared
NEIGHBOURS = 10
BATCH = 32  # items whose layers are compared at once


def compute_penalty(features: Float[Tensor, "row width"], mapped: Float[Tensor, "row dim"]) -> Float[Tensor, ""]:
    """Penalty for neighbourhoods that the projection changes.

    WEIGHT times the mean Jensen-Shannon divergence between the neighbourhood graphs of features and embeddings over 1
    to HOPS hops; hop h counts 1/h.

    Args:
        features: Of the frozen encoder.
        mapped: Embeddings of the same rows.

    Returns:
        The penalty in nats, >= 0.

    """
    before = compute_neighbours(normalize(features - features.mean(0)))
    after = compute_neighbours(normalize(mapped - mapped.mean(0)))
    total, far_before, far_after = mapped.new_zeros(()), before, after
    for hop in range(1, HOPS + 1):
        total = total + jensen_shannon(far_before, far_after) / hop
        far_before, far_after = far_before @ before, far_after @ after
    return WEIGHT * total


def compute_neighbours(embeddings: Float[Tensor, "row dim"]) -> Float[Tensor, "row row"]:
    """Neighbourhood graph: row i is the softmax of i's cosines with all rows."""
    return (embeddings @ embeddings.T / TEMPERATURE).softmax(1)


def jensen_shannon(left: Float[Tensor, "row row"], right: Float[Tensor, "row row"]) -> Float[Tensor, ""]:
    """Jensen-Shannon divergence averaged over rows, in nats: 0 for equal rows, at most log 2."""
    middle = ((left + right) / 2).clamp(min=1e-12).log()
    parts = [(p * (p.clamp(min=1e-12).log() - middle)).sum(1) for p in (left, right)]
    return (parts[0] + parts[1]).mean() / 2


def mutual_neighbours(left: Float[Tensor, "row width"], right: Float[Tensor, "row other"]) -> float:
    """Mutual k-NN alignment: share of the NEIGHBOURS nearest rows on which both agree (Huh et al. 2024, arXiv
    2405.07987).

    Args:
        left: Features of one encoder.
        right: Features of the same items by another encoder.

    Returns:
        A value in [0, 1].

    """
    near = []
    for features in (left, right):
        centred = normalize(features - features.mean(0))
        similarity = (centred @ centred.T).fill_diagonal_(-torch.inf)
        near.append(similarity.topk(min(NEIGHBOURS, len(features) - 1), dim=1).indices)
    return torch.stack([torch.isin(a, b).float().mean() for a, b in zip(*near, strict=True)]).mean().item()


def choose_layer_pair(recipe: Any, train: Any) -> Any:
    """Choose the pair of layers whose neighbourhoods agree most on training pairs.

    Args:
        recipe: The model's configuration (`polyclip.models.branch.ModelConfig`).
        train: Training pairs.

    Returns:
        The configuration with both encoders cut at these layers; an encoder that cannot be cut keeps its last.

    """
    caption, image, _ = train.sample(min(SAMPLE, len(train.captions)), 0)
    text = pool_every_layer(describe("encoders", recipe.text_encoder), [train.captions[row] for row in caption])
    vision = pool_every_layer(describe("towers", recipe.vision_tower), [train.images[row] for row in image])
    agreement = {(i, j): mutual_neighbours(a, b) for i, a in text.items() for j, b in vision.items()}
    first, second = max(agreement, key=lambda pair: agreement[pair])
    return replace(
        recipe,
        text_encoder=with_layers("encoders", recipe.text_encoder, first),
        vision_tower=with_layers("towers", recipe.vision_tower, second),
    )


@torch.inference_mode()
def pool_every_layer(spec: Any, items: list[Any]) -> dict[int, Tensor]:
    """Mean-pooled hidden states of each layer but the last, by layer number; under 0 the encoder's own features."""
    encoder = spec.build()
    found: dict[int, list[Tensor]] = {}
    with Progress(f"comparing layers of {spec.name}", len(items)) as progress:
        for start in range(0, len(items), BATCH):
            batch = items[start : start + BATCH]
            for number, features in pool_batch(encoder, encoder.prepare(batch)).items():
                found.setdefault(number, []).append(features)
            progress.advance(len(batch))
    return {number: torch.cat(parts) for number, parts in found.items() if number == 0 or spec.layers}


def pool_batch(encoder: Any, inputs: State) -> dict[int, Tensor]:
    """Mean-pooled hidden states of one batch, as `pool_every_layer` collects them."""
    trunk = encoder.trunk
    pool: Callable[[State], Tensor] = encoder.mean
    state = trunk.begin(encoder.start(inputs))
    found = {}
    for number in range(len(trunk.layers)):
        state = trunk.step(number, state)
        found[number + 1] = pool(state)
    found.pop(len(trunk.layers), None)  # all layers are the whole encoder, with what follows the last
    return found | {0: encoder.finish(state, len(trunk.layers) + 1)}
