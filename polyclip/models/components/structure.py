"""STRUCTURE (Groeger et al. 2025, arXiv 2506.16895): keep who is near whom when features are mapped, and map the layers that agree most."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.progress import Progress
from polyclip.core.vectors import unit
from polyclip.models.backbone import describe, with_layers
from polyclip.models.trunk import State

WEIGHT = 10.0  # of the penalty, as in the paper
HOPS = 2
TEMPERATURE = 0.05
SAMPLE = 512  # pairs by which layers are compared
NEIGHBOURS = 10


def penalty(features: Float[Tensor, "row width"], mapped: Float[Tensor, "row dim"]) -> Float[Tensor, ""]:
    """WEIGHT times the mean Jensen-Shannon divergence between the graphs of both, over 1 to HOPS hops, each hop h counting 1/h (in nats, >= 0)."""
    before = neighbours(unit(features - features.mean(0)))
    after = neighbours(unit(mapped - mapped.mean(0)))
    total, far_before, far_after = mapped.new_zeros(()), before, after
    for hop in range(1, HOPS + 1):
        total = total + jensen_shannon(far_before, far_after) / hop
        far_before, far_after = far_before @ before, far_after @ after
    return WEIGHT * total


def neighbours(vectors: Float[Tensor, "row dim"]) -> Float[Tensor, "row row"]:
    """Row i: softmax of i's cosines with all rows."""
    return (vectors @ vectors.T / TEMPERATURE).softmax(1)


def jensen_shannon(left: Float[Tensor, "row row"], right: Float[Tensor, "row row"]) -> Float[Tensor, ""]:
    """Mean over rows, in nats: 0 for equal rows, at most log 2."""
    middle = ((left + right) / 2).clamp(min=1e-12).log()
    parts = [(p * (p.clamp(min=1e-12).log() - middle)).sum(1) for p in (left, right)]
    return (parts[0] + parts[1]).mean() / 2


def mutual_neighbours(left: Float[Tensor, "row width"], right: Float[Tensor, "row other"]) -> float:
    """Share of NEIGHBOURS nearest rows that both agree on, in [0, 1] (Huh et al. 2024, arXiv 2405.07987, mutual k-NN)."""
    near = []
    for vectors in (left, right):
        centred = unit(vectors - vectors.mean(0))
        similarity = (centred @ centred.T).fill_diagonal_(-torch.inf)
        near.append(similarity.topk(min(NEIGHBOURS, len(vectors) - 1), dim=1).indices)
    return torch.stack([torch.isin(a, b).float().mean() for a, b in zip(*near, strict=True)]).mean().item()


def layer_pair(recipe: Any, train: Any) -> Any:
    """The recipe with the pair of layers whose neighbourhoods agree most on training pairs; where a tower is not cut, its last."""
    caption, picture, _ = train.sample(min(SAMPLE, len(train.captions)), 0)
    text = by_layer(describe("encoders", recipe.text_encoder), [train.captions[row] for row in caption])
    vision = by_layer(describe("towers", recipe.vision_tower), [train.pictures[row] for row in picture])
    agreement = {(i, j): mutual_neighbours(a, b) for i, a in text.items() for j, b in vision.items()}
    first, second = max(agreement, key=lambda pair: agreement[pair])
    return replace(
        recipe,
        text_encoder=with_layers("encoders", recipe.text_encoder, first),
        vision_tower=with_layers("towers", recipe.vision_tower, second),
    )


@torch.inference_mode()
def by_layer(tower: Any, items: list[Any]) -> dict[int, Tensor]:
    """Means over tokens or places of what leaves each layer but the last, and under 0 the tower's own vectors."""
    encoder = tower.build()
    found: dict[int, list[Tensor]] = {}
    with Progress(f"comparing layers of {tower.name}", len(items)) as progress:
        for start in range(0, len(items), encoder.grain):
            batch = items[start : start + encoder.grain]
            for number, vectors in means(encoder, encoder.prepare(batch)).items():
                found.setdefault(number, []).append(vectors)
            progress.advance(len(batch))
    return {number: torch.cat(parts) for number, parts in found.items() if number == 0 or tower.layers}


def means(encoder: Any, inputs: State) -> dict[int, Tensor]:
    """The same of one batch."""
    trunk = encoder.trunk
    pool: Callable[[State], Tensor] = encoder.mean
    state = trunk.begin(encoder.start(inputs))
    found = {}
    for number in range(len(trunk.layers)):
        state = trunk.step(number, state)
        found[number + 1] = pool(state)
    found.pop(len(trunk.layers), None)  # a tower that keeps all its layers is the whole one, with what follows the last
    return found | {0: encoder.finish(state, len(trunk.layers) + 1)}
