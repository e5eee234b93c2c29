"""Word and phrase tables: tab-separated, FreeDict's TEI, or the names that a corpus gives its training concepts in two languages."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable
from xml.etree import ElementTree

from polyclip.core.storage import digest
from polyclip.data.corpus import load_corpus
from polyclip.errors import DataError
from polyclip.languages.schema import Language

TEI = "{http://www.tei-c.org/ns/1.0}"


@runtime_checkable
class Table(Protocol):
    """Translations of phrases."""

    longest: int  # words of the longest phrase
    identity: str  # hash of what is in it

    def look(self, phrase: str) -> tuple[str, ...]:
        """Translations of a phrase that `key` made, the best first; none where it is not in the table."""
        ...


def key(phrase: str) -> str:
    """How a phrase is looked up."""
    return " ".join(phrase.casefold().split())


class Listed:
    """A table in memory, from phrase and translation pairs; several translations of a phrase keep their order."""

    def __init__(self, entries: Iterable[tuple[str, str]]) -> None:
        found: dict[str, dict[str, None]] = {}
        for phrase, translation in entries:
            kept = " ".join(translation.split())
            if key(phrase) and kept:
                found.setdefault(key(phrase), {})[kept] = None
        self.entries = {phrase: tuple(translations) for phrase, translations in found.items()}
        self.longest = max((len(phrase.split()) for phrase in self.entries), default=0)
        self.identity = digest(*(part for phrase in sorted(self.entries) for part in (phrase, *self.entries[phrase])))

    def look(self, phrase: str) -> tuple[str, ...]:
        """Translations of a phrase."""
        return self.entries.get(phrase, ())


def listed(path: Path) -> Listed:
    """The table of a .tei or .xml file, or of tab-separated lines.

    Raises DataError with file and line for what cannot be read.
    """
    if not path.is_file():
        raise DataError(
            f"{path} is missing; expected a lexicon: 'source<TAB>target' lines, FreeDict's .tei, or the .index of a dictd dictionary."
        )
    table = Listed((tei if path.suffix in (".tei", ".xml") else tabbed)(path))
    if not table.entries:
        raise DataError(f"{path} has no entry in it.")
    return table


def parallel_names(corpus: str, source: Language, target: Language) -> Listed:
    """What a corpus calls its concepts in both languages, of the training split alone: the rest is what models are tested on.

    Raises UnknownName for a language without captions.
    """
    found = load_corpus(corpus)
    ours, theirs = (
        {row.concept: row.captions[0] for row in found.reader.read(found.folder, found.locale(pack), "train")}
        for pack in (source, target)
    )
    return Listed((name, theirs[concept]) for concept, name in ours.items() if concept in theirs)


def lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines without their ends; CRLF and a byte order mark are accepted.

    Raises DataError with file and line where they are not UTF-8.
    """
    for number, raw in enumerate(path.read_bytes().split(b"\n"), 1):
        try:
            yield number, raw.decode("utf-8").removeprefix("\ufeff").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}:{number}: not UTF-8 ({error}); save the file as UTF-8.") from error


def tabbed(path: Path) -> Iterator[tuple[str, str]]:
    """`source<TAB>target`, further columns are further translations; empty lines and lines that begin with # are skipped."""
    for number, line in lines(path):
        if not line.strip() or line.startswith("#"):
            continue
        phrase, *translations = line.split("\t")
        if not translations or not phrase.strip() or not all(text.strip() for text in translations):
            raise DataError(f"{path}:{number}: expected source<TAB>target, neither empty, found {line[:60]!r}.")
        yield from ((phrase, translation) for translation in translations)


def tei(path: Path) -> Iterator[tuple[str, str]]:
    """FreeDict's TEI P5: `entry/form/orth` and `cit[@type="trans"]/quote`."""
    try:
        for _, element in ElementTree.iterparse(path):  # noqa: S314 - expat refuses entities that grow, and nothing is fetched
            if element.tag == f"{TEI}entry":
                quotes = [
                    quote
                    for cit in element.iter(f"{TEI}cit")
                    if cit.get("type") in ("trans", "translation")
                    for quote in cit.findall(f"{TEI}quote")
                ]
                yield from (
                    ("".join(orth.itertext()), "".join(quote.itertext()))
                    for orth in element.iter(f"{TEI}orth")
                    for quote in quotes
                )
                element.clear()
    except ElementTree.ParseError as error:
        raise DataError(f"{path}:{error.position[0]}: not TEI ({error}).") from error
