"""Corpora made from what people have: a table, a folder of images, a data set, shards."""

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import tomli_w

from polyclip.core.storage import get_cache_folder, hash_parts, write_text
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.image_files import find_images
from polyclip.errors import DataError, PolyclipError, UnknownName
from polyclip.languages.resolve import resolve_language

IMAGE_COLUMNS = ("image", "file", "filename", "file_name", "path", "filepath", "picture")
CAPTIONS = "captions.jsonl"


def build_from_csv(
    path: Path,
    image_column: str | None,
    caption_columns: Mapping[str, str | Sequence[str]] | None,
    split_column: str | None,
) -> Corpus:
    """Make a corpus of a table whose rows name an image and its captions; see `Corpus.from_csv`."""
    rows = read_table(path)
    header = list(rows[0])
    image = find_image_column(path, header, image_column)
    columns = find_caption_columns(path, header, caption_columns)
    found: dict[str, dict[str, list[str]]] = {}
    splits: dict[str, str] = {}
    for number, row in enumerate(rows, 2):
        name = (row[image] or "").strip()
        if not name:
            raise DataError(f"{path}:{number}: column {image!r} is empty; expected the path of an image.")
        for code, names in columns.items():
            texts = [text.strip() for column in names if (text := row[column] or "").strip()]
            found.setdefault(name, {}).setdefault(code, []).extend(texts)
        if split_column is not None:
            splits[name] = (row.get(split_column) or "").strip()
    return write_corpus(path.parent, path.stem, found, splits)


def read_table(path: Path) -> list[dict[str, str]]:
    """Rows of a CSV or TSV file with a header, in UTF-8.

    Raises:
        DataError: The file is missing, is not UTF-8, or has no header or no rows.

    """
    try:
        text = path.read_text("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 ({error}).") from error
    first = text.split("\n", 1)[0]
    delimiter = max(",;\t", key=first.count)
    rows = list(csv.DictReader(text.splitlines(), delimiter=delimiter))
    if not rows:
        raise DataError(f"{path}: expected a header and at least one row, found {len(text.splitlines())} line(s).")
    return rows


def find_image_column(path: Path, header: Sequence[str], asked: str | None) -> str:
    """The column that names the images: the one asked for, else one with a usual name."""
    if asked is not None:
        if asked not in header:
            raise UnknownName(f"column in {path}", asked, header)
        return asked
    usual = [name for name in header if name.strip().lower() in IMAGE_COLUMNS]
    if len(usual) != 1:
        raise DataError(f"{path}: say which of the columns {', '.join(header)} names the images, with image_column.")
    return usual[0]


def find_caption_columns(
    path: Path, header: Sequence[str], asked: Mapping[str, str | Sequence[str]] | None
) -> dict[str, list[str]]:
    """Columns of captions by language code: those asked for, else every column that is called as a language is."""
    if asked is None:
        named = {name: code for name in header if (code := code_of(name))}
        if not named:
            raise DataError(
                f"{path}: none of the columns {', '.join(header)} is called as a language; give caption_columns."
            )
        return {code: [name for name in named if named[name] == code] for code in named.values()}
    found = {}
    for text, names in asked.items():
        columns = [names] if isinstance(names, str) else list(names)
        for column in columns:
            if column not in header:
                raise UnknownName(f"column in {path}", column, header)
        found[resolve_language(text).code] = columns
    return found


def code_of(name: str) -> str:
    """The code of the language that a column is called after (`sw`, `Swahili`, `caption_sw`); empty for none."""
    for text in (name.strip(), name.strip().split("_")[-1]):
        try:
            return resolve_language(text).code if text else ""
        except PolyclipError:
            continue
    return ""


def build_from_folder(folder: Path, language: str | None) -> Corpus:
    """Make a corpus of images with captions beside them; see `Corpus.from_folder`."""
    found: dict[str, dict[str, list[str]]] = {}
    for image in find_images(folder):
        captions = {}
        for text in sorted(image.parent.glob(f"{image.stem}.*.txt")):
            code = resolve_language(text.name.removesuffix(".txt").rsplit(".", 1)[1]).code
            captions[code] = [line.strip() for line in text.read_text("utf-8-sig").splitlines() if line.strip()]
        if not captions and language and image.parent != folder:
            captions = {resolve_language(language).code: [image.parent.name.replace("_", " ")]}
        if captions:
            found[image.relative_to(folder).as_posix()] = captions
    if not found:
        raise DataError(
            f"{folder}: no captions found; expected image.jpg with image.sw.txt beside it, one caption a line, or "
            "folders named by what their images show, with language."
        )
    return write_corpus(folder, folder.name, found, {})


def write_corpus(
    folder: Path, name: str, captions: Mapping[str, Mapping[str, list[str]]], splits: Mapping[str, str]
) -> Corpus:
    """Write captions.jsonl and a pack beside the images, and open the corpus.

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
        if path.exists() and path.read_text("utf-8") != content:
            raise DataError(
                f"{path} exists and holds something else; move it away, or open the corpus with Corpus.open."
            )
        write_text(path, content, what="a corpus")
    corpus = load_corpus(str(pack))
    corpus.reader.languages(corpus.folder)  # reads and checks every row
    return corpus


def build_from_shards(reader: str, files: str | Sequence[str], shards: Mapping[str, object]) -> Corpus:
    """Write a pack for a corpus that lies elsewhere into the cache, and open it."""
    where = files if isinstance(files, str) else list(files)
    facts = {"reader": reader, "files": where, "shards": {key: value for key, value in shards.items() if value}}
    key = hash_parts(json.dumps(facts, sort_keys=True))[:16]
    pack = get_cache_folder() / "corpora" / f"{reader}-{key}.toml"
    write_text(pack, describe_corpus(pack.stem, facts), what="a corpus pack")
    return load_corpus(str(pack))


def describe_corpus(name: str, facts: Mapping[str, object]) -> str:
    """The text of a corpus pack."""
    return tomli_w.dumps({"name": name, "about": f"corpus {name}", **facts})
