"""A corpus with machine captions on top, as `polyclip translate` writes it: `corpus.toml` names the base, `captions.jsonl` has the captions.

Pictures, splits, concepts and people's captions are the base's. Machine captions are rows of their own, with their engine as provenance, in
the splits that the pack names. The test split is never among them.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from polyclip.core.storage import sha256
from polyclip.core.toml import read_pack
from polyclip.data.corpus import Corpus, CorpusPack, Translation, load_corpus
from polyclip.data.types import ImageSource, Row
from polyclip.errors import DataError, PackError, UnknownName
from polyclip.languages.schema import load_language

PACK, CAPTIONS = "corpus.toml", "captions.jsonl"
KEYS = {"concept", "language", "place", "source", "provenance", "captions", "scores"}


def languages(folder: Path) -> list[str]:
    """Those of the base, and those translated into."""
    corpus = base(folder)
    return sorted(
        {*corpus.reader.languages(corpus.folder), *(locale(corpus, code) for code in facts(folder).languages)}
    )


def styles(folder: Path) -> tuple[str, ...]:
    """The base's."""
    corpus = base(folder)
    return tuple(corpus.reader.styles(corpus.folder))


def split_concepts(folder: Path, split: str) -> dict[str, Row]:
    """The base's."""
    corpus = base(folder)
    found: dict[str, Row] = corpus.reader.split_concepts(corpus.folder, split)
    return found


def pictures(folder: Path, style: str) -> Mapping[str, ImageSource]:
    """The base's."""
    corpus = base(folder)
    found: Mapping[str, ImageSource] = corpus.reader.pictures(corpus.folder, style)
    return found


def read(folder: Path, language: str, split: str) -> list[Row]:
    """Machine rows, then people's, each in the base's order; a concept may have both, told apart by their provenance.

    Raises UnknownName for a language or split that is not there, DataError for a bad or changed captions.jsonl.
    """
    if language not in languages(folder):
        raise UnknownName(f"caption language in {folder}", language, languages(folder))
    corpus, pack = base(folder), facts(folder)
    concepts = split_concepts(folder, split)
    human: list[Row] = (
        corpus.reader.read(corpus.folder, language, split) if language in corpus.reader.languages(corpus.folder) else []
    )
    if split not in pack.splits or language not in {locale(corpus, code) for code in pack.languages}:
        return human
    if pack.without_human:
        human = [row for row in human if row.provenance != "human"]
    found = machine(folder, pack.captions_sha256)
    order = {concept: number for number, concept in enumerate(concepts)}
    rows = [
        Row(concept, concepts[concept].group, concepts[concept].category, language, tuple(texts), provenance)
        for (concept, code, provenance), texts in found.items()
        if concept in concepts and locale(corpus, code) == language
    ]
    return (
        sorted(rows, key=lambda row: order[row.concept]) + human
    )  # people's come last: where one is wanted by concept, theirs is found


def locale(corpus: Corpus, code: str) -> str:
    """Under which name the base keeps a language, or would keep it."""
    return corpus.locale(load_language(code))


def facts(folder: Path) -> Translation:
    """The pack's own table.

    Raises PackError where it has none.
    """
    path = folder / PACK
    if not path.is_file():
        raise PackError(
            f"{path} is missing; a translated corpus is a folder with {PACK} and {CAPTIONS}, as 'polyclip translate' writes it."
        )
    found = read_pack(CorpusPack, path).translation
    if found is None:
        raise PackError(f"{path} has no [translation]; expected what 'polyclip translate' writes.")
    return found


def base(folder: Path) -> Corpus:
    """The corpus below.

    Raises UnknownName where it is gone, PackError where packs stand on each other in a circle.
    """
    corpus = below(folder)
    seen, under = {folder.resolve()}, corpus
    while under.pack.reader == "translated":
        if under.folder.resolve() in seen:
            raise PackError(f"{folder / PACK}: its base stands on it again; expected another corpus as base.")
        seen.add(under.folder.resolve())
        under = below(under.folder)
    return corpus


def below(folder: Path) -> Corpus:
    """The base of one pack."""
    name = facts(folder).base
    return load_corpus(str(folder / name) if name.endswith(".toml") else name)


@cache
def machine(folder: Path, expected: str) -> dict[tuple[str, str, str], list[str]]:
    """Captions by concept, language code and provenance, the name's first; `expected` is the file's hash.

    Raises DataError, with file and line, for a changed file, a bad line, a language that the pack does not name, and a concept that is not
    in the pack's splits: captions of tested concepts are never taken from a machine.
    """
    path, pack = folder / CAPTIONS, facts(folder)
    if not path.is_file() or sha256(path) != expected:
        raise DataError(
            f"{path} is missing or is not the file that {PACK} was written with; run 'polyclip translate' again."
        )
    allowed = {concept for split in pack.splits for concept in split_concepts(folder, split)}
    found: dict[tuple[str, str, str], list[tuple[int, list[str]]]] = {}
    for number, text in enumerate(path.read_bytes().splitlines(), 1):
        line = parse(text, f"{path}:{number}")
        if line["language"] not in pack.languages or line["concept"] not in allowed:
            raise DataError(
                f"{path}:{number}: concept {line['concept']!r} in {line['language']!r}; expected a concept of {', '.join(pack.splits)} "
                f"in {', '.join(pack.languages)}, as {PACK} says."
            )
        found.setdefault((line["concept"], line["language"], line["provenance"]), []).append(
            (line["place"], line["captions"])
        )
    return {key: [caption for _, captions in sorted(parts) for caption in captions] for key, parts in found.items()}


def parse(text: bytes, where: str) -> dict[str, Any]:
    """One checked line."""
    try:
        line = json.loads(text.decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{where}: not JSON in UTF-8 ({error}).") from error
    if not isinstance(line, dict) or line.keys() != KEYS or not isinstance(line["place"], int):
        raise DataError(f"{where}: expected an object with {', '.join(sorted(KEYS))}; found {str(line)[:80]}.")
    captions = line["captions"]
    if not (
        isinstance(captions, list)
        and captions
        and all(isinstance(caption, str) and caption.strip() for caption in captions)
    ):
        raise DataError(f"{where}: captions are {str(captions)[:80]}, expected at least one text, none empty.")
    if not (isinstance(line["provenance"], str) and line["provenance"]):
        raise DataError(f"{where}: provenance is {line['provenance']!r}, expected who wrote the captions.")
    return line
