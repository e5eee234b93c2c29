"""Frozen values that flow down the pipeline."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

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
    """One figure with what is needed to judge it. Values, bounds and chance are fractions in [0, 1], ranks are counts."""

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


@dataclass(frozen=True, slots=True)
class Result:
    """What a run or an evaluation writes as JSON (schema 1)."""

    run: dict[str, Any]
    model: dict[str, Any]
    seconds: dict[str, float]
    scores: list[Score]
    origin: dict[str, Any]
