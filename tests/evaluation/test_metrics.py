"""Metrics against public definitions, slow definitions and hand-made matrices.

Protocols with models whose score is known.
"""

import pytest

pytest.importorskip("clip_benchmark")
pytest.importorskip("sklearn")

import numpy as np
import torch
from clip_benchmark.metrics import zeroshot_retrieval as public
from sklearn.metrics import label_ranking_average_precision_score, ndcg_score
from torch.nn.functional import normalize

from polyclip.errors import DataError, WeightsError
from polyclip.evaluation import metrics
from polyclip.evaluation.metrics import (
    PER_QUERY,
    Bootstrap,
    Chance,
    compute_chance_recall,
    compute_query_metrics,
    compute_ranks,
    ndcg,
    rank_positives,
    recall,
)
from polyclip.evaluation.results import PerQueryScore, Score
from polyclip.evaluation.retrieval import Items, score_both_directions

FACTS = {"benchmark": "b", "protocol": "p", "split": "test", "language": "xx", "seen": True}


def slow_places(query: torch.Tensor, gallery: torch.Tensor, key: int, keys: list[int]) -> list[int]:
    """Sort the whole list, the others first where equal."""
    order = sorted((-float(query @ item), k == key) for item, k in zip(gallery, keys, strict=True))
    return [place for place, (_, own) in enumerate(order) if own]


def test_places_are_their_definition_with_several_positives_and_ties() -> None:
    query, gallery = (
        torch.randint(-2, 3, (60, 3)).float(),
        torch.randint(-2, 3, (40, 3)).float(),
    )  # exact, and full of ties
    keys, own = [i % 9 if i < 36 else 9 for i in range(40)], [i % 10 for i in range(60)]
    found = rank_positives(query, gallery, torch.tensor(own), torch.tensor(keys))
    slow = [slow_places(q, gallery, k, keys) for q, k in zip(query, own, strict=True)]
    assert found.tolist() == [places + [40] * (found.shape[1] - len(places)) for places in slow]
    assert torch.equal(compute_ranks(query, gallery, torch.tensor(own), torch.tensor(keys)), found[:, 0])
    assert rank_positives(query, gallery, torch.tensor(own), torch.tensor(keys), 2).tolist() == found[:, :2].tolist()


def test_hand_made_ranks() -> None:
    gallery = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    query = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert compute_ranks(query, gallery, torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2])).tolist() == [0, 1, 2]


def test_hand_made_metrics() -> None:
    # three queries among twelve items: own items at places 0 and 2; 3 alone; 10 and 11
    found, positives = torch.tensor([[0, 2], [3, 12], [10, 11]]), torch.tensor([2, 1, 2])
    gain = ndcg(found, positives)
    assert gain.tolist() == pytest.approx([(1 + 1 / 2) / (1 + 1 / np.log2(3)), 1 / np.log2(5), 0])
    table = dict(zip(PER_QUERY, compute_query_metrics(found[:, 0].numpy(), gain.numpy()).T.tolist(), strict=True))
    assert (table["recall@1"], table["recall@5"], table["recall@10"]) == ([1, 0, 0], [1, 1, 0], [1, 1, 0])
    assert table["mean_recall"] == pytest.approx([1, 2 / 3, 0]) and table["mrr"] == pytest.approx([1, 1 / 4, 1 / 11])


@pytest.mark.parametrize("captions", [1, 3])
def test_recall_is_clip_benchmarks_to_the_last_digit(captions: int) -> None:
    text, image = normalize(torch.randn(70 * captions, 24), dim=1), normalize(torch.randn(70, 24), dim=1)
    own, keys = torch.arange(70).repeat_interleave(captions), torch.arange(70)
    scores = text @ image.T
    assert all(len(row.unique()) == len(row) for row in (*scores, *scores.T)), "without ties"
    positive = own[:, None] == keys
    t2i, i2t = compute_ranks(text, image, own, keys), compute_ranks(image, text, keys, own)
    for k in (1, 5, 10):
        theirs = [
            (public.recall_at_k(table, true, k) > 0).float().mean().item()
            for table, true in ((scores, positive), (scores.T, positive.T))
        ]
        assert [recall(t2i, k).mean().item(), recall(i2t, k).mean().item()] == theirs
        assert 0 < theirs[0] < 1


