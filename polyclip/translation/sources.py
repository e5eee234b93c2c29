"""Which captions are translated, and what human captions in other languages say about their translations."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

from polyclip.core.storage import hash_parts
from polyclip.data.corpus import Corpus
from polyclip.data.types import Row
from polyclip.errors import DataError
from polyclip.languages.schema import Language, list_languages, load_language
from polyclip.translation.filters import TranslationCandidate, fold_to_letters

HUMAN = "human"
FEWEST = 100  # the fewest pairs to compute a quantile from
PAIRS = 2000  # of a language
LANGUAGES = 3  # substitutes for a language whose human captions may not be read
Pair = tuple[str, str]


@dataclass(frozen=True)
class Sentence:
    """One caption to be translated."""

    concept: str
    place: int  # among the concept's captions: 0 is the name
    text: str


def collect_sentences(corpus: Corpus, source: Language, splits: Sequence[str], *, keywords: bool) -> list[Sentence]:
    """Collect the human captions to translate, in the corpus' order.

    Args:
        corpus: The corpus.
        source: The source language.
        splits: Splits to translate.
        keywords: Whether captions after the first are translated too.

    Returns:
        The captions.

    Raises:
        UnknownName: The corpus lacks the language.
        DataError: The corpus has no human caption in it.

    """
    rows = read_human_rows(corpus, corpus.get_locale(source), splits)
    found = [
        Sentence(row.concept, place, text)
        for row in rows
        for place, text in enumerate(row.captions)
        if place == 0 or keywords
    ]
    if not found:
        raise DataError(
            f"Corpus {corpus.name!r} has no human caption in {source.name} ({source.code}) in {' and '.join(splits)}."
        )
    return found


def read_human_rows(corpus: Corpus, locale: str, splits: Sequence[str]) -> list[Row]:
    """Read the rows of one language that have human captions."""
    return [
        row for split in splits for row in corpus.reader.read(corpus.folder, locale, split) if row.provenance == HUMAN
    ]


def list_peers(corpus: Corpus, source: Language, target: Language) -> list[Language]:
    """List every other language of the corpus that has a pack."""
    there = set(corpus.reader.languages(corpus.folder))
    packs = [load_language(code) for code in list_languages()]
    return [pack for pack in packs if corpus.get_locale(pack) in there and pack.code not in (source.code, target.code)]


def measure_copying(
    corpus: Corpus, source: Language, target: Language, splits: Sequence[str]
) -> Callable[[TranslationCandidate], float]:
    """Make a function that measures how often human captions copy the source.

    The target's own captions are not read: a model trained on machine-translated captions alone owes them nothing.
    Nothing is read before the function is called.

    Args:
        corpus: The corpus.
        source: The source language.
        target: The target language.
        splits: Splits whose human captions may be read.

    Returns:
        A function of a candidate: the share, in [0, 1], of the other languages in the target's script that name the
            concept as the source does.

    """

    @cache
    def named() -> list[dict[str, tuple[str, ...]]]:
        found = [pack for pack in list_peers(corpus, source, target) if pack.script == target.script]
        rows = [read_human_rows(corpus, corpus.get_locale(pack), splits) for pack in found]
        return [{row.concept: row.captions for row in each} for each in rows]

    def share(candidate: TranslationCandidate) -> float:
        asked = [names[candidate.concept] for names in named() if candidate.concept in names]
        copy = fold_to_letters(candidate.source)
        return sum(copy in map(fold_to_letters, names) for names in asked) / len(asked) if asked else 0.0

    return share


def collect_human_pairs(
    corpus: Corpus, source: Language, target: Language, splits: Sequence[str], *, others: bool
) -> tuple[list[list[Pair]], str]:
    """Collect human names of the same concept in the source and in the target language.

    With `others`, or where the target has fewer than a hundred, pairs come from three other languages, separately:
    those that XLM-R was trained on or not as the target, of the target's script first.

    Args:
        corpus: The corpus.
        source: The source language.
        target: The target language.
        splits: Splits whose human captions may be read.
        others: Whether the target's own captions are left out.

    Returns:
        Pairs by language, empty where there are none; and whose they are, in words.

    """
    there = corpus.reader.languages(corpus.folder)
    own = select_pairs(corpus, source, target, splits) if corpus.get_locale(target) in there and not others else []
    if len(own) >= FEWEST:
        return [own], f"human captions in {target.name}"
    like = [pack for pack in list_peers(corpus, source, target) if pack.in_xlmr == target.in_xlmr]
    like.sort(key=lambda pack: (pack.script != target.script, pack.code))
    enough = ((pack.name, each) for pack in like if len(each := select_pairs(corpus, source, pack, splits)) >= FEWEST)
    found = dict(islice(enough, LANGUAGES))
    return list(found.values()), f"human captions in {', '.join(found)}"


def select_pairs(corpus: Corpus, source: Language, target: Language, splits: Sequence[str]) -> list[Pair]:
    """Select at most two thousand pairs by hash of the concept, in the corpus' order."""
    here = {row.concept: row.captions[0] for row in read_human_rows(corpus, corpus.get_locale(source), splits)}
    there = {row.concept: row.captions[0] for row in read_human_rows(corpus, corpus.get_locale(target), splits)}
    chosen = set(sorted(here.keys() & there.keys(), key=hash_parts)[:PAIRS])
    return [(here[concept], there[concept]) for concept in here if concept in chosen]
