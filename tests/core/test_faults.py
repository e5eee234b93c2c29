"""Full disks, killed conversions, damaged caches, bombs, large seeds: one sentence, or the right result."""

import gzip
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import torch
from filelock import FileLock
from safetensors import SafetensorError
from safetensors.torch import save_file

from polyclip.core.gzip import read_gzip
from polyclip.core.randomness import LARGEST, fold_seed
from polyclip.core.storage import PART, hash_file, write_atomically, write_text
from polyclip.errors import DataError, PolyclipError, WeightsError
from polyclip.evaluation.results import PerQueryScore, QueryOutcomes, Result
from polyclip.models.backbone import describe
from polyclip.models.converted_weights import convert_once
from polyclip.models.feature_files import CHUNK, check_states, count_rows, vectors_of
from polyclip.report import per_query
from polyclip.report.per_query import read_outcomes
from polyclip.report.result import write_result
from polyclip.training.options import AlignOptions
from polyclip.training.request import resolve_request
from tests.command import polyclip
from tests.toy import write_corpus, write_text_encoder, write_vision_tower


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device"),
        SafetensorError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_a_full_disk_is_one_sentence_and_leaves_nothing(error: Exception, tmp_path: Path) -> None:
    with pytest.raises(PolyclipError, match=r"^Cannot write features to .*: .*No space left on device"):
        with write_atomically(tmp_path / "a.safetensors", what="features") as temporary:
            temporary.write_bytes(b"half")
            raise error
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(KeyError), write_atomically(tmp_path / "a", what="x"):
        raise KeyError("ours")
    assert list(tmp_path.iterdir()) == []


HALF = """
import sys, time
from pathlib import Path
from polyclip.core.storage import write_atomically
with write_atomically(Path(sys.argv[1]), what="x") as temporary:
    temporary.write_bytes(b"half")
    (temporary.parent / ".tmpA1b2C3").write_bytes(b"of a library")
    print("half", flush=True)
    time.sleep(60)
"""


def test_what_is_being_written_stays_and_what_a_killed_process_left_goes(tmp_path: Path) -> None:
    path, other = tmp_path / "a.json", tmp_path / "b.json"
    running = subprocess.Popen([sys.executable, "-c", HALF, str(path)], stdout=subprocess.PIPE, text=True)
    assert running.stdout is not None and running.stdout.readline() == "half\n"
    old, own = tmp_path / ".c.json.abcd1234.part", tmp_path / ".mine.abcd1234.parts"
    for left in (old, own):
        left.write_bytes(b"left")
    write_text(other, "whole", what="x")
    assert len([left for left in tmp_path.iterdir() if left.suffix == PART]) == 1 and not old.exists() and own.exists()
    running.kill()
    running.wait()
    running.stdout.close()
    write_text(other, "again", what="x")
    assert sorted(left.name for left in tmp_path.iterdir()) == [own.name, "b.json"] and other.read_text() == "again"


