"""Frozen values that are measured and written."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One figure with what is needed to judge it. Values, bounds and chance are fractions in [0, 1]; chance-corrected accuracy may fall below 0."""

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


@dataclass(frozen=True, slots=True, kw_only=True)
class QueryOutcomes:
    """What became of every query of one language, under one protocol and in one direction: what a paired comparison needs."""

    benchmark: str
    protocol: str
    split: str
    language: str
    seen: bool
    direction: str
    gallery: int
    queries: str  # digest of their keys in order: two outcomes are paired where it is the same
    cluster: tuple[str, ...]  # what each query is redrawn with
    rank: Int[np.ndarray, " query"]  # 0 is best
    gain: Float[np.ndarray, " query"]  # nDCG@10, in [0, 1]


class Measured(Score):
    """A score that still knows its queries. Equality and JSON see the score alone: `outcome` is no field."""

    __slots__ = ("outcome",)
    outcome: QueryOutcomes

    def __init__(self, outcome: QueryOutcomes, **facts: Any) -> None:
        super().__init__(**facts)
        object.__setattr__(self, "outcome", outcome)


@dataclass(frozen=True, slots=True)
class Retention:
    """What an alignment leaves of one thing the towers knew: before and after in [0, 1], and the change with a 95 % interval."""

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
    """What a run or an evaluation writes as JSON (schema 1); what was kept of the towers' knowledge goes into a file of its own."""

    run: dict[str, Any]
    model: dict[str, Any]
    seconds: dict[str, float]
    scores: list[Score]
    origin: dict[str, Any]
    knowledge: list[Retention] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """One candidate of `--method auto`: what it is, and what came of it or why it was not trained."""

    name: str
    method: str
    schedule: str
    settings: dict[str, Any]
    parameters: int = 0  # trained
    estimate: float = 0.0  # seconds, before it began
    seconds: float = 0.0
    validation: float | None = None  # recall in [0, 1]; None where it was not trained
    error: float = 0.0  # standard error of `validation` over its queries
    live: bool = False  # whether its text tower has to be run again to be scored
    note: str = ""  # why it was skipped, or where it was stopped


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """A search by `--method auto`: its trials in order, which of them the run is, and why. Written as choice.json."""

    request: dict[str, Any]
    budget: float  # seconds
    seconds: float = 0.0  # from the start of the command to the last score
    reserve: float = 0.0  # seconds set aside for the final scores
    trials: list[Trial] = field(default_factory=list)
    winner: str = ""  # empty while the search is under way
    reason: str = ""
