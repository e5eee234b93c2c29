"""Crossmodal-3600's files, official and repackaged: pictures, captions under the benchmark's own codes, and where each picture is from."""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from polyclip.data.types import ImageSource
from polyclip.errors import DataError, PolyclipError, UnknownName
from polyclip.evaluation.benchmarks import _parquet
from polyclip.evaluation.benchmarks._files import album, file_name, json_file, json_lines, texts
from polyclip.evaluation.captioned import Captions
from polyclip.evaluation.facts import facts
from polyclip.languages.resolve import resolve_language

FACTS = facts("xm3600")
CAPTIONS = FACTS.splits["test"].captions
BABEL = "xm3600.json"
CLIP_BENCHMARK = "crossmodal3600_captions-"
UCLIP = "captions_"


@dataclass(frozen=True)
class Found:
    """What the files hold. `first` marks a layout that keeps each picture's first caption alone."""

    layout: str
    pictures: dict[str, ImageSource]
    captions: Captions
    named: int  # pictures that the files name
    homes: dict[str, str] = field(default_factory=dict)
    first: bool = False


def find(folder: Path, codes: list[str], *, partial: bool) -> Found:
    """The first layout that is there: official, parquet, Babel-ImageNet's, CLIP_benchmark's, uCLIP's; `codes` are those asked for, all where empty.

    Raises DataError where there is none, and for bad files.
    """
    if (folder / "captions.jsonl").is_file():
        return official(folder, partial=partial)
    if shards := _parquet.shards(folder):
        return replace(parquet(known(shards, folder), codes), layout=_parquet.called(folder))
    if (folder / BABEL).is_file():
        return babel(folder, partial=partial)
    if files := by_code(folder, CLIP_BENCHMARK):
        return first_captions(
            "CLIP_benchmark's cache, first captions", folder, chosen(files, codes), clip_benchmark, partial=partial
        )
    if files := by_code(folder, UCLIP):
        return first_captions("uCLIP's files, first captions", folder, chosen(files, codes), uclip, partial=partial)
    raise DataError(
        f"{folder / 'captions.jsonl'} is missing; expected the official file (unpack captions.zip) beside images/, or a copy of it."
    )


def official(folder: Path, *, partial: bool) -> Found:
    """captions.jsonl and images/."""
    captions: Captions = {code: [] for code in CAPTIONS}
    homes: dict[str, str] = {}
    named: dict[str, str] = {}
    for where, entry in json_lines(folder / "captions.jsonl"):
        key = entry.get("image/key")
        if not isinstance(key, str) or not key.isalnum():
            raise DataError(f"{where}: image/key is {key!r:.40}, expected letters and digits only.")
        if f"{key}.jpg" in named:
            raise DataError(f"{where}: picture {key} is already on an earlier line; every picture has one line.")
        named[f"{key}.jpg"] = where
        homes[f"{key}.jpg"] = str(entry.get("image/locale", ""))
        for code, found in spoken(entry, where, partial=partial).items():
            captions[code] += [(f"{key}.jpg", text) for text in found]
    try:
        pictures = album(named, folder, FACTS.places[:1], partial=partial)
    except DataError as error:
        raise DataError(f"{error} The official pictures are in images.tgz.") from error
    return Found("captions.jsonl, as distributed", pictures, captions, len(named), homes)


def spoken(entry: dict[str, Any], where: str, *, partial: bool) -> dict[str, list[str]]:
    """Captions of one line by language.

    Raises DataError for a language that XM3600 does not have or spells otherwise, and, unless `partial`, where one is missing.
    """
    found = known({code: value for code, value in entry.items() if not code.startswith("image/")}, where)
    if not partial and (missing := sorted(CAPTIONS.keys() - found.keys())):
        raise DataError(
            f"{where}: no captions in {', '.join(missing)}; give the official file, or --partial to score what is there."
        )
    return {
        code: texts(value.get("caption") if isinstance(value, dict) else value, where, f"{code}.caption")
        for code, value in found.items()
    }


def parquet(shards: dict[str, list[Path]], codes: list[str]) -> Found:
    """The hub's copy, one split a language. Every split has the pictures again: those of the first are taken, the others must name the same."""
    captions: Captions = {}
    pictures: dict[str, ImageSource] = {}
    homes: dict[str, str] = {}
    for code, paths in chosen(shards, codes).items():
        captions[code], own = [], set()
        columns = ["image_id", "image_locale", "captions", *([] if pictures and len(captions) > 1 else ["image"])]
        for where, row in (found for path in paths for found in _parquet.rows(path, columns)):
            key = f"{row['image_id']}.jpg"
            if key in own or ("image" not in row and key not in pictures):
                raise DataError(
                    f"{where}: picture {row['image_id']} is {'there already' if key in own else 'in no split before'}; splits have the same."
                )
            own.add(key)
            homes[key] = row["image_locale"]
            pictures |= {key: row["image"]} if "image" in row else {}
            captions[code] += [(key, text) for text in texts(row["captions"], where, "captions")]
    return Found("parquet", pictures, captions, len(pictures), homes)


