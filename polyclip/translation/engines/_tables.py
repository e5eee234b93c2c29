"""Word and phrase tables: tab-separated, FreeDict's TEI, or a corpus' names of its training concepts."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol, runtime_checkable
from xml.etree import ElementTree

from polyclip.core.storage import hash_parts, read_plain_bytes
from polyclip.data.corpus import load_corpus
from polyclip.errors import DataError
from polyclip.languages.schema import Language

TEI = "{http://www.tei-c.org/ns/1.0}"


@runtime_checkable
class PhraseTable(Protocol):
    """A table with the translations of phrases.

    Attributes:
        longest: Words of the longest phrase.
        identity: Hash of its content.

    """

    longest: int  # words of the longest phrase
    identity: str  # hash of what is in it

    def look_up(self, phrase: str) -> tuple[str, ...]:
        """Look up the translations of a phrase that `to_phrase_key` made, the best first; empty for none."""
        ...


def to_phrase_key(phrase: str) -> str:
    """Normalize case and spaces of a phrase to look it up."""
    return " ".join(phrase.casefold().split())


class ListedTable:
    """A table in memory, from pairs of phrase and translation; several translations of a phrase keep their order."""

    def __init__(self, entries: Iterable[tuple[str, str]]) -> None:
        found: dict[str, dict[str, None]] = {}
        for phrase, translation in entries:
            kept = " ".join(translation.split())
            if to_phrase_key(phrase) and kept:
                found.setdefault(to_phrase_key(phrase), {})[kept] = None
        self.entries = {phrase: tuple(translations) for phrase, translations in found.items()}
        self.longest = max((len(phrase.split()) for phrase in self.entries), default=0)
        self.identity = hash_parts(
            *(part for phrase in sorted(self.entries) for part in (phrase, *self.entries[phrase]))
        )

    def look_up(self, phrase: str) -> tuple[str, ...]:
        """Look up the translations of a phrase."""
        return self.entries.get(phrase, ())


def read_phrase_table(path: Path) -> ListedTable:
    """Read the table of a .tei or .xml file, or of tab-separated lines.

    Raises:
        DataError: The file is missing, empty or invalid; with file and line.

    """
    if not path.is_file():
        raise DataError(
            f"{path} is missing; expected a lexicon: 'source<TAB>target' lines, FreeDict's .tei, or the .index of a "
            "dictd dictionary."
        )
    table = ListedTable((read_tei if path.suffix in (".tei", ".xml") else read_tabbed)(path))
    if not table.entries:
        raise DataError(f"{path} has no entry in it.")
    return table


def read_parallel_names(corpus: str, source: Language, target: Language) -> ListedTable:
    """Read a corpus' names of its training concepts in both languages; the other splits are for evaluation.

    Raises:
        UnknownName: A language has no captions.

    """
    found = load_corpus(corpus)
    ours, theirs = (
        {row.concept: row.captions[0] for row in found.reader.read(found.folder, found.get_locale(pack), "train")}
        for pack in (source, target)
    )
    return ListedTable((name, theirs[concept]) for concept, name in ours.items() if concept in theirs)


def read_lines(path: Path) -> Iterator[tuple[int, str]]:
    """Read numbered lines without their ends; CRLF and a byte order mark are accepted.

    Raises:
        DataError: A line is not UTF-8; with file and line.

    """
    for number, raw in enumerate(read_plain_bytes(path).split(b"\n"), 1):
        try:
            yield number, raw.decode("utf-8").removeprefix("\ufeff").removesuffix("\r")
        except UnicodeDecodeError as error:
            raise DataError(f"{path}:{number}: not UTF-8 ({error}); save the file as UTF-8.") from error


def read_tabbed(path: Path) -> Iterator[tuple[str, str]]:
    """Read lines `source<TAB>target`; further columns are further translations.

    Empty lines and lines that begin with # are skipped.

    Raises:
        DataError: A line has another layout; with file and line.

    """
    for number, line in read_lines(path):
        if not line.strip() or line.startswith("#"):
            continue
        phrase, *translations = line.split("\t")
        if not translations or not phrase.strip() or not all(text.strip() for text in translations):
            raise DataError(f"{path}:{number}: expected source<TAB>target, neither empty, found {line[:60]!r}.")
        yield from ((phrase, translation) for translation in translations)


def read_tei(path: Path) -> Iterator[tuple[str, str]]:
    """Read FreeDict's TEI P5: `entry/form/orth` and `cit[@type="trans"]/quote`.

    Raises:
        DataError: The file is not XML; with file and line.

    """
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
