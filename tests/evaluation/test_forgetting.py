"""What an alignment leaves of what the towers knew, and the gate on it."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from polyclip.data.corpus import load_corpus
from polyclip.data.types import Row
from polyclip.errors import DataError
from polyclip.evaluation import forgetting
from polyclip.evaluation.results import Retention
from polyclip.models.aligner import PolyCLIP
from polyclip.models.config import ModelConfig
from polyclip.report.table import describe_forgetting
from tests.command import polyclip
from tests.toy import write_corpus, write_text_encoder, write_vision_tower


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("toy")
    towers = {"text": write_text_encoder(folder / "text"), "vision": write_vision_tower(folder / "vision")}
    return towers | {
        "corpus": str(write_corpus(folder / "corpus", french=True)),
        "plain": str(write_corpus(folder / "plain")),
    }


def rows_of(*codes: str) -> dict[str, list[Row]]:
    return {code: [Row(f"c{n}", f"g{n}", "", code, (f"name {n}",)) for n in range(3)] for code in codes}


def test_a_name_finds_its_own_in_the_pivot_or_not_by_hand() -> None:
    pivot = torch.eye(3)
    asked = torch.tensor([[1.0, 0, 0], [0, 0, 1], [0, 0, 1]])  # the second is nearest to the third
    hits = forgetting.find_pivot_hits({"fr": pivot, "de": asked}, rows_of("fr", "de"), ["de"], "fr")
    assert hits.tolist() == [1, 0, 1]


def test_a_constant_encoder_finds_nothing() -> None:
    same = torch.ones(3, 4)
    assert forgetting.find_pivot_hits({"fr": same, "de": same}, rows_of("fr", "de"), ["de"], "fr").sum() == 0


def test_names_the_pivot_lacks_are_no_queries() -> None:
    rows = rows_of("fr", "de") | {"fr": rows_of("fr")["fr"][:2]}
    hits = forgetting.find_pivot_hits({"fr": torch.eye(3)[:2], "de": torch.eye(3)}, rows, ["de"], "fr")
    assert hits.tolist() == [1, 1]


def test_an_encoder_in_which_nothing_was_trained_is_asked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def count(found: Any, rows: Any, codes: list[str], pivot: str) -> torch.Tensor:
        asked.append(f"{'+'.join(codes)} -> {pivot}")
        return torch.ones(3 * len(codes))

    monkeypatch.setattr(forgetting, "find_pivot_hits", count)
    monkeypatch.setattr(
        forgetting.feature_cache, "encode", lambda tower, names, what, lengths: torch.ones(len(names), 2)
    )
    model = PolyCLIP.__new__(PolyCLIP)
    torch.nn.Module.__init__(model)
    model.text = SimpleNamespace(tower=None, encoder=None, unit=lambda pooled: pooled)  # type: ignore[assignment]
    lines = forgetting.measure_text_retention(model, rows_of("fr", "de", "en", "sw"), frozenset({"en", "sw"}))
    assert [line.part for line in lines] == ["text encoder"] * 3 + ["aligned captions"] * 3
    assert asked == ["en -> fr", "sw -> fr", "de -> fr"] * 2  # before alignment, and of the aligned captions


def test_the_change_is_the_mean_of_differences_within_its_interval() -> None:
    before, after = np.array([1.0, 1, 0, 1]), np.array([1.0, 0, 0, 0])
    line = forgetting.summarize_change("part", "question", before, after, ["a", "b", "c", "d"])
    assert (line.before, line.after, line.change, line.queries) == (0.75, 0.25, -0.5, 4)
    assert line.low <= line.change <= line.high and line.low >= -1 and line.high <= 0
    unchanged = forgetting.summarize_change("part", "question", before, before, ["a", "b", "c", "d"])
    assert (unchanged.change, unchanged.low, unchanged.high) == (0, 0, 0)


def test_towers_left_alone_keep_everything_and_trained_ones_are_measured_as_they_are(toy: dict[str, str]) -> None:
    corpus = load_corpus(toy["corpus"])
    rows = {code: corpus.reader.read(corpus.folder, code, "train") for code in ("sw", "en", "fr", "de")}
    for method in ("heads", "lilt-ln"):
        torch.manual_seed(0)
        aligner = PolyCLIP(
            ModelConfig(text_encoder=toy["text"], vision_tower=toy["vision"], method=method, dim=16)
        ).eval()
        if method == "lilt-ln":
            with torch.no_grad():
                for parameter in aligner.text.encoder.parameters():
                    if parameter.requires_grad:
                        parameter.add_(torch.randn_like(parameter))
        lines = forgetting.compute_retention(aligner, corpus, rows, frozenset({"sw", "en"}), "train")
        encoder = {line.question.split(" ")[0]: line for line in lines if line.part == "text encoder"}
        assert set(encoder) == {"English", "trained", "never"}
        assert all(line.change == 0 for line in encoder.values()) == (method == "heads")
        assert {line.part for line in lines} == {"text encoder", "aligned captions"}
        assert encoder["never"].queries == 12 and "(1) -> fr" in encoder["never"].question


def test_without_a_pivot_nothing_is_said(toy: dict[str, str]) -> None:
    corpus = load_corpus(toy["plain"])
    aligner = PolyCLIP(ModelConfig(text_encoder=toy["text"], vision_tower=toy["vision"], method="heads", dim=16)).eval()
    rows = {code: corpus.reader.read(corpus.folder, code, "train") for code in ("sw", "en")}
    assert forgetting.compute_retention(aligner, corpus, rows, frozenset({"sw", "en"}), "train") == []


def kept(part: str, change: float) -> Retention:
    return Retention(part, "English (1) -> fr, recall@1", 0.5, 0.5 + change, change, change, change, 10)


def test_the_gate_looks_at_the_worst_line_of_text() -> None:
    lines = [kept("text encoder", -0.01), kept("aligned captions", -0.05), kept("vision tower", -0.5)]
    assert describe_forgetting(lines, 5.5) == ""
    assert "aligned captions fell by 5.0 points" in describe_forgetting(lines, 4.9)
    with pytest.raises(DataError, match="nothing to check"):
        describe_forgetting([kept("vision tower", -0.5)], 1.0)


def test_align_says_what_was_kept_and_the_gate_ends_it_with_1(
    toy: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from polyclip.training import scoring_plan

    monkeypatch.setattr(scoring_plan, "list_languages", lambda: ["de", "fr"])
    common = [
        "align",
        "--lang",
        "sw",
        "--method",
        "heads",
        "--corpus",
        toy["corpus"],
        "--text-encoder",
        toy["text"],
        "--vision-tower",
        toy["vision"],
    ]
    said = polyclip(*common, "--head-dim", 8, "--epochs", 1, "--out", tmp_path / "run", "--max-drop", 100)
    assert said.code == 0, said.err
    assert "retention:" in said.out and "aligned captions" in said.out
    lines = json.loads((tmp_path / "run" / "knowledge.json").read_text("utf-8"))["knowledge"]
    assert {line["part"] for line in lines} == {"text encoder", "aligned captions"}
    assert "knowledge" not in json.loads((tmp_path / "run" / "result.json").read_text("utf-8"))
    monkeypatch.setattr("polyclip.report.table.describe_forgetting", lambda lines, most: f"fell more than {most:g}")
    failed = polyclip(*common, "--head-dim", 8, "--epochs", 1, "--out", tmp_path / "again", "--max-drop", 3)
    assert failed.code == 1 and "fell more than 3" in failed.err
    assert (tmp_path / "again" / "aligner.safetensors").exists()


def test_the_imagenet_classifier_agrees_with_itself_until_its_tower_is_trained(tmp_path: Path) -> None:
    """The real tower, and 40 real images."""
    from polyclip.data.readers import emoji

    corpus = load_corpus("emoji")
    concepts = list(emoji.split_concepts(corpus.folder, "validation"))[:40]
    with pytest.MonkeyPatch.context() as patch:
        few = {concept: emoji.split_concepts(corpus.folder, "validation")[concept] for concept in concepts}
        patch.setattr(corpus.reader, "split_concepts", lambda folder, split: few)
        aligner = PolyCLIP(
            ModelConfig(vision_tower="efficientnet-lite0:,size=96", method="lit-reversed", dim=16)
        ).eval()
        (line,) = forgetting.measure_vision_retention(aligner, corpus, "validation")
        assert (line.after, line.queries) == (1.0, 40)
        with torch.no_grad():
            aligner.vision.encoder.model.conv_head.weight.mul_(-1)
        aligner.vision.train(True)
        (line,) = forgetting.measure_vision_retention(aligner.eval(), corpus, "validation")
        assert line.after < 0.5 and line.change == pytest.approx(line.after - 1)
