"""The study of effort: which cells a language has, what weighs how much, and a page's worth of figures."""

import io
import json
import tomllib
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from polyclip.data.corpus import load_corpus
from polyclip.data.pairs import SamplingConfig
from polyclip.data.training_pairs import make_training_pairs
from polyclip.data.types import Row
from polyclip.errors import PolyclipError
from polyclip.languages.schema import load_language
from polyclip.models.backbone import describe
from polyclip.studies import runner
from polyclip.studies.cells import Cell, ShotSpec, make_starting_cell, train
from polyclip.studies.drawing import format_effort
from polyclip.studies.questions import effort
from polyclip.studies.runner import Results, Setting, find_missing, record_path
from polyclip.studies.sheet import Sheet
from polyclip.training import shots
from polyclip.training.shots import Shots, choose_shots
from tests.command import polyclip
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

FOUND = {"": 1, "words": 2, "related": 3, "adapter": 4}  # of eight concepts without captions; captions add to it


def make_setting(folder: Path, **changes: Any) -> Setting:
    facts: dict[str, Any] = {"languages": ("te", "en"), "seeds": 1, "quick": False, "jobs": 1, "tower": "t"}
    return Setting(**facts | {"folder": folder, "asked": ()} | changes)


def made_up(cell: Cell) -> dict[str, Any]:
    few = cell.few or ShotSpec(new=(), count=0)
    helped = max(FOUND[key] for key in FOUND if not key or (cell.adapter if key == "adapter" else getattr(few, key)))
    hits = min(8, helped + (1000 if few.count is None else few.count).bit_length() // 2)
    ranks = {code: [0] * hits + [99] * (8 - hits) for code in (*cell.languages, *cell.asked)}
    cost = {"validation": 0.5, "processor_seconds": 12.0, "log": []}
    return {"cell": asdict(cell), "groups": list("abcdefgh"), "ranks": ranks} | cost


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Cell]:
    done: list[Cell] = []

    def instead(cells: Any, setting: Setting, what: str) -> None:
        for cell, _ in find_missing(cells, setting):
            done.append(cell)
            record_path(cell, setting).parent.mkdir(parents=True, exist_ok=True)
            record_path(cell, setting).write_text(json.dumps(made_up(cell)), "utf-8")

    monkeypatch.setattr(runner, "run_all", instead)
    monkeypatch.setattr(runner, "check_leakage", lambda corpus, languages: None)
    return done


def test_each_help_stands_beside_the_same_captions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given = make_setting(tmp_path)
    cells = {(kind, count): cell for kind, count, cell in effort.list_cells(given, "te")}
    assert len(cells) == 6 + 4 * 4 and len({cell.name for cell in cells.values()}) == 22
    together, alone = cells[effort.TOGETHER, "32"], cells[effort.ALONE, "32"]
    assert together.few is not None and together.few.related == ("ta", "kn", "ml") and together.few.words
    assert (together.languages, alone.languages) == (("te", "ta", "kn", "ml", "en"), ("te", "en"))
    assert cells[effort.RELATED, "0"].languages == ("ta", "kn", "ml", "en")
    assert cells[effort.RELATED, "0"].asked == ("te",) and cells[effort.WORDS, "0"].languages == ("te", "en")
    assert make_starting_cell(alone) != make_starting_cell(together)  # another text encoder
    assert len({make_starting_cell(cell).name for cell in cells.values()}) == 2
    monkeypatch.setattr(effort, "hash_file", lambda path: "another adapter")
    later = {(kind, count): cell for kind, count, cell in effort.list_cells(given, "te")}
    assert {kind for kind, _ in cells if cells[kind, "0" if kind else ""].name != later[kind, "0"].name} == {
        effort.ADAPTED,
        effort.TOGETHER,
    }


