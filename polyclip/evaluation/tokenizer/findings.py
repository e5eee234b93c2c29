"""Frozen dataclasses of the check-up's findings.

Shares, recall and chance are fractions in [0, 1], lengths are tokens.
"""

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding; a defect makes every figure doubtful, anything else is a weakness."""

    kind: str
    defect: bool
    sentence: str


@dataclass(frozen=True, slots=True)
class LostCharacter:
    """A character that is lost when a caption is tokenized and decoded again."""

    character: str
    code: str  # U+0457
    times: int
    caption: str  # the first in which it is lost


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """What the encoder adds around every caption, and how rows are truncated and padded."""

    start: tuple[int, ...]  # ids before every caption, the prefix included
    end: tuple[int, ...]  # ids after it
    start_text: str
    end_text: str
    limit: int | None  # longest row; None without truncation
    pad: int | None  # id that fills up shorter rows; None where none is filled up
    side: str  # right, left, or none


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenStats:
    """Statistics of all training captions of a language, tokenized."""

    captions: int
    words: int
    characters: int  # without spaces
    tokens: int  # without the frame around every caption
    fertility: float  # tokens a word, or a character where the script writes no spaces
    unit: str  # word or character
    relative: float | None  # tokens of names over those of the English names of the same concepts
    unknown_tokens: float
    unknown_captions: float
    # single bytes, or pieces that are not a whole character; None for a tokenizer without bytes
    byte_tokens: float | None
    truncated: float  # share of captions that lose their end
    longest: int  # row length, with the frame
    highest_id: int
    lost_captions: float  # share whose text does not come back from its tokens
    lost: list[LostCharacter]  # the most frequent characters of these
    rewritten_captions: float  # share that the tokenizer's own normalisation changes, spaces aside
    rewritten: list[LostCharacter]  # the characters it replaces or drops


@dataclass(frozen=True, slots=True, kw_only=True)
class EmbeddingStats:
    """How the encoder embeds a few captions of a language, one by one and in a batch."""

    captions: int
    batch_distance: float  # largest cosine distance between a caption alone and the same in a batch
    spread: float  # largest cosine distance from the mean direction: 0 where every caption has the same embedding
    shortest: float  # norms
    longest: float


@dataclass(frozen=True, slots=True)
class RecallInterval:
    """Recall@1 and its 95 % interval; concept groups are resampled."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Closeness:
    """How close names are to those of the same concepts in a pivot: English, or another language for English itself."""

    pivot: str
    pool: int  # names on each side
    chance: float
    same: float  # share spelled as in the pivot: they are in the gallery, but not queries
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
    """Recommended method for a language, by the thresholds of `verdict.py`."""

    label: str
    method: str  # for `polyclip align --method`, with its options; empty where none would help
    reason: str
    doubt: str  # what the interval leaves open; may be empty


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageFindings:
    """Measurements and verdict of one language."""

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
    """All findings on a text encoder."""

    text_encoder: str
    identity: str
    corpus: str
    split: str
    vocabulary: int
    table: int | None  # rows of the encoder's embedding matrix
    twins: float | None  # see `vocabulary.measure_twins`
    frame: Frame
    findings: list[Finding] = field(default_factory=list)
    languages: list[LanguageFindings] = field(default_factory=list)

    def __repr__(self) -> str:
        """One line: the encoder, the verdict of each language, and the number of defects."""
        verdicts = ", ".join(f"{language.code} {language.verdict.label}" for language in self.languages)
        return f"Checkup({self.text_encoder} on {self.corpus}: {verdicts}; {len(self.defects)} defects)"

    @property
    def defects(self) -> list[Finding]:
        """Findings that make the command exit with code 1."""
        return [finding for finding in self.findings if finding.defect]
