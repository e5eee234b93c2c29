"""WordNet 3.0 as far as image classifiers need it: synsets, their words and their hypernyms.

The data are in wordnet.tsv; see WORDNET-LICENSE.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from polyclip.errors import DataError

FILE = Path(__file__).parent / "wordnet.tsv"


@dataclass(frozen=True, slots=True)
class Synset:
    """One meaning: its words, the usual one first, and the ids of its hypernyms."""

    words: tuple[str, ...]
    hypernyms: tuple[str, ...]


def read_lines(path: Path) -> list[str]:
    """Read the lines of a table of class names; a `DataError` says where that fails."""
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: the names of image classes cannot be read ({error}); install polyclip again."
        ) from error


def read_synsets(path: Path) -> dict[str, Synset]:
    """Read synsets by id, such as n02084071.

    Args:
        path: A table with one synset a line: id, hypernyms separated by spaces, words separated by "|"; columns by
            tabs.

    Returns:
        Synsets by id.

    Raises:
        DataError: The file is missing, a line has another form, or a hypernym is not in the file.

    """
    found = {}
    for number, line in enumerate(read_lines(path), 1):
        columns = line.split("\t")
        if len(columns) != 3 or not all(columns[0::2]):
            raise DataError(
                f"{path}:{number}: expected id, hypernyms and words separated by tabs, found {line[:80]!r}; install "
                "polyclip again."
            )
        found[columns[0]] = Synset(tuple(columns[2].split("|")), tuple(columns[1].split()))
    for synset, entry in found.items():
        for hypernym in entry.hypernyms:
            if hypernym not in found:
                raise DataError(f"{path}: hypernym {hypernym} of {synset} is not in the file; install polyclip again.")
    return found


@cache
def load_synsets() -> dict[str, Synset]:
    """Load all synsets that polyclip ships, about 23,500."""
    return read_synsets(FILE)


def find_ancestors(synset: str) -> set[str]:
    """Find a synset's hypernyms at any distance; the synset itself is among them."""
    table, found, waiting = load_synsets(), set(), [synset]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            waiting += table[one].hypernyms
    return found


def group_classes(classes: Iterable[str]) -> dict[str, list[int]]:
    """Group classes by hypernym.

    Args:
        classes: Synset ids, in the order of the classifier's rows.

    Returns:
        For each class and each synset above one: the numbers of the classes at or below it, in their order.

    """
    found: dict[str, list[int]] = {}
    for number, synset in enumerate(classes):
        for above in find_ancestors(synset):
            found.setdefault(above, []).append(number)
    return found
