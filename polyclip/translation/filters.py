"""Filters that a machine-translated caption must pass before it is trained on.

Each filter judges candidates, says why it drops one, and can be switched off. The defaults were set on human captions,
the names of the starter corpus: see the comment at each.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import regex

from polyclip.errors import PolyclipError
from polyclip.languages.identify import get_identifier_code, list_labels, load_identifier
from polyclip.languages.schema import Language

OFF = "off"
SMOOTH = 4  # characters added to both lengths, so that "ox" and "ng'ombe" are not three apart
SCRIPTS = {"Hans": ("Hani",), "Hant": ("Hani",), "Jpan": ("Hani", "Hira", "Kana"), "Kore": ("Hang", "Hani")}
# SentencePiece's and tokenizers' unknown word, the replacement character, language and sentence tokens, Apertium's
# marks of words it lacks.
MARKS = regex.compile(
    r"<unk>|\[UNK\]|\u2047|\ufffd|</?s>|<pad>|__[a-z]{2,3}__|\b[a-z]{3}_[A-Z][a-z]{3}\b|<2[a-z]{2,3}>|(?<![\w\p{P}])[*@#](?=\p{L})"
)

WORD = regex.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class TranslationCandidate:
    """One translation of one caption of one concept."""

    concept: str
    place: int  # of the caption among the concept's: 0 is the name
    source: str
    text: str
    scores: Mapping[str, float] = field(default_factory=dict)  # by filter


class FilterVerdict(NamedTuple):
    """Whether a candidate is kept, and the score that decided it."""

    keep: bool
    score: float | None = None


@dataclass(frozen=True)
class Filter:
    """A named filter; `judge` returns a verdict for each candidate, in their order."""

    name: str  # the reason in the table of dropped candidates
    judge: Callable[[Sequence[TranslationCandidate]], Sequence[FilterVerdict]]


@dataclass(frozen=True)
class FilterResult:
    """The candidates that passed, with their scores, and the dropped ones with the name of the filter."""

    kept: list[TranslationCandidate]
    dropped: list[tuple[str, TranslationCandidate]]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Thresholds of the filters; None switches a filter off. An empty translation is always dropped."""

    unknown: bool = True
    script: float | None = 0.5  # least share of letters in the language's own script
    # Least likelihood relative to the most likely language, and never below the source's. Of human names 95 % pass, of
    # English ones in their place 7 %.
    language: float | None = 0.05
    # Least and most of (characters + 4) / (characters + 4). Of human names at least 98 % pass in every language.
    length: tuple[float, float] | None = (0.2, 4.0)
    # A copy of the source is kept where human captions copy it in this share of the other languages in the script, as
    # with pizza and koala.
    copies: float | None = 0.1
    repeats: int | None = 3  # most sources that may share one translation; a concept never has it twice
    # Least margin of the encoder's cosine of source and translation over those of their neighbours.
    likeness: float | None = None
    # Share of human pairs that the least margin, where it is not given, would drop. Of wrong pairs it drops half
    # (Swahili, Khmer) to nine tenths.
    quantile: float | None = 0.05
    chrf: float | None = None  # least chrF (0 to 100) of the translation back; a threshold asks for it


def apply_filters(candidates: Sequence[TranslationCandidate], filters: Sequence[Filter]) -> FilterResult:
    """Apply filters one after the other; each sees what those before it kept.

    Args:
        candidates: The translations.
        filters: The filters.

    Returns:
        Kept and dropped candidates.

    """
    kept, dropped = list(candidates), []
    for each in filters:
        verdicts = each.judge(kept)
        scored = [
            c if verdict.score is None else replace(c, scores={**c.scores, each.name: round(verdict.score, 4)})
            for c, verdict in zip(kept, verdicts, strict=True)
        ]
        dropped += [(each.name, c) for c, verdict in zip(scored, verdicts, strict=True) if not verdict.keep]
        kept = [c for c, verdict in zip(scored, verdicts, strict=True) if verdict.keep]
    return FilterResult(kept, dropped)


def make_text_filters(
    limits: Thresholds, source: Language, target: Language, copied: Callable[[TranslationCandidate], float]
) -> tuple[list[Filter], list[str]]:
    """Make the filters that need no neural model, cheapest first.

    Args:
        limits: The thresholds.
        source: The source language.
        target: The target language.
        copied: Gives the share, in [0, 1], of other languages whose human captions copy the candidate's source.

    Returns:
        The filters, and sentences on what they cannot judge.

    """
    found, notes = [Filter("empty", _empty)], []
    if limits.unknown:
        found.append(Filter("unknown marker", _unknown))
    if limits.script is not None:
        found.append(Filter("other script", _script(target, limits.script)))
    if limits.copies is not None:
        found.append(Filter("copy of the source", _copies(limits.copies, copied)))
    if limits.length is not None:
        found.append(Filter("length", _length(*limits.length)))
    if limits.language is not None and {get_identifier_code(source), get_identifier_code(target)} <= list_labels():
        found.append(
            Filter(
                "other language", _language(get_identifier_code(source), get_identifier_code(target), limits.language)
            )
        )
    elif limits.language is not None:
        unknown = next(language for language in (target, source) if get_identifier_code(language) not in list_labels())
        notes.append(f"not filtered by language: py3langid does not know {unknown.name} ({unknown.code})")
    if limits.repeats is not None:
        found += [Filter("duplicate", _duplicates), Filter("repeated", _repeats(limits.repeats))]
    return found, notes


