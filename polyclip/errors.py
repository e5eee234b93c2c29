"""All exceptions that polyclip raises on bad input. The command line prints the message and exits with code 2.

PolyclipError
├── UnknownName       a language, method, encoder, corpus ... that does not exist
├── AmbiguousName     a name with several meanings
├── PackError         an invalid file under languages/ or corpora/
├── DataError         invalid captions, images or benchmark files
├── WeightsError      weights that are missing, corrupt, or of other encoders
└── RunError          a run folder that cannot be used, resumed or written
"""

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches

# Characters that a terminal or page would obey instead of showing: control characters, line separators, changes of
# direction. Joiners and marks of direction stay: Persian, Hindi and emoji are written with them.
UNSEEN = re.compile("[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
LONGEST = 2_000  # characters of a message
NAME = 100  # characters of an unknown name


def escape_unseen(text: str) -> str:
    r"""Text on one line that shows what it holds: a newline as `\n`, other characters of `UNSEEN` as `\x1b`."""
    return UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


def shorten(text: str, most: int) -> str:
    """Text of at most `most` characters: the middle of a longer one is left out."""
    return text if len(text) <= most else f"{text[: most // 2]}...{text[len(text) - most // 2 + 3 :]}"


class PolyclipError(Exception):
    """Base class of all errors; the message says where, what was found, what was expected and what to do.

    It is one line: what it quotes is escaped, and shortened where it is very long.
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(shorten(escape_unseen(message.strip()), LONGEST))


FEW = 10  # names that are all listed in a message
LISTED_BY = {  # commands that list all names of a kind
    "language": "polyclip languages",
    "language pack": "polyclip languages",
    "method": "polyclip methods",
    "corpus or benchmark": "polyclip corpora",
}


def list_known(kind: str, names: Sequence[str]) -> str:
    """List the known names where they are few; else the command that lists them, or how many there are."""
    if len(names) <= FEW:
        return f"Known: {', '.join(names)}."
    if kind in LISTED_BY:
        return f"'{LISTED_BY[kind]}' lists all."
    return f"There are {len(names)}, such as {', '.join(names[:: len(names) // 5][:5])}."


class UnknownName(PolyclipError):
    """A name that does not exist; the message suggests the nearest known ones.

    Args:
        kind: What is named, such as "method".
        name: The unknown name.
        known: All valid names; one may say more about itself in brackets, as in `sw (Swahili)`.
        hint: A sentence appended to the message.

    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names, name = sorted(known), shorten(name, NAME)
        by_key = {text.partition(" (")[0]: text for text in names}
        told = len(names) == 1 and names[0] not in by_key  # the list says as much
        near = [] if told else get_close_matches(name, by_key, n=3, cutoff=0.5)
        guess = f" Did you mean {' or '.join(repr(key) + by_key[key][len(key) :] for key in near)}?" if near else ""
        super().__init__(f"No {kind} called {name!r}.{guess} {list_known(kind, names)}{' ' + hint if hint else ''}")


class AmbiguousName(PolyclipError):
    """A name with several meanings.

    Args:
        kind: What is named, such as "language".
        name: The ambiguous name.
        choices: Descriptions of what it may mean.
        names: What to write instead.

    """

    def __init__(self, kind: str, name: str, choices: Iterable[str], names: Iterable[str]) -> None:
        super().__init__(
            f"{shorten(name, NAME)!r} means more than one {kind}: {'; '.join(choices)}. Write one of "
            f"{', '.join(names)} instead."
        )


class PackError(PolyclipError):
    """A language or corpus pack that violates its schema."""


class DataError(PolyclipError):
    """Captions, images or benchmark files that are invalid."""


class WeightsError(PolyclipError):
    """Weights that are missing, corrupt, or belong to other encoders."""


class RunError(PolyclipError):
    """A run folder that cannot be used, resumed or written."""
