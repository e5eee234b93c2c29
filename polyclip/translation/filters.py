"""What a translated caption must pass before it is trained on. Each filter judges candidates, says why it drops one, and can be switched off.

The defaults were set on captions that people wrote, the names of the starter corpus: see the comment at each.
"""

import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import regex

from polyclip.errors import PolyclipError
from polyclip.languages.identify import identified, identifier, labels
from polyclip.languages.schema import Language

OFF = "off"
SMOOTH = 4  # characters added to both lengths, so that "ox" and "ng'ombe" are not three apart
SCRIPTS = {"Hans": ("Hani",), "Hant": ("Hani",), "Jpan": ("Hani", "Hira", "Kana"), "Kore": ("Hang", "Hani")}
# SentencePiece's and tokenizers' unknown word, the replacement character, language and sentence tokens, Apertium's marks of words it lacks.
MARKS = regex.compile(
    r"<unk>|\[UNK\]|\u2047|\ufffd|</?s>|<pad>|__[a-z]{2,3}__|\b[a-z]{3}_[A-Z][a-z]{3}\b|<2[a-z]{2,3}>|(?<![\w\p{P}])[*@#](?=\p{L})"
)

WORD = regex.compile(r"\w+")


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """One translation of one caption of one concept."""

    concept: str
    place: int  # of the caption among the concept's: 0 is the name
    source: str
    text: str
    scores: Mapping[str, float] = field(default_factory=dict)  # by filter


class Verdict(NamedTuple):
    """Whether a candidate stays, and what was measured."""

    keep: bool
    score: float | None = None


@dataclass(frozen=True)
class Filter:
    """`judge` gives a verdict for each candidate, in their order."""

    name: str  # the reason, as the table of what was dropped has it
    judge: Callable[[Sequence[Candidate]], Sequence[Verdict]]


@dataclass(frozen=True)
class Sifted:
    """What passed, with its scores, and what did not, each with the name of the filter that dropped it."""

    kept: list[Candidate]
    dropped: list[tuple[str, Candidate]]


@dataclass(frozen=True, kw_only=True)
class Thresholds:
    """Where each filter drops; None switches it off. An empty translation is always dropped."""

    unknown: bool = True
    script: float | None = 0.5  # least share of letters in the language's own script
    # Least likelihood beside the likeliest language's, and never below the source's. Of names by people 95 % pass, of English ones instead 7 %.
    language: float | None = 0.05
    # Least and most of (characters + 4) / (characters + 4). Of names by people at least 98 % pass, whatever the language.
    length: tuple[float, float] | None = (0.2, 4.0)
    # A copy of the source stays where people copied it in this share of the other languages of the script: pizza, koala.
    copies: float | None = 0.1
    repeats: int | None = 3  # most sources that may share one translation; a concept never has it twice
    likeness: float | None = (
        None  # least margin of the encoder's cosine of source and translation over those of their neighbours
    )
    # Share of human pairs that the least margin, where it is not given, would drop. Of wrong pairs it drops half (Swahili, Khmer) to nine tenths.
    quantile: float | None = 0.05
    chrf: float | None = None  # least chrF (0 to 100) of the translation back; a threshold asks for it


def sift(candidates: Sequence[Candidate], filters: Sequence[Filter]) -> Sifted:
    """Judge by one filter after the other: each sees what those before it let through."""
    kept, dropped = list(candidates), []
    for each in filters:
        verdicts = each.judge(kept)
        scored = [
            c if verdict.score is None else replace(c, scores={**c.scores, each.name: round(verdict.score, 4)})
            for c, verdict in zip(kept, verdicts, strict=True)
        ]
        dropped += [(each.name, c) for c, verdict in zip(scored, verdicts, strict=True) if not verdict.keep]
        kept = [c for c, verdict in zip(scored, verdicts, strict=True) if verdict.keep]
    return Sifted(kept, dropped)


