"""Everything polyclip raises on bad input. The command line prints the message and exits with 2.

PolyclipError
├── UnknownName       a language, method, encoder, tower, corpus ... that does not exist
├── AmbiguousName     a name that means several
├── PackError         a file under languages/ or corpora/ that breaks its schema
├── DataError         captions, pictures or benchmark files that are not what they should be
├── WeightsError      weights that are missing, corrupt, or belong to other towers
└── RunError          a run folder that cannot be used, resumed or written
"""

from collections.abc import Iterable
from difflib import get_close_matches


class PolyclipError(Exception):
    """Root of the tree; the message says where, what was found, what was expected and what to do."""


class UnknownName(PolyclipError):
    """`name` is no `kind`; suggests the nearest of `known`."""

    def __init__(self, kind: str, name: str, known: Iterable[str], hint: str = "") -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=3, cutoff=0.5)
        guess = f" Did you mean {' or '.join(repr(n) for n in near)}?" if near else ""
        listed = ", ".join(names[:40]) + (f", ... ({len(names)} in all)" if len(names) > 40 else "")
        super().__init__(f"No {kind} called {name!r}.{guess} Known: {listed}.{' ' + hint if hint else ''}")


class AmbiguousName(PolyclipError):
    """`name` means several things of a `kind`: `choices` describe them, `names` are what to write instead."""

    def __init__(self, kind: str, name: str, choices: Iterable[str], names: Iterable[str]) -> None:
        super().__init__(
            f"{name!r} means more than one {kind}: {'; '.join(choices)}. Write one of {', '.join(names)} instead."
        )


class PackError(PolyclipError):
    """A language or corpus file breaks its schema."""


class DataError(PolyclipError):
    """Captions, pictures or benchmark files are not what they should be."""


class WeightsError(PolyclipError):
    """Weights are missing, corrupt, or belong to other towers."""


class RunError(PolyclipError):
    """A run folder cannot be used, resumed or written."""
