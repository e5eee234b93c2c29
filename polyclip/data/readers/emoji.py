"""The starter corpus: emoji images in several artists' styles, with names in every CLDR locale.

Layout below corpora/emoji: `concepts.tsv`, `captions/<locale>.tsv.gz`, one tar of WebP images a style;
scripts/build_emoji.py makes them.
"""

import io
import tarfile
from dataclasses import replace
from functools import cache, lru_cache, partial
from pathlib import Path

from PIL import Image

from polyclip.core.gzip import FAULTS, read_gzip
from polyclip.core.storage import check_plain, hash_parts, read_plain_text
from polyclip.data.shards.tar import explain_tar_errors
from polyclip.data.splits import SPLITS, assign_split
from polyclip.data.types import ImageSource, Row
from polyclip.errors import DataError, UnknownName

STYLES = ("openmoji", "noto", "fluent", "fluent-flat")
# Left out before a concept is assigned to a split: people, genders, hair, joiners, directions.
PEOPLE = {"1F468", "1F469", "1F9D1", "1F466", "1F467", "1F9D2", "2640", "2642", "26A7"}
HAIR = {"1F9B0", "1F9B1", "1F9B2", "1F9B3"}
LINKS = {"200D", "27A1", "2194", "2195"}
COLUMNS = ["concept", "group", "category"]


def get_group(concept: str) -> str:
    """The group of an emoji sequence: what it shows without people, gender, hair and direction.

    `1F469-200D-1F680` is `1F680`. Sequences made only of those (a man, a family) share the group "people", so that no
    variant is in two splits.
    """
    return "-".join(part for part in concept.split("-") if part not in PEOPLE | HAIR | LINKS) or "people"


def languages(folder: Path) -> list[str]:
    """List the locales that name at least one concept."""
    captions = folder / "captions"
    return list(_locales(captions, captions.stat().st_mtime_ns)) if captions.is_dir() else []


@lru_cache(maxsize=4)
def _locales(captions: Path, changed: int) -> tuple[str, ...]:
    """Locales with a file, listed again when the folder has changed."""
    return tuple(sorted(path.name.removesuffix(".tsv.gz") for path in captions.glob("*.tsv.gz")))


def styles(folder: Path) -> tuple[str, ...]:
    """List the names of the image styles."""
    return STYLES


def read_captions(folder: Path, language: str) -> dict[str, tuple[str, ...]]:
    """Read the captions of a locale by concept: the short name first, then the keywords.

    Args:
        folder: The corpus' folder.
        language: The locale.

    Returns:
        Captions by concept.

    Raises:
        UnknownName: The locale has no captions.
        DataError: The file is not UTF-8, or a line or caption is invalid.

    """
    path = folder / "captions" / f"{language}.tsv.gz"
    if not path.exists():
        raise UnknownName("caption language in corpus 'emoji'", language, languages(folder))
    stamp = path.stat()
    return _parse_captions(path, (stamp.st_mtime_ns, stamp.st_size))


@lru_cache(maxsize=256)
def _parse_captions(path: Path, stamp: tuple[int, int]) -> dict[str, tuple[str, ...]]:
    """Captions of a file, parsed once as long as it stays as it is."""
    try:
        text = read_gzip(path).decode("utf-8")
    except (UnicodeDecodeError, *FAULTS) as error:
        raise DataError(f"{path} is not gzipped UTF-8 text ({error}); restore it from the repository.") from error
    found = {}
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        cells = line.split("\t")
        if len(cells) != 3 or not cells[1].strip():
            raise DataError(
                f"{path}:{number}: expected concept, name and keywords separated by tabs and a name that is not "
                f"empty, found {line[:60]!r}."
            )
        found[cells[0]] = (cells[1], *(word for word in cells[2].split("|") if word))
    return found


@cache
def read_concepts(folder: Path) -> dict[str, dict[str, str]]:
    """Read the table of concepts: concept -> {group, category}.

    Raises:
        DataError: The file is missing or not UTF-8, or a line has other cells.

    """
    path = folder / "concepts.tsv"
    try:
        lines = read_plain_text(path).splitlines()
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}; restore it from the repository.") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error}); restore it from the repository.") from error
    if not lines or lines[0].split("\t") != COLUMNS:
        raise DataError(f"{path}:1: expected the header {', '.join(COLUMNS)}, found {''.join(lines[:1])[:60]!r}.")
    found = {}
    for number, line in enumerate(lines[1:], 2):
        cells = line.split("\t")
        if len(cells) != len(COLUMNS) or not all(cells):
            raise DataError(
                f"{path}:{number}: expected concept, group and category, separated by tabs, found {line[:60]!r}."
            )
        found[cells[0]] = dict(zip(COLUMNS, cells, strict=True))
    return found


def read(folder: Path, language: str, split: str) -> list[Row]:
    """Read the rows of one language and split, in the table's order.

    Args:
        folder: The corpus' folder.
        language: The locale.
        split: "train", "validation" or "test".

    Returns:
        Rows with the captions that people wrote for CLDR.

    Raises:
        UnknownName: There is no such language or split.

    """
    named = read_captions(folder, language)
    return [
        replace(row, language=language, captions=named[row.concept])
        for row in split_concepts(folder, split).values()
        if row.concept in named
    ]


@cache
def split_concepts(folder: Path, split: str) -> dict[str, Row]:
    """List every concept of a split, whether a language names it or not; rows without captions.

    Raises:
        UnknownName: There is no such split.

    """
    if split not in SPLITS:
        raise UnknownName("split in corpus 'emoji'", split, SPLITS)
    return {
        concept: Row(concept=concept, group=facts["group"], category=facts["category"], language="", captions=())
        for concept, facts in read_concepts(folder).items()
        if assign_split(facts["group"]) == split
    }


@cache
def pictures(folder: Path, style: str) -> dict[str, ImageSource]:
    """Map every concept of a style to its image, decoded when it is opened.

    Raises:
        UnknownName: There is no such style.
        DataError: The style's file is missing or damaged.

    """
    if style not in STYLES:
        raise UnknownName("image style in corpus 'emoji'", style, STYLES)
    path = folder / f"{style}.tar"
    with explain_tar_errors(path, str(path)):
        check_plain(path)
        with tarfile.open(path) as shard:
            members = {member.name.removesuffix(".webp"): shard.extractfile(member) for member in shard}
            data = {concept: handle.read() for concept, handle in members.items() if handle is not None}
    return {c: ImageSource(c, hash_parts("webp", raw), partial(decode, raw)) for c, raw in data.items()}


def decode(data: bytes) -> Image.Image:
    """Decode one image of a tar file to RGB."""
    return Image.open(io.BytesIO(data)).convert("RGB")
