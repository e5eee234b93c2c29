"""Heads in closed form, against the slow way; their constants are what the value on validation says."""

import dataclasses
import json
from collections.abc import Callable
from itertools import product
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from polyclip.data.corpus import load_corpus
from polyclip.data.pairs import NAMES, Pairs, SamplingConfig
from polyclip.data.training_pairs import make_training_pairs
from polyclip.errors import DataError
from polyclip.languages.resolve import resolve_language
from polyclip.models.aligner import load_model
from polyclip.models.components.closed_form import (
    NEAREST,
    POWERS,
    STRENGTHS,
    WHITENING,
    compute_directions,
    find_anchor_rows,
    fit_procrustes,
    fit_relative,
    fit_ridge,
)
from polyclip.models.components.heads import Head, HeadShape, RelativeHead
from polyclip.models.config import ModelConfig
from polyclip.pipeline import align
from polyclip.training.config import AlignConfig, OptimizerConfig
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

DIM, TEXT_WIDTH, IMAGE_WIDTH = 3, 5, 4
QUICK = OptimizerConfig(epochs=1, batch_size=8, learning_rate=1e-2, tower_learning_rate=0.0, weight_decay=0.0)


def tiny_pairs() -> Pairs:
    """Eight concepts; the first has three captions and two images, all others one of each in each of two languages."""
    owner = [0, 0, *range(1, 8), 0, *range(1, 8)]
    return Pairs(
        captions=[f"caption {row}" for row in range(len(owner))],
        caption_concept=torch.tensor(owner),
        caption_weight=torch.tensor([0.5, 0.5, *[1.0] * 7, *[1.0] * 8]),
        images=[],
        image_rows=torch.tensor([[0, 8], *[[row, -1] for row in range(1, 8)]]),
        image_count=torch.tensor([2, *[1] * 7]),
        caption_rows=torch.tensor([[0, 1, 9], *[[row + 1, row + 9, -1] for row in range(1, 8)]]),
        caption_count=torch.tensor([3, *[2] * 7]),
        sections=([9, 8], [9]),
        named=16,
        concepts=tuple("abcdefgh"),
    )


def data(head: Any, table: Tensor) -> Any:
    head.measure(table)
    return SimpleNamespace(side=SimpleNamespace(head=head), table=table, train_pairs=tiny_pairs())


def two_sides(text_table: Tensor | None = None, image_table: Tensor | None = None) -> tuple[Any, Any]:
    tables = (
        torch.randn(17, TEXT_WIDTH) if text_table is None else text_table,
        torch.randn(9, IMAGE_WIDTH) if image_table is None else image_table,
    )
    text, vision = (data(Head(table.shape[1], HeadShape(DIM, False, 1), 0.0).eval(), table) for table in tables)
    return text, vision


def nth(number: int) -> Callable[[], float]:
    """A value that is highest at its call of this number."""
    calls = iter(range(10_000))
    return lambda: float(next(calls) == number)


def standard(side: Any) -> np.ndarray:
    table = side.table.double().numpy()
    return (table - table.mean(0)) / table.std(0, ddof=1)


def means_of_pictures(vision: Any) -> np.ndarray:
    """Concept 0 has pictures 0 and 8."""
    raw = vision.table.double().numpy()
    picture = np.stack([(raw[0] + raw[8]) / 2, *raw[1:8]])
    return (picture - raw.mean(0)) / raw.std(0, ddof=1)


def principal(rows: np.ndarray, size: int, whiten: float) -> np.ndarray:
    """The first right singular vectors, divided by the spread along each to a power."""
    _, values, right = np.linalg.svd(rows, full_matrices=False)
    return right[:size] / (values[:size, None] / len(rows) ** 0.5) ** whiten


def up_to_sign(found: Tensor, wanted: np.ndarray) -> Tensor:
    """`wanted` with each row's sign as in `found`: a principal direction has none of its own."""
    rows = torch.from_numpy(wanted).float()
    return rows * (rows * found).sum(1, keepdim=True).sign()


def linear(side: Any) -> Tensor:
    return side.side.head.members[0].linear.weight.detach()


@pytest.mark.parametrize("number", [0, 7, 17])
@torch.no_grad()
def test_ridge_is_the_normal_equations_row_by_row(number: int) -> None:
    text, vision = two_sides()
    said = fit_ridge(text, vision, nth(number))
    whiten, strength = list(product(WHITENING, STRENGTHS))[number]
    assert said == f"penalty {strength}, whitening {whiten}"
    pairs, captions = text.train_pairs, standard(text)
    concept, weight = pairs.caption_concept.tolist(), (pairs.caption_weight / pairs.caption_weight.sum()).tolist()
    target = means_of_pictures(vision)[concept]
    basis = up_to_sign(linear(vision), principal(target, DIM, whiten)).double().numpy()
    torch.testing.assert_close(linear(vision), torch.from_numpy(basis).float(), atol=1e-4, rtol=1e-3)
    left, right = np.zeros((TEXT_WIDTH, TEXT_WIDTH)), np.zeros((TEXT_WIDTH, DIM))
    for row, share in enumerate(weight):
        left += share * np.outer(captions[row], captions[row])
        right += share * np.outer(captions[row], basis @ target[row])
    wanted = np.linalg.solve(left + strength * np.trace(left) / TEXT_WIDTH * np.eye(TEXT_WIDTH), right).T
    torch.testing.assert_close(linear(text), torch.from_numpy(wanted).float(), atol=1e-4, rtol=1e-3)
    assert not text.side.head.members[0].linear.bias.any() and not vision.side.head.members[0].linear.bias.any()


