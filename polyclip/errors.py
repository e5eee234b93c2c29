"""All exceptions that polyclip raises on bad input. The command line prints the message and exits with code 2.

PolyclipError
├── UnknownName       a language, method, encoder, corpus ... that does not exist
├── AmbiguousName     a name with several meanings
├── PackError         an invalid file under languages/ or corpora/
├── DataError         invalid captions, images or benchmark files
├── WeightsError      weights that are missing, corrupt, or of other encoders
└── RunError          a run folder that cannot be used, resumed or written
"""

from collections.abc import Iterable
from difflib import get_close_matches


class PolyclipError(Exception):
    """Base class of all errors; the message says where, what was found, what was expected and what to do."""


class UnknownName(PolyclipError):
    """A name that does not exist; the message suggests the nearest known ones.

    Args:
        kind: What is named, such as "method".
        name: The unknown name.
        known: All valid names.
        hint: A sentence appended to the message.

    """

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        guess = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
        listed = ", ".join(names[:40]) + (f", ... ({len(names)} in all)" if len(names) > 40 else "")
        super().__init__(f"No {kind} called {name!r}.{guess} Known: {listed}.{' ' + hint if hint else ''}")


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
            f"{name!r} means more than one {kind}: {'; '.join(choices)}. Write one of {', '.join(names)} instead."
        )


class PackError(PolyclipError):
    """A language or corpus pack that violates its schema."""


class DataError(PolyclipError):
    """Captions, images or benchmark files that are invalid."""


class WeightsError(PolyclipError):
    """Weights that are missing, corrupt, or belong to other encoders."""


class RunError(PolyclipError):
    """A run folder that cannot be used, resumed or written."""
