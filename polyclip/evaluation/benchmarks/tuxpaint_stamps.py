"""Tux Paint's stamps (Debian's package tuxpaint-stamps-default): photographs and drawings, captioned by humans.

The sentences are in about 70 languages. A stamp belongs to validation if the first 16 hexadecimal digits of the MD5 of
its path, below `stamps` and without suffix, are 0 or 1 modulo 5, else to test. Protocols: the gallery of `photographs`
are the PNG files, that of `drawings` the SVG files, each with its own sentences.
"""

import hashlib
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from PIL import Image

from polyclip.core.progress import Progress
from polyclip.core.storage import hash_parts, read_plain_text
from polyclip.data.images import check_file_size, make_image_source
from polyclip.data.svg import render_svg
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, UnknownName
from polyclip.evaluation.captioned import (
    CaptionedDataset,
    collect_notes,
    drop_blank_captions,
    encode_captions,
    get_data_folder,
    select_languages,
)
from polyclip.evaluation.facts import load_facts
from polyclip.evaluation.results import Score
from polyclip.evaluation.retrieval import BenchmarkReport, Items, Request, score_both_directions
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
        """The split that the stamp belongs to, validation or test."""
        return (
            "validation"
            if int(hashlib.md5(self.key.encode(), usedforsecurity=False).hexdigest()[:16], 16) % 5 in (0, 1)
            else "test"
        )


def score(aligner: PolyCLIP, request: Request) -> BenchmarkReport:
    """Score every language under both protocols.

    Args:
        aligner: The model to score.
        request: Folder, split and languages.

    Returns:
        Scores in both directions, counts and notes.

    Raises:
        DataError: `request.data` is not such a folder.
        UnknownName: The benchmark does not have the split or language.

    """
    stamps, unread = drop_unreadable(read(request))
    table = select_languages(drop_blank_captions(make_dataset(stamps, request)), request)
    keys = list(table.images)
    image = Items(aligner.vision.embed(list(table.images.values()), f"{NAME} images", keep=True), keys, keys)
    kinds = {kind: {stamp.key for stamp in stamps if stamp.kind == kind} for kind in (PHOTOGRAPHS, DRAWINGS)}
    scores: list[Score] = []
    for embeddings in encode_captions(aligner, table):
        with Progress("scoring", len(embeddings)) as progress:
            for code, own in embeddings.items():
                named = [key for key, _ in table.captions[code]]
                common: dict[str, Any] = {
                    "benchmark": NAME,
                    "split": request.split,
                    "language": code,
                    "seen": request.is_seen(code),
                }
                for kind, members in kinds.items():
                    if members & set(named):
                        scores += score_both_directions(
                            Items(own, named, named).select(members), image.select(members), protocol=kind, **common
                        )
                progress.advance(1)
    counts = {"captions": sum(map(len, table.captions.values())), "pictures": len(keys)}
    return BenchmarkReport(
        scores, counts, [*unread, *describe_counts(len(stamps) + len(unread), request.split), *collect_notes(table)]
    )


def describe_counts(found: int, split: str) -> list[str]:
    """Return a note where this copy has another number of stamps than the measured one."""
    expected = load_facts(NAME).splits[split].pictures
    return (
        []
        if found == expected
        else [
            f"{found} stamps, where version 2022.06.04 of the package has {expected}: figures of the two cannot be "
            "compared"
        ]
    )


def read(request: Request) -> list[Stamp]:
    """Read the stamps of the requested split, sorted by path.

    Args:
        request: Folder and split.

    Returns:
        The stamps.

    Raises:
        DataError: There is no folder of stamps, or it is empty.
        UnknownName: The split is neither validation nor test.

    """
    folder = get_data_folder(request, NAME)
    root = folder / INSIDE if (folder / INSIDE).is_dir() else folder
    found: dict[str, Stamp] = {}
    for path in sorted(root.rglob("*.txt")):
        stamp = read_stamp(path, root)
        if stamp is not None:
            found.setdefault(stamp.captions["en"], stamp)
    if not found:
        raise DataError(
            f"{folder} has no stamps: expected {INSIDE}/**/*.txt beside PNG or SVG of the same name, as 'dpkg -x' "
            "unpacks them."
        )
    chosen = [stamp for stamp in found.values() if stamp.split == request.split]
    if not chosen:
        raise UnknownName(f"split of {NAME}", request.split, load_facts(NAME).splits)
    return chosen


def read_stamp(path: Path, root: Path) -> Stamp | None:
    """Read the stamp that a text file describes.

    Args:
        path: The text file.
        root: Folder of the stamps.

    Returns:
        The stamp; None for a letter of an alphabet, or without an image or an English sentence.

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
        lines = read_plain_text(path).splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read as UTF-8 ({error}); unpack the package again.") from error
    others = (line.split(".utf8=", 1) for line in lines[1:] if ".utf8=" in line)
    captions = {"en": lines[0].strip() if lines else ""} | {
        to_language_code(code): text.strip() for code, text in others if text.strip()
    }
    return Stamp(key, image, captions) if captions["en"] else None


def to_language_code(code: str) -> str:
    """Convert a locale of the stamps to the code of its pack.

    Regional varieties and languages without a pack keep theirs.
    """
    if code in SCRIPTS:
        return SCRIPTS[code]
    try:
        return resolve_language(code).code if code.isalpha() else code.replace("_", "-").replace("@", "-")
    except UnknownName:
        return code


def drop_unreadable(stamps: list[Stamp]) -> tuple[list[Stamp], list[str]]:
    """Drop the stamps whose drawing cannot be rendered, with one sentence for each."""
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
    """Render a drawing on white.

    Args:
        path: The SVG file.

    Returns:
        The image.

    Raises:
        DataError: The file is too large, or cannot be rendered.

    """
    check_file_size(path)
    try:
        return render_svg(path.read_text(encoding="utf-8", errors="replace"), PIXELS)
    except ValueError as error:
        raise DataError(f"{path}: cannot be rendered ({error}); left out.") from error


def make_image(stamp: Stamp) -> ImageSource:
    """Return the image of a stamp, decoded or rendered when it is opened."""
    if stamp.kind == PHOTOGRAPHS:
        return replace(make_image_source(stamp.path), name=stamp.key)
    return ImageSource(
        stamp.key,
        hash_parts("svg", str(PIXELS), stamp.path.read_text(encoding="utf-8", errors="replace")),
        partial(draw, stamp.path),
    )


def make_dataset(stamps: list[Stamp], request: Request) -> CaptionedDataset:
    """Convert the stamps to a dataset of captioned images."""
    captions: dict[str, list[tuple[str, str]]] = {}
    for stamp in stamps:
        for code, text in stamp.captions.items():
            captions.setdefault(code, []).append((stamp.key, text))
    return CaptionedDataset(
        name=NAME,
        split=request.split,
        images={stamp.key: make_image(stamp) for stamp in stamps},
        captions=dict(sorted(captions.items())),
    )
