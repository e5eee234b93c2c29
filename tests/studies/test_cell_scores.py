"""Photographs as a score of a study's cells: the ranks are those of the benchmark, and a folder is checked first."""

from pathlib import Path
from typing import Any

import pytest
import torch

from polyclip.core.registry import find
from polyclip.errors import DataError
from polyclip.evaluation.retrieval import Request
from polyclip.languages.schema import load_language
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.studies.cell_scores import rank_each, rank_photographs
from polyclip.studies.cells import Cell, list_scores
from polyclip.studies.runner import Results, Setting, find_missing, record_path, run_variants
from polyclip.studies.traces import trace
from tests.command import polyclip
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

STAMPS = Path("/")


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> PolyCLIP:
    """A run on tiny towers with random weights."""
    folder = tmp_path_factory.mktemp("toy")
    towers = ("--text-encoder", write_text_encoder(folder / "text"), "--vision-tower", write_vision_tower(folder / "v"))
    said = polyclip(
        *("align", "--lang", "sw", "--corpus", write_corpus(folder / "corpus"), "--method", "heads", "--epochs", 1),
        *(*towers, "--out", folder / "run"),
    )
    assert said.code == 0, said
    return load_model(folder / "run")


def test_ranks_by_hand() -> None:
    images = torch.eye(4)[:, :3]
    queries = torch.tensor([[0.0, 1.0, 0.0], [0.9, 0.0, 0.1]])
    assert rank_each(queries, images, [1, 2], 4) == [-1, 0, 1, -1]


def test_photographs_are_ranked_as_the_benchmark_ranks_them(toy: PolyCLIP) -> None:
    found = rank_photographs(toy, STAMPS, ("en", "de", "quz"))
    assert set(found["ranks"]) == {"en", "de"} and len(found["groups"]) == len(found["ranks"]["en"]) > 300
    request = Request(languages=[load_language(code) for code in ("en", "de")], data=STAMPS)
    scores = find("benchmarks", "tuxpaint-stamps").score(toy, request).scores
    for code, ranks in found["ranks"].items():
        (score,) = (
            one
            for one in scores
            if (one.language, one.protocol, one.direction, one.metric)
            == (code, "photographs", "text_to_image", "recall@10")
        )
        asked = [rank for rank in ranks if rank >= 0]
        assert score.gallery == len(found["groups"]) and score.queries == len(asked)
        assert score.value == pytest.approx(sum(rank < 10 for rank in asked) / len(asked))


def setting(folder: Path, **changes: Any) -> Setting:
    facts = {"languages": ("sw", "en"), "seeds": 1, "quick": True, "folder": folder, "jobs": 1, "tower": "t"}
    return Setting(**facts | {"asked": ("de",), "methods": ("full",)} | changes)


def test_a_finished_cell_without_photographs_is_scored_again_and_others_are_not(tmp_path: Path) -> None:
    cell = Cell(method="heads", rate=0.0, seed=0, languages=("en",), asked=(), tower="t")
    path = record_path(cell, setting(tmp_path))
    path.parent.mkdir()
    path.write_text('{"validation": 0.5, "ranks": {}}', "utf-8")
    assert find_missing([(cell, True)], setting(tmp_path)) == []
    assert find_missing([(cell, True)], setting(tmp_path, photographs=STAMPS)) == [(cell, True)]
    assert find_missing([(cell, False)], setting(tmp_path, photographs=STAMPS)) == []
    assert list_scores({"ranks": {}, "photographs": {}}, True, STAMPS) == []


def test_a_folder_without_stamps_is_refused_before_anything_is_trained(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="has no stamps"):
        run_variants([], setting(tmp_path, photographs=tmp_path))


def test_studies_that_show_no_photographs_refuse_them(tmp_path: Path) -> None:
    said = polyclip("study", "claims", "--photographs", STAMPS, "--out", tmp_path)
    assert said.code != 0 and "--photographs is for the study convergence" in said.err, said


def test_the_table_has_photographs_where_cells_have_them(tmp_path: Path) -> None:
    study = find("study", "convergence")
    (variant,) = study.plan(setting(tmp_path))
    point = {"phase": "full", "epoch": 1, "validation": 0.5, "processor_seconds": 3.0}
    ranks = {"sw": [0, 20], "en": [0, 1], "de": [30, 1]}
    record = {"cell": {"languages": ["sw", "en"], "seed": 0, "method": "full", "long": {"every": 50}}, "log": [point]}
    record |= {"validation": 0.5, "groups": ["a", "b"], "ranks": ranks, "knowledge": []}
    assert trace(record)
    results = Results(setting(tmp_path), {("full", variant.condition): [record]}, {("full", variant.condition): 1e-4})
    without = study.table(results)
    assert not any("photographs" in column for column in without.columns) and "photographs" not in without.caption
    record["photographs"] = {"groups": ["p", "q", "r"], "ranks": {"en": [0, 5, 50], "de": [-1, 70, 9]}}
    sheet = study.table(results)
    row = dict(zip(sheet.columns, sheet.rows[0], strict=True))
    assert row["photographs, trained"].startswith("66.7 [") and row["photographs, unseen"].startswith("50.0 [")
    assert "Tux Paint" in sheet.caption