@torch.no_grad()
def test_procrustes_finds_a_rotation_again() -> None:
    """Captions are their picture turned: after the rotation each lies on it, whatever the direction's sign."""
    rotation, _ = torch.linalg.qr(torch.randn(TEXT_WIDTH, TEXT_WIDTH))
    picture = torch.randn(8, TEXT_WIDTH) * torch.tensor([5.0, 4, 3, 2, 1])
    image_table = torch.cat([picture, picture[:1]])
    text_table = picture[tiny_pairs().caption_concept] @ rotation.T
    text, vision = two_sides(text_table, image_table)
    for side in (text, vision):  # means are those of the concepts on both sides, and dimensions keep their scale
        mean = picture.mean(0)
        side.side.head.mean.copy_(mean @ rotation.T if side is text else mean)
        side.side.head.deviation.fill_(1.0)
    said = fit_procrustes(text, vision, nth(2))
    assert said == f"whitening 0.0, {DIM} directions"
    captions, pictures = text.side.head(text.table), vision.side.head(vision.table)
    torch.testing.assert_close(captions, pictures[text.train_pairs.caption_concept], atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("number", [0, 5, 8])
@torch.no_grad()
def test_procrustes_rotates_principal_directions(number: int) -> None:
    text, vision = two_sides()
    said = fit_procrustes(text, vision, nth(number))
    whiten, share = list(product(WHITENING, (0.25, 0.5, 1.0)))[number]
    size = max(1, round(share * DIM))
    assert said == f"whitening {whiten}, {size} directions"
    assert (
        not linear(text)[size:].any() and not linear(vision)[size:].any()
    )  # fewer directions than dimensions: the rest is zero
    pairs, captions = text.train_pairs, standard(text)
    target = means_of_pictures(vision)[pairs.caption_concept.tolist()]
    own, other = principal(captions, size, whiten), principal(target, size, whiten)
    other = up_to_sign(linear(vision)[:size], other).double().numpy()
    torch.testing.assert_close(linear(vision)[:size], torch.from_numpy(other).float(), atol=1e-4, rtol=1e-3)
    weight = (pairs.caption_weight / pairs.caption_weight.sum()).double().numpy()
    mapped = captions @ linear(text)[:size].T.double().numpy()
    left, _, right = np.linalg.svd((own @ captions.T * weight) @ (target @ other.T))
    best = captions @ own.T @ (left @ right)
    np.testing.assert_allclose(mapped, best, atol=1e-3)


def test_directions_are_principal_and_more_than_there_are_is_said() -> None:
    rows = torch.randn(50, 4) * torch.tensor([1.0, 5.0, 0.2, 2.0])
    for whiten in WHITENING:
        found = compute_directions(rows, 3, whiten)
        torch.testing.assert_close(
            found, up_to_sign(found, principal(rows.double().numpy(), 3, whiten)), atol=1e-4, rtol=1e-3
        )
    torch.testing.assert_close(
        (rows @ compute_directions(rows, 4, 1.0).T).square().mean(0), torch.ones(4), atol=1e-3, rtol=1e-3
    )
    with pytest.raises(DataError, match="dim is 5, .* its features: 4. Give --head-dim 4"):
        compute_directions(rows, 5, 0.0)


def test_only_names_are_anchors() -> None:
    rows, concepts = find_anchor_rows(tiny_pairs())
    assert rows.tolist() == [0, *range(2, 17)]  # row 1 is a second caption of concept 0 in the first language
    assert concepts.tolist() == 2 * list(range(8))


def test_a_relative_head_keeps_the_nearest_and_their_power() -> None:
    head = RelativeHead(2, 4)
    head.measure(torch.tensor([[1.0, 1.0], [-1.0, 1.0]]))
    assert head.mean.tolist() == [0.0, 1.0]
    head.anchors.copy_(
        torch.tensor([[2.0, 1.0], [3.0, 4.0], [0.0, 3.0], [-5.0, 1.0]])
    )  # around the mean: cosines with (1, 0) are 1, 0.707, 0, -1
    head.nearest.fill_(4)
    asked = torch.tensor([[7.0, 1.0]])
    half = 0.5**0.5
    torch.testing.assert_close(head(asked), torch.tensor([[1.0, half, 0, 0]]) / 1.5**0.5)
    head.power.fill_(2.0)
    torch.testing.assert_close(head(asked), torch.tensor([[1.0, 0.5, 0, 0]]) / 1.25**0.5)
    head.nearest.fill_(1)
    torch.testing.assert_close(head(asked), torch.tensor([[1.0, 0, 0, 0]]))


@pytest.mark.parametrize("number", [0, 13, 19])
def test_relative_anchors_and_constants(number: int) -> None:
    text_table, image_table = torch.randn(17, TEXT_WIDTH), torch.randn(9, IMAGE_WIDTH)
    text, vision = data(RelativeHead(TEXT_WIDTH, 16), text_table), data(RelativeHead(IMAGE_WIDTH, 16), image_table)
    said = fit_relative(text, vision, nth(number))
    share, power = list(product(NEAREST, POWERS))[number]
    nearest = max(1, round(share * 16))
    assert said == f"16 anchors, the nearest {nearest} count, power {power:g}"
    for side in (text.side.head, vision.side.head):
        assert (int(side.nearest), float(side.power)) == (nearest, power)
    rows, concepts = find_anchor_rows(tiny_pairs())
    assert torch.equal(text.side.head.anchors, text_table[rows])
    torch.testing.assert_close(vision.side.head.anchors[0], (image_table[0] + image_table[8]) / 2)
    assert torch.equal(vision.side.head.anchors[1:8], image_table[1:8])


@pytest.mark.parametrize("solve", [fit_ridge, fit_procrustes])
@torch.no_grad()
def test_what_is_kept_is_what_the_value_was_highest_for(solve: Callable[..., str]) -> None:
    """Not the last candidate, and the heads hold the best one's weights again."""
    text, vision = two_sides()
    seen: list[tuple[Tensor, Tensor]] = []

    def value() -> float:
        seen.append((linear(text).clone(), linear(vision).clone()))
        return -abs(len(seen) - 4.0)

    solve(text, vision, value)
    assert len(seen) > 4 and not torch.equal(seen[3][0], seen[-2][0])
    assert torch.equal(linear(text), seen[3][0]) and torch.equal(linear(vision), seen[3][1])


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("toy")
    corpus = str(write_corpus(folder / "corpus"))
    return {
        "corpus": corpus,
        "text": write_text_encoder(folder / "text"),
        "vision": write_vision_tower(folder / "vision"),
    }


@pytest.mark.parametrize("method", ["ridge", "procrustes", "asif"])
def test_closed_forms_reach_above_chance_and_come_back(toy: dict[str, str], method: str, tmp_path: Path) -> None:
    recipe = ModelConfig(text_encoder=toy["text"], vision_tower=toy["vision"], method=method, dim=16)
    languages = [resolve_language("sw"), resolve_language("en")]
    run = AlignConfig(
        languages=languages, recipe=recipe, out=tmp_path / "run", corpus=toy["corpus"], heads=QUICK, towers=QUICK
    )
    align(run)
    (line,) = [json.loads(text) for text in (run.out / "log.jsonl").read_text("utf-8").splitlines()]
    assert line["phase"] == "solve" and line["chosen"]
    held_out = make_training_pairs(load_corpus(toy["corpus"]), languages, "validation", NAMES)
    assert (
        line["validation"] > sum(min(1.0, k / len(held_out.images)) for k in (1, 5, 10)) / 3
    )  # 6 pictures: recall@10 is 1 for everyone
    aligner = load_model(run.out)
    train = make_training_pairs(load_corpus(toy["corpus"]), languages, "train", SamplingConfig())
    names, concepts = find_anchor_rows(train)
    if method == "asif":
        assert aligner.config.anchors == len(names) == 2 * 12
        assert aligner.counts()["trained_parameters"] == 0
    vectors = aligner.encode_text(train.captions)
    assert vectors.isfinite().all() and vectors.norm(dim=1).max().item() == pytest.approx(1, abs=1e-4)
    align(dataclasses.replace(run, out=tmp_path / "again"))
    assert torch.equal(
        load_model(tmp_path / "again").encode_text(train.captions), vectors
    )  # nothing is drawn by chance
    nearest = (vectors[names] @ aligner.vision.embed(train.images, "pictures", keep=False).T).argmax(1)
    assert train.image_rows.shape == (12, 1) and train.image_rows[:, 0].tolist() == list(range(12))
    assert (nearest == concepts).float().mean() > 3 / 12  # of what it was fitted to it knows more than chance


def test_fewer_pictures_than_features() -> None:
    torch.manual_seed(3)
    rows = torch.randn(4, 64).repeat(6, 1) * 1e3
    found = compute_directions(rows, 16, 0.5)
    assert found.shape == (16, 64) and found.isfinite().all()
