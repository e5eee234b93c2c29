"""Frozen dataclasses of what is measured and written."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int

from polyclip.core.fields import make_dataframe


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One figure with its interval, chance level and counts.

    Values, bounds and chance are fractions in [0, 1]; chance-corrected accuracy may be negative.

    Attributes:
        benchmark: Name of the benchmark, or of the corpus.
        protocol: What stands in the gallery, such as `mixed-styles`.
        split: `test`, or another one that was asked for.
        language: Code of the queries' language.
        seen: Whether the model was trained on the language.
        direction: `text_to_image` or `image_to_text`; of classification another one.
        metric: Such as `recall@10` or `median_rank`.
        value: The figure.
        low: Lower end of its 95 % interval.
        high: Upper end.
        queries: How many were asked.
        gallery: Among how many items each looked.
        chance: What a random ranking gets.
        p_chance: Probability that a random ranking is as good, one-sided; of recalls alone.

    """

    benchmark: str
    protocol: str
    split: str
    language: str
    seen: bool
    direction: str  # text_to_image or image_to_text
    metric: str
    value: float
    low: float
    high: float
    queries: int
    gallery: int
    chance: float
    p_chance: float | None = None  # of a random ranking to be as good, one-sided; of recalls alone


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOutcomes:
    """Rank and nDCG of every query of one language, protocol and direction, as a paired comparison needs them."""

    benchmark: str
    protocol: str
    split: str
    language: str
    seen: bool
    direction: str
    gallery: int
    queries: str  # digest of their keys in order: two outcomes are paired where it is the same
    cluster: tuple[str, ...]  # the cluster that each query is resampled with
    rank: Int[np.ndarray, " query"]  # 0 is best
    gain: Float[np.ndarray, " query"]  # nDCG@10, in [0, 1]
    folds: int = 1  # models and galleries that these are pooled over


class PerQueryScore(Score):
    """A score that also has the outcomes of its queries.

    Equality and JSON use only the fields of `Score`: `outcome` is not a field.
    """

    __slots__ = ("outcome",)
    outcome: QueryOutcomes

    def __init__(self, outcome: QueryOutcomes, **facts: Any) -> None:
        super().__init__(**facts)
        object.__setattr__(self, "outcome", outcome)


@dataclass(frozen=True, slots=True)
class Retention:
    """How much of one ability of the pretrained encoders is left after alignment.

    `before` and `after` are fractions in [0, 1]; `low` and `high` are the 95 % interval of the change.
    """

    part: str
    question: str
    before: float
    after: float
    change: float
    low: float
    high: float
    queries: int


@dataclass(frozen=True, slots=True)
class Result:
    """What a run or an evaluation writes as JSON (schema 1); retention is written to a file of its own.

    Attributes:
        run: Settings of the run.
        model: Method, encoders and counts of parameters.
        seconds: Time by phase: `encode`, `train`, `evaluate`.
        scores: The figures.
        origin: Where they come from: digests, revisions, versions, counts, notes.
        knowledge: Retention of what the encoders knew; empty where it was not measured.

    """

    run: dict[str, Any]
    model: dict[str, Any]
    seconds: dict[str, float]
    scores: list[Score]
    origin: dict[str, Any]
    knowledge: list[Retention] = field(default_factory=list)

    def __repr__(self) -> str:
        """One line: how many figures there are, and the first recall@10 of the first language."""
        shown = next((score for score in self.scores if score.metric == "recall@10"), None)
        first = (
            ""
            if shown is None
            else f", {shown.language} recall@10 {shown.value:.3f} [{shown.low:.3f}, {shown.high:.3f}]"
        )
        return f"Result({len(self.scores)} scores of {self.model.get('method', 'a model')}{first})"

    def to_dataframe(self) -> Any:
        """The scores as a pandas data frame, one row a figure.

        Raises:
            PolyclipError: pandas is not installed.

        """
        return make_dataframe(self.scores, Score)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One candidate of `--method auto`: its settings, and its validation recall or why it was not trained."""

    name: str
    method: str
    schedule: str
    settings: dict[str, Any]
    parameters: int = 0  # trained
    estimate: float = 0.0  # seconds, before it began
    seconds: float = 0.0
    validation: float | None = None  # recall in [0, 1]; None where it was not trained
    error: float = 0.0  # standard error of `validation` over its queries
    live: bool = False  # whether scoring has to run its text encoder again
    note: str = ""  # why it was skipped, or where it was stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A search by `--method auto`: its trials in order, the winner, and why. Written as choice.json."""

    request: dict[str, Any]
    budget: float  # seconds
    seconds: float = 0.0  # from the start of the command to the last score
    reserve: float = 0.0  # seconds set aside for the final scores
    trials: list[Trial] = field(default_factory=list)
    winner: str = ""  # empty while the search is under way
    reason: str = ""
