"""Tables fit a terminal of 80 columns and show every language once."""

from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from polyclip.evaluation.results import Score
from polyclip.report.table import build_tables, format_verdicts


def scores(languages: dict[str, bool]) -> list[Score]:
    found = []
    for protocol in ("mixed-styles/no-flags-symbols", "openmoji"):
        for direction in ("text_to_image", "image_to_text"):
            for language, seen in languages.items():
                facts = {
                    "benchmark": "emoji",
                    "protocol": protocol,
                    "split": "test",
                    "language": language,
                    "seen": seen,
                    "direction": direction,
                }
                for metric in ("recall@1", "recall@5", "recall@10", "mean_recall", "median_rank"):
                    found.append(
                        Score(
                            metric=metric,
                            value=0.5,
                            low=0.25,
                            high=1.0,
                            queries=355,
                            gallery=1000,
                            chance=0.028,
                            **facts,
                        )
                    )
    return found


@pytest.mark.parametrize("trained", [["sw", "en"], ["sw", "en", "am", "yo", "te", "quz", "en-GB"]])
def test_tables_fit_80_columns(trained: list[str]) -> None:
    text = StringIO()
    console = Console(file=text, width=80)
    for table in build_tables(scores({**dict.fromkeys(trained, True), "mi": False, "hi-Latn": False})):
        console.print(table)
    lines = text.getvalue().splitlines()
    assert "…" not in text.getvalue() and max(map(len, lines)) <= 80
    for language in (*trained, "mi Māori", "hi-Latn"):
        assert sum(line.startswith(f" {language}") and "50.0 [25, 100]" in line for line in lines) >= 2, language
    assert any("unseen (zero-shot)" in line and "mean 50.0" in line for line in lines)
    assert sum(line.startswith(" openmoji") and line.count("50.0") == 4 for line in lines) == 1
    assert f"over {len(trained)} trained and 2 unseen languages" in " ".join(text.getvalue().split())


def test_a_long_protocol_wraps_and_cuts_no_figure() -> None:
    found = [
        replace(score, protocol=f"{score.protocol}/no-flags of emoji") for score in scores({"sw": True, "en": True})
    ]
    text = StringIO()
    Console(file=text, width=80).print(build_tables(found)[-1])
    said = text.getvalue()
    assert "…" not in said and "/no-flags-symbols" in said and "gallery" in said
    assert sum(line.count("50.0") == 3 and " 2.8 " in line for line in said.splitlines()) == 2


def render(found: list[Score], without: list[str]) -> str:
    text = StringIO()
    for table in build_tables(found, without)[:1]:
        Console(file=text, width=80).print(table)
    return text.getvalue()


def test_small_galleries_show_recall_at_1_alone_and_what_is_at_chance() -> None:
    small = [
        replace(score, gallery=12, chance={"recall@1": 1 / 12}.get(score.metric, 0.9), low=0.1, p_chance=p)
        for score in scores({"sw": True, "en": True})
        for p in [0.2 if score.language == "sw" else 0.001]
    ]
    said = render(small, ["ha"])
    assert "recall@1" in said and "recall@5" not in said and "recall@10" not in said
    rows = {line.split()[0]: line for line in said.splitlines() if line.strip()}
    assert "50.0 [10, 100] ~" in rows["sw"] and "~" not in rows["en"]
    assert "cannot be told apart from chance" in " ".join(said.split())
    assert rows["ha"].split() == ["ha", "Hausa", "0", "-", "-"] and "means without ha" in " ".join(said.split())
    assert format_verdicts(small, ["sw", "en"]) == ["sw Swahili: cannot be told apart from chance with 355 captions"]


def test_marks_fit_80_columns() -> None:
    weak = [replace(score, low=0.0) for score in scores({"sw": True, "quz": True, "mi": False})]
    lines = render(weak, ["ha"]).splitlines()
    assert max(map(len, lines)) <= 80 and sum(line.count("50.0 [0, 100] ~") == 3 for line in lines) == 3
