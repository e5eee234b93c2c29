"""What the doctor finds, as frozen values. Shares, recalls and chance are fractions in [0, 1]; lengths are tokens."""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """Something a person should know. A defect makes every figure doubtful; anything else is a weakness to weigh."""

    kind: str
    defect: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class LostCharacter:
    """A character that does not come back."""

    character: str
    code: str  # U+0457
    times: int
    caption: str  # the first in which it is lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """How the encoder is fed: what stands around every caption, and how rows are cut and filled up."""

    start: tuple[int, ...]  # ids before every caption, the prefix included
    end: tuple[int, ...]  # ids after it
    start_text: str
    end_text: str
    limit: int | None  # longest row; None where nothing is cut
    pad: int | None  # id that fills up shorter rows; None where none is filled up
    side: str  # right, left, or none


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenStats:
    """What the tokenizer makes of all training captions of a language."""

    captions: int
    words: int
    characters: int  # without spaces
    tokens: int  # without what stands around every caption
    fertility: float  # tokens a word, or a character where the script writes no spaces
    unit: str  # word or character
    relative: float | None  # tokens of names over those of the English names of the same concepts
    unknown_tokens: float
    unknown_captions: float
    byte_tokens: float | None  # single bytes, or pieces that are no whole character; None for a tokenizer without bytes
    truncated: float  # share of captions that lose their end
    longest: int  # row, with what stands around the caption
    highest_id: int
    lost_captions: float  # share whose text does not come back from its tokens
    lost: list[LostCharacter]  # the most frequent characters of these
    rewritten_captions: float  # share that the tokenizer's own normalisation changes, spaces aside
    rewritten: list[LostCharacter]  # the characters it replaces or drops


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingStats:
    """How the encoder behaves on a few captions of a language, by itself and in a batch."""

    captions: int
    batch_distance: float  # largest cosine distance between a caption alone and the same in a batch
    spread: float  # largest cosine distance from the mean direction: 0 where every caption gets the same vector
    shortest: float  # norms
    longest: float


@dataclass(frozen=True, slots=True)
class RecallInterval:
    """Recall@1 and its 95 % interval: concept groups are redrawn."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Closeness:
    """How near names already are to those of the same concept in a pivot, English where it is not English itself."""

    pivot: str
    pool: int  # names on each side
    chance: float
    same: float  # share spelled as in the pivot: they are in the pool, but not asked
    asked: int
    to_pivot: RecallInterval
    from_pivot: RecallInterval
    mean: RecallInterval  # of both ways
    unrelated: float  # mean cosine of captions of different concepts
    unrelated_deviation: float
    related: float  # mean cosine of a name and its own name in the pivot
    across: float  # mean cosine of a name and the other names in the pivot


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do, by the thresholds of `verdict.py`."""

    label: str
    method: str  # for `polyclip align --method`, with its options; empty where none would help
    reason: str
    doubt: str  # what the interval leaves open; empty where nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageFindings:
    """One language."""

    code: str
    name: str
    script: str
    recipe: str  # the pack's own method
    tokens: TokenStats
    vectors: EmbeddingStats | None  # None where the encoder cannot be run or gives values that are not finite
    closeness: Closeness | None  # None where there is nothing to compare with
    verdict: Verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Checkup:
    """Everything found."""

    text_encoder: str
    identity: str
    corpus: str
    split: str
    vocabulary: int
    table: int | None  # rows of the encoder's embedding matrix
    twins: float | None  # see `vocabulary.twins`
    frame: Frame
    findings: list[Finding] = field(default_factory=list)
    languages: list[LanguageFindings] = field(default_factory=list)

    @property
    def defects(self) -> list[Finding]:
        """Those that end the command with exit code 1."""
        return [finding for finding in self.findings if finding.defect]
