"""A corpus of your own: `captions.jsonl` beside the images that it names.

One JSON object a line: {"image": "dogs/rex.jpg", "captions": {"sw": ["mbwa mweusi"], "en": ["a black dog"]}}, and
optionally "split" (train, validation or test; by hash of the group otherwise), "group" (rows that must stay in one
split; the image itself otherwise) and "category". A language may be written by any of its codes, a single caption
without its list; null means that there is none, and blank lines are skipped.

The images may be in another folder, which corpus.toml beside the captions names as `images`.
"""

import json
import os
from codecs import BOM_UTF8
from functools import lru_cache
from pathlib import Path, PurePath
from typing import Any

from polyclip.core.json import parse_json
from polyclip.core.storage import is_file, read_plain_bytes
from polyclip.core.toml import read_table
from polyclip.data.caption_lines import clean_captions, resolve_codes
from polyclip.data.images import make_image_source
from polyclip.data.splits import SPLITS, assign_split
from polyclip.data.types import ImageSource, Row
from polyclip.errors import DataError, UnknownName

STYLE = "pictures"
LINKED: set[Path] = set()  # folders whose pack says follow_links
KEYS = {"image", "captions", "split", "group", "category"}


def follow_links(folder: Path) -> None:
    """Accept images of a folder that are links to outside it, as git-annex and DVC have them."""
    LINKED.update((folder, find_image_folder(folder)))
    _read_entries.cache_clear()


def languages(folder: Path) -> list[str]:
    """List the languages with at least one caption."""
    return sorted({code for entry in read_entries(folder).values() for code in entry["captions"]})


def styles(folder: Path) -> tuple[str, ...]:
    """Return the only style: each row has one image."""
    return (STYLE,)


def split_concepts(folder: Path, split: str) -> dict[str, Row]:
    """List every row of a split by its image, without captions.

    Raises:
        UnknownName: There is no such split.

    """
    if split not in SPLITS:
        raise UnknownName(f"split in {folder}", split, SPLITS)
    return {image: _row(image, entry, "") for image, entry in read_entries(folder).items() if entry["split"] == split}


def read(folder: Path, language: str, split: str) -> list[Row]:
    """Read the rows of one language and split, in the file's order.

    Args:
        folder: The folder of captions.jsonl.
        language: Code of the language.
        split: "train", "validation" or "test".

    Returns:
        Rows with captions.

    Raises:
        UnknownName: The language has no caption, or there is no such split.
        DataError: captions.jsonl is missing or invalid.

    """
    if language not in languages(folder):
        raise UnknownName(f"caption language in {folder}", language, languages(folder))
    table = read_entries(folder)
    return [
        _row(image, table[image], language)
        for image in split_concepts(folder, split)
        if language in table[image]["captions"]
    ]


def pictures(folder: Path, style: str) -> dict[str, ImageSource]:
    """Map every row to its image, decoded when it is opened.

    Raises:
        UnknownName: There is no such style.

    """
    if style != STYLE:
        raise UnknownName(f"image style in {folder}", style, [STYLE])
    root = find_image_folder(folder)
    return {image: make_image_source(root / image) for image in read_entries(folder)}


def _row(image: str, entry: dict[str, Any], language: str) -> Row:
    return Row(image, entry["group"], entry["category"], language, tuple(entry["captions"].get(language, ())))


def find_image_folder(folder: Path) -> Path:
    """The folder of the images: `images` of corpus.toml in the folder, else the folder itself."""
    pack = folder / "corpus.toml"
    return folder / str(read_table(pack).get("images", ".")) if pack.is_file() else folder


def read_entries(folder: Path) -> dict[str, dict[str, Any]]:
    """Read and check captions.jsonl, by image.

    Args:
        folder: The folder of captions.jsonl.

    Returns:
        The lines, with group, category and split filled in.

    Raises:
        DataError: Not UTF-8 JSON, an unknown key, an image that is missing, named twice or outside the folder, an empty
            caption, or a group in two splits; with file and line.

    """
    path = folder / "captions.jsonl"
    if not is_file(path):
        raise DataError(f"{path} is missing; expected one JSON object a line with image and captions.")
    stamp = path.stat()
    return _read_entries(folder, find_image_folder(folder), (stamp.st_mtime_ns, stamp.st_size))


@lru_cache(maxsize=16)
def _read_entries(folder: Path, root: Path, stamp: tuple[int, int]) -> dict[str, dict[str, Any]]:
    """Entries of captions.jsonl, read once as long as it stays as it is."""
    path = folder / "captions.jsonl"
    found: dict[str, dict[str, Any]] = {}
    side: dict[str, str] = {}
    for number, line in enumerate(_read_lines(path), 1):
        if not line.strip():
            continue
        where = f"{path}:{number}"
        entry = _parse(line, where)
        image = entry["image"]
        _check(image, entry, root, where)
        if image in found:
            raise DataError(f"{where}: image {image} is already on an earlier line; put all its captions on one.")
        entry["group"] = str(entry.get("group", image))
        entry["category"] = str(entry.get("category", ""))
        entry["split"] = entry.get("split") or assign_split(entry["group"])
        if side.setdefault(entry["group"], entry["split"]) != entry["split"]:
            raise DataError(
                f"{where}: group {entry['group']!r} is in {entry['split']} here and in {side[entry['group']]} above; "
                "a group must be in one split."
            )
        found[image] = entry
    if not found:
        raise DataError(f"{path} is empty.")
    return found


def _read_lines(path: Path) -> list[bytes]:
    try:
        return read_plain_bytes(path).removeprefix(BOM_UTF8).splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error


def _parse(line: bytes, where: str) -> dict[str, Any]:
    try:
        entry = parse_json(line.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 ({error}); save the file as UTF-8.") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: not JSON ({error}).") from error
    if not isinstance(entry, dict) or not {"image", "captions"} <= entry.keys() <= KEYS:
        raise DataError(
            f"{where}: expected an object with image and captions, and at most {', '.join(sorted(KEYS))}; found "
            f"{str(entry)[:80]}."
        )
    return entry


def check_image_path(image: object, folder: Path, where: str) -> None:
    """Check that a line names an image file of the corpus' folder.

    Raises:
        DataError: It is no path inside the folder, is missing, or is a link that leads out and `follow_links` was not
            called.

    """
    inside = isinstance(image, str) and "\0" not in image and not PurePath(image).is_absolute()
    if not inside or PurePath(os.path.normpath(str(image))).parts[:1] == ("..",):
        raise DataError(f"{where}: image is {str(image)[:80]!r}, expected a path inside {folder}.")
    try:
        target = (folder / str(image)).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        said = error.strerror if isinstance(error, OSError) else str(error)
        raise DataError(f"{where}: image {folder / str(image)} is missing ({said}).") from error
    if folder not in LINKED and not target.is_relative_to(folder.resolve()):
        raise DataError(
            f"{where}: image {image} is a link to outside {folder}; write follow_links = true in the pack to read it."
        )
    if not target.is_file():
        raise DataError(f"{where}: image {folder / str(image)} is missing: it is not a file.")


def _check(image: object, entry: dict[str, Any], folder: Path, where: str) -> None:
    check_image_path(image, folder, where)
    if (entry.get("split") or "train") not in list(SPLITS):  # a list compares, where hashing could fail
        raise DataError(f"{where}: split is {str(entry['split'])[:80]!r}, expected {', '.join(SPLITS)}.")
    captions = clean_captions(entry["captions"], where)
    names = resolve_codes(captions, where)
    entry["captions"] = {names[code]: texts for code, texts in captions.items()}
