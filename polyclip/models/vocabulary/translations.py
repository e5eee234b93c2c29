"""Names of image classes in other languages than English, from wordnets that are linked to WordNet 3.0.

The data are in wordnet-names.tsv, which scripts/build_class_names.py makes; see WORDNETS-LICENSES.
"""

from functools import cache
from pathlib import Path

from polyclip.errors import DataError
from polyclip.models.vocabulary.wordnet import read_lines

FILE = Path(__file__).with_name("wordnet-names.tsv")


def read_translations(path: Path) -> dict[str, tuple[str, ...]]:
    """Read names by WordNet id.

    Args:
        path: A table, columns separated by tabs: the id, then one name a language, or nothing; the first line has the
            languages.

    Returns:
        Names by id, at most one a language.

    Raises:
        DataError: The file is missing, or a line has another form.

    """
    header, *lines = read_lines(path) or [""]
    width, found = len(header.split("\t")), {}
    for number, line in enumerate(lines, 2):
        synset, *names = line.split("\t")
        if len(names) != width - 1 or not synset or not any(names):
            raise DataError(
                f"{path}:{number}: expected a synset and {width - 1} names separated by tabs, found {line[:80]!r}; "
                "install polyclip again."
            )
        found[synset] = tuple(name for name in names if name)
    return found


@cache
def load_translations() -> dict[str, tuple[str, ...]]:
    """Load the names that polyclip ships: in five languages, of ImageNet-1k's classes and their hypernyms."""
    return read_translations(FILE)
