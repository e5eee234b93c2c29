"""Recalls that say nothing are not shown, and a test says which cannot be told apart from a random ranking."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import binom

from polyclip.evaluation.chance import (
    compute_chance_p,
    describe_chance,
    distribute_hits,
    is_at_chance,
    is_telling,
    list_telling,
)
from polyclip.evaluation.pooling import pool_reports
from polyclip.evaluation.results import PerQueryScore, Score
from polyclip.evaluation.retrieval import BenchmarkReport, Items, score_both_directions

FACTS = {"benchmark": "b", "protocol": "p", "split": "test", "language": "sw", "seen": True}


def score(metric: str, chance: float, low: float = 0.5, p: float | None = None) -> Score:
    facts = FACTS | {"direction": "text_to_image", "metric": metric, "queries": 10, "gallery": 10}
    return Score(value=0.6, low=low, high=1.0, chance=chance, p_chance=p, **facts)


@pytest.mark.parametrize(
    ("gallery", "shown"), [(10, [1]), (49, [1]), (50, [1, 5]), (99, [1, 5]), (100, [1, 5, 10]), (5, [1])]
)
def test_a_large_part_of_the_gallery_is_not_shown(gallery: int, shown: list[int]) -> None:
    scores = [score(f"recall@{k}", min(1.0, k / gallery)) for k in (1, 5, 10)]
    assert list_telling(scores) == tuple(f"recall@{k}" for k in shown)


def test_several_captions_of_an_image_raise_the_chance_and_with_it_the_bar() -> None:
    """100 captions of 50 images: a random ranking finds one of two own captions among ten in 19 % of the queries."""
    assert not is_telling(score("recall@10", 1 - 90 * 89 / (100 * 99))) and is_telling(score("recall@10", 0.1))


def test_p_is_that_of_the_binomial_distribution() -> None:
    hits = np.array([1.0] * 7 + [0.0] * 33)
    alone = [str(number) for number in range(40)]
    assert compute_chance_p(hits, alone, 0.1) == pytest.approx(binom.sf(6, 40, 0.1), abs=1e-12)
    assert compute_chance_p(np.zeros(40), alone, 0.1) == 1.0
    assert compute_chance_p(np.ones(40), alone, 0.1) < 1e-12


def test_captions_of_one_image_count_as_one_trial() -> None:
    hits = np.repeat([1.0] * 4 + [0.0] * 16, 3)
    clusters = [str(number) for number in np.repeat(np.arange(20), 3)]
    assert compute_chance_p(hits, clusters, 0.1) == pytest.approx(binom.sf(3, 20, 0.1), abs=1e-12)
    alone = [str(number) for number in range(60)]
    assert compute_chance_p(hits, alone, 0.1) < compute_chance_p(hits, clusters, 0.1) / 5


def test_clusters_of_several_sizes_and_chances() -> None:
    """One image with two captions and one with one: at least two hits of three require the first."""
    p = compute_chance_p(np.array([1.0, 1.0, 0.0]), ["a", "a", "b"], np.array([0.3, 0.3, 0.2]))
    assert p == pytest.approx(0.3, abs=1e-12)


def random_scores(seed: int, captions: int = 1) -> list[Score]:
    generator = torch.Generator().manual_seed(seed)
    keys = [str(number) for number in range(20)]
    image = torch.randn(20, 8, generator=generator)
    text = torch.randn(20, 8, generator=generator).repeat_interleave(captions, 0)  # captions of an image are the same
    own = [key for key in keys for _ in range(captions)]
    return score_both_directions(Items(text, own, own), Items(image, keys, keys), **FACTS)


@pytest.mark.parametrize("captions", [1, 3])
def test_random_models_are_seldom_taken_for_better_ones(captions: int) -> None:
    found = [random_scores(seed, captions)[0] for seed in range(300)]
    assert {one.metric for one in found} == {"recall@1"}
    assert np.mean([one.p_chance < 0.025 for one in found]) <= 0.04
    assert np.mean([not is_at_chance(one) for one in found]) <= 0.04


def test_a_perfect_model_is_above_chance_and_a_constant_one_is_not() -> None:
    keys = [str(number) for number in range(20)]
    perfect = score_both_directions(Items(torch.eye(20), keys, keys), Items(torch.eye(20), keys, keys), **FACTS)
    assert not any(is_at_chance(one) for one in perfect if one.metric.startswith("recall"))
    constant = Items(torch.ones(20, 3), keys, keys)
    assert all(
        is_at_chance(one) for one in score_both_directions(constant, constant, **FACTS) if "recall@" in one.metric
    )
    assert {one.metric for one in perfect if one.p_chance is not None} == {"recall@1", "recall@5", "recall@10"}


def test_scores_of_older_results_are_judged_by_their_interval() -> None:
    assert is_at_chance(score("recall@1", 0.1, low=0.1)) and not is_at_chance(score("recall@1", 0.1, low=0.11))
    assert is_at_chance(score("recall@1", 0.1, low=0.11, p=0.03))


def test_only_languages_without_any_recall_above_chance_are_named() -> None:
    weak, good = score("recall@1", 0.1, low=0.0, p=0.5), score("recall@5", 0.1, p=0.001)
    assert describe_chance([weak], ["sw"]) == ["sw"] and describe_chance([weak], ["en"]) == []
    assert describe_chance([weak, good], ["sw"]) == []
    assert describe_chance([weak, replace(good, metric="recall@10", chance=1.0)], ["sw"]) == ["sw"]


def fold(size: int, right: int, language: str = "sw") -> BenchmarkReport:
    """A gallery in which the first `right` of `size` captions find their image first and the others last."""
    keys = [f"{size} {number}" for number in range(size)]
    image = torch.eye(size)
    text = torch.cat([image[:right], -image[right:]]) if right < size else image
    found = score_both_directions(Items(text, keys, keys), Items(image, keys, keys), **FACTS | {"language": language})
    return BenchmarkReport(found, {"captions": size, "pictures": size}, ["a note"])


def test_pooled_scores_count_each_query_once() -> None:
    report = pool_reports([fold(12, 6), fold(14, 14), fold(13, 0)], ["sw", "ha"])
    first = report.scores[0]
    assert (first.metric, first.protocol, first.queries, first.gallery) == ("recall@1", "p, 3 folds", 39, 13)
    assert first.value == pytest.approx(20 / 39) and first.chance == pytest.approx(3 / 39)
    assert report.counts == {"captions": 39, "pictures": 39}
    assert report.without == ["ha"] and report.notes == ["a note", "without score, no captions: ha"]
    assert isinstance(first, PerQueryScore) and len(first.outcome.rank) == 39 == len(set(first.outcome.cluster))
    median = next(one for one in report.scores if one.metric == "median_rank")
    assert median.low <= median.value <= median.high


def test_intervals_of_pooled_scores_respect_that_folds_differ() -> None:
    """As many hits: in folds that differ the interval is wider than in folds that do not."""
    same = pool_reports([fold(12, 6), fold(13, 6), fold(14, 6)], ["sw"]).scores[0]
    apart = pool_reports([fold(12, 0), fold(13, 4), fold(14, 14)], ["sw"]).scores[0]
    assert same.value == apart.value == pytest.approx(18 / 39)
    assert apart.high - apart.low > 1.5 * (same.high - same.low)
    assert same.low < same.value < same.high


def test_a_language_that_one_fold_lacks_is_pooled_over_the_others() -> None:
    both = fold(12, 12)
    both.scores.extend(fold(12, 6, "ha").scores)
    found = {
        one.language: one for one in pool_reports([both, fold(13, 13)], ["sw", "ha"]).scores if one.metric == "recall@1"
    }
    assert found["sw"].queries == 25 and found["ha"].queries == 12 and found["ha"].value == 0.5


def test_languages_that_name_the_same_share_the_distribution() -> None:
    clusters = [f"shared {number}" for number in range(30)]
    before = distribute_hits.cache_info()
    few, many = (compute_chance_p((np.arange(30) < hits).astype(float), clusters, 0.25) for hits in (5, 12))
    after = distribute_hits.cache_info()
    assert (after.misses - before.misses, after.hits - before.hits) == (1, 1)
    assert (few, many) == (pytest.approx(binom.sf(4, 30, 0.25)), pytest.approx(binom.sf(11, 30, 0.25)))
    assert compute_chance_p((np.arange(30) < 5).astype(float), clusters, 0.2) == pytest.approx(binom.sf(4, 30, 0.2))
