"""Lines, JSON and pictures of a benchmark's folder, checked: every error names file and line."""

import gzip
import json
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from polyclip.core.progress import Progress
from polyclip.data.images import picture_of
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, PolyclipError
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import all_languages

MAX_TEXT = 2_000_000_000  # bytes of a text file, unpacked: more is no caption file


def content(path: Path) -> bytes:
    """The bytes of a file, unpacked where it is .gz.

    Raises DataError for a file that is missing, damaged, or larger than 2 GB unpacked.
    """
    if not path.is_file():
        raise DataError(f"{path} is missing.")
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as handle:
            data = handle.read(MAX_TEXT + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{path} cannot be read ({error}); download it again.") from error
    if len(data) > MAX_TEXT:
        raise DataError(f"{path} is larger than {MAX_TEXT:,} bytes; that is no file of captions.")
    return data


def lines(path: Path) -> list[str]:
    r"""Lines of a text file or .gz, split at "\n" and nothing else: U+2028 and U+0085 are part of a caption.

    A "\r" before the "\n", as most official files of XTD10 have it, and a byte order mark are left out; the last line may lack its "\n".
    Raises DataError for a file that is missing, damaged or not UTF-8.
    """
    data = content(path)
    try:
        found = data.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"{path}:{data[: error.start].count(bytes([10])) + 1}: not UTF-8 ({error}).") from error
    if found[-1] == "":
        found.pop()
    return [line.removesuffix("\r") for line in found]


def json_lines(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    """`file:line` and object of each line.

    Raises DataError for a file that is missing or empty, a line that is not UTF-8, or no JSON object.
    """
    found = lines(path)
    if not found:
        raise DataError(f"{path} is empty; expected one JSON object a line.")
    with Progress(f"reading {path.name}", len(found)) as progress:
        for number, line in enumerate(found, 1):
            where = f"{path}:{number}"
            try:
                entry = json.loads(line)
            except json.JSONDecodeError as error:
                raise DataError(f"{where}: not JSON ({error}).") from error
            if not isinstance(entry, dict):
                raise DataError(f"{where}: expected a JSON object, found {line[:80]}.")
            yield where, entry
            progress.advance(1)


def json_file(path: Path) -> Any:
    """A whole JSON file.

    Raises DataError for a file that is missing or no JSON.
    """
    try:
        return json.loads(content(path).decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise DataError(f"{path}: not UTF-8 ({error}).") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{path}:{error.lineno}: not JSON ({error}).") from error


def texts(value: object, where: str, key: str) -> list[str]:
    """A list of captions.

    Raises DataError for anything but a list of text.
    """
    if not isinstance(value, list) or not all(isinstance(text, str) for text in value):
        raise DataError(f"{where}: {key} is {str(value)[:80]}, expected a list of captions.")
    return value


def file_name(name: object, where: str) -> str:
    """The name of a picture file, without folders, wherever it lay before.

    Raises DataError for what is no name.
    """
    plain = PurePosixPath(name.replace("\\", "/")).name if isinstance(name, str) else ""
    if plain in ("", ".", "..") or not plain.isprintable():
        raise DataError(f"{where}: {str(name)[:80]!r} is no name of a picture file.")
    return plain


def names(path: Path) -> dict[str, str]:
    """Picture names of a list, one a line, each with where it stands; what follows a # is the caption's number and left out.

    Raises DataError for a blank line and a name that stands there twice.
    """
    found: dict[str, str] = {}
    for number, line in enumerate(lines(path), 1):
        where = f"{path}:{number}"
        name = file_name(line.split("#")[0].strip(), where)
        if name in found:
            raise DataError(
                f"{where}: picture {name} is already on line {found[name].rpartition(':')[2]}; every picture has one line."
            )
        found[name] = where
    return found


def aligned(path: Path, pictures: Mapping[str, object], listed: Path) -> list[tuple[str, str]]:
    """Picture and caption of each line of a file that goes with a list of pictures.

    Raises DataError where one has more lines than the other.
    """
    found = lines(path)
    if len(found) != len(pictures):
        raise DataError(
            f"{path} has {len(found)} lines and {listed} has {len(pictures)}: line n of the one describes the picture on line n of the other. "
            "Take both from the same download."
        )
    return list(zip(pictures, found, strict=True))


def album(wanted: Mapping[str, str], folder: Path, places: list[str], *, partial: bool) -> dict[str, ImageSource]:
    """Pictures by name, looked for in `places` below the folder; `wanted` says where each is named.

    Raises DataError, with that place, for the first that is missing; with `partial` those are left out.
    """
    found: dict[str, ImageSource] = {}
    with Progress("reading pictures", len(wanted)) as progress:
        for name, where in wanted.items():
            path = next((folder / place / name for place in places if (folder / place / name).is_file()), None)
            if path is not None:
                found[name] = picture_of(path)
            elif not partial:
                places_said = " or ".join(f"{place}/" for place in places)
                raise DataError(
                    f"{where}: picture {name} is missing: it is not in {places_said} below {folder}. Put it there, or give --partial."
                )
            progress.advance(1)
    if not found:
        raise DataError(f"None of the {len(wanted)} pictures is below {folder}, in {', '.join(places)}.")
    return found


def packs_by(scheme: str) -> dict[str, str]:
    """A benchmark's own language codes, and the packs they stand for."""
    return {code: pack.code for pack in all_languages() if (code := getattr(pack.codes, scheme))}


def by_pack(captions: dict[str, Any], where: str, codes: dict[str, str]) -> Iterator[tuple[str, list[str]]]:
    """Captions by pack's code; `codes` remembers what each code stands for.

    Raises DataError for a language without a pack and for two codes of one language on a line.
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
        yield code, texts(own, where, f"captions.{written}")
