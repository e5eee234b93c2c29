import numpy as np
import pytest
import torch
from torch.nn.functional import normalize

from polyclip.benchmarks._retrieval import Items, both_directions
from polyclip.metrics import BLOCK, Bootstrap, chance_recall, ranks, recall

FACTS = {"benchmark": "b", "protocol": "p", "split": "test", "language": "xx", "seen": True}


def slow_rank(query: torch.Tensor, gallery: torch.Tensor, key: int, keys: list[int]) -> int:
    """How many items of another key are at least as similar as the best own one."""
    similarity = [float(query @ item) for item in gallery]
    best = max(s for s, k in zip(similarity, keys, strict=True) if k == key)
    return sum(s >= best for s, k in zip(similarity, keys, strict=True) if k != key)


def test_ranks_are_their_definition_with_several_positives() -> None:
    query, gallery = normalize(torch.randn(40, 5), dim=1), normalize(torch.randn(25, 5), dim=1)
    keys = [i % 9 for i in range(25)]
    own = [i % 9 for i in range(40)]
    found = ranks(query, gallery, torch.tensor(own), torch.tensor(keys))
    assert found.tolist() == [slow_rank(q, gallery, k, keys) for q, k in zip(query, own, strict=True)]


def test_hand_made_ranks() -> None:
    gallery = torch.tensor([[1.0, 0.0], [0.8, 0.6], [0.0, 1.0]])
    query = torch.tensor([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    assert ranks(query, gallery, torch.tensor([0, 1, 2]), torch.tensor([0, 1, 2])).tolist() == [0, 1, 2]


def test_ties_count_against_the_model() -> None:
    constant = torch.ones(50, 4) / 2
    found = ranks(constant, constant, torch.arange(50), torch.arange(50))
    assert found.tolist() == [49] * 50
    assert recall(found, 10).mean() == 0


def test_blocks_change_nothing() -> None:
    query, gallery = normalize(torch.randn(BLOCK + 7, 3), dim=1), normalize(torch.randn(11, 3), dim=1)
    key = torch.arange(BLOCK + 7) % 11
    whole = ranks(query, gallery, key, torch.arange(11))
    assert torch.equal(whole[-7:], ranks(query[-7:], gallery, key[-7:], torch.arange(11)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite_are_refused(bad: float) -> None:
    query = torch.tensor([[1.0, bad]])
    with pytest.raises(ValueError, match="finite query"):
        ranks(query, torch.ones(1, 2), torch.tensor([0]), torch.tensor([0]))


def test_a_query_without_item_is_refused() -> None:
    with pytest.raises(ValueError, match="1 of 2 queries have no item"):
        ranks(torch.ones(2, 2), torch.ones(1, 2), torch.tensor([0, 5]), torch.tensor([0]))


def test_chance_is_what_random_vectors_score() -> None:
    generator = torch.Generator().manual_seed(1)
    query, gallery = (normalize(torch.randn(n, 64, generator=generator), dim=1) for n in (4000, 50))
    keys = torch.arange(50) // 2  # two items of each key
    found = recall(ranks(query, gallery, torch.arange(4000) % 25, keys), 5).mean().item()
    assert chance_recall(2.0, 50, 5) == pytest.approx(1 - (45 * 44) / (50 * 49))
    assert found == pytest.approx(chance_recall(2.0, 50, 5), abs=0.03)


def test_perfect_model_scores_one_and_chance_is_k_of_gallery() -> None:
    vectors, keys = torch.eye(20), [str(i) for i in range(20)]
    scores = both_directions(Items(vectors, keys, keys), Items(vectors, keys, keys), **FACTS)
    assert {s.value for s in scores if s.metric != "median_rank"} == {1.0}
    assert [s.chance for s in scores if s.metric == "recall@5"] == [pytest.approx(5 / 20)] * 2
    assert [s.value for s in scores if s.metric == "median_rank"] == [1 / 20] * 2


def test_pictures_without_caption_stay_in_the_gallery_but_are_no_queries() -> None:
    text = Items(torch.eye(4)[:2], ["a", "b"], ["a", "b"])
    image = Items(torch.eye(4), list("abcd"), list("abcd"))
    scores = both_directions(text, image, **FACTS)
    by_direction = {s.direction: (s.queries, s.gallery) for s in scores}
    assert by_direction == {"text_to_image": (2, 4), "image_to_text": (2, 2)}


def test_interval_of_clusters_is_wider_than_of_independent_queries() -> None:
    rng = np.random.default_rng(0)
    value = np.repeat(rng.integers(0, 2, 40), 10).astype(float)[:, None]
    cluster = [i // 10 for i in range(400)]
    clustered, single = (Bootstrap(c).mean(value) for c in (cluster, range(400)))
    width = [float((high - low)[0]) for low, high in (clustered, single)]
    assert width[0] > 2.5 * width[1]
    assert width[0] == pytest.approx(2 * 1.96 * value.std() / 40**0.5, rel=0.15)


def test_bootstrap_median_brackets_the_median() -> None:
    value = np.arange(101.0)
    low, high = Bootstrap(range(101)).median(value)
    assert 25 < low < 50 < high < 75
