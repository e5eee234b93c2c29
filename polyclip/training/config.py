"""One alignment as it is asked for: everything that decides its result."""

import math
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from polyclip.core.registry import find
from polyclip.data.pairs import Sample
from polyclip.languages.schema import Language
from polyclip.models.branch import ModelConfig
from polyclip.models.method import Method
from polyclip.training.compute import Compute
from polyclip.training.finetune import Continued, facts_of


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """How long and how fast. Chosen on validation; see the README."""

    epochs: int
    batch_size: int
    learning_rate: float  # of the heads, at its highest
    tower_learning_rate: float  # of what is trained inside the towers
    weight_decay: float  # none on biases, gains and the logit scale
    warm_up: float = 0.1  # share of all steps
    clip: float = 1.0  # largest gradient norm
    caption_loss: float = (
        0.0  # weight of InfoNCE between two captions of a concept, in any two languages; 0 leaves it out
    )
    seed: int = 0


HEADS = OptimizerConfig(
    epochs=20, batch_size=512, learning_rate=2e-3, tower_learning_rate=0.0, weight_decay=0.1, caption_loss=0.3
)
GOING_ON = OptimizerConfig(
    epochs=20, batch_size=512, learning_rate=1e-3, tower_learning_rate=0.0, weight_decay=0.1, caption_loss=0.3
)  # see docs/fewshot.md
TOWERS = OptimizerConfig(epochs=3, batch_size=64, learning_rate=1e-4, tower_learning_rate=1e-4, weight_decay=0.1)


@dataclass(frozen=True, kw_only=True)
class AlignConfig:
    """One alignment: everything that decides its result, and where it goes."""

    languages: list[Language]  # trained
    recipe: ModelConfig
    out: Path
    corpus: str = "emoji"
    sample: Sample = Sample()
    heads: OptimizerConfig = HEADS  # first phase of every method: heads on cached features
    towers: OptimizerConfig = TOWERS  # second phase of the methods that train something inside a tower
    continued: Continued | None = None  # where it begins, unless with new heads
    compute: Compute = Compute()
    advice: dict[str, Any] = field(default_factory=dict)  # what the languages' own packs decided, for run.toml
    resume: bool = False
    count_flops: bool = False  # of a training step, into the log
    class_names: bool = True  # whether the vision tower's own class names stand beside the heads, where it has any
    lint: bool = True  # whether to look first if the test split shares something with what is trained on
    allow_leakage: str = ""  # why it may
    until: float = math.inf  # moment of time.monotonic() when training stops and keeps its best epoch
    track: tuple[str, ...] = ()  # trackers beside log.jsonl: tensorboard, wandb, trackio

    @property
    def drawn(self) -> list[Language]:
        """What captions are drawn from in training: a run that goes on may leave out what it knows already."""
        return self.languages if self.continued is None else self.continued.drawn


def settings_of(run: AlignConfig) -> dict[str, Any]:
    """Everything that decides a run's result, as it stands in run.toml."""
    return {
        "languages": [language.code for language in run.languages],
        "corpus": run.corpus,
        "sample": {key: value for key, value in asdict(run.sample).items() if value is not None},  # TOML has no null
        "recipe": asdict(run.recipe),
        "heads": asdict(run.heads),
        "towers": asdict(run.towers),
        **({} if run.continued is None else {"continued": facts_of(run.continued)}),
        **({} if run.compute.precision == "fp32" else {"precision": run.compute.precision}),
        **({} if run.class_names else {"class_names": False}),
    }


def method_of(run: AlignConfig) -> Method:
    """What the run trains."""
    method: Method = find("methods", run.recipe.method).METHOD
    return method
