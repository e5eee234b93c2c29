"""Crossmodal-3600 (Thapliyal et al. 2022, arXiv 2205.12522): 3,600 photographs, 261,375 captions by people, 36 languages.

Layout below --data: `captions.jsonl` and `images/<image/key>.jpg`, as distributed. Protocols: `first-caption` (one caption a
picture, as CLIP_benchmark and open_clip's tables) and `all-captions` (as big_vision, Babel-ImageNet and mteb).
"""

import json
from pathlib import Path
from typing import Any

from polyclip.aligner import Aligner
from polyclip.benchmarks._retrieval import Items, Report, Request, both_directions
from polyclip.errors import DataError, UnknownName
from polyclip.normalise import typed
from polyclip.pictures import picture_of
from polyclip.progress import Progress
from polyclip.records import Score

NAME = "xm3600"
PICTURES = 3600
CAPTIONS = {
    "ar": 7367, "bn": 3600, "cs": 7207, "da": 7264, "de": 8643, "el": 7204, "en": 7200, "es": 8614, "fa": 7245, "fi": 7127, "fil": 7109, "fr": 8562,
    "he": 7200, "hi": 8503, "hr": 7280, "hu": 7216, "id": 7126, "it": 8471, "ja": 7185, "ko": 7650, "mi": 4732, "nl": 8059, "no": 7213, "pl": 7141,
    "pt": 7243, "quz": 7200, "ro": 7123, "ru": 7200, "sv": 7273, "sw": 7046, "te": 7200, "th": 7200, "tr": 7233, "uk": 7215, "vi": 7350, "zh": 7174,
}  # fmt: skip
Table = dict[str, dict[str, list[str]]]  # picture -> language -> captions


def score(aligner: Aligner, request: Request) -> Report:
    """Score the requested languages, or all 36, under both protocols.

    Raises DataError where the files are not the official ones; `request.partial` accepts a subset and the report says so.
    """
    if request.data is None:
        raise DataError("xm3600 needs --data DIR with captions.jsonl and images/; see https://google.github.io/crossmodal-3600/.")
    table = read(request.data, partial=request.partial)
    languages = [language.code for language in request.languages] or list(CAPTIONS)
    for code in languages:
        if code not in CAPTIONS:
            raise UnknownName("XM3600 language", code, CAPTIONS)
    present = [code for code in languages if any(code in captions for captions in table.values())]
    notes = partial_notes(table, languages, present) if request.partial else []
    if not present:
        raise DataError(f"{request.data} has captions in none of {', '.join(languages)}.")
    drawn = [picture_of(request.data / "images" / f"{key}.jpg") for key in table]
    image = Items(aligner.vision.embed(drawn, "XM3600 pictures", keep=True), list(table), list(table))
    scores: list[Score] = []
    count = 0
    with Progress("scoring", len(present)) as progress:
        for code in present:
            owned = [(key, caption) for key, captions in table.items() for caption in captions.get(code, [])]
            vectors = aligner.text.embed(typed([caption for _, caption in owned], code), f"XM3600 captions ({code})", keep=True)
            keys = [key for key, _ in owned]
            for protocol, rows in (("first-caption", first_rows(keys)), ("all-captions", list(range(len(keys))))):
                text = Items(vectors[rows], [keys[row] for row in rows], [keys[row] for row in rows])
                scores += both_directions(text, image, benchmark=NAME, protocol=protocol, split="test", language=code, seen=request.seen(code))
            count += len(owned)
            progress.advance(1)
    return Report(scores, {"captions": count, "pictures": len(table)}, notes)


def first_rows(keys: list[str]) -> list[int]:
    """The row of each picture's first caption."""
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    return sorted(first.values())


def partial_notes(table: Table, languages: list[str], present: list[str]) -> list[str]:
    """What a partial evaluation must say about itself."""
    absent = sorted(set(languages) - set(present))
    return [
        f"PARTIAL: {len(table)} of {PICTURES} pictures; these figures cannot stand beside published ones",
        *([f"PARTIAL: no caption in {', '.join(absent)}"] if absent else []),
    ]


def read(folder: Path, *, partial: bool) -> Table:
    """Captions by picture and language.

    Raises DataError for a file that is not UTF-8 JSON lines, a duplicated key, a key without picture, an empty caption, and, unless
    `partial`, for a missing language or counts other than the official ones.
    """
    path = folder / "captions.jsonl"
    if not path.is_file():
        raise DataError(f"{path} is missing; expected the official captions.jsonl (unpack captions.zip) beside the folder images/.")
    table: Table = {}
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            where = f"{path}:{number}"
            key, captions = parse(line, where)
            if key in table:
                raise DataError(f"{where}: picture {key} is already on an earlier line; every picture has one line.")
            if not (folder / "images" / f"{key}.jpg").is_file():
                raise DataError(f"{where}: picture {key} has no file {folder / 'images' / (key + '.jpg')}; unpack images.tgz there.")
            if not partial and (missing := sorted(CAPTIONS.keys() - captions.keys())):
                raise DataError(f"{where}: no captions in {', '.join(missing)}; give the official file, or --partial to score what is there.")
            table[key] = captions
    if not partial:
        check_counts(table, path)
    if not table:
        raise DataError(f"{path} is empty; expected {PICTURES} lines.")
    return table


def parse(line: bytes, where: str) -> tuple[str, dict[str, list[str]]]:
    """Key and captions of one line."""
    try:
        entry: dict[str, Any] = json.loads(line.decode("utf-8"))
        key = entry["image/key"]
        captions = {code: [str(c) for c in entry[code]["caption"]] for code in CAPTIONS if code in entry}
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 ({error}).") from error
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise DataError(f"{where}: not a line of XM3600 ({type(error).__name__}: {error}); expected image/key and, per language, caption.") from error
    if not isinstance(key, str) or not key.isalnum():
        raise DataError(f"{where}: image/key is {key!r:.40}, expected letters and digits only.")
    for code, found in captions.items():
        if not found or any(not caption.strip() for caption in found):
            raise DataError(f"{where}: an empty caption in {code}.")
    return key, captions


def check_counts(table: Table, path: Path) -> None:
    """Raises DataError where the numbers of pictures or captions are not the official ones."""
    if len(table) != PICTURES:
        raise DataError(f"{path} has {len(table)} pictures, the official file {PICTURES}; give --partial to score what is there.")
    for code, expected in CAPTIONS.items():
        found = sum(len(captions[code]) for captions in table.values())
        if found != expected:
            raise DataError(f"{path} has {found} captions in {code}, the official file {expected}; give --partial to score what is there.")
