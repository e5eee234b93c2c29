"""Options of an alignment, and what they stand for once languages, method and folder are known."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyclip.errors import PolyclipError
from polyclip.languages.schema import Language

AUTO = "auto"
DEFAULT = "head-mlp"
ADAPTED = "e5-small"  # the text encoder for which adapters are trained
TEXT_ENCODER = f"{ADAPTED}:,adapter=names"
NO_ADAPTER = "none"


@dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """Options of an alignment; `polyclip align --help` explains each.

    `lang` and `group` name the languages. An empty string or None leaves the choice to the method or the language pack.
    """

    lang: list[str] | None = None
    group: list[str] | None = None
    method: str = ""
    targets: list[str] | None = None  # of exports, which choose method and vision encoder
    budget: str = ""
    related_languages: bool | None = None
    recipe: bool = False
    start: Path | None = None
    shots: int | None = None
    shots_by: str = "random"
    rehearse: bool = True
    caption_weights: list[str] | None = None
    temperature: float | None = None
    train_towers: str = "both"
    text_encoder: str = TEXT_ENCODER
    text_adapter: str = ""
    vision_tower: str = ""
    corpus: str = "emoji"
    english: bool = True
    class_names: bool = True
    class_names_from: list[str] | None = None
    loss: str = ""
    text_layers: str = ""
    vision_layers: str = ""
    rank: str = "8"
    teacher: str = ""
    num_augmentations: int = 1
    head_dim: int | None = None
    seed: int = 0
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    warmup: float | None = None
    micro_batch: int | None = None
    precision: str = "auto"
    shard: bool = False
    max_drop: float | None = None
    track: list[str] | None = None
    allow_leakage: str = ""
    folds: int | None = None
    final: bool = False
    out: Path | None = None
    max_bad: str = ""
    settings: Path | None = None  # of another run, which decide everything that run.toml records
    changes: list[str] | None = None  # of these settings: KEY=VALUE
    resume: bool = False
    typed: frozenset[str] = frozenset()  # names of those that were written

    def __post_init__(self) -> None:
        """Make the adapter a part of the text encoder's name, by which everything else knows it."""
        if self.text_adapter:
            is_default = self.text_encoder == TEXT_ENCODER and "text_encoder" not in self.typed
            base = ADAPTED if is_default else self.text_encoder
            object.__setattr__(self, "text_encoder", name_adapted_encoder(base, self.text_adapter))
            object.__setattr__(self, "text_adapter", "")
            object.__setattr__(self, "typed", self.typed | {"text_encoder"})


def name_adapted_encoder(text_encoder: str, adapter: str) -> str:
    """Name a text encoder with an adapter, such as `e5-small:,adapter=names`.

    Args:
        text_encoder: As `--text-encoder`, without an adapter.
        adapter: As `--text-adapter`; "none" for none.

    Returns:
        What `--text-encoder` takes for both.

    Raises:
        PolyclipError: The encoder takes no adapter, or has one already.

    """
    name, _, given = text_encoder.partition(":")
    if name != ADAPTED or "adapter=" in given:
        raise PolyclipError(
            f"--text-adapter {adapter} does not go with --text-encoder {text_encoder}: expected {ADAPTED} without an "
            "adapter, for which adapters are trained."
        )
    if adapter == NO_ADAPTER:
        return f"{name}:{given}".rstrip(":")
    return f"{name}:{given},adapter={adapter}"


@dataclass(frozen=True)
class AlignRequest:
    """What is to be trained, after the language packs' advice was applied."""

    languages: list[Language]  # without English, unless it was asked for
    method: str
    budget: str  # of auto
    folder: Path
    advice: dict[str, Any] = field(default_factory=dict)  # what the packs decided
