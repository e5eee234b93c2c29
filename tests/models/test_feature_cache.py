"""The cache of features: computed once, whole or absent, in the order asked for."""

import threading
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from polyclip.core.encode_precision import use_encode_precision
from polyclip.errors import PolyclipError, WeightsError
from polyclip.models import encoding, feature_cache, feature_files
from polyclip.models.backbone import BackboneSpec
from polyclip.models.batches import Meter, plan_batches, run_on_every_core


class Letters(nn.Module):
    """Feature j is how often letter j occurs: "aab" is (2, 1, 0). Counts what it is given."""

    dim, budget = 3, 4

    def __init__(self, bad: bool = False) -> None:
        super().__init__()
        self.seen: list[str] = []
        self.bad = bad

    def costs(self, items: list[str]) -> list[int]:
        return [len(item) for item in items]

    def prepare(self, items: list[str]) -> dict[str, Tensor]:
        self.seen += items
        return {"counts": torch.tensor([[float(item.count(letter)) for letter in "abc"] for item in items])}

    def forward(self, counts: Tensor) -> Tensor:
        return counts / 0 if self.bad else counts


def tower(letters: Letters, identity: str = "one") -> BackboneSpec:
    return BackboneSpec(name="letters", identity=identity, dim=3, parameters=0, embeddings=0, build=lambda: letters)


def test_order_duplicates_and_second_reading(own_cache: Path) -> None:
    letters = Letters()
    texts = ["aab", "c", "aab", "abcabc", "b"]
    wanted = torch.tensor([[2.0, 1, 0], [0, 0, 1], [2, 1, 0], [2, 2, 2], [0, 1, 0]])
    assert torch.equal(feature_cache.encode(tower(letters), texts, "texts"), wanted)
    assert sorted(letters.seen) == ["aab", "abcabc", "b", "c"]
    assert torch.equal(feature_cache.encode(tower(letters), texts, "texts"), wanted)
    assert len(letters.seen) == 4
    feature_cache.encode(tower(letters, "another"), texts, "texts")
    assert len(letters.seen) == 8  # another tower's features are never taken