def test_a_language_without_a_related_one_has_no_such_cell_and_the_table_says_so(
    tmp_path: Path, ran: list[Cell], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = ["study", "effort", "--lang", "quz", "--seeds", 1, "--out", "studies"]
    assert polyclip(*asked, "--plan").out == (
        "effort: 18 conditions x 1 seed = 18 cells, 0 finished. How long a cell takes is known once one is finished.\n"
    )
    assert not ran
    said = polyclip(*asked)
    assert said.code == 0, said.err
    result = json.loads(Path("studies", "effort.json").read_text("utf-8"))
    rows = {row[0]: row[1:] for row in result["rows"]}
    assert len(rows) == 2 * 5 and all(len(row) == len(result["columns"]) for row in result["rows"])
    assert rows["quz · + related language"] == ["-"] * 6 + ["none in the language's pack"]
    assert rows["quz · all together"][-1] == "without a related language"
    assert [cell.split()[0] for cell in rows["quz · captions alone"][:2]] == ["12.5", "37.5"]  # one, three of eight
    assert rows["quz · + word list"][1] == "-"  # not tried beside eight captions
    assert "mean of 1 seed;" in result["caption"] and str(tmp_path) not in json.dumps(result)
    assert Path("studies", "effort.png").read_bytes()[:4] == b"\x89PNG"
    assert polyclip(*asked, "--plan").out == ("effort: 18 conditions x 1 seed = 18 cells, 18 finished.\n")
    next(Path("studies", "cells").glob("head-glu-0.001-*")).unlink()
    assert polyclip(*asked, "--plan").out == (
        "effort: 18 conditions x 1 seed = 18 cells, 17 finished. A cell trains for 12 s of one core on average: "
        "12 s left, and seconds to score each.\n"
    )


def test_the_verdict_says_how_many_captions_a_help_is_worth(tmp_path: Path, ran: list[Cell]) -> None:
    given = make_setting(tmp_path)
    results = runner.run_variants(effort.plan(given), given)
    said = effort.verdict(results)  # alone, 1, 3, 4, 5, 6 and 6 of eight are found
    assert said.startswith("Mean of te: English alone finds 12.5 % among the first ten, all captions 75.0 %.")
    assert "+ text adapter 50.0 % (as much as 32 captioned images; +37.5 beside 32, +37.5 beside 128, " in said
    assert "+ word list 25.0 % (as much as 2 captioned images; " in said
    rows = {row[0]: row for row in effort.table(results).rows}
    assert (
        rows["te · + related language"][-1] == "ta, kn, ml"
        and rows["mean of 1 language · all together"][1] == "50.0 [12, 88]"
    )
    half = Results(given, {key: value for key, value in results.records.items() if key[1] != "all"})
    assert effort.verdict(half).startswith("Cannot tell yet")


def test_the_mean_is_over_the_seeds_that_every_language_has() -> None:
    def record(code: str, seed: int, rank: int) -> dict[str, Any]:
        return {"cell": {"seed": seed}, "groups": ["a"], "ranks": {code: [rank], "en": [0]}}

    merged = effort.merge_records(["sw", "yo"], [[record("sw", 0, 1), record("sw", 1, 2)], [record("yo", 1, 3)]])
    assert merged == [{"groups": ["a"], "ranks": {"sw": [2], "yo": [3]}}]
    assert effort.merge_records(["sw", "yo"], [[record("sw", 0, 1)], []]) == []


def test_other_heads_and_encoders_are_refused_in_one_sentence(tmp_path: Path) -> None:
    for changes in ({"methods": ("heads",)}, {"text_encoder": "e5-small:,layers=6"}):
        with pytest.raises(PolyclipError, match="cannot be combined with --method or --text-encoder"):
            effort.choose_languages(make_setting(tmp_path, **changes))


def test_time_is_thirty_seconds_a_caption() -> None:
    assert [format_effort(count) for count in ("0", "8", "32", "128", "512", "all")] == [
        *("", "4 min", "16 min", "1 h", "4 h", ""),
    ]


@pytest.mark.parametrize("count, own", [(0, 0.0), (32, 4 * 32 / 1384), (None, 0.5)])
def test_every_help_weighs_as_much_as_english(count: int | None, own: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Own captions weigh as without help; English, the related languages together, and the list share the rest."""
    corpus, languages = load_corpus("emoji"), [load_language("te"), load_language("en")]
    read = shots.read_source_rows

    def with_list(given: Any, language: Any, source: str) -> list[Row]:
        rows = read(given, language, "")
        return [replace(row, provenance="list@1") for row in rows[:50]] if source == "list.toml" else rows

    monkeypatch.setattr(shots, "read_source_rows", with_list)
    given = Shots(count=count, related=("ta", "kn", "ml"), words="list.toml")
    chosen = choose_shots(corpus, languages[:1], given, SamplingConfig(), describe("towers", "efficientnet-lite0"))
    pairs = make_training_pairs(corpus, languages[count == 0 :], "train", SamplingConfig(), chosen)
    total = [float(part.sum() / pairs.caption_weight.sum()) for part in pairs.caption_weight.split(pairs.sections[0])]
    rest = (1 - own) / 3
    wanted = [own, rest, rest / 3, rest / 3, rest / 3, rest]
    assert total == pytest.approx(wanted[1:] if count == 0 else wanted, abs=1e-5)
    assert pairs.named == 1384  # as many steps as without help


def test_help_without_captions_is_trained_and_named_in_the_run(tmp_path: Path) -> None:
    towers = {"text_encoder": write_text_encoder(tmp_path / "text"), "tower": write_vision_tower(tmp_path / "vision")}
    corpus = str(write_corpus(tmp_path / "corpus", french=True))
    facts: dict[str, Any] = {"method": "heads", "rate": 1e-2, "seed": 0, "corpus": corpus, "dim": 8} | towers
    nothing = ShotSpec(new=("sw",), count=0)
    cells = {
        few: Cell(languages=languages, asked=("sw",), few=few, **facts)
        for few, languages in ((nothing, ("en",)), (replace(nothing, related=("fr",)), ("fr", "en")))
    }
    start = make_starting_cell(cells[nothing])
    train(start, tmp_path / start.name)
    logs = [train(cell, tmp_path / cell.name)["log"] for cell in cells.values()]
    assert [len(log) > 1 for log in logs] == [False, True]
    runs = [tomllib.loads((tmp_path / cell.name / "run.toml").read_text("utf-8")) for cell in cells.values()]
    assert runs[0]["languages"] == ["en"] and "related" not in runs[0]["continued"]
    assert runs[1]["languages"] == ["fr", "en"] and runs[1]["continued"]["related"] == ["fr"]


@pytest.mark.parametrize("width", [48, 66, 80, 200])
def test_a_narrow_terminal_gets_several_tables_and_every_figure_whole(width: int) -> None:
    row = ("sw Swahili · + word list", *(f"{10 + n}.5 [{n + 1}0, {n + 2}0]" for n in range(9)), "names of images")
    columns = ("language, help", "0", "8", "32", "all", *(f"after {n} steps" for n in range(5)), "what it is")
    sheet = Sheet("recall over captions", columns, [row], "percent of the searches that find their image")
    console = Console(width=width, file=io.StringIO())
    console.print(sheet.to_rich(console.width))
    shown = console.file.getvalue()
    assert all(shown.count(figure) == 1 for figure in row[1:-1])  # with its interval, in one line
    words = " ".join(shown.split())
    assert all(word in words for text in (*columns, row[-1], sheet.title, sheet.caption) for word in text.split())
    tables = sum("──" in line for line in shown.splitlines())
    assert (tables == 1) == (width == 200) and shown.count("Swahili") == tables
    assert "…" not in shown and max(map(len, shown.splitlines())) <= width