def text_filters(
    limits: Thresholds, source: Language, target: Language, copied: Callable[[Candidate], float]
) -> tuple[list[Filter], list[str]]:
    """The filters that need no model of ours, cheapest first, and sentences on what they cannot judge.

    `copied` is the share (0 to 1) of other languages in which people copied the candidate's source.
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
    if limits.language is not None and {identified(source), identified(target)} <= labels():
        found.append(Filter("other language", _language(identified(source), identified(target), limits.language)))
    elif limits.language is not None:
        unknown = next(language for language in (target, source) if identified(language) not in labels())
        notes.append(f"not filtered by language: py3langid does not know {unknown.name} ({unknown.code})")
    if limits.repeats is not None:
        found += [Filter("duplicate", _duplicates), Filter("repeated", _repeats(limits.repeats))]
    return found, notes


def fold(text: str) -> str:
    """Letters, marks and digits alone, without case: what two spellings of one caption share."""
    return "".join(c for c in unicodedata.normalize("NFKC", text).casefold() if unicodedata.category(c)[0] in "LMN")


def _empty(candidates: Sequence[Candidate]) -> list[Verdict]:
    return [Verdict(bool(c.text.strip())) for c in candidates]


def _unknown(candidates: Sequence[Candidate]) -> list[Verdict]:
    return [
        Verdict({m.group() for m in MARKS.finditer(c.text)} <= {m.group() for m in MARKS.finditer(c.source)})
        for c in candidates
    ]


def _script(target: Language, least: float) -> Callable[[Sequence[Candidate]], list[Verdict]]:
    names = "".join(rf"\p{{Script={name}}}" for name in SCRIPTS.get(target.script, (target.script,)))
    own = regex.compile(rf"(?V1)[{names}&&\p{{L}}]")

    def share(text: str) -> float:
        letters = len(regex.findall(r"\p{L}", text))
        return len(own.findall(text)) / letters if letters else 1.0

    return lambda candidates: [Verdict(value >= least, value) for value in (share(c.text) for c in candidates)]


def _copies(least: float, copied: Callable[[Candidate], float]) -> Callable[[Sequence[Candidate]], list[Verdict]]:
    def right(c: Candidate) -> bool:
        return fold(c.text) != fold(c.source) or not any(map(str.isalpha, c.source)) or copied(c) >= least

    return lambda candidates: [Verdict(right(c)) for c in candidates]


def _length(least: float, most: float) -> Callable[[Sequence[Candidate]], list[Verdict]]:
    def ratio(c: Candidate) -> float:
        return (len(c.text) + SMOOTH) / (len(c.source) + SMOOTH)

    return lambda candidates: [Verdict(least <= ratio(c) <= most, ratio(c)) for c in candidates]


def own_words(candidate: Candidate) -> str:
    """The translation without the names that it shares with its source, words with a capital letter: Andorra is Andorra in most languages."""
    there = set(WORD.findall(candidate.source))
    return WORD.sub(
        lambda word: "" if word.group() in there and word.group() != word.group().lower() else word.group(),
        candidate.text,
    )


def _language(source: str, target: str, least: float) -> Callable[[Sequence[Candidate]], list[Verdict]]:
    def verdict(c: Candidate) -> Verdict:
        own = own_words(c)
        if fold(c.text) == fold(c.source) or not any(map(str.isalpha, own)):
            return Verdict(True)  # a copy that came so far is one that people make too: its language says nothing
        ranked = identifier().rank(own)
        likely = dict(ranked)
        share = likely[target] / ranked[0][1]
        return Verdict(share >= least and likely[target] >= likely[source], share)

    return lambda candidates: [verdict(c) for c in candidates]


def _duplicates(candidates: Sequence[Candidate]) -> list[Verdict]:
    """A caption that its concept has already, whatever it was translated from."""
    seen: set[tuple[str, str]] = set()
    verdicts = []
    for c in candidates:
        key = (c.concept, fold(c.text) or c.text)
        verdicts.append(Verdict(key not in seen))
        seen.add(key)
    return verdicts


def _repeats(most: int) -> Callable[[Sequence[Candidate]], list[Verdict]]:
    def judge(candidates: Sequence[Candidate]) -> list[Verdict]:
        shared = Counter(text for _, text in {(fold(c.source), fold(c.text)) for c in candidates})
        return [Verdict(shared[fold(c.text)] <= most, float(shared[fold(c.text)])) for c in candidates]

    return judge


def parse(name: str, text: str, least: float, most: float) -> float | None:
    """The value of a filter's option; None for "off".

    Raises PolyclipError for anything else than a number from `least` to `most`.
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


def parse_likeness(text: str) -> tuple[float | None, float | None]:
    """`-0.05` is a margin, `5%` the share of human pairs that may be lost; the other of the two is None, both are for "off"."""
    if text.endswith("%"):
        share = parse("similarity", text[:-1], 0.0, 50.0)
        return None, None if share is None else share / 100
    return parse("similarity", text, -1.0, 1.0), None


def parse_length(text: str) -> tuple[float, float] | None:
    """`0.2:4`, the least and the most."""
    if text == OFF:
        return None
    low, colon, high = text.partition(":")
    if not colon or OFF in (low, high):
        raise PolyclipError(f"--length is {text!r}, expected two numbers such as 0.2:4, or {OFF}.")
    least, most = parse("length", low, 0.0, 1.0), parse("length", high, 1.0, 1000.0)
    return None if least is None or most is None else (least, most)
