"""STRUCTURE: the penalty on moved neighbourhoods, and the pair of layers that agree most."""

import math
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from polyclip.core.toml import CORPORA
from polyclip.core.vectors import normalize
from polyclip.data.readers.emoji import pictures
from polyclip.models.backbone import BackboneSpec, describe
from polyclip.models.components import structure
from polyclip.models.components.structure import (
    HOPS,
    NEIGHBOURS,
    TEMPERATURE,
    WEIGHT,
    choose_layer_pair,
    compute_neighbours,
    compute_penalty,
    jensen_shannon,
    mutual_neighbours,
    pool_every_layer,
)
from polyclip.models.config import ModelConfig
from polyclip.models.feature_cache import encode
from polyclip.models.trunk import State


def rotation(width: int) -> Tensor:
    return torch.linalg.qr(torch.randn(width, width)).Q


def graph(rows: int) -> Tensor:
    return torch.randn(rows, rows).mul(2).softmax(1)


def slow_jensen_shannon(left: list[list[float]], right: list[list[float]]) -> float:
    """Half the divergence of each from their middle, row by row, term by term."""
    total = 0.0
    for own, other in zip(left, right, strict=True):
        for p, q in zip(own, other, strict=True):
            middle = (p + q) / 2
            total += (p * math.log(p / middle) if p else 0.0) / 2 + (q * math.log(q / middle) if q else 0.0) / 2
    return total / len(left)


def test_jensen_shannon_is_its_definition() -> None:
    left, right = graph(6), graph(6)
    assert jensen_shannon(left, right).item() == pytest.approx(
        slow_jensen_shannon(left.tolist(), right.tolist()), rel=1e-4
    )
    assert jensen_shannon(left, right).item() == pytest.approx(jensen_shannon(right, left).item(), rel=1e-5)
    hard = torch.eye(6)
    assert jensen_shannon(hard, left).item() == pytest.approx(
        slow_jensen_shannon(hard.tolist(), left.tolist()), rel=1e-4
    )


def test_jensen_shannon_is_0_for_equals_and_log_2_where_nothing_is_shared() -> None:
    one, other = torch.eye(4), torch.eye(4).roll(1, 0)
    assert jensen_shannon(one, one).item() == pytest.approx(0, abs=1e-6)
    assert jensen_shannon(one, other).item() == pytest.approx(math.log(2), rel=1e-5)
    for _ in range(20):
        assert 0 < jensen_shannon(graph(5), graph(5)).item() < math.log(2)


def slow_penalty(features: Tensor, mapped: Tensor) -> float:
    """Graphs by loops; two hops are the product of one with itself."""
    graphs = []
    for vectors in (features, mapped):
        rows = [v / v.norm() for v in vectors - vectors.mean(0)]
        weights = [[math.exp(float(a @ b) / TEMPERATURE) for b in rows] for a in rows]
        graphs.append(torch.tensor([[w / sum(row) for w in row] for row in weights]))
    total = 0.0
    for hop in range(1, HOPS + 1):
        one, other = (torch.linalg.matrix_power(own, hop) for own in graphs)
        total += slow_jensen_shannon(one.tolist(), other.tolist()) / hop
    return WEIGHT * total


def test_the_penalty_is_its_definition() -> None:
    features, mapped = torch.randn(7, 5) + 3, normalize(torch.randn(7, 4))
    assert compute_penalty(features, mapped).item() == pytest.approx(slow_penalty(features, mapped), rel=1e-3)


def test_the_penalty_is_0_for_a_rotation_and_only_then() -> None:
    features = torch.randn(30, 6) + 2
    assert compute_penalty(features, features @ rotation(6)).item() == pytest.approx(0, abs=1e-3)
    assert compute_penalty(features, 3 * features @ rotation(6) - 1).item() == pytest.approx(
        0, abs=1e-3
    )  # moved and stretched alike: the same neighbours
    most = WEIGHT * math.log(2) * sum(1 / hop for hop in range(1, HOPS + 1))
    for other in (features * torch.tensor([4.0, 1, 1, 1, 1, 0.1]), torch.randn(30, 6)):
        assert 0.05 < compute_penalty(features, other).item() < most


def test_a_step_against_the_penalty_lowers_it() -> None:
    features = torch.randn(20, 6)
    weight = (rotation(6)[:, :4] + 0.3 * torch.randn(6, 4)).requires_grad_()
    first = compute_penalty(features, normalize(features @ weight))
    first.backward()
    assert weight.grad is not None and weight.grad.abs().max() > 0
    with torch.no_grad():
        weight -= 1e-3 * weight.grad / weight.grad.norm()
    assert compute_penalty(features, normalize(features @ weight)) < first


def test_rows_of_a_graph_are_shares() -> None:
    found = compute_neighbours(normalize(torch.randn(8, 3)))
    torch.testing.assert_close(found.sum(1), torch.ones(8))
    assert torch.equal(found.argmax(1), torch.arange(8))  # everyone is its own nearest


def slow_mutual_neighbours(left: Tensor, right: Tensor, count: int) -> float:
    near = []
    for vectors in (left, right):
        rows = [v / v.norm() for v in vectors - vectors.mean(0)]
        near.append(
            [
                set(sorted((j for j in range(len(rows)) if j != i), key=lambda j, a=a: -float(a @ rows[j]))[:count])
                for i, a in enumerate(rows)
            ]
        )
    return sum(len(a & b) / count for a, b in zip(*near, strict=True)) / len(left)


