"""Names of image classes in other languages than English, from wordnets that are linked to WordNet 3.0.

Those of five languages are in wordnet-names.tsv, which scripts/build_class_names.py makes; see WORDNETS-LICENSES. Those
of any further language are read from a file that a user has.
"""

import re
from functools import cache
from pathlib import Path

from polyclip.core.storage import read_plain_text
from polyclip.errors import DataError
from polyclip.models.vocabulary.wordnet import read_lines

FILE = Path(__file__).with_name("wordnet-names.tsv")
SYNSET = re.compile(r"(?:(\d{8})-[nvars]|n(\d{8}))")  # as the Open Multilingual Wordnet writes ids, or as ImageNet does
POINTS = {code: None for code in range(0x591, 0x5C8)}  # of Hebrew, which captions are written without
EXPECTED = (
    "expected a WordNet 3.0 id and a word separated by a tab, such as n02084071<tab>mbwa, or a file of the Open "
    "Multilingual Wordnet (02084071-n<tab>lemma<tab>mbwa)"
)


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


def read_wordnet(path: Path) -> dict[str, str]:
    """Read one language's names of nouns: of each synset the first word of the file.

    Args:
        path: A file of the Open Multilingual Wordnet (id such as 02084071-n, "lemma" or "swa:lemma", word), or a table
            of ids such as n02084071 and words; columns separated by tabs. Empty lines and lines that begin with "#" are
            left out, as are verbs, adjectives, adverbs, definitions and examples.

    Returns:
        Names by WordNet id, such as n02084071.

    Raises:
        DataError: The file cannot be read, a line has another form, or there is no noun.

    """
    try:
        text = read_plain_text(path, "utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: names of image classes cannot be read ({error}); {EXPECTED}.") from error
    found: dict[str, str] = {}
    for number, line in enumerate(text.split("\n"), 1):
        columns = line.rstrip("\r").split("\t")
        if line.startswith("#") or not line.strip():
            continue
        synset = SYNSET.fullmatch(columns[0].strip())
        if synset is None or len(columns) < 2:
            raise DataError(f"{path}:{number}: {EXPECTED}; found {line[:80]!r}.")
        word = clean_word(columns[-1])
        if word and is_noun(columns):
            found.setdefault(f"n{synset[1] or synset[2]}", word)
    if not found:
        raise DataError(f"{path}: it has no noun; {EXPECTED}.")
    return found


def is_noun(columns: list[str]) -> bool:
    """Whether a line names a noun, rather than another part of speech or giving a definition or an example."""
    kind = columns[1].rpartition(":")[2] if len(columns) > 2 else "lemma"
    return kind == "lemma" and not columns[0].strip().endswith(("-v", "-a", "-r", "-s"))


def clean_word(word: str) -> str:
    """A word as people write it: wordnets join the words of a name by "_" or "+", and some point Hebrew."""
    return " ".join(word.replace("_", " ").replace("+", " ").translate(POINTS).split())
