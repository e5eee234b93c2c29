"""Frozen values that flow down the pipeline."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from PIL import Image


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture that is decoded when it is asked for. `key` is the hash of its bytes and of how they are drawn."""

    name: str
    key: str
    open: Callable[[], Image.Image] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One picture's captions in one language. `concept` names the picture, `group` what must stay on one side of a split."""

    concept: str
    group: str
    category: str
    language: str
    captions: tuple[str, ...]  # the first is the name, the rest are keywords or further captions
    provenance: str = "human"  # who wrote them: human, or engine-model@revision


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How long and how fast. Chosen on validation; see the README."""

    epochs: int
    batch_size: int
    learning_rate: float  # of the heads, at its highest
    tower_learning_rate: float  # of what is trained inside the towers
    weight_decay: float  # none on biases, gains and the logit scale
    warm_up: float = 0.1  # share of all steps
    clip: float = 1.0  # largest gradient norm
    caption_loss: float = 0.0  # weight of InfoNCE between two captions of a concept, in any two languages; 0 leaves it out
    seed: int = 0


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
class Outcome:
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
    outcome: Outcome

    def __init__(self, outcome: Outcome, **facts: Any) -> None:
        super().__init__(**facts)
        object.__setattr__(self, "outcome", outcome)


@dataclass(frozen=True, slots=True)
class Kept:
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
    knowledge: list[Kept] = field(default_factory=list)


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
