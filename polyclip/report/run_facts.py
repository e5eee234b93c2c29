"""Contents of a finished run folder, read once for the model card and the page."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyclip.core.fields import make_record
from polyclip.core.json import parse_json
from polyclip.core.nearby import RUN_FOLDER, hint_folder
from polyclip.core.run_schema import find_fault
from polyclip.core.storage import read_plain_bytes
from polyclip.errors import DataError, RunError
from polyclip.evaluation.chance import RECALLS, list_telling
from polyclip.evaluation.results import Retention, Score
from polyclip.report.schema import WrittenLine, WrittenResult, WrittenRetention

HEADLINE = RECALLS
DIRECTIONS = ("text_to_image", "image_to_text")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunFacts:
    """A run's result, retention, and training log."""

    folder: Path
    run: dict[str, Any]
    model: dict[str, Any]
    seconds: dict[str, float]
    origin: dict[str, Any]
    scores: list[Score]
    means: list[dict[str, Any]]
    knowledge: list[Retention]
    log: list[dict[str, Any]]

    @property
    def protocol(self) -> str:
        """The headline protocol, which is the first."""
        return self.scores[0].protocol

    def get_metrics(self, direction: str) -> tuple[str, ...]:
        """Return the recalls of the headline protocol that mean something, smallest k first."""
        headline = [score for score in self.scores if (score.protocol, score.direction) == (self.protocol, direction)]
        return list_telling(headline)

    def get_figures(self, direction: str) -> dict[str, dict[str, Score]]:
        """Return scores of the headline protocol by language and metric; trained languages first, then the best."""
        found: dict[str, dict[str, Score]] = {}
        for score in self.scores:
            if (score.protocol, score.direction) == (self.protocol, direction):
                found.setdefault(score.language, {})[score.metric] = score
        last = self.get_metrics(direction)[-1]
        return dict(sorted(found.items(), key=lambda pair: (not pair[1][last].seen, -pair[1][last].value, pair[0])))

    def mean(self, direction: str, group: str, metric: str) -> dict[str, Any] | None:
        """Find the mean of the headline protocol over a group of languages; None where the group is empty."""
        wanted = {"protocol": self.protocol, "direction": direction, "group": group, "metric": metric}
        return next((line for line in self.means if all(line[key] == value for key, value in wanted.items())), None)


def read_facts(folder: Path) -> RunFacts:
    """Read result.json, and log.jsonl and knowledge.json where the run has them.

    Args:
        folder: The run folder.

    Returns:
        Contents of the files.

    Raises:
        RunError: The folder has no result.
        DataError: A file is not what polyclip writes.

    """
    path = folder / "result.json"
    if not path.is_file():
        raise RunError(
            f"{folder} is not a finished run folder: result.json not found.{hint_folder(folder, RUN_FOLDER)} Make one "
            f"with: polyclip align --lang sw --out {folder}"
        )
    result = read_checked(path, read_plain_bytes(path), WrittenResult)
    check_headline(result["scores"], path)
    kept, log = folder / "knowledge.json", folder / "log.jsonl"
    knowledge = read_checked(kept, read_plain_bytes(kept), WrittenRetention)["knowledge"] if kept.is_file() else []
    lines = read_plain_bytes(log).splitlines() if log.is_file() else []
    return RunFacts(
        folder=folder,
        scores=[make_record(Score, score) for score in result["scores"]],
        means=result.get("means", []),
        knowledge=[make_record(Retention, line) for line in knowledge],
        log=[read_checked(log, line, WrittenLine) for line in lines],
        **{key: result[key] for key in ("run", "model", "seconds", "origin")},
    )


def read_checked(path: Path, data: bytes, kind: Any) -> Any:
    """Parse JSON that a class of `polyclip.report.schema` describes; DataError for anything else."""
    try:
        found = parse_json(data)
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} is damaged ({error}); copy it again or align again.") from error
    if fault := find_fault(kind, found):
        raise DataError(f"{path} is not what polyclip writes: {fault}. Copy it again, or align again.")
    return kind.model_validate(found).model_dump(by_alias=True, exclude_unset=True)


def check_headline(scores: list[dict[str, Any]], path: Path) -> None:
    """Check that every language of the headline protocol has all recalls, in both directions.

    Raises:
        DataError: It has not.

    """
    found: dict[tuple[str, str], set[str]] = {}
    for score in scores:
        if score["protocol"] == scores[0]["protocol"]:
            found.setdefault((score["direction"], score["language"]), set()).add(score["metric"])
    for direction in DIRECTIONS:
        if not any(have == direction for have, _ in found):
            raise DataError(
                f"{path} has no scores {direction.replace('_', ' ')}, expected those of retrieval that 'polyclip "
                "align' writes; align again."
            )
    for (_, language), metrics in found.items():
        if missing := [metric for metric in RECALLS if metric not in metrics]:
            raise DataError(
                f"{path} has no {missing[0]} in {language!r}, expected the scores of retrieval that 'polyclip align' "
                "writes; align again."
            )
