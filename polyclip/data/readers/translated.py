"""A corpus with machine-translated captions added, as `polyclip translate` writes it.

`corpus.toml` names the base corpus, `captions.jsonl` has the captions. Images, splits, concepts and human captions are
those of the base. Machine-translated captions are rows of their own, with their engine as provenance, in the splits
that the pack names; never in the test split.
"""

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from polyclip.core.json import parse_json
from polyclip.core.storage import hash_file, is_file, read_plain_bytes
from polyclip.core.toml import read_pack
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.corpus_pack import CorpusPack, Translation
from polyclip.data.types import ImageSource, Row
from polyclip.errors import DataError, PackError, UnknownName
from polyclip.languages.schema import load_language

PACK, CAPTIONS = "corpus.toml", "captions.jsonl"
KEYS = {"concept", "language", "place", "source", "provenance", "captions", "scores"}


def languages(folder: Path) -> list[str]:
    """List the languages of the base, and those translated into."""
    corpus = load_base(folder)
    return sorted(
        {
            *corpus.reader.languages(corpus.folder),
            *(get_locale(corpus, code) for code in read_translation(folder).languages),
        }
    )


def styles(folder: Path) -> tuple[str, ...]:
    """List the image styles of the base corpus."""
    corpus = load_base(folder)
    return tuple(corpus.reader.styles(corpus.folder))


def split_concepts(folder: Path, split: str) -> dict[str, Row]:
    """List the concepts of a split of the base corpus."""
    corpus = load_base(folder)
    found: dict[str, Row] = corpus.reader.split_concepts(corpus.folder, split)
    return found


def pictures(folder: Path, style: str) -> Mapping[str, ImageSource]:
    """Map every concept to its image in the base corpus."""
    corpus = load_base(folder)
    found: Mapping[str, ImageSource] = corpus.reader.pictures(corpus.folder, style)
    return found


def read(folder: Path, language: str, split: str) -> list[Row]:
    """Read machine-translated rows, then human ones, each in the base's order.

    A concept may have both; their provenance differs.

    Args:
        folder: The folder of corpus.toml and captions.jsonl.
        language: The base's name of the language.
        split: "train", "validation" or "test".

    Returns:
        The rows.

    Raises:
        UnknownName: There is no such language or split.
        DataError: captions.jsonl is invalid or has changed.

    """
    if language not in languages(folder):
        raise UnknownName(f"caption language in {folder}", language, languages(folder))
    corpus, pack = load_base(folder), read_translation(folder)
    concepts = split_concepts(folder, split)
    human: list[Row] = (
        corpus.reader.read(corpus.folder, language, split) if language in corpus.reader.languages(corpus.folder) else []
    )
    if split not in pack.splits or language not in {get_locale(corpus, code) for code in pack.languages}:
        return human
    if pack.without_human:
        human = [row for row in human if row.provenance != "human"]
    found = read_machine_captions(folder, pack.captions_sha256)
    order = {concept: number for number, concept in enumerate(concepts)}
    rows = [
        Row(concept, concepts[concept].group, concepts[concept].category, language, tuple(texts), provenance)
        for (concept, code, provenance), texts in found.items()
        if concept in concepts and get_locale(corpus, code) == language
    ]
    return (
        sorted(rows, key=lambda row: order[row.concept]) + human
    )  # human rows come last: a lookup by concept finds them


def get_locale(corpus: Corpus, code: str) -> str:
    """The name under which the base keeps a language, or would keep it."""
    return corpus.get_locale(load_language(code))


def read_translation(folder: Path) -> Translation:
    """Read [translation] of the pack.

    Raises:
        PackError: The pack is missing, or has no such table.

    """
    path = folder / PACK
    if not is_file(path):
        raise PackError(
            f"{path} is missing; a translated corpus is a folder with {PACK} and {CAPTIONS}, as 'polyclip translate' "
            "writes it."
        )
    found = read_pack(CorpusPack, path).translation
    if found is None:
        raise PackError(f"{path} has no [translation]; expected what 'polyclip translate' writes.")
    return found


def load_base(folder: Path) -> Corpus:
    """Load the corpus that was translated, below any number of translations.

    Raises:
        UnknownName: The base is missing.
        PackError: Packs are each other's base in a circle.

    """
    corpus = load_direct_base(folder)
    seen, under = {folder.resolve()}, corpus
    while under.pack.reader == "translated":
        if under.folder.resolve() in seen:
            raise PackError(f"{folder / PACK}: its base is based on it in turn; expected another corpus as base.")
        seen.add(under.folder.resolve())
        under = load_direct_base(under.folder)
    return corpus


def load_direct_base(folder: Path) -> Corpus:
    """Load the base corpus that one pack names."""
    name = read_translation(folder).base
    return load_corpus(str(folder / name) if name.endswith(".toml") else name)


@cache
def read_machine_captions(folder: Path, expected: str) -> dict[tuple[str, str, str], list[str]]:
    """Read captions.jsonl and check it against the pack.

    Args:
        folder: The folder of corpus.toml and captions.jsonl.
        expected: SHA-256 of captions.jsonl.

    Returns:
        Captions by concept, language code and provenance, the translations of the name first.

    Raises:
        DataError: The file has changed, a line is invalid, a language is not in the pack, or a concept is not in its
            splits (concepts of the test split never get machine-translated captions); with file and line.

    """
    path, pack = folder / CAPTIONS, read_translation(folder)
    if not path.is_file() or hash_file(path) != expected:
        raise DataError(
            f"{path} is missing or is not the file that {PACK} was written with; run 'polyclip translate' again."
        )
    allowed = {concept for split in pack.splits for concept in split_concepts(folder, split)}
    found: dict[tuple[str, str, str], list[tuple[int, list[str]]]] = {}
    for number, text in enumerate(read_plain_bytes(path).splitlines(), 1):
        line = parse_line(text, f"{path}:{number}")
        if line["language"] not in pack.languages or line["concept"] not in allowed:
            raise DataError(
                f"{path}:{number}: concept {line['concept']!r} in {line['language']!r}; expected a concept of "
                f"{', '.join(pack.splits)} "
                f"in {', '.join(pack.languages)}, as {PACK} says."
            )
        found.setdefault((line["concept"], line["language"], line["provenance"]), []).append(
            (line["place"], line["captions"])
        )
    return {key: [caption for _, captions in sorted(parts) for caption in captions] for key, parts in found.items()}


def parse_line(text: bytes, where: str) -> dict[str, Any]:
    """Parse and check one line of captions.jsonl."""
    try:
        line = parse_json(text.decode("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise DataError(f"{where}: not JSON in UTF-8 ({error}).") from error
    if not isinstance(line, dict) or line.keys() != KEYS or not isinstance(line["place"], int):
        raise DataError(f"{where}: expected an object with {', '.join(sorted(KEYS))}; found {str(line)[:80]}.")
    named = (line["concept"], line["language"], line["provenance"])
    if not all(isinstance(name, str) and name for name in named):
        raise DataError(f"{where}: concept, language and provenance are {str(named)[:80]}, expected three texts.")
    captions = line["captions"]
    if not (
        isinstance(captions, list)
        and captions
        and all(isinstance(caption, str) and caption.strip() for caption in captions)
    ):
        raise DataError(f"{where}: captions are {str(captions)[:80]}, expected at least one text, none empty.")
    return line