def babel(folder: Path, *, partial: bool) -> Found:
    """Babel-ImageNet's data/xm3600.json: {"images": [file], "captions": {language: [[caption] of each picture]}}."""
    path = folder / BABEL
    entry = json_file(path)
    if (
        not isinstance(entry, dict)
        or not isinstance(entry.get("images"), list)
        or not isinstance(entry.get("captions"), dict)
    ):
        raise DataError(f"{path}: expected an object with images, a list, and captions by language.")
    named = unique(entry["images"], path)
    captions: Captions = {}
    for code, found in known(entry["captions"], path).items():
        if not isinstance(found, list) or len(found) != len(named):
            raise DataError(f"{path}: captions in {code} are of {len(found)} pictures, images are {len(named)}.")
        captions[code] = [
            (key, text)
            for key, own in zip(named, found, strict=True)
            for text in texts(own, f"{path}, {code}, {key}", "captions")
        ]
    pictures = album(named, folder, FACTS.places, partial=partial)
    return Found("Babel-ImageNet's xm3600.json", pictures, captions, len(named))


def first_captions(layout: str, folder: Path, files: dict[str, Path], parse: Any, *, partial: bool) -> Found:
    """One JSON file a language, one caption a picture."""
    captions: Captions = {}
    named: dict[str, str] = {}
    for code, path in files.items():
        files_named, own = parse(json_file(path), path)
        keys = unique(files_named, path)
        named = keys | named
        captions[code] = list(zip(keys, texts(own, str(path), "captions"), strict=True))
    return Found(layout, album(named, folder, FACTS.places, partial=partial), captions, len(named), first=True)


def clip_benchmark(entry: Any, path: Path) -> tuple[list[Any], list[Any]]:
    """{"image_paths": [file], "annotations": [caption], "indicies": [number]}, spelt so; the folders are another machine's."""
    paths, captions = (entry.get("image_paths"), entry.get("annotations")) if isinstance(entry, dict) else (None, None)
    if not isinstance(paths, list) or not isinstance(captions, list) or len(paths) != len(captions):
        raise DataError(f"{path}: expected image_paths and annotations, two lists of one length.")
    return paths, captions


def uclip(entry: Any, path: Path) -> tuple[list[Any], list[Any]]:
    """[{"filename": file, "captions_en": caption, "captions_translated": caption}]."""
    if not isinstance(entry, list) or not all(
        isinstance(row, dict) and {"filename", "captions_translated"} <= row.keys() for row in entry
    ):
        raise DataError(f"{path}: expected a list of objects with filename and captions_translated.")
    return [row["filename"] for row in entry], [row["captions_translated"] for row in entry]


def unique(files: Iterable[object], path: Path) -> dict[str, str]:
    """Picture names, each with where it stands.

    Raises DataError for one that is there twice.
    """
    found: dict[str, str] = {}
    for number, name in enumerate(files, 1):
        key = file_name(name, f"{path}, picture {number}")
        if key in found:
            raise DataError(f"{path}, picture {number}: {key} is there already; every picture is there once.")
        found[key] = f"{path}, picture {number}"
    return found


def by_code(folder: Path, prefix: str) -> dict[str, Path]:
    """JSON files by the language code in their names."""
    return known({path.stem.removeprefix(prefix): path for path in sorted(folder.glob(f"{prefix}*.json"))}, folder)


def chosen(files: dict[str, Any], codes: list[str]) -> dict[str, Any]:
    """Those of the languages asked for, all where none was.

    Raises UnknownName where none of them is there.
    """
    if codes and not files.keys() & set(codes):
        raise UnknownName("language in these files of XM3600", codes[0], files)
    return {code: found for code, found in files.items() if not codes or code in codes}


def known(found: dict[str, Any], where: object) -> dict[str, Any]:
    """The same, once every key is a language code of XM3600.

    Raises DataError for another, with the code that is meant: Quechua is quz, Norwegian no.
    """
    for code in found:
        if code not in CAPTIONS:
            try:
                meant = resolve_language(code).codes.xm3600
            except PolyclipError:
                meant = ""
            spelt = f"which spells it {meant}" if meant else f"which are {', '.join(CAPTIONS)}"
            raise DataError(f"{where}: {code!r} is no language code of XM3600, {spelt}.")
    return found