def test_an_encoder_is_built_once_where_it_is_kept(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []

    def build(spec: BackboneSpec) -> Letters:
        built.append(f"{spec.identity} {encoding.current_encode_precision()}")
        return Letters()

    monkeypatch.setattr(feature_cache, "build_encoder", build)
    with feature_cache.keep_encoders():
        for number, identity in enumerate(("one", "one", "two", "one")):
            feature_cache.encode(tower(Letters(), identity), ["a" * (number + 1)], "texts")
        assert built == ["one fp32", "two fp32"]
        with use_encode_precision("bf16"):
            feature_cache.encode(tower(Letters()), ["abc"], "texts")
        assert built[2:] == ["one bf16"]
    for text in ("b", "bb"):
        feature_cache.encode(tower(Letters()), [text], "texts")
    assert built[3:] == ["one fp32", "one fp32"]


def test_sections_are_found_again_by_another_choice(own_cache: Path) -> None:
    letters = Letters()
    english, swahili, telugu = ["a", "b", "aa"], ["c", "a"], ["cc"]
    both = feature_cache.encode(tower(letters), swahili + english, "texts", [2, 3])
    assert torch.equal(both[2:], feature_cache.encode(tower(letters), english, "texts"))
    letters.seen.clear()
    feature_cache.encode(tower(letters), telugu + english, "texts", [1, 3])
    assert letters.seen == ["cc"]


def test_towers_side_by_side_share_what_their_parts_have(own_cache: Path) -> None:
    first, second = Letters(), Letters()
    parts = (tower(first, "one"), tower(second, "two"))
    joined = BackboneSpec(
        name="both", identity="both", dim=6, parameters=0, embeddings=0, build=lambda: None, parts=parts
    )
    feature_cache.encode(parts[0], ["ab", "c"], "texts")
    assert feature_cache.encode(joined, ["ab", "c"], "texts").tolist() == [[1, 1, 0, 1, 1, 0], [0, 0, 1, 0, 0, 1]]
    assert (len(first.seen), len(second.seen)) == (2, 2)


def test_nothing_and_empty_sections(own_cache: Path) -> None:
    assert feature_cache.encode(tower(Letters()), [], "texts").shape == (0, 3)
    assert feature_cache.encode(tower(Letters()), ["a"], "texts", [0, 1, 0]).tolist() == [[1, 0, 0]]


def test_two_programs_share_what_is_missing(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second begins and ends while the first is at its first file: the first then passes over all others."""
    monkeypatch.setattr(feature_files, "CHUNK", 2)
    letters, others, texts = Letters(), Letters(), ["a", "b", "c", "ab", "bc", "ca"]
    encode_items = encoding.encode_items

    def meanwhile(encoder: Letters, items: list[str], meter: Meter) -> Tensor:
        if encoder is letters and not others.seen:
            feature_cache.encode(tower(others), texts, "texts")
        return encode_items(encoder, items, meter)

    monkeypatch.setattr(feature_cache, "encode_items", meanwhile)
    found = feature_cache.encode(tower(letters), texts, "texts")
    assert found.tolist() == [[text.count(letter) for letter in "abc"] for text in texts]
    assert len(letters.seen) == 2 and sorted(others.seen) == sorted(texts)


def test_an_interrupted_run_computes_only_what_is_missing(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feature_files, "CHUNK", 2)
    letters = Letters()
    texts = ["a", "b", "c", "ab", "bc"]
    whole = feature_cache.encode(tower(letters), texts, "texts")
    files = sorted((own_cache / "features").rglob("*.safetensors"))
    assert len(files) == 3
    files[1].unlink()
    letters.seen.clear()
    assert torch.equal(feature_cache.encode(tower(letters), texts, "texts"), whole)
    assert 1 <= len(letters.seen) <= 2


def test_damaged_files_and_values_that_are_not_finite(own_cache: Path) -> None:
    with pytest.raises(WeightsError, match=r"letters gave NaN or infinity for 1 of 1 texts \('a'\)"):
        feature_cache.encode(tower(Letters(bad=True)), ["a"], "texts")
    assert not list(own_cache.rglob("*.safetensors"))
    feature_cache.encode(tower(Letters()), ["a"], "texts")
    (path,) = own_cache.rglob("*.safetensors")
    path.write_bytes(path.read_bytes()[:20])
    with pytest.raises(WeightsError, match="damaged.*polyclip cache clear"):
        feature_cache.encode(tower(Letters()), ["a"], "texts")


def test_a_full_disk_leaves_nothing_half_written(own_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(tensors: object, path: Path) -> None:
        path.write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(feature_cache, "save_file", full)
    with pytest.raises(PolyclipError, match="No space left on device.*Nothing was left half-written"):
        feature_cache.encode(tower(Letters()), ["a"], "texts")
    assert [path for path in own_cache.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize(
    ("costs", "cores", "lengths"),
    [([1] * 6, 2, [3, 3]), ([9] * 5, 1, [5]), ([2] * 9, 4, [3, 3, 3]), ([0], 2, [1]), ([], 2, [])],
)
def test_every_core_gets_as_many_batches(costs: list[int], cores: int, lengths: list[int]) -> None:
    assert [len(batch) for batch in plan_batches(costs, 50, cores)] == lengths


@pytest.mark.parametrize("budget", [1, 7, 100])
def test_batches_hold_every_row_once_within_the_budget(budget: int) -> None:
    costs = [3, 1, 9, 2, 2, 5]
    batches = list(plan_batches(costs, budget, 2))
    assert sorted(row for batch in batches for row in batch) == list(range(6))
    assert all(len(batch) == 1 or len(batch) * max(costs[row] for row in batch) <= budget for batch in batches)


@pytest.mark.parametrize(("batches", "alone"), [([[0, 1]], True), ([[0], [1]], False), ([[0], [1], [2]], False)])
def test_a_batch_alone_has_all_threads(batches: list[list[int]], alone: bool) -> None:
    """A query's: threads of its own would start for it, and all but one of them for nothing."""
    threads, ahead = torch.get_num_threads(), threading.current_thread()
    ran: list[tuple[bool, int, bool]] = []
    met: list[int] = []

    def run(batch: list[int]) -> None:
        ran.append((threading.current_thread() is ahead, torch.get_num_threads(), torch.is_inference_mode_enabled()))

    run_on_every_core(run, iter(batches), met.append)
    assert ran == [(alone, threads if alone else 1, True)] * len(batches)
    assert sum(met) == sum(map(len, batches)) and torch.get_num_threads() == threads


def test_no_batch_is_no_work() -> None:
    run_on_every_core(lambda batch: pytest.fail("nothing to run"), iter(()), lambda rows: pytest.fail("no rows"))
