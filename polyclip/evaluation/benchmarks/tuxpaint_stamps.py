"""Tux Paint's stamps (Debian's package tuxpaint-stamps-default): photographs and drawings with sentences by people in about 70 languages.

A stamp is validation where the first 16 hexadecimal digits of the MD5 of its path, below `stamps` and without suffix, are 0 or 1 modulo 5,
else test. Protocols: `photographs` searches the PNG, `drawings` the SVG, each with the sentences of its own.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from polyclip.core.progress import Progress
from polyclip.core.storage import digest
from polyclip.data.images import check_bytes, picture_of, rendered
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, UnknownName
from polyclip.evaluation.captioned import Table, asked, encoded, folder_of, notes, without_blank
from polyclip.evaluation.facts import facts
from polyclip.evaluation.results import Score
from polyclip.evaluation.retrieval import Items, Report, Request, both_directions
from polyclip.languages.resolve import resolve_language
from polyclip.models.aligner import PolyCLIP

NAME = "tuxpaint-stamps"
INSIDE = Path("usr/share/tuxpaint/stamps")
PHOTOGRAPHS, DRAWINGS = "photographs", "drawings"
WITHOUT = ("symbols", "alphabets")
PIXELS = 512  # width of a drawing
SCRIPTS = {"zh_CN": "zh", "zh_TW": "zh-Hant", "sr@latin": "sr-Latn"}


@dataclass(frozen=True)
class Stamp:
    """One image and what it shows.

    Attributes:
        key: Path below the stamps' folder, without suffix.
        path: The file that is read.
        captions: Sentences by language, English under "en".

    """

    key: str
    path: Path
    captions: dict[str, str]

    @property
    def kind(self) -> str:
        """The protocol whose gallery it belongs to."""
        return PHOTOGRAPHS if self.path.suffix == ".png" else DRAWINGS

    @property
    def split(self) -> str:
        """Validation or test."""
        return (
            "validation"
            if int(hashlib.md5(self.key.encode(), usedforsecurity=False).hexdigest()[:16], 16) % 5 in (0, 1)
            else "test"
        )


def score(aligner: PolyCLIP, request: Request) -> Report:
    """Scores of every language under both protocols.

    Raises:
        DataError: `request.data` is not such a folder.
        UnknownName: A split or language that the benchmark does not have.

    """
    stamps, unread = readable(read(request))
    table = asked(without_blank(table_of(stamps, request)), request)
    keys = list(table.pictures)
    image = Items(aligner.vision.embed(list(table.pictures.values()), f"{NAME} images", keep=True), keys, keys)
    kinds = {kind: {stamp.key for stamp in stamps if stamp.kind == kind} for kind in (PHOTOGRAPHS, DRAWINGS)}
    scores: list[Score] = []
    for vectors in encoded(aligner, table):
        with Progress("scoring", len(vectors)) as progress:
            for code, own in vectors.items():
                named = [key for key, _ in table.captions[code]]
                common: dict[str, Any] = {
                    "benchmark": NAME,
                    "split": request.split,
                    "language": code,
                    "seen": request.seen(code),
                }
                for kind, members in kinds.items():
                    if members & set(named):
                        scores += both_directions(
                            Items(own, named, named).only(members), image.only(members), protocol=kind, **common
                        )
                progress.advance(1)
    counts = {"captions": sum(map(len, table.captions.values())), "pictures": len(keys)}
    return Report(scores, counts, [*unread, *other_counts(len(stamps) + len(unread), request.split), *notes(table)])


def other_counts(found: int, split: str) -> list[str]:
    """A note where this copy has another number of stamps than the one that was measured."""
    expected = facts(NAME).splits[split].pictures
    return (
        []
        if found == expected
        else [
            f"{found} stamps, where version 2022.06.04 of the package has {expected}: figures of the two cannot be compared"
        ]
    )


def read(request: Request) -> list[Stamp]:
    """Stamps of the requested split, sorted by path.

    Raises:
        DataError: There is no folder of stamps, or none in it.
        UnknownName: The split is neither validation nor test.

    """
    folder = folder_of(request, NAME)
    root = folder / INSIDE if (folder / INSIDE).is_dir() else folder
    found: dict[str, Stamp] = {}
    for path in sorted(root.rglob("*.txt")):
        stamp = stamp_of(path, root)
        if stamp is not None:
            found.setdefault(stamp.captions["en"], stamp)
    if not found:
        raise DataError(
            f"{folder} has no stamps: expected {INSIDE}/**/*.txt beside PNG or SVG of the same name, as 'dpkg -x' unpacks them."
        )
    chosen = [stamp for stamp in found.values() if stamp.split == request.split]
    if not chosen:
        raise UnknownName(f"split of {NAME}", request.split, facts(NAME).splits)
    return chosen


def stamp_of(path: Path, root: Path) -> Stamp | None:
    """The stamp that a text file describes; None for a letter of an alphabet, and for a text without an image or an English sentence.

    Raises:
        DataError: The text is not UTF-8 or cannot be read.

    """
    key = path.relative_to(root).with_suffix("").as_posix()
    image = next((path.with_suffix(suffix) for suffix in (".png", ".svg") if path.with_suffix(suffix).is_file()), None)
    if image is None or path.relative_to(root).parts[: len(WITHOUT)] == WITHOUT:
        return None
    if not all(
        one.resolve().is_relative_to(root.resolve()) for one in (path, image)
    ):  # links that lead outside are not followed
        return None
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 ({error}); unpack the package again.") from error
    others = (line.split(".utf8=", 1) for line in lines[1:] if ".utf8=" in line)
    captions = {"en": lines[0].strip() if lines else ""} | {
        language_of(code): text.strip() for code, text in others if text.strip()
    }
    return Stamp(key, image, captions) if captions["en"] else None


def language_of(code: str) -> str:
    """The pack that a locale of the stamps stands for; regional varieties and languages without a pack keep their own code."""
    if code in SCRIPTS:
        return SCRIPTS[code]
    try:
        return resolve_language(code).code if code.isalpha() else code.replace("_", "-").replace("@", "-")
    except UnknownName:
        return code


def readable(stamps: list[Stamp]) -> tuple[list[Stamp], list[str]]:
    """The stamps whose drawing can be drawn, and one sentence for each of the others."""
    kept, unread = [], []
    for stamp in stamps:
        try:
            if stamp.kind == DRAWINGS:
                draw(stamp.path)
            kept.append(stamp)
        except DataError as error:
            unread.append(str(error))
    return kept, unread


def draw(path: Path) -> Image.Image:
    """A drawing on white.

    Raises:
        DataError: The file is larger than what is read, or cannot be drawn.

    """
    check_bytes(path)
    try:
        return rendered(path.read_text(encoding="utf-8", errors="replace"), PIXELS)
    except ValueError as error:
        raise DataError(f"{path}: cannot be drawn ({error}); left out.") from error


def image_of(stamp: Stamp) -> ImageSource:
    """The image of a stamp, decoded or drawn when it is asked for."""
    if stamp.kind == PHOTOGRAPHS:
        return replace(picture_of(stamp.path), name=stamp.key)
    return ImageSource(
        stamp.key,
        digest("svg", str(PIXELS), stamp.path.read_text(encoding="utf-8", errors="replace")),
        partial(draw, stamp.path),
    )


def table_of(stamps: list[Stamp], request: Request) -> Table:
    """Images and captions as every benchmark of captioned images has them."""
    captions: dict[str, list[tuple[str, str]]] = {}
    for stamp in stamps:
        for code, text in stamp.captions.items():
            captions.setdefault(code, []).append((stamp.key, text))
    return Table(
        name=NAME,
        split=request.split,
        pictures={stamp.key: image_of(stamp) for stamp in stamps},
        captions=dict(sorted(captions.items())),
    )
