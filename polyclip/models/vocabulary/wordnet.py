"""WordNet 3.0, as far as image classifiers need it: synsets, the words for them, and what stands above each (wordnet.tsv, see WORDNET-LICENSE)."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from polyclip.errors import DataError

FILE = Path(__file__).parent / "wordnet.tsv"


@dataclass(frozen=True, slots=True)
class Synset:
    """One meaning: its words, the usual one first, and its hypernyms' ids."""

    words: tuple[str, ...]
    hypernyms: tuple[str, ...]


def read_synsets(path: Path) -> dict[str, Synset]:
    """Synsets by id, such as n02084071.

    Args:
        path: A table with one synset a line: id, hypernyms separated by spaces, words separated by "|"; columns by tabs.

    Raises:
        DataError: The file is missing, a line has another form, or a hypernym is not in the file.

    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: the names of image classes cannot be read ({error}); install polyclip again."
        ) from error
    found = {}
    for number, line in enumerate(lines, 1):
        columns = line.split("\t")
        if len(columns) != 3 or not all(columns[0::2]):
            raise DataError(
                f"{path}:{number}: expected id, hypernyms and words separated by tabs, found {line[:80]!r}; install polyclip again."
            )
        found[columns[0]] = Synset(tuple(columns[2].split("|")), tuple(columns[1].split()))
    for synset, entry in found.items():
        for hypernym in entry.hypernyms:
            if hypernym not in found:
                raise DataError(f"{path}: hypernym {hypernym} of {synset} is not in the file; install polyclip again.")
    return found


@cache
def synsets() -> dict[str, Synset]:
    """All that polyclip ships: about 23,500."""
    return read_synsets(FILE)


def ancestors(synset: str) -> set[str]:
    """A synset and all that stands above it."""
    table, found, waiting = synsets(), set(), [synset]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += table[one].hypernyms
    return found


def classes_below(classes: Iterable[str]) -> dict[str, list[int]]:
    """For each class and each synset above one: the numbers of the classes at or below it, in their order."""
    found: dict[str, list[int]] = {}
    for number, synset in enumerate(classes):
        for above in ancestors(synset):
            found.setdefault(above, []).append(number)
    return found
