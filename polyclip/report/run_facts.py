"""Contents of a finished run folder, read once for the model card and the page."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyclip.core.json import parse_json
from polyclip.core.nearby import RUN_FOLDER, hint_folder
from polyclip.errors import DataError, RunError
from polyclip.evaluation.chance import RECALLS, list_telling
from polyclip.evaluation.results import Retention, Score

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
    result = parse_file(path, path.read_bytes())
    try:
        scores = [Score(**score) for score in result["scores"]]
        kept = folder / "knowledge.json"
        knowledge = (
            [Retention(**line) for line in parse_file(kept, kept.read_bytes())["knowledge"]] if kept.is_file() else []
        )
        log = folder / "log.jsonl"
        lines = [parse_file(log, line) for line in log.read_bytes().splitlines()] if log.is_file() else []
        facts = {key: result[key] for key in ("run", "model", "seconds", "origin")}
        found = RunFacts(
            folder=folder, scores=scores, means=result.get("means", []), knowledge=knowledge, log=lines, **facts
        )
    except (KeyError, TypeError) as error:
        raise DataError(
            f"{path} is not what polyclip writes ({type(error).__name__}: {error}); align again."
        ) from error
    if not any(score.metric == "recall@10" for score in scores):
        raise DataError(
            f"{path} has no recall@10, expected the scores of retrieval that 'polyclip align' writes; align again."
        )
    return found


def parse_file(path: Path, data: bytes) -> Any:
    """Parse JSON; DataError for anything else."""
    try:
        return parse_json(data.decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{path} is damaged ({error}); copy it again or align again.") from error