@pytest.mark.parametrize("captions", [1, 4, 15])
def test_ndcg_and_mrr_are_scikit_learns(captions: int) -> None:
    text, image = normalize(torch.randn(30 * captions, 8), dim=1), normalize(torch.randn(30, 8), dim=1)
    own, keys = torch.arange(30).repeat_interleave(captions), torch.arange(30)
    found = rank_positives(image, text, keys, own)
    scores, relevant = (image @ text.T).numpy(), (keys[:, None] == own).numpy()
    assert ndcg(found, torch.full((30,), captions)).mean().item() == pytest.approx(
        ndcg_score(relevant, scores, k=10), abs=1e-6
    )
    first = np.zeros_like(relevant)  # of several positives, the reciprocal rank knows the nearest alone
    first[np.arange(30), np.where(relevant, scores, -9).argmax(1)] = True
    alone = np.where(relevant & ~first, -9, scores)
    mrr = compute_query_metrics(found[:, 0].numpy(), np.zeros(30))[:, PER_QUERY.index("mrr")].mean()
    assert mrr == pytest.approx(label_ranking_average_precision_score(first, alone))


def test_ties_count_against_the_model_whatever_the_hardware_rounds() -> None:
    constant = normalize(torch.randn(1, 384), dim=1)
    for queries, items in (
        (50, 50),
        (1, 3607),
        (7, 1003),
    ):  # a single query takes another way through the matrix product
        found = compute_ranks(
            constant.repeat(queries, 1), constant.repeat(items, 1), torch.arange(queries), torch.arange(items)
        )
        assert found.tolist() == [items - 1] * queries
    other = compute_ranks(
        normalize(torch.randn(5, 384), dim=1), constant.repeat(3607, 1), torch.arange(5), torch.arange(3607)
    )
    assert other.tolist() == [3606] * 5


def test_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    query, gallery = torch.randint(-9, 9, (100, 3)).float(), torch.randint(-9, 9, (11, 3)).float()
    arguments = (query, gallery, torch.arange(100) % 4, torch.arange(11) % 4)
    whole = rank_positives(*arguments)
    monkeypatch.setattr(metrics, "CELLS", 11 * 7)
    assert torch.equal(whole, rank_positives(*arguments))


def test_no_whole_matrix_is_ever_held(monkeypatch: pytest.MonkeyPatch) -> None:
    held = []
    block = metrics._block
    monkeypatch.setattr(
        metrics, "_block", lambda similarity, *rest: held.append(similarity.numel()) or block(similarity, *rest)
    )
    monkeypatch.setattr(metrics, "CELLS", 1000)
    compute_ranks(torch.randn(5000, 2), torch.randn(30, 2), torch.arange(5000) % 30, torch.arange(30))
    assert sum(held) == 5000 * 30 and max(held) <= 1000


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    query = torch.tensor([[1.0, bad]])
    with pytest.raises(ValueError, match="finite query"):
        compute_ranks(query, torch.ones(1, 2), torch.tensor([0]), torch.tensor([0]))


def test_a_query_without_item_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 queries have no item"):
        compute_ranks(torch.ones(2, 2), torch.ones(1, 2), torch.tensor([0, 5]), torch.tensor([0]))


