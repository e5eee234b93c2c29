"""Which captions are translated, and what people's captions in other languages say about translations of them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import islice

from polyclip.core.storage import digest
from polyclip.data.corpus import Corpus
from polyclip.data.types import Row
from polyclip.errors import DataError
from polyclip.languages.schema import Language, known_languages, load_language
from polyclip.translation.filters import Candidate, fold

HUMAN = "human"
FEWEST = 100  # pairs that a quantile is taken of
PAIRS = 2000  # of a language
LANGUAGES = 3  # that stand in for one of which people's captions may not be looked at
Pair = tuple[str, str]


@dataclass(frozen=True)
class Sentence:
    """One caption to be translated."""

    concept: str
    place: int  # among the concept's captions: 0 is the name
    text: str


def sentences(corpus: Corpus, source: Language, splits: Sequence[str], *, keywords: bool) -> list[Sentence]:
    """Names that people gave in `source`, with `keywords` their further captions too, in the corpus' order.

    Raises UnknownName for a language that the corpus lacks, DataError where it names nothing.
    """
    rows = human_rows(corpus, corpus.locale(source), splits)
    found = [
        Sentence(row.concept, place, text)
        for row in rows
        for place, text in enumerate(row.captions)
        if place == 0 or keywords
    ]
    if not found:
        raise DataError(
            f"Corpus {corpus.name!r} has no caption by people in {source.name} ({source.code}) in {' and '.join(splits)}."
        )
    return found


def human_rows(corpus: Corpus, locale: str, splits: Sequence[str]) -> list[Row]:
    """Rows of one language whose captions people wrote."""
    return [
        row for split in splits for row in corpus.reader.read(corpus.folder, locale, split) if row.provenance == HUMAN
    ]


def peers(corpus: Corpus, source: Language, target: Language) -> list[Language]:
    """Every other language of the corpus that has a pack."""
    there = set(corpus.reader.languages(corpus.folder))
    packs = [load_language(code) for code in known_languages()]
    return [pack for pack in packs if corpus.locale(pack) in there and pack.code not in (source.code, target.code)]


def copied_elsewhere(
    corpus: Corpus, source: Language, target: Language, splits: Sequence[str]
) -> Callable[[Candidate], float]:
    """A function that gives the share (0 to 1) of the other languages of the target's script whose people call the concept as the source does.

    The target's own captions are not looked at: a model trained on machine captions alone owes them nothing. Nothing is read
    before the function is called.
    """

    @cache
    def named() -> list[dict[str, tuple[str, ...]]]:
        found = [pack for pack in peers(corpus, source, target) if pack.script == target.script]
        rows = [human_rows(corpus, corpus.locale(pack), splits) for pack in found]
        return [{row.concept: row.captions for row in each} for each in rows]

    def share(candidate: Candidate) -> float:
        asked = [names[candidate.concept] for names in named() if candidate.concept in names]
        copy = fold(candidate.source)
        return sum(copy in map(fold, names) for names in asked) / len(asked) if asked else 0.0

    return share


def human_pairs(
    corpus: Corpus, source: Language, target: Language, splits: Sequence[str], *, others: bool
) -> tuple[list[list[Pair]], str]:
    """Names of one concept by people in the source and in the target language, and whose they are, in words.

    With `others`, or where the target has fewer than a hundred, those of three other languages, each for itself, that the encoder's family was
    trained on or not as the target, of the target's script first. Empty where there are none.
    """
    there = corpus.reader.languages(corpus.folder)
    own = pairs(corpus, source, target, splits) if corpus.locale(target) in there and not others else []
    if len(own) >= FEWEST:
        return [own], f"names by people in {target.name}"
    like = [pack for pack in peers(corpus, source, target) if pack.in_xlmr == target.in_xlmr]
    like.sort(key=lambda pack: (pack.script != target.script, pack.code))
    enough = ((pack.name, each) for pack in like if len(each := pairs(corpus, source, pack, splits)) >= FEWEST)
    found = dict(islice(enough, LANGUAGES))
    return list(found.values()), f"names by people in {', '.join(found)}"


def pairs(corpus: Corpus, source: Language, target: Language, splits: Sequence[str]) -> list[Pair]:
    """At most two thousand, chosen by hash of the concept, in the corpus' order."""
    here = {row.concept: row.captions[0] for row in human_rows(corpus, corpus.locale(source), splits)}
    there = {row.concept: row.captions[0] for row in human_rows(corpus, corpus.locale(target), splits)}
    chosen = set(sorted(here.keys() & there.keys(), key=digest)[:PAIRS])
    return [(here[concept], there[concept]) for concept in here if concept in chosen]
