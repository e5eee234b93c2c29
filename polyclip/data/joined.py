"""Several corpora as one: `emoji + ours/corpus.toml=3` is both, with captions of the second drawn three times as often.

A name may end in the languages that are trained from it, `emoji[sw,en]`, and in a sampling weight, `=3`. An image that
is in two corpora is trained on only where no corpus holds it out, and is one concept then.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, TypeVar, cast

from polyclip.data.corpus_names import JOIN, Part
from polyclip.data.corpus_pack import CorpusPack
from polyclip.data.opened import BETWEEN, OpenedCorpus
from polyclip.data.splits import SPLITS
from polyclip.data.types import ImageSource, Row
from polyclip.errors import DataError, UnknownName
from polyclip.languages.schema import list_languages, load_language

C = TypeVar("C", bound=OpenedCorpus)
HIDDEN: Mapping[str, tuple[str, ...]] = {  # splits of other corpora whose images a split may not show
    "train": ("validation", "test"),
    "validation": ("test",),
    "test": (),
}


def list_parts(corpus: C) -> list[C]:
    """The corpora that a joined corpus consists of; a corpus that is not joined is its own only part."""
    return list(cast(tuple[C, ...], corpus.parts)) or [corpus]


def describe_corpora(corpus: OpenedCorpus) -> dict[str, Any]:
    """The tables `[[corpora]]` of run.toml: each corpus, its weight, and how many of its images another one holds out.

    Args:
        corpus: One corpus, or several as one.

    Returns:
        One key, or none for a corpus alone.

    """
    reader = corpus.reader
    if not isinstance(reader, JoinedReader):
        return {}
    found = []
    for part, own in reader.parts:
        trained = {} if part.languages is None else {"languages": list(part.languages)}
        facts = {"name": own.name, "pack": part.name, "weight": part.weight, **trained}
        found.append(facts | {"held_out_elsewhere": reader.count_left_out(own)})
    return {"corpora": found}


def describe_joined(parts: Sequence[tuple[Part, OpenedCorpus]]) -> CorpusPack:
    """Make the pack of several corpora as one.

    Args:
        parts: The corpora, each with what was asked of it.

    Returns:
        A pack with the names and licences of all.

    Raises:
        DataError: Two corpora have the same name, or one is in shards.

    """
    names = [own.name for _, own in parts]
    twice = next((own for own in names if names.count(own) > 1), None)
    if twice is not None:
        raise DataError(
            f"Two corpora are called {twice!r}: change `name` in the pack of one, so that scores tell which."
        )
    shards = next((own.name for _, own in parts if own.pack.files), None)
    if shards is not None:
        raise DataError(
            f"OpenedCorpus {shards!r} is in shards, which cannot be used together with another corpus: name it alone."
        )
    licences = [licence for _, own in parts for licence in own.pack.licences]
    return CorpusPack(name=JOIN.join(names), about="several corpora", reader="jsonl", folder=".", licences=licences)


@lru_cache(maxsize=1)
def list_locales() -> dict[str, str]:
    """CLDR locale of each language by the code of its pack."""
    return {code: load_language(code).cldr for code in list_languages()}


@dataclass(frozen=True, eq=False)
class JoinedReader:
    """Reads several corpora as one; a language's name is its CLDR locale where there is a pack for it.

    Attributes:
        parts: The corpora, each with what was asked of it.

    """

    parts: tuple[tuple[Part, OpenedCorpus], ...]

    def languages(self, folder: Path) -> list[str]:
        """List the names of languages with captions in any part."""
        return sorted({own for _, corpus in self.parts for own in self._locales(corpus)})

    def styles(self, folder: Path) -> Sequence[str]:
        """List the kinds of images of all parts."""
        return list(dict.fromkeys(s for _, own in self.parts for s in own.reader.styles(own.folder)))

    def split_concepts(self, folder: Path, split: str) -> dict[str, Row]:
        """Read the concepts of a split, without those whose image another corpus holds out.

        Raises:
            UnknownName: There is no such split.

        """
        if split not in SPLITS:
            raise UnknownName("split", split, SPLITS)
        found: dict[str, Row] = {}
        for _, own in self.parts:
            for row in own.reader.split_concepts(own.folder, split).values():
                joined = self._join(own, row, split)
                if joined is not None:
                    found.setdefault(joined.concept, joined)
        return found

    def read(self, folder: Path, language: str, split: str) -> list[Row]:
        """Read the captions of one language and split, part after part.

        Raises:
            UnknownName: No part has captions in this language, or there is no such split.

        """
        if language not in self.languages(folder):
            raise UnknownName("caption language in all corpora", language, self.languages(folder))
        found = []
        for part, own in self.parts:
            locale = self._locales(own).get(language)
            if locale is None or (split != "test" and not is_wanted(part, language)):
                continue
            rows = (self._join(own, row, split) for row in own.reader.read(own.folder, locale, split))
            found += [row for row in rows if row is not None]
        return found

    def pictures(self, folder: Path, style: str) -> dict[str, ImageSource]:
        """Find the images of a style in all parts.

        Raises:
            UnknownName: No part has this style.

        """
        if style not in self.styles(folder):
            raise UnknownName("style", style, self.styles(folder))
        found: dict[str, ImageSource] = {}
        for _, own in self.parts:
            if style in own.reader.styles(own.folder):
                for concept, image in own.reader.pictures(own.folder, style).items():
                    found.setdefault(self._name(own, concept), image)
        return found

    def count_left_out(self, corpus: OpenedCorpus, *splits: str) -> int:
        """Number of a part's images that are left out of training and validation, since another part holds them out."""
        return len(set().union(*(self._left_out[split][corpus.name] for split in splits or ("train", "validation"))))

    def _locales(self, corpus: OpenedCorpus) -> dict[str, str]:
        """A part's own name of each language, by the joined corpus' name of it."""
        return {list_locales().get(own, own): own for own in corpus.reader.languages(corpus.folder)}

    def _name(self, corpus: OpenedCorpus, concept: str) -> str:
        own = f"{corpus.name}:{concept}"
        return self._same.get(own, own)

    def _join(self, corpus: OpenedCorpus, row: Row, split: str) -> Row | None:
        """A row of a part as a row of the whole; None where its image is held out elsewhere."""
        if row.concept in self._left_out.get(split, {}).get(corpus.name, ()):
            return None
        return replace(row, concept=self._name(corpus, row.concept), group=f"{corpus.name}{BETWEEN}{row.group}")

    @cached_property
    def _images(self) -> dict[str, dict[str, set[str]]]:
        """Keys of the images of each concept, by part."""
        found: dict[str, dict[str, set[str]]] = {}
        for _, own in self.parts:
            keys = found.setdefault(own.name, {})
            for style in own.reader.styles(own.folder):
                for concept, image in own.reader.pictures(own.folder, style).items():
                    keys.setdefault(concept, set()).add(image.key)
        return found

    @cached_property
    def _split(self) -> dict[str, dict[str, dict[str, set[str]]]]:
        """Keys of the images of each concept, by split and part."""
        return {
            split: {
                own.name: {
                    concept: self._images[own.name].get(concept, set())
                    for concept in own.reader.split_concepts(own.folder, split)
                }
                for _, own in self.parts
            }
            for split in SPLITS
        }

    @cached_property
    def _left_out(self) -> dict[str, dict[str, set[str]]]:
        """Concepts of each split and part whose image another part holds out."""
        found: dict[str, dict[str, set[str]]] = {}
        for split, forbidden in HIDDEN.items():
            for name, concepts in self._split[split].items():
                held = {
                    key
                    for later in forbidden
                    for other, table in self._split[later].items()
                    if other != name
                    for keys in table.values()
                    for key in keys
                }
                found.setdefault(split, {})[name] = {concept for concept, keys in concepts.items() if keys & held}
        return found

    @cached_property
    def _same(self) -> dict[str, str]:
        """The concept of an earlier part that shows the same image in the same split, for concepts of later parts."""
        found: dict[str, str] = {}
        for split, tables in self._split.items():
            owner: dict[str, tuple[str, str]] = {}
            for name, concepts in tables.items():
                for concept, keys in concepts.items():
                    if concept in self._left_out[split][name]:
                        continue
                    whole = f"{name}:{concept}"
                    first = next((owner[key] for key in sorted(keys) if key in owner), (name, whole))
                    if first[0] != name:
                        found[whole] = first[1]
                    for key in keys:
                        owner.setdefault(key, (name, whole))
        return found


def is_wanted(part: Part, locale: str) -> bool:
    """Whether a language is trained from a part."""
    return part.languages is None or locale in {list_locales().get(code, code) for code in part.languages}
