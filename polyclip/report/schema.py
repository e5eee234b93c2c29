"""What result.json, log.jsonl and knowledge.json must hold for the report and the model card; other keys are free."""

from typing import Annotated

from pydantic import ConfigDict, Field

from polyclip.core.run_schema import Written, WrittenPhase, WrittenRecipe, WrittenRun

Share = Annotated[float, Field(ge=-1, le=1)]
Count = Annotated[int, Field(ge=0, le=10**15)]
Many = Annotated[int, Field(ge=1, le=10**15)]


class WrittenScore(Written):
    """A line of a result's `scores`."""

    benchmark: str
    protocol: str
    split: str
    language: str
    seen: bool
    direction: str
    metric: str
    value: Share
    low: Share
    high: Share
    queries: Many
    gallery: Many
    chance: Share
    p_chance: float | None = None


class WrittenOutcome(Written):
    """Facts of the ranks of one language, protocol and direction; no other keys."""

    model_config = ConfigDict(extra="forbid")

    benchmark: str
    protocol: str
    split: str
    language: str
    seen: bool
    direction: str
    gallery: Many
    queries: str


class WrittenMean(Written):
    """A line of a result's `means`."""

    protocol: str
    direction: str
    group: str
    metric: str
    value: Share
    low: Share | None
    high: Share | None


class WrittenModel(Written):
    """The `model` table of a result."""

    method: str
    dim: Many
    trained_parameters: Count
    total_parameters: Many
    trained_share: Share


class WrittenHashes(Written):
    """The identities of both encoders."""

    text_encoder: str
    vision_tower: str


class WrittenOrigin(Written):
    """The `origin` table of a result."""

    hashes: WrittenHashes
    versions: dict[str, str]
    seed: int
    notes: list[str] = []
    without_score: list[str] = []
    interval: str = ""


class WholePhase(WrittenPhase):
    """A phase of training of a finished run."""

    epochs: int
    batch_size: int


class WholeRun(WrittenRun):
    """The settings of a finished run."""

    corpus: str
    recipe: WrittenRecipe
    heads: WholePhase
    towers: WholePhase


class WrittenResult(Written):
    """A result file, such as result.json."""

    run: WholeRun
    model: WrittenModel
    seconds: dict[str, float]
    origin: WrittenOrigin
    scores: list[WrittenScore] = Field(min_length=1)
    means: list[WrittenMean] = []


class WrittenLine(Written):
    """A line of log.jsonl."""

    phase: str
    epoch: int
    loss: float = 0.0
    validation: float = 0.0


class WrittenKept(Written):
    """How much is left of one ability."""

    part: str
    question: str
    before: float
    after: float
    change: float
    low: float
    high: float
    queries: int


class WrittenRetention(Written):
    """The file knowledge.json, as it is written."""

    knowledge: list[WrittenKept]
