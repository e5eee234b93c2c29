"""Checked reading of a benchmark's text, JSON and image files: every error names file and line."""

import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from polyclip.core.gzip import read_gzip
from polyclip.core.json import parse_json
from polyclip.core.progress import Progress
from polyclip.core.storage import is_file
from polyclip.data.images import make_image_source
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, PolyclipError
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import load_languages

MAX_TEXT = 2_000_000_000  # bytes of a text file, unpacked: more is no caption file


def read_bytes(path: Path) -> bytes:
    """Read a file, decompressed if it is .gz.

    Args:
        path: The file.

    Returns:
        Its contents.

    Raises:
        DataError: The file is missing, damaged, or larger than 2 GB when decompressed.

    """
    if not is_file(path):
        raise DataError(f"{path} is missing.")
    try:
        if path.suffix == ".gz":
            return read_gzip(path, MAX_TEXT)
        if path.stat().st_size > MAX_TEXT:
            raise DataError(f"{path} is larger than {MAX_TEXT:,} bytes; that is not a file of captions.")
        return path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}); download it again.") from error


def read_lines(path: Path) -> list[str]:
    r"""Read the lines of a text file or .gz, split at "\n" only: U+2028 and U+0085 are part of a caption.

    A "\r" before the "\n", as in most official files of XTD10, and a byte order mark are dropped; the last line may
    lack its "\n".

    Args:
        path: The file.

    Returns:
        Its lines without line ends.

    Raises:
        DataError: The file is missing, damaged or not UTF-8.

    """
    data = read_bytes(path)
    try:
        found = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{data[: error.start].count(bytes([10])) + 1}: not UTF-8 ({error}).") from error
    if found[-1] == "":
        found.pop()
    return [line.removesuffix("\r") for line in found]


def read_json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield `file:line` and the object of each line of a JSON Lines file.

    Args:
        path: The file.

    Yields:
        Where the line is, for error messages, and its object.

    Raises:
        DataError: The file is missing or empty, or a line is not UTF-8 or not a JSON object.

    """
    found = read_lines(path)
    if not found:
        raise DataError(f"{path} is empty; expected one JSON object per line.")
    with Progress(f"reading {path.name}", len(found)) as progress:
        for number, line in enumerate(found, 1):
            where = f"{path}:{number}"
            progress.advance(1)
            if not line.strip():
                continue
            try:
                entry = parse_json(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{where}: not JSON ({error}).") from error
            if not isinstance(entry, dict):
                raise DataError(f"{where}: expected a JSON object, found {line[:80]}.")
            yield where, entry


def read_json(path: Path) -> Any:
    """Read a JSON file; DataError if it is missing or not JSON."""
    try:
        return parse_json(read_bytes(path).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error}).") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error}).") from error


def check_texts(value: object, where: str, key: str) -> list[str]:
    """Check that a value is a list of captions and return it; DataError otherwise."""
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DataError(f"{where}: {key} is {str(value)[:80]}, expected a list of captions.")
    return value


def parse_file_name(name: object, where: str) -> str:
    """Return the name of an image file without folders; DataError if it is not a name."""
    plain = PurePosixPath(name.replace("\\", "/")).name if isinstance(name, str) else ""
    if plain in ("", ".", "..") or not plain.isprintable():
        raise DataError(f"{where}: {str(name)[:80]!r} is not the name of an image file.")
    return plain


def read_image_names(path: Path) -> dict[str, str]:
    """Read a list of image names, one per line; what follows a # is the caption's number and dropped.

    Args:
        path: The list.

    Returns:
        `file:line` by image name.

    Raises:
        DataError: A line is blank, or a name occurs twice.

    """
    found: dict[str, str] = {}
    for number, line in enumerate(read_lines(path), 1):
        where = f"{path}:{number}"
        name = parse_file_name(line.split("#")[0].strip(), where)
        if name in found:
            raise DataError(
                f"{where}: image {name} is already on line {found[name].rpartition(':')[2]}; each image has one line."
            )
        found[name] = where
    return found


def pair_lines(path: Path, images: Mapping[str, object], listed: Path) -> list[tuple[str, str]]:
    """Pair the images of a list with the lines of a caption file.

    Args:
        path: The caption file.
        images: Images of the list, in its order.
        listed: The list, for the error message.

    Returns:
        Image and caption of each line.

    Raises:
        DataError: The files have different numbers of lines.

    """
    found = read_lines(path)
    if len(found) != len(images):
        raise DataError(
            f"{path} has {len(found)} lines and {listed} has {len(images)}: line n of the one describes the image on "
            "line n of the other. "
            "Take both from the same download."
        )
    return list(zip(images, found, strict=True))


def collect_images(
    wanted: Mapping[str, str], folder: Path, places: list[str], *, partial: bool
) -> dict[str, ImageSource]:
    """Find image files by name.

    Args:
        wanted: By image name, the place where it is named.
        folder: Folder of the benchmark.
        places: Subfolders to search.
        partial: Leave out missing images instead of raising an error.

    Returns:
        Images by name.

    Raises:
        DataError: An image is missing and `partial` is false, or none was found.

    """
    found: dict[str, ImageSource] = {}
    with Progress("reading images", len(wanted)) as progress:
        for name, where in wanted.items():
            path = next((folder / place / name for place in places if is_file(folder / place / name)), None)
            if path is not None:
                found[name] = make_image_source(path)
            elif not partial:
                places_said = " or ".join(f"{place}/" for place in places)
                raise DataError(
                    f"{where}: image {name} is missing: it is not in {places_said} below {folder}. Put it there, or "
                    "give --partial."
                )
            progress.advance(1)
    if not found:
        raise DataError(f"None of the {len(wanted)} images is below {folder}, in {', '.join(places)}.")
    return found


def map_codes_to_packs(scheme: str) -> dict[str, str]:
    """Map a benchmark's own language codes to the packs that they stand for."""
    return {code: pack.code for pack in load_languages() if (code := dict(pack.codes)[scheme])}


def group_by_pack(captions: dict[str, Any], where: str, codes: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Yield the captions of one line by the code of their language pack.

    Args:
        captions: Captions by any language code.
        where: Where the line is, for error messages.
        codes: Cache of what each code stands for.

    Yields:
        Code of the pack, and captions.

    Raises:
        DataError: A language has no pack, or two codes mean the same language.

    """
    seen: dict[str, str] = {}
    for written, own in captions.items():
        try:
            code = codes[written] if written in codes else codes.setdefault(written, resolve_language(written).code)
        except PolyclipError as error:
            raise DataError(f"{where}: {error}") from error
        if code in seen:
            raise DataError(f"{where}: {seen[code]!r} and {written!r} both mean {code}; put its captions in one list.")
        seen[code] = written
        yield code, check_texts(own, where, f"captions.{written}")