def test_mutual_neighbours_is_its_definition() -> None:
    left = torch.randn(40, 5)
    right = left[:, :4] + 0.5 * torch.randn(40, 4)
    found = mutual_neighbours(left, right)
    assert found == pytest.approx(slow_mutual_neighbours(left, right, NEIGHBOURS), abs=1e-6)
    assert 0.3 < found < 1


def test_mutual_neighbours_is_1_for_the_same_and_chance_for_others() -> None:
    features = torch.randn(400, 8)
    assert mutual_neighbours(features, features @ rotation(8) + 1) == pytest.approx(1, abs=2e-3)
    assert mutual_neighbours(features, torch.randn(400, 8)) == pytest.approx(NEIGHBOURS / 399, abs=0.01)
    assert mutual_neighbours(features[:3], features[:3] * 2) == 1.0  # fewer rows than neighbours


class Planted(nn.Module):
    """Layer n gives row i its vector `tables[n][i]`, the tower itself `own[i]`. An item is its row."""

    kind, grain = "tokens", 7

    def __init__(self, tables: list[Tensor], own: Tensor) -> None:
        super().__init__()
        self.tables, self.own, self.dim = tables, own, own.shape[1]
        self.layers = tables
        self.trunk = self

    def prepare(self, items: list[int]) -> State:
        return {"row": torch.tensor(items)}

    def start(self, inputs: State) -> State:
        return inputs

    def begin(self, inputs: State) -> State:
        return inputs

    def step(self, number: int, state: State) -> State:
        return state | {"hidden": self.tables[number][state["row"]]}

    def mean(self, state: State) -> Tensor:
        return state["hidden"]

    def finish(self, state: State, position: int) -> Tensor:
        assert position == len(self.tables) + 1
        return self.own[state["row"]]


def planted(tables: list[Tensor], own: Tensor, layers: int) -> Any:
    built = Planted(tables, own)
    facts = {"name": "planted", "identity": "", "parameters": 0, "embeddings": 0}
    return BackboneSpec(dim=own.shape[1], layers=layers, build=lambda: built, **facts)  # type: ignore[arg-type]


ROWS = 60


def chosen(monkeypatch: pytest.MonkeyPatch, text: Any, vision: Any) -> tuple[str, str]:
    """Names of the towers that are chosen."""
    towers = {"encoders": text, "towers": vision}
    monkeypatch.setattr(structure, "describe", lambda kind, name: towers[kind])
    order = torch.randperm(ROWS)
    train = SimpleNamespace(
        captions=list(range(ROWS)),
        images=list(range(ROWS)),
        sample=lambda size, seed: (order[:size], order[:size], order[:size]),
    )
    recipe = choose_layer_pair(ModelConfig(text_encoder="e5-small", vision_tower="efficientnet-lite0"), train)
    return recipe.text_encoder, recipe.vision_tower


def random_tables(count: int) -> list[Tensor]:
    return [torch.randn(ROWS, 6) for _ in range(count)]


def test_the_planted_pair_of_layers_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    text, vision = random_tables(5), random_tables(4)
    vision[2] = text[1] @ rotation(6)
    found = chosen(monkeypatch, planted(text, text[4], 5), planted(vision, torch.randn(ROWS, 6), 4))
    assert found == ("e5-small:,layers=2", "efficientnet-lite0:,layers=3")


def test_a_tower_that_cannot_be_cut_keeps_its_own_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    text, vision = random_tables(5), random_tables(4)
    vision[2] = text[1] @ rotation(6)  # out of reach: the text encoder has no option `layers`
    own = torch.randn(ROWS, 6)
    vision[1] = own @ rotation(6)
    assert chosen(monkeypatch, planted(text, own, 0), planted(vision, torch.randn(ROWS, 6), 4)) == (
        "e5-small",
        "efficientnet-lite0:,layers=2",
    )


def test_the_whole_tower_is_its_own_vector_not_its_last_layers_mean(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something may follow the last layer, as EfficientNet's last convolution: keeping all layers keeps that too."""
    text, vision = random_tables(3), random_tables(4)
    vision[3] = text[1] @ rotation(6)
    own = torch.randn(ROWS, 6)
    vision[0] = text[0] + 0.2 * torch.randn(ROWS, 6)
    assert chosen(monkeypatch, planted(text, text[2], 3), planted(vision, own, 4)) == (
        "e5-small:,layers=1",
        "efficientnet-lite0:,layers=1",
    )
    text[0] = own @ rotation(6)
    assert chosen(monkeypatch, planted(text, text[2], 3), planted(vision, own, 4)) == (
        "e5-small:,layers=1",
        "efficientnet-lite0",
    )


@pytest.mark.parametrize("kind", ["encoders", "towers"])
def test_a_layers_means_are_the_vectors_of_the_tower_that_keeps_so_many(kind: str) -> None:
    """What is compared is what is trained on afterwards."""
    drawn = pictures(CORPORA / "emoji", "openmoji")
    name = "e5-small" if kind == "encoders" else "efficientnet-lite0:,size=64"
    items: list[Any] = (
        ["mbwa", "a black dog", "犬"] if kind == "encoders" else [drawn[c] for c in ("1F436", "1F34C", "1F528")]
    )
    found = pool_every_layer(describe(kind, name), items)
    separator = ":," if kind == "encoders" else ","
    for number in (0, 3, max(found)):
        kept = describe(kind, f"{name}{separator}layers={number}" if number else name)
        torch.testing.assert_close(found[number], encode(kept, items, "items"), atol=1e-3, rtol=1e-3)
