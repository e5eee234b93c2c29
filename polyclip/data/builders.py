"""Corpora made from what people have: a table, a folder of images, a data set, shards."""

import glob
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import tomli_w

from polyclip.core.storage import get_cache_folder, hash_parts, read_plain_text, write_text
from polyclip.data.image_files import find_images
from polyclip.errors import DataError
from polyclip.languages.resolve import resolve_language

CAPTIONS = "captions.jsonl"


def build_from_csv(
    path: Path,
    image_column: str | None,
    caption_columns: Mapping[str, str | Sequence[str]] | None,
    split_column: str | None,
) -> Path:
    """Write the corpus of a table, a row an image with its captions, and return its pack (`Corpus.from_csv`)."""
    from polyclip.data.tables.build import draft_table
    from polyclip.data.tables.columns import find_columns
    from polyclip.data.tables.read import read_table

    table = read_table(path)
    draft = draft_table(table, find_columns(table, image_column, caption_columns, split_column), path.parent)
    if draft.missing:
        name, number = next(iter(draft.missing.items()))
        raise DataError(
            f"{path}:{number}: image {name!r} is not in {path.parent} ({len(draft.missing)} such name(s)); copy the "
            "images there, or leave the rows out."
        )
    captions = {
        image: {code: own[image] for code, own in draft.captions.items() if image in own} for image in draft.found
    }
    return write_corpus(path.parent, path.stem, captions, draft.splits)


def build_from_folder(folder: Path, language: str | None) -> Path:
    """Write the corpus of images with captions beside them, and return its pack (`Corpus.from_folder`)."""
    return write_corpus(folder, folder.name, read_beside(folder, language), {})


def read_beside(folder: Path, language: str | None) -> dict[str, dict[str, list[str]]]:
    """Read the captions beside the images of a folder.

    Args:
        folder: The folder. `dog.jpg` has its captions in `dog.sw.txt`, one a line, or in `dog.txt`.
        language: The language of `dog.txt`, and of folders named by what their images show.

    Returns:
        Captions by image and language code.

    Raises:
        DataError: There are no captions, `dog.txt` is there without a language, or a file is not UTF-8.
        UnknownName: There is no pack for a language.

    """
    code = resolve_language(language).code if language else ""
    found: dict[str, dict[str, list[str]]] = {}
    for image in find_images(folder):
        captions = {}
        for text in sorted(image.parent.glob(f"{glob.escape(image.stem)}.*.txt")):
            captions[resolve_language(text.name.removesuffix(".txt").rsplit(".", 1)[1]).code] = read_lines(text)
        plain = image.with_suffix(".txt")
        if plain.is_file():
            if not code:
                raise DataError(f"{plain}: in which language are the captions? Say --lang CODE, or call it *.CODE.txt.")
            captions[code] = read_lines(plain)
        if not captions and code and image.parent != folder:
            captions = {code: [image.parent.name.replace("_", " ")]}
        if captions:
            found[image.relative_to(folder).as_posix()] = captions
    if not found:
        raise DataError(
            f"{folder}: no captions found; expected a table, image.jpg with image.sw.txt beside it, one caption a "
            "line, or folders named by what their images show, with their language."
        )
    return found


def read_lines(path: Path) -> list[str]:
    """Read the lines of a text file that are not empty."""
    try:
        return [line.strip() for line in read_plain_text(path, "utf-8-sig").splitlines() if line.strip()]
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error}); save the file as UTF-8.") from error


def write_corpus(
    folder: Path, name: str, captions: Mapping[str, Mapping[str, list[str]]], splits: Mapping[str, str]
) -> Path:
    """Write captions.jsonl and a pack beside the images, and return the pack.

    Raises:
        DataError: There is a captions.jsonl with other content, or an image is missing or outside the folder.

    """
    lines = []
    for image, texts in captions.items():
        kept = {code: own for code, own in texts.items() if own}
        if kept:
            entry: dict[str, object] = {"image": image, "captions": kept}
            lines.append(
                json.dumps(entry | ({"split": splits[image]} if splits.get(image) else {}), ensure_ascii=False)
            )
    text = "\n".join(lines) + "\n"
    target, pack = folder / CAPTIONS, folder / f"{name}.toml"
    for path, content in ((target, text), (pack, describe_corpus(name, {"reader": "jsonl", "folder": "."}))):
        if path.exists() and read_plain_text(path) != content:
            raise DataError(
                f"{path} exists and holds something else; move it away, or open the corpus with Corpus.open."
            )
        write_text(path, content, what="a corpus")
    return pack


def build_from_shards(reader: str, files: str | Sequence[str], shards: Mapping[str, object]) -> Path:
    """Write a pack for a corpus that lies elsewhere into the cache, and return it."""
    where = files if isinstance(files, str) else list(files)
    facts = {"reader": reader, "files": where, "shards": {key: value for key, value in shards.items() if value}}
    key = hash_parts(json.dumps(facts, sort_keys=True))[:16]
    pack = get_cache_folder() / "corpora" / f"{reader}-{key}.toml"
    write_text(pack, describe_corpus(pack.stem, facts), what="a corpus pack")
    return pack


def describe_corpus(name: str, facts: Mapping[str, object]) -> str:
    """The text of a corpus pack."""
    return tomli_w.dumps({"name": name, "about": f"corpus {name}", **facts})