def test_a_file_appears_when_nothing_else_is_left(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is killed before the last move has not written the file, and writes beside it again."""
    moves: list[list[str]] = []
    move = Path.replace
    monkeypatch.setattr(
        Path, "replace", lambda a, b: (move(a, b), moves.append(sorted(p.name for p in tmp_path.iterdir())))
    )
    write_text(tmp_path / "a", "whole", what="x")
    assert len(moves) == 2 and all(name.endswith(PART) for name in moves[0]) and moves[1] == ["a"]


def make_result(rank: int) -> Result:
    """A result with one score, of two queries."""
    facts = {"benchmark": "toy", "protocol": "plain", "split": "test", "language": "sw", "seen": True}
    facts |= {"direction": "text_to_image", "gallery": 2}
    ranks = np.array([rank, rank], np.int32)
    outcome = QueryOutcomes(queries="ab", cluster=("a", "b"), rank=ranks, gain=np.ones(2, np.float32), **facts)
    value = {"metric": "recall@1", "value": float(rank == 0), "low": 0.0, "high": 1.0, "chance": 0.5}
    return Result({}, {}, {}, [PerQueryScore(outcome, queries=2, **facts, **value)], {})


@pytest.mark.parametrize("full", ["a.json", "a.ranks.safetensors"])
def test_a_result_and_its_ranks_are_written_both_or_neither(
    full: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.json"

    def refuse(name: Path, *given: object, **named: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        if full == path.name:
            patch.setattr(Path, "write_text", refuse)
        else:
            patch.setattr(per_query, "save_file", refuse)
        with pytest.raises(PolyclipError, match="No space left on device"):
            write_result(path, make_result(0))
        assert list(tmp_path.iterdir()) == []
    write_result(path, make_result(0))
    assert [int(rank) for rank in read_outcomes(path)[0].rank] == [0, 0]
    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", refuse)
        with pytest.raises(PolyclipError, match="No space left on device"):
            write_result(path, make_result(1))
    assert [int(rank) for rank in read_outcomes(path)[0].rank] == [0, 0], "the earlier result is whole"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.json", "a.ranks.safetensors"]


def test_what_safetensors_cannot_write_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(PolyclipError, match="Cannot write features"):
        with write_atomically(tmp_path / "a.safetensors", what="features") as temporary:
            save_file({"x": torch.zeros(10)}, temporary.parent / "missing" / temporary.name)


def test_what_a_killed_conversion_left_is_removed(tmp_path: Path, own_cache: Path) -> None:
    source = tmp_path / "source"
    source.write_bytes(b"weights")
    left = own_cache / "weights" / f".toy-{hash_file(source)[:12]}.abcd" / "whole"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(bytes(1000))
    gone, other = (own_cache / "weights" / name for name in (".gone-123.abcd", ".other-123.abcd"))
    gone.mkdir()
    other.mkdir()

    def convert(path: Path, folder: Path) -> dict[str, object]:
        (folder / "copy").write_bytes(path.read_bytes())
        return {"dim": 3}

    with FileLock(own_cache / "weights" / ".other-123.lock"):  # it is being converted
        found = convert_once("toy", source, hash_file(source), convert)
    assert found.facts == {"dim": 3} and not left.parent.exists() and not gone.exists() and other.exists()
    folders = sorted(path.name for path in (own_cache / "weights").iterdir() if path.is_dir())
    assert folders == [other.name, f"toy-{hash_file(source)[:12]}"]


@pytest.mark.parametrize("rows", [1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK])
def test_files_of_the_cache_have_as_many_rows_as_were_written(rows: int) -> None:
    assert sum(count_rows(torch.arange(rows))) == rows and max(count_rows(torch.arange(rows))) <= CHUNK


def test_damaged_features_are_refused(tmp_path: Path) -> None:
    path, tower = tmp_path / "a.safetensors", describe("towers", "efficientnet-lite0")
    good = torch.ones(5, tower.dim)
    save_file({"vectors": good}, path)
    assert torch.equal(vectors_of(path, tower, 5), good)
    for bad in (good[:4], torch.ones(6, tower.dim), torch.ones(5, 3), good[0], good.half(), good * torch.nan, good / 0):
        save_file({"vectors": bad.contiguous()}, path)
        with pytest.raises(WeightsError, match=r"a\.safetensors holds .*polyclip cache clear"):
            vectors_of(path, tower, 5)
    save_file({"others": good}, path)
    with pytest.raises(WeightsError, match="holds vectors of shape None"):
        vectors_of(path, tower, 5)
    path.write_bytes(b"x" * 100)
    with pytest.raises(WeightsError, match="is damaged"):
        vectors_of(path, tower, 5)


def test_damaged_hidden_states_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    good = {"hidden": torch.ones(7, 3), "hidden.end": torch.tensor([2, 5, 7])}
    save_file(good, path)
    check_states(path, 3)
    bad: list[dict[str, torch.Tensor]] = [{"hidden": good["hidden"]}, good | {"mask": torch.ones(7)}, {}]
    bad += [
        good | {"hidden.end": torch.tensor(ends)} for ends in ([2, 7], [2, 5, 7, 7], [5, 2, 7], [2, 5, 8], [-1, 5, 7])
    ]
    for table in bad:
        save_file(table, path)
        with pytest.raises(
            WeightsError, match=r"a\.safetensors does not hold 3 hidden states\. Run 'polyclip cache clear'"
        ):
            check_states(path, 3)


def test_gzip_bombs_are_stopped_early(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    with gzip.open(path, "wb", compresslevel=9) as handle:
        for _ in range(200):
            handle.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"a\.gz unpacks to more than"):
        read_gzip(path)
    assert tracemalloc.get_traced_memory()[1] < 60_000_000
    tracemalloc.stop()
    path.write_bytes(gzip.compress(b"picha\n" * 1_000_000))
    assert len(read_gzip(path)) == 6_000_000  # repetitive, and small
    with pytest.raises(DataError, match="more than 100 bytes"):
        read_gzip(path, 100)


def test_large_seeds_are_folded_and_small_ones_stay() -> None:
    assert [fold_seed(seed) for seed in (0, 1, 42, LARGEST - 1, -1)] == [0, 1, 42, LARGEST - 1, -1]
    large = [20261128153000, 2**64, 10**30, 2**43, -(10**30)]
    folded = [fold_seed(seed) for seed in large]
    assert len(set(folded)) == len(large) and all(0 <= seed < LARGEST for seed in folded)
    assert all((seed * 1_000_003 + 1_000_000) < 2**63 for seed in (*folded, LARGEST - 1))


@pytest.mark.parametrize("seed", [20261128153000, 2**70])
def test_the_time_of_day_is_a_seed(seed: int, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    (tmp_path / "corpus" / ".#captions.jsonl").symlink_to("nobody@nowhere.1")  # of an editor
    encoders = [
        "--text-encoder",
        write_text_encoder(tmp_path / "t"),
        "--vision-tower",
        write_vision_tower(tmp_path / "v"),
    ]
    command = ["align", "--lang", "sw", "--corpus", corpus, "--method", "heads", *encoders, "--epochs", 1]
    said = polyclip(*command, "--seed", seed, "--out", tmp_path / "run")
    assert said.code == 0, said.err
    assert f'"seed": {seed}' in (tmp_path / "run" / "result.json").read_text("utf-8")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        (option, value)
        for option in ("learning_rate", "weight_decay", "warmup")
        for value in (float("inf"), float("nan"), -1.0, 1e30)
    ]
    + [("learning_rate", 0.0), ("learning_rate", 1e-30), ("warmup", 1.5)],
)
def test_numbers_that_cannot_train_are_refused_first(option: str, value: float) -> None:
    with pytest.raises(PolyclipError, match=f"^--{option.replace('_', '-')} .*expected a number from"):
        resolve_request(AlignOptions(lang=["sw"], **{option: value}))
