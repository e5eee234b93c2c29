"""Names of corpora: one, or several with weights and languages, as `--corpus` and Python's `corpus=` take them."""

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyclip.data.opened import OpenedCorpus
from polyclip.errors import DataError

JOIN = " + "
FORM = re.compile(r"^(?P<name>.+?)(?:\[(?P<languages>[\w,-]*)\])?(?:=(?P<weight>[^=/\\]*))?$")


@dataclass(frozen=True)
class Part:
    """One of several corpora that are used together.

    Attributes:
        name: A corpus' name, or the path of its pack, table or folder.
        weight: How often one of its captions is drawn, relative to a weight of 1, > 0.
        languages: Codes of the languages that are trained from it; None for all.

    """

    name: str
    weight: float = 1.0
    languages: tuple[str, ...] | None = None

    def __str__(self) -> str:
        listed = "" if self.languages is None else f"[{','.join(self.languages)}]"
        return f"{self.name}{listed}{'' if self.weight == 1 else f'={self.weight:g}'}"


def is_path(text: str) -> bool:
    """Whether a file or folder has this name, which may hold any character; no name is too long to ask."""
    return os.path.exists(text)  # noqa: PTH110 - Path.exists raises OSError for a long name


def parse_part(text: str) -> Part:
    """Parse what `--corpus` takes: NAME, NAME=WEIGHT, or NAME[LANGUAGES]=WEIGHT.

    Raises:
        DataError: The weight is not a number above 0.

    """
    found = FORM.match(text)
    if found is None or is_path(text):
        return Part(text)
    weight = 1.0
    if found["weight"] is not None:
        try:
            weight = float(found["weight"])
        except ValueError:
            weight = math.nan
        if not 0 < weight < math.inf:
            raise DataError(
                f"--corpus {text}: the weight {found['weight']!r} is not a number above 0; write NAME=WEIGHT, such as "
                "ours=3."
            )
    listed = found["languages"]
    return Part(found["name"], weight, None if listed is None else tuple(code for code in listed.split(",") if code))


def split_name(name: str) -> list[Part]:
    """The corpora that a name stands for; more than one where it was made by `join_names`."""
    return [Part(name)] if is_path(name) else [parse_part(text) for text in name.split(JOIN)]


def is_joined(name: str) -> bool:
    """Whether a name stands for several corpora, or for one with a weight or chosen languages."""
    parts = split_name(name)
    return len(parts) > 1 or parts[0] != Part(name)


def join_names(names: Sequence[str]) -> str:
    """The name of several corpora together, for `load_corpus`.

    Raises:
        DataError: One is named twice.

    """
    parts = [part for name in names for part in split_name(name)]
    named = [part.name for part in parts]
    twice = next((name for name in named if named.count(name) > 1), None)
    if twice is not None:
        raise DataError(f"OpenedCorpus {twice!r} is named twice: name it once, with a weight such as {twice}=2.")
    return JOIN.join(map(str, parts)) if len(parts) > 1 or parts[0].languages is not None else named[0]


def name_corpora(corpus: Any) -> str:
    """The name of what Python's `corpus=` takes: a name, a path, a `Corpus`, or several of them."""
    if isinstance(corpus, OpenedCorpus):
        return str(corpus.path)
    return str(corpus) if isinstance(corpus, str | Path) else join_names([name_corpora(one) for one in corpus])