def test_chance_is_what_random_orders_score() -> None:
    positives = torch.tensor([1, 1, 3, 12])  # four queries among 40 items
    chance = Chance(positives, 40)
    orders = np.argsort(np.random.default_rng(0).random((20_000, 40)), axis=1)
    scored = [(torch.from_numpy(np.sort(orders[:, :own], axis=1)), own) for own in positives.tolist()]
    drawn = np.mean(
        [
            compute_query_metrics(found[:, 0].numpy(), ndcg(found, torch.full((20_000,), own)).numpy()).mean(0)
            for found, own in scored
        ],
        axis=0,
    )
    assert drawn == pytest.approx(chance.per_query(), abs=0.005)
    first = np.concatenate([found[:, 0].numpy() for found, _ in scored])
    assert (np.median(first) + 1) / 40 == pytest.approx(chance.median(), abs=1 / 40)
    assert (
        Chance(torch.tensor([2, 2]), 50).recall(5)
        == pytest.approx(compute_chance_recall(2.0, 50, 5))
        == pytest.approx(1 - (45 * 44) / (50 * 49))
    )


def table(scores: list[Score], direction: str = "text_to_image") -> dict[str, Score]:
    return {score.metric: score for score in scores if score.direction == direction}


def scored(text: torch.Tensor, image: torch.Tensor, captions: int = 1) -> list[Score]:
    """Where caption i belongs to image i // captions."""
    own, keys = [str(i // captions) for i in range(len(text))], [str(i) for i in range(len(image))]
    return score_both_directions(Items(text, own, own), Items(image, keys, keys), **FACTS)


def test_a_perfect_model_scores_one() -> None:
    for direction in ("text_to_image", "image_to_text"):
        found = table(scored(torch.eye(20), torch.eye(20)), direction)
        assert [found[metric].value for metric in PER_QUERY] == [1.0] * 6 and found["median_rank"].value == 1 / 20
        assert found["recall@5"].chance == pytest.approx(5 / 20) and found["median_rank"].chance == 0.5
        assert found["mrr"].chance == pytest.approx(sum(1 / n for n in range(1, 21)) / 20)
    several = table(scored(torch.eye(20).repeat_interleave(12, 0), torch.eye(20), 12), "image_to_text")
    assert several["ndcg@10"].value == 1.0 and several["recall@1"].chance == pytest.approx(1 / 20)


def test_a_constant_model_is_at_the_bottom_and_a_permuted_one_too() -> None:
    constant = normalize(torch.randn(1, 384), dim=1)
    for direction in ("text_to_image", "image_to_text"):
        found = table(scored(constant.repeat(60, 1), constant.repeat(30, 1), 2), direction)
        assert {found[metric].value for metric in PER_QUERY if metric != "mrr"} == {0.0} and found[
            "median_rank"
        ].value > 0.95
        assert found["mrr"].value < found["mrr"].chance / 2
        permuted = table(scored(torch.eye(30).roll(1, 0), torch.eye(30)), direction)
        assert {permuted[metric].value for metric in PER_QUERY if metric != "mrr"} == {0.0}, (
            "perfect vectors under another's name find nothing"
        )


def test_a_random_model_scores_chance_within_its_interval() -> None:
    found = scored(normalize(torch.randn(1200, 96), dim=1), normalize(torch.randn(400, 96), dim=1), 3)
    for score in found:
        assert (
            score.low - 0.01 <= score.chance <= score.high + 0.01 and 0 <= score.low <= score.value <= score.high <= 1
        ), score


def test_vectors_of_any_length_score_as_their_directions() -> None:
    text, image = normalize(torch.randn(60, 5), dim=1), normalize(torch.randn(30, 5), dim=1)
    longer = scored(text * (1 + torch.rand(60, 1)), image * (0.1 + 9 * torch.rand(30, 1)), 2)
    assert longer == scored(text, image, 2)
    biased = image * (1 + 9 * torch.arange(30)[:, None])  # by dot product the last image would win
    assert table(scored(text, biased, 2)) == table(scored(text, image, 2))


@pytest.mark.parametrize(("bad", "side"), [(float("nan"), "captions"), (float("inf"), "images"), (0.0, "images")])
def test_vectors_without_a_direction_are_refused(bad: float, side: str) -> None:
    text, image = torch.eye(4), torch.eye(4)
    (text if side == "captions" else image)[2] = bad
    with pytest.raises(
        WeightsError, match=f"b, xx: {side}: 1 of 4 embeddings are not finite or all zero, the first is that of '2'"
    ):
        scored(text, image)


def test_sides_that_share_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="none of 2 captions belongs to any of 2 images"):
        score_both_directions(
            Items(torch.eye(2), ["a", "b"], ["a", "b"]), Items(torch.eye(2), ["c", "d"], ["c", "d"]), **FACTS
        )


def test_pictures_without_caption_stay_in_the_gallery_but_are_no_queries() -> None:
    text = Items(torch.eye(4)[:2], ["a", "b"], ["a", "b"])
    image = Items(torch.eye(4), list("abcd"), list("abcd"))
    scores = score_both_directions(text, image, **FACTS)
    by_direction = {s.direction: (s.queries, s.gallery) for s in scores}
    assert by_direction == {"text_to_image": (2, 4), "image_to_text": (2, 2)}


def test_scores_remember_their_queries() -> None:
    scores = scored(torch.eye(6).roll(1, 0), torch.eye(6), 1)
    assert all(isinstance(score, PerQueryScore) for score in scores)
    outcome = scores[0].outcome  # type: ignore[attr-defined]
    assert outcome.rank.tolist() == [5] * 6 and outcome.cluster == tuple("012345") and outcome.gallery == 6


def test_interval_of_clusters_is_wider_than_of_independent_queries() -> None:
    rng = np.random.default_rng(0)
    value = np.repeat(rng.integers(0, 2, 40), 10).astype(float)[:, None]
    cluster = [i // 10 for i in range(400)]
    clustered, single = (Bootstrap(c).mean(value) for c in (cluster, range(400)))
    width = [float((high - low)[0]) for low, high in (clustered, single)]
    assert width[0] > 2.5 * width[1]
    assert width[0] == pytest.approx(2 * 1.96 * value.std() / 40**0.5, rel=0.15)


def test_bootstrap_median_brackets_the_median(monkeypatch: pytest.MonkeyPatch) -> None:
    value = np.arange(101.0)
    low, high = Bootstrap(range(101)).median(value)
    assert 25 < low < 50 < high < 75
    monkeypatch.setattr(metrics, "CELLS", 101 * 4 * 3)
    assert Bootstrap(range(101)).median(value) == (low, high)


def test_gain_in_a_gallery_smaller_than_its_depth_is_at_most_one() -> None:
    """Two queries, one with a single own item among three: the place that it lacks is no place found."""
    items, keys = torch.eye(3), torch.tensor([0, 1, 1])
    found = rank_positives(torch.tensor([[1.0, 0, 0], [0, 1, 1]]), items, torch.tensor([0, 1]), keys)
    assert ndcg(found, torch.tensor([1, 2])).tolist() == [1.0, 1.0]


def test_distinct_rows_are_found_whatever_they_begin_with() -> None:
    rows = torch.tensor([[1.0, 2.0], [1.0, 3.0], [0.0, 4.0]])
    for some in (rows, rows[1:]):
        found, place = metrics.find_distinct(some)
        assert place is None and torch.equal(found, some)
    distinct, place = metrics.find_distinct(rows[[0, 1, 0]])
    assert place is not None and len(distinct) == 2
    assert torch.equal(distinct[place], rows[[0, 1, 0]])


@pytest.mark.parametrize("per_cluster", [1, 60])  # whose counts fit into 16 bits, and do not
def test_a_resample_of_any_size_has_its_own_median(per_cluster: int) -> None:
    value = np.random.default_rng(0).integers(0, 50, 600 * per_cluster).astype(float)
    bootstrap = metrics.Bootstrap(np.repeat(np.arange(600), per_cluster).tolist(), draws=20)
    assert (bootstrap._choose_counter() is np.int16) == (per_cluster == 1)
    medians = []
    for weight in bootstrap.weights.astype(int):
        drawn = np.sort(np.repeat(value, weight[bootstrap.index]))
        medians.append(drawn[(len(drawn) - 1) // 2])
    low, high = bootstrap.median(value)
    assert (low, high) == tuple(np.percentile(medians, [2.5, 97.5]))
