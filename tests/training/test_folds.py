"""A small corpus aligned in folds: which run is, what is chosen on what, and what the result says."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch

import polyclip as pc
from polyclip.errors import DataError, PolyclipError, RunError
from polyclip.models import feature_cache
from polyclip.training import folds
from polyclip.training.config import HEADS, AlignConfig
from polyclip.training.folds import Fold, keep_best
from polyclip.training.prepare import Work
from tests.command import polyclip
from tests.toy import write_corpus, write_text_encoder, write_vision_tower


def rewrite(pack: Path, change: Any) -> None:
    """Change each line of a toy corpus; `change` gets its number and its object."""
    path = pack.parent / "captions.jsonl"
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    for number, line in enumerate(lines):
        change(number, line)
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), "utf-8")


@pytest.fixture(scope="module")
def towers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("towers")
    return {
        "text_encoder": write_text_encoder(folder / "text"),
        "vision_tower": write_vision_tower(folder / "vision"),
        "method": "heads",
        "head_dim": 16,
        "epochs": 4,
    }


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> str:
    pack = write_corpus(tmp_path_factory.mktemp("small") / "corpus", french=True)
    rewrite(pack, lambda _, line: line.pop("split"))
    return str(pack)


@pytest.fixture(scope="module")
def runs(corpus: str, towers: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> dict[str, pc.AlignResult]:
    """A run of the default, and one with --final, and how many items each of the two encoded."""
    folder, counts = tmp_path_factory.mktemp("runs"), []
    compute, found = feature_cache.compute, {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("POLYCLIP_CACHE", str(folder / "cache"))

        def counted(tower: Any, missing: Any, what: str, position: int) -> None:
            counts.extend(item if isinstance(item, str) else item.key for chunk, _ in missing for item in chunk)
            compute(tower, missing, what, position)

        patch.setattr(feature_cache, "compute", counted)
        found["usual"] = pc.align("sw", corpus=corpus, output_dir=folder / "usual", **towers)
        assert len(counts) == len(set(counts)), "something was encoded twice"
        counts.clear()
        found["final"] = pc.align("sw", corpus=corpus, output_dir=folder / "final", final=True, **towers)
        assert counts == [], "the second run had to encode again"
    return found


def test_small_corpora_are_tested_in_folds(runs: dict[str, pc.AlignResult]) -> None:
    result = json.loads((runs["usual"].path / "result.json").read_text("utf-8"))
    assert result["schema"] == 1 and result["run"]["folds"] == 5 and result["run"]["final"] is False
    first = result["scores"][0]
    assert first["protocol"] == "pictures, 5 folds" and first["queries"] == 24 and first["gallery"] == 5
    folds = result["origin"]["folds"]
    assert folds["captioned"] == 24 and len(folds["trained_on"]) == 5 and set(folds["trained_on"]) <= {14, 15}
    assert folds["kept"]["trained_on"] < 24 and "folds" in result["origin"]["interval"]
    said = " ".join(result["origin"]["notes"])
    assert f"did not learn from the other {24 - folds['kept']['trained_on']} of 24: --final trains on all" in said
    assert not (runs["usual"].path / "folds").exists() and (runs["usual"].path / "aligner.safetensors").is_file()


def test_the_epoch_is_the_best_on_validation_over_the_folds(runs: dict[str, pc.AlignResult]) -> None:
    for run in runs.values():
        folds = run.result.origin["folds"]
        means = folds["validation"]
        assert len(means) == 5 and folds["kept"]["epochs"] == means.index(max(means))
        lines = [json.loads(line) for line in (run.path / "log.jsonl").read_text().splitlines()]
        assert [line["epoch"] for line in lines] == list(range(folds["kept"]["epochs"] + 1))


def test_final_learns_from_everything_and_says_whose_the_scores_are(runs: dict[str, pc.AlignResult]) -> None:
    usual, final = runs["usual"].result, runs["final"].result
    assert final.origin["folds"]["kept"] == usual.origin["folds"]["kept"] | {"final": True, "trained_on": 24}
    assert [score.value for score in final.scores] == [score.value for score in usual.scores]
    said = " ".join(final.origin["notes"])
    assert "The scores are those of 5 models, each trained on 14 to 15 of 24 captioned images" in said
    assert "trained on all 24 captioned images" in said and "it was not scored itself" in said
    weights = [torch.cat([p.flatten() for p in run.model.text.head.parameters()]) for run in runs.values()]
    assert not torch.equal(*weights)
    line = json.loads((runs["final"].path / "log.jsonl").read_text().splitlines()[0])
    assert "validation" not in line and "recall of trained images" in line


def test_a_final_model_is_not_tested_on_what_it_learnt(runs: dict[str, pc.AlignResult], corpus: str) -> None:
    with pytest.raises(RunError, match="trained on every image of 'toy'"):
        pc.evaluate(runs["final"].path, "held-out", corpus=corpus)
    assert pc.evaluate(runs["usual"].path, "held-out", corpus=corpus, languages="sw").scores


def test_card_and_report_say_that_folds_were_tested(runs: dict[str, pc.AlignResult]) -> None:
    card = (runs["final"].path / "README.md").read_text("utf-8")
    assert "tested by a model that was trained without it" in card and "--folds 5 --final" in card
    assert "recall@10" not in card and "| recall@1 |" in card


def test_the_epoch_of_a_fold_is_the_best_of_the_other_validations() -> None:
    model, work = torch.nn.Linear(1, 1), object.__new__(Work)
    object.__setattr__(work, "aligner", model)
    fold = Fold(work)
    for epoch, values in enumerate(([0.1, 0.2], [0.5, 0.3], [0.4, 0.4])):
        with torch.no_grad():
            model.weight.fill_(epoch)
        keep_best(fold, values, epoch)
    assert fold.epoch == 1 and fold.best == pytest.approx(0.4) and fold.weights["weight"].item() == 1


@dataclass(frozen=True)
class Planned:
    """In place of a phase: which fold it trains."""

    number: int
    resumable: bool = True


def test_a_fold_is_not_chosen_by_the_one_that_validates_on_what_it_tests(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    validation = [[0.1, 0.9, 0.2], [0.1, 0.2, 0.4], [0.1, 0.2, 0.4]]  # of each fold: the first one's likes epoch 1
    run, models = object.__new__(AlignConfig), [torch.nn.Linear(1, 1) for _ in range(3)]
    for key, value in {"out": tmp_path, "folds": 3, "corpus": "toy", "heads": HEADS}.items():
        object.__setattr__(run, key, value)

    def prepare(run: AlignConfig, corpus: str, name: str) -> Work:
        work = object.__new__(Work)
        (tmp_path / folds.FOLDER / name).mkdir(parents=True)
        for key, value in {"aligner": models[int(name) - 1], "run": int(name) - 1, "sides": []}.items():
            object.__setattr__(work, key, value)
        return work

    def train(aligner: torch.nn.Linear, phase: Planned) -> Iterator[dict[str, Any]]:
        for epoch, value in enumerate(validation[phase.number]):
            aligner.weight.data.fill_(epoch)
            yield {"epoch": epoch, "validation": value}

    monkeypatch.setattr(folds, "prepare_part", prepare)
    monkeypatch.setattr(folds, "make_phase", lambda name, settings, work: Planned(work.run))
    monkeypatch.setattr(folds, "train_epochs", train)
    monkeypatch.setattr(folds, "fold_heads", lambda *sides: None)
    found = folds.train_folds(run)
    assert [fold.epoch for fold in found.folds] == [1, 2, 1]  # fold 1 validates on what fold 2 tests
    assert [model.weight.item() for model in models] == [1, 2, 1]
    assert found.epochs == 1 and found.validation == pytest.approx([0.1, 1.3 / 3, 1.0 / 3])


def asked(corpus: str, towers: dict[str, Any], out: Path, *more: object) -> list[object]:
    """Arguments of the command line."""
    pairs = [word for key, value in towers.items() for word in (f"--{key.replace('_', '-')}", value)]
    return ["align", "--lang", "sw", "--corpus", corpus, *pairs, "--out", out, *more]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--folds", 2], "leaves nothing to train on"),
        (["--folds", 1, "--final"], "cannot be combined with --folds 1"),
        (["--folds", 13], "24 captioned images in sw, en; 13 folds require 26"),
        (["--final", "--method", "ridge"], "require a method that trains heads alone by steps"),
        (["--final", "--method", "lilt-ln"], "lilt-ln does not"),
    ],
)
def test_folds_that_cannot_be(
    corpus: str, towers: dict[str, Any], tmp_path: Path, more: list[object], says: str
) -> None:
    own = {key: value for key, value in towers.items() if not ("--method" in more and key in ("method", "epochs"))}
    said = polyclip(*asked(corpus, own, tmp_path / "run", *more))
    assert said.code == 2 and says in " ".join(said.err.split()) and not (tmp_path / "run").exists()


def test_folds_are_refused_with_auto(corpus: str, towers: dict[str, Any], tmp_path: Path) -> None:
    own = {key: value for key, value in towers.items() if key in ("text_encoder", "vision_tower")}
    with pytest.raises(PolyclipError, match="cannot be combined with --method auto"):
        pc.align("sw", corpus=corpus, output_dir=tmp_path / "run", method="auto", time_budget="1m", final=True, **own)


def test_languages_without_test_captions(towers: dict[str, Any], tmp_path: Path) -> None:
    """One split of the corpus' own: a language without test captions is named in table and result, never dropped."""
    pack = write_corpus(tmp_path / "corpus")
    rewrite(pack, lambda _, line: line["captions"].pop("sw") if line["split"] == "test" else None)
    said = polyclip(*asked(str(pack), towers, tmp_path / "run"))
    assert said.code == 0 and "no test captions, so no score: sw" in said.err
    assert "sw Swahili" in said.out and "means without sw" in " ".join(said.out.split())
    assert "recall@1" in said.out and "recall@10" not in said.out
    result = json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))
    assert result["origin"]["without_score"] == ["sw"] and {s["language"] for s in result["scores"]} == {"en"}
    assert "Trained on 12 of 24 captioned images; the other 12 validate and test" in said.out
    assert "--final" in said.out and "folds" not in result["run"]


def test_no_test_split_is_found_before_training(towers: dict[str, Any], tmp_path: Path) -> None:
    pack = write_corpus(tmp_path / "corpus")
    rewrite(pack, lambda _, line: line.update(split="validation" if line["split"] == "test" else line["split"]))
    with pytest.raises(DataError, match="no test captions in sw, en"):
        pc.align("sw", corpus=str(pack), output_dir=tmp_path / "run", folds=1, **towers)
    assert not (tmp_path / "run").exists()
