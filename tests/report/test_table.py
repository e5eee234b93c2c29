"""Tables fit a terminal of 80 columns and show every language once."""

from io import StringIO

import pytest
from rich.console import Console

from polyclip.evaluation.results import Score
from polyclip.report.table import build_tables


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
