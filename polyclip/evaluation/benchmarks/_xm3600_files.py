"""Crossmodal-3600's files, official and repackaged: images, captions by the benchmark's own codes, and regions."""

import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from polyclip.data.types import ImageSource
from polyclip.errors import DataError, PolyclipError, UnknownName
from polyclip.evaluation.benchmarks import _parquet
from polyclip.evaluation.benchmarks._files import (
    check_texts,
    collect_images,
    parse_file_name,
    read_json,
    read_json_lines,
)
from polyclip.evaluation.captioned import Captions
from polyclip.evaluation.facts import load_facts
from polyclip.languages.resolve import resolve_language

FACTS = load_facts("xm3600")
CAPTIONS = FACTS.splits["test"].captions
BABEL = "xm3600.json"
CLIP_BENCHMARK = "crossmodal3600_captions-"
UCLIP = "captions_"
KEY = re.compile(r"[A-Za-z0-9_-]+")


@dataclass(frozen=True)
class Xm3600Files:
    """Contents of the files.

    Attributes:
        layout: Name of the layout.
        images: Image by key.
        captions: Captions by the benchmark's own language codes.
        named: Number of images that the files name.
        homes: By image key, the language of the region that it is from.
        first: Whether the layout has only the first caption of each image.

    """

    layout: str
    images: dict[str, ImageSource]
    captions: Captions
    named: int  # images that the files name
    homes: dict[str, str] = field(default_factory=dict)
    first: bool = False


def read_layout(folder: Path, codes: list[str], *, partial: bool) -> Xm3600Files:
    """Read the first layout that is there: official, parquet, Babel-ImageNet's, CLIP_benchmark's, uCLIP's.

    Args:
        folder: Folder of the benchmark.
        codes: The benchmark's codes of the requested languages; empty means all.
        partial: Accept a part of the official files.

    Returns:
        The images and captions.

    Raises:
        DataError: No layout is there, or a file is malformed.

    """
    if (folder / "captions.jsonl").is_file():
        return read_official(folder, partial=partial)
    if shards := _parquet.find_shards(folder):
        return replace(read_parquet(check_codes(shards, folder), codes), layout=_parquet.describe_copy(folder))
    if (folder / BABEL).is_file():
        return read_babel(folder, partial=partial)
    if files := find_by_code(folder, CLIP_BENCHMARK):
        return read_first_captions(
            "CLIP_benchmark's cache, first captions",
            folder,
            select_languages(files, codes),
            parse_clip_benchmark,
            partial=partial,
        )
    if files := find_by_code(folder, UCLIP):
        return read_first_captions(
            "uCLIP's files, first captions", folder, select_languages(files, codes), parse_uclip, partial=partial
        )
    raise DataError(
        f"{folder / 'captions.jsonl'} is missing; expected the official file (unpack captions.zip) beside images/, or "
        "a copy of it."
    )


def read_official(folder: Path, *, partial: bool) -> Xm3600Files:
    """Read the official layout: captions.jsonl and images/."""
    captions: Captions = {code: [] for code in CAPTIONS}
    homes: dict[str, str] = {}
    named: dict[str, str] = {}
    for where, entry in read_json_lines(folder / "captions.jsonl"):
        key = entry.get("image/key")
        if not isinstance(key, str) or KEY.fullmatch(key) is None:
            raise DataError(f"{where}: image/key is {key!r:.40}, expected letters, digits, _ and - only.")
        if f"{key}.jpg" in named:
            raise DataError(f"{where}: image {key} is already on an earlier line; every image has one line.")
        named[f"{key}.jpg"] = where
        homes[f"{key}.jpg"] = str(entry.get("image/locale", ""))
        for code, found in read_line_captions(entry, where, partial=partial).items():
            captions.setdefault(code, []).extend((f"{key}.jpg", text) for text in found)
    try:
        images = collect_images(named, folder, FACTS.places[:1], partial=partial)
    except DataError as error:
        raise DataError(f"{error} The official images are in images.tgz.") from error
    return Xm3600Files("captions.jsonl, as distributed", images, captions, len(named), homes)


def read_line_captions(entry: dict[str, Any], where: str, *, partial: bool) -> dict[str, list[str]]:
    """Read the captions of one line by language.

    Args:
        entry: Object of the line.
        where: Where the line is, for error messages.
        partial: Accept missing languages.

    Returns:
        Captions by language.

    Raises:
        DataError: A language is not one of XM3600's, or, unless `partial`, one is missing.

    """
    found = check_codes({code: value for code, value in entry.items() if not code.startswith("image/")}, where)
    if not partial and (missing := sorted(CAPTIONS.keys() - found.keys())):
        raise DataError(
            f"{where}: no captions in {', '.join(missing)}; give the official file, or --partial to score what is "
            "there."
        )
    return {
        code: check_texts(value.get("caption") if isinstance(value, dict) else value, where, f"{code}.caption")
        for code, value in found.items()
    }


def read_parquet(shards: dict[str, list[Path]], codes: list[str]) -> Xm3600Files:
    """Read the Hub's copy, one split per language.

    Every split repeats the images: those of the first are used, the others must name the same.
    """
    captions: Captions = {}
    images: dict[str, ImageSource] = {}
    homes: dict[str, str] = {}
    for code, paths in select_languages(shards, codes).items():
        captions[code], own = [], set()
        columns = ["image_id", "image_locale", "captions", *([] if images and len(captions) > 1 else ["image"])]
        for where, row in (found for path in paths for found in _parquet.read_rows(path, columns)):
            key = f"{row['image_id']}.jpg"
            if key in own or ("image" not in row and key not in images):
                raise DataError(
                    f"{where}: image {row['image_id']} is {'there already' if key in own else 'in no split before'}; "
                    "splits have the same."
                )
            own.add(key)
            homes[key] = str(row["image_locale"])
            images |= {key: row["image"]} if "image" in row else {}
            captions[code] += [(key, text) for text in check_texts(row["captions"], where, "captions")]
    return Xm3600Files("parquet", images, captions, len(images), homes)


