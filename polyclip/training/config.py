"""The configuration of one alignment: everything that decides its result."""

import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from polyclip.core.encode_precision import current_encode_precision
from polyclip.core.registry import find
from polyclip.data.corpus import load_corpus
from polyclip.data.corpus_names import is_joined
from polyclip.data.joined import describe_corpora
from polyclip.data.pairs import SamplingConfig
from polyclip.languages.schema import Language
from polyclip.models.config import ModelConfig
from polyclip.models.method import Method
from polyclip.training.compute import Compute
from polyclip.training.finetune import Continuation, describe_continuation


@dataclass(frozen=True, kw_only=True)
class OptimizerConfig:
    """Epochs, batch size and learning rates of a training phase; the defaults of methods were chosen on validation.

    Attributes:
        epochs: Passes over the training images.
        batch_size: Pairs in a step.
        learning_rate: Of the heads, at its highest; cosine to zero after the warm-up.
        tower_learning_rate: The same of what is trained inside the encoders.
        weight_decay: AdamW's; none on biases, gains and the logit scale.
        warm_up: Share of all steps, in [0, 1].
        clip: Largest gradient norm.
        caption_loss: Weight of InfoNCE between two captions of a concept, in any two languages; 0 for none.
        seed: Of initial weights, batches and dropout.

    """

    epochs: int
    batch_size: int
    learning_rate: float
    tower_learning_rate: float
    weight_decay: float
    warm_up: float = 0.1
    clip: float = 1.0
    caption_loss: float = 0.0
    seed: int = 0


HEADS = OptimizerConfig(
    epochs=20, batch_size=512, learning_rate=2e-3, tower_learning_rate=0.0, weight_decay=0.1, caption_loss=0.3
)
CONTINUED_HEADS = OptimizerConfig(
    epochs=20, batch_size=512, learning_rate=1e-3, tower_learning_rate=0.0, weight_decay=0.1, caption_loss=0.3
)  # see docs/explanation/fewshot.md
TOWERS = OptimizerConfig(epochs=3, batch_size=64, learning_rate=1e-4, tower_learning_rate=1e-4, weight_decay=0.1)


@dataclass(frozen=True, kw_only=True)
class EarlyStopping:
    """When a phase that trains for many steps is validated and ends.

    Attributes:
        every: Steps from one validation to the next; they take the place of an epoch's.
        patience: Validations without a new best after which training ends.

    """

    every: int
    patience: int


@dataclass(frozen=True, kw_only=True)
class AlignConfig:
    """The configuration of one alignment: everything that decides its result, and where it is written."""

    languages: list[Language]  # to train on
    recipe: ModelConfig
    out: Path
    corpus: str = "emoji"
    sample: SamplingConfig = SamplingConfig()
    heads: OptimizerConfig = HEADS  # first phase of every method: heads on cached features
    towers: OptimizerConfig = TOWERS  # second phase of the methods that train something inside an encoder
    continued: Continuation | None = None  # the run to continue from; None: new heads
    stopping: EarlyStopping | None = None  # of the method's last phase; None: it is validated and ends by epochs
    compute: Compute = Compute()
    advice: dict[str, Any] = field(default_factory=dict)  # what the languages' own packs decided, for run.toml
    resume: bool = False
    count_flops: bool = False  # of a training step, into the log, with the processor seconds of each epoch
    class_names: bool = True  # whether to use the vision encoder's own class names beside the heads, where it has any
    class_names_from: tuple[str, ...] = ()  # files with names of the same classes in further languages
    lint: bool = True  # whether to check for train/test overlap first
    allow_leakage: str = ""  # why overlap is accepted
    folds: int | None = None  # 1: one split; None: several where the corpus is small and has no test split of its own
    final: bool = False  # whether the model that is kept learns from every image, after the folds
    until: float = math.inf  # moment of time.monotonic() when training stops and keeps its best epoch
    encode_precision: str = ""  # of the frozen encoders; empty: the caller's
    track: tuple[str, ...] = ()  # trackers beside log.jsonl: tensorboard, wandb, trackio
    observers: tuple[Callable[[dict[str, Any]], None], ...] = ()  # called with each line of the training log

    @property
    def sampled_languages(self) -> list[Language]:
        """Languages whose captions are sampled in training: a continued run may leave out those trained before."""
        return self.languages if self.continued is None else self.continued.sampled_languages


def collect_settings(run: AlignConfig) -> dict[str, Any]:
    """Collect everything that decides a run's result, as it is written to run.toml."""
    return {
        "languages": [language.code for language in run.languages],
        "corpus": run.corpus,
        **(describe_corpora(load_corpus(run.corpus)) if is_joined(run.corpus) else {}),
        "sample": {key: value for key, value in asdict(run.sample).items() if value is not None},  # TOML has no null
        "recipe": asdict(run.recipe),
        "heads": asdict(run.heads),
        "towers": asdict(run.towers),
        **({} if run.continued is None else {"continued": describe_continuation(run.continued)}),
        **({} if run.stopping is None else {"stopping": asdict(run.stopping)}),
        **({} if run.compute.precision == "fp32" else {"precision": run.compute.precision}),
        "encode_precision": current_encode_precision(),
        **({} if run.class_names else {"class_names": False}),
        **({"class_names_from": list(run.class_names_from)} if run.class_names_from else {}),
        **({} if run.folds in (None, 1) else {"folds": run.folds, "final": run.final}),
    }


def get_method(run: AlignConfig) -> Method:
    """The method that the run trains."""
    method: Method = find("methods", run.recipe.method).METHOD
    return method