def fold_to_letters(text: str) -> str:
    """Reduce a text to letters, marks and digits without case, which two spellings of one caption share."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if unicodedata.category(c)[0] in "LMN")


def _empty(candidates: Sequence[TranslationCandidate]) -> list[FilterVerdict]:
    return [FilterVerdict(bool(c.text.strip())) for c in candidates]


def _unknown(candidates: Sequence[TranslationCandidate]) -> list[FilterVerdict]:
    return [
        FilterVerdict({m.group() for m in MARKS.finditer(c.text)} <= {m.group() for m in MARKS.finditer(c.source)})
        for c in candidates
    ]


def _script(target: Language, least: float) -> Callable[[Sequence[TranslationCandidate]], list[FilterVerdict]]:
    names = "".join(rf"\p{{Script={name}}}" for name in SCRIPTS.get(target.script, (target.script,)))
    own = regex.compile(rf"(?V1)[{names}&&\p{{L}}]")

    def share(text: str) -> float:
        letters = len(regex.findall(r"\p{L}", text))
        return len(own.findall(text)) / letters if letters else 1.0

    return lambda candidates: [FilterVerdict(value >= least, value) for value in (share(c.text) for c in candidates)]


def _copies(
    least: float, copied: Callable[[TranslationCandidate], float]
) -> Callable[[Sequence[TranslationCandidate]], list[FilterVerdict]]:
    def right(c: TranslationCandidate) -> bool:
        return (
            fold_to_letters(c.text) != fold_to_letters(c.source)
            or not any(map(str.isalpha, c.source))
            or copied(c) >= least
        )

    return lambda candidates: [FilterVerdict(right(c)) for c in candidates]


def _length(least: float, most: float) -> Callable[[Sequence[TranslationCandidate]], list[FilterVerdict]]:
    def ratio(c: TranslationCandidate) -> float:
        return (len(c.text) + SMOOTH) / (len(c.source) + SMOOTH)

    return lambda candidates: [FilterVerdict(least <= ratio(c) <= most, ratio(c)) for c in candidates]


def strip_shared_names(candidate: TranslationCandidate) -> str:
    """Remove the capitalised words that a translation shares with its source: Andorra is Andorra in most languages."""
    there = set(WORD.findall(candidate.source))
    return WORD.sub(
        lambda word: "" if word.group() in there and word.group() != word.group().lower() else word.group(),
        candidate.text,
    )


def _language(
    source: str, target: str, least: float
) -> Callable[[Sequence[TranslationCandidate]], list[FilterVerdict]]:
    def verdict(c: TranslationCandidate) -> FilterVerdict:
        own = strip_shared_names(c)
        if fold_to_letters(c.text) == fold_to_letters(c.source) or not any(map(str.isalpha, own)):
            return FilterVerdict(True)  # a copy that was kept so far is one that human captions make too
        ranked = load_identifier().rank(own)
        likely = dict(ranked)
        share = likely[target] / ranked[0][1]
        return FilterVerdict(share >= least and likely[target] >= likely[source], share)

    return lambda candidates: [verdict(c) for c in candidates]


def _duplicates(candidates: Sequence[TranslationCandidate]) -> list[FilterVerdict]:
    """Drop a caption that its concept already has, whatever it was translated from."""
    seen: set[tuple[str, str]] = set()
    verdicts = []
    for c in candidates:
        key = (c.concept, fold_to_letters(c.text) or c.text)
        verdicts.append(FilterVerdict(key not in seen))
        seen.add(key)
    return verdicts


def _repeats(most: int) -> Callable[[Sequence[TranslationCandidate]], list[FilterVerdict]]:
    def judge(candidates: Sequence[TranslationCandidate]) -> list[FilterVerdict]:
        shared = Counter(text for _, text in {(fold_to_letters(c.source), fold_to_letters(c.text)) for c in candidates})
        return [
            FilterVerdict(shared[fold_to_letters(c.text)] <= most, float(shared[fold_to_letters(c.text)]))
            for c in candidates
        ]

    return judge


def parse_threshold(name: str, text: str, least: float, most: float) -> float | None:
    """Parse the value of a filter's option; None for "off".

    Args:
        name: Name of the option.
        text: Its value.
        least: The least value.
        most: The greatest value.

    Returns:
        The number, or None.

    Raises:
        PolyclipError: The text is not a number in the range.

    """
    if text == OFF:
        return None
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not least <= value <= most:
        raise PolyclipError(f"--{name} is {text!r}, expected a number from {least:g} to {most:g}, or {OFF}.")
    return value


def parse_similarity(text: str) -> tuple[float | None, float | None]:
    """Parse `-0.05` as a margin, or `5%` as the share of human pairs that may be lost.

    Returns:
        Margin and share; the one that was not given is None, both are for "off".

    Raises:
        PolyclipError: The text is not a number in the range.

    """
    if text.endswith("%"):
        share = parse_threshold("similarity", text[:-1], 0.0, 50.0)
        return None, None if share is None else share / 100
    return parse_threshold("similarity", text, -1.0, 1.0), None


def parse_length(text: str) -> tuple[float, float] | None:
    """Parse `0.2:4` as the least and the greatest ratio of lengths; None for "off".

    Raises:
        PolyclipError: The text is not two numbers in the range.

    """
    if text == OFF:
        return None
    low, colon, high = text.partition(":")
    if not colon or OFF in (low, high):
        raise PolyclipError(f"--length is {text!r}, expected two numbers such as 0.2:4, or {OFF}.")
    least, most = parse_threshold("length", low, 0.0, 1.0), parse_threshold("length", high, 1.0, 1000.0)
    return None if least is None or most is None else (least, most)