def read_babel(folder: Path, *, partial: bool) -> Xm3600Files:
    """Read Babel-ImageNet's xm3600.json: {"images": [file], "captions": {language: [[caption] of each image]}}."""
    path = folder / BABEL
    entry = read_json(path)
    if (
        not isinstance(entry, dict)
        or not isinstance(entry.get("images"), list)
        or not isinstance(entry.get("captions"), dict)
    ):
        raise DataError(f"{path}: expected an object with images, a list, and captions by language.")
    named = check_unique(entry["images"], path)
    captions: Captions = {}
    for code, found in check_codes(entry["captions"], path).items():
        if not isinstance(found, list):
            raise DataError(f"{path}: captions in {code} are {str(found)[:40]}, expected a list for each image.")
        if len(found) != len(named):
            raise DataError(f"{path}: captions in {code} are of {len(found)} images, images are {len(named)}.")
        captions[code] = [
            (key, text)
            for key, own in zip(named, found, strict=True)
            for text in check_texts(own, f"{path}, {code}, {key}", "captions")
        ]
    images = collect_images(named, folder, FACTS.places, partial=partial)
    return Xm3600Files("Babel-ImageNet's xm3600.json", images, captions, len(named))


def read_first_captions(layout: str, folder: Path, files: dict[str, Path], parse: Any, *, partial: bool) -> Xm3600Files:
    """Read one JSON file per language, with one caption per image."""
    captions: Captions = {}
    named: dict[str, str] = {}
    for code, path in files.items():
        files_named, own = parse(read_json(path), path)
        keys = check_unique(files_named, path)
        named = keys | named
        captions[code] = list(zip(keys, check_texts(own, str(path), "captions"), strict=True))
    return Xm3600Files(
        layout, collect_images(named, folder, FACTS.places, partial=partial), captions, len(named), first=True
    )


def parse_clip_benchmark(entry: Any, path: Path) -> tuple[list[Any], list[Any]]:
    """Parse {"image_paths": [file], "annotations": [caption], "indicies": [number]} (spelled so).

    Folders are ignored.
    """
    paths, captions = (entry.get("image_paths"), entry.get("annotations")) if isinstance(entry, dict) else (None, None)
    if not isinstance(paths, list) or not isinstance(captions, list) or len(paths) != len(captions):
        raise DataError(f"{path}: expected image_paths and annotations, two lists of one length.")
    return paths, captions


def parse_uclip(entry: Any, path: Path) -> tuple[list[Any], list[Any]]:
    """Parse [{"filename": file, "captions_en": caption, "captions_translated": caption}]."""
    if not isinstance(entry, list) or not all(
        isinstance(row, dict) and {"filename", "captions_translated"} <= row.keys() for row in entry
    ):
        raise DataError(f"{path}: expected a list of objects with filename and captions_translated.")
    return [row["filename"] for row in entry], [row["captions_translated"] for row in entry]


def check_unique(files: Iterable[object], path: Path) -> dict[str, str]:
    """Return where each image is named; DataError for one that occurs twice."""
    found: dict[str, str] = {}
    for number, name in enumerate(files, 1):
        key = parse_file_name(name, f"{path}, image {number}")
        if key in found:
            raise DataError(f"{path}, image {number}: {key} occurs twice; every image must occur once.")
        found[key] = f"{path}, image {number}"
    return found


def find_by_code(folder: Path, prefix: str) -> dict[str, Path]:
    """Find JSON files by the language code in their names."""
    return check_codes(
        {path.stem.removeprefix(prefix): path for path in sorted(folder.glob(f"{prefix}*.json"))}, folder
    )


def select_languages(files: dict[str, Any], codes: list[str]) -> dict[str, Any]:
    """Select the requested languages, by default all; UnknownName where none of them is there."""
    if codes and not files.keys() & set(codes):
        raise UnknownName("language in these files of XM3600", codes[0], files)
    return {code: found for code, found in files.items() if not codes or code in codes}


def check_codes(found: dict[str, Any], where: object) -> dict[str, Any]:
    """Check that every key is a language code of XM3600, or of a language with which somebody extended it.

    Args:
        found: Anything by language code.
        where: Where it is from, for the error message.

    Returns:
        `found`, unchanged.

    Raises:
        DataError: A key has no language pack, or is another code of one of XM3600's languages, such as qu for Quechua;
            the message names the right one.

    """
    for code in found:
        if code in CAPTIONS:
            continue
        try:
            meant = resolve_language(code).codes.xm3600
        except PolyclipError as error:
            raise DataError(
                f"{where}: {code!r} is not a language code of XM3600, which are {', '.join(CAPTIONS)}; nor is it one "
                "of a further language that has a pack ('polyclip languages')."
            ) from error
        if meant:
            raise DataError(f"{where}: {code!r} is not a language code of XM3600, which spells it {meant}.")
    return found


def list_further(captions: Captions) -> dict[str, str]:
    """The languages with which somebody extended the benchmark: code in the files, and code of the pack."""
    return {code: resolve_language(code).code for code in captions if code not in CAPTIONS}
