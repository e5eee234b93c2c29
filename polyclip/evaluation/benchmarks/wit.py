"""WIT (Srinivasan et al. 2021, arXiv 2103.01913): pictures of Wikipedia and their captions, as IGLUE (arXiv 2201.11732) made a test of it.

Layouts below --data: the hub's parquet copy of IGLUE's test, one split a language (`image_id`, `image`, `captions`), every language searching
its own pictures; or the official `wit_v1.<split>.all-*.tsv.gz`, which hold links and no pictures: `images.tsv` beside them says, one a line,
image_url, tab, picture file, of what you could download. Links die, so that such a score is always PARTIAL.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from polyclip.data.images import picture_of
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, PolyclipError
from polyclip.evaluation.benchmarks import _parquet
from polyclip.evaluation.benchmarks._files import lines, texts
from polyclip.evaluation.benchmarks._lines import complete, wanted
from polyclip.evaluation.captioned import Captions, Table, folder_of
from polyclip.evaluation.captioned import score as score_table
from polyclip.evaluation.facts import facts
from polyclip.evaluation.retrieval import Report, Request
from polyclip.languages.resolve import resolve_language
from polyclip.models.aligner import PolyCLIP

NAME = "wit"
COLUMNS = (
    "language", "page_url", "image_url", "page_title", "section_title", "hierarchical_section_title", "caption_reference_description",
    "caption_attribution_description", "caption_alt_text_description", "mime_type", "original_height", "original_width", "is_main_image",
    "attribution_passes_lang_id", "page_changed_recently", "context_page_description", "context_section_description",
)  # fmt: skip
CAPTION = "caption_reference_description"  # what stands below the picture in its article
LONGEST = 16_000_000  # characters of one field


def score(aligner: PolyCLIP, request: Request) -> Report:
    """See `_table`."""
    return score_table(aligner, request, read(request))


def read(request: Request) -> Table:
    """Pictures and captions.

    Raises DataError for files that are not the official ones, unless `request.partial` accepts a part.
    """
    folder = folder_of(request, NAME)
    tables = sorted(folder.glob(f"wit_v1.{request.split}.all-*.tsv.gz"))
    return from_tables(folder, tables, request) if tables else from_parquet(folder, request)


def from_parquet(folder: Path, request: Request) -> Table:
    """IGLUE's test from the hub's copy."""
    official = facts(NAME).splits["test"]
    if request.split != "test":
        raise DataError(
            f"{folder} has no wit_v1.{request.split}.all-*.tsv.gz; the parquet copy is of split test alone."
        )
    files = {code: paths for code, paths in _parquet.shards(folder).items() if code in official.captions}
    lacking = complete(NAME, request, files, list(official.captions), folder)
    captions: Captions = {}
    galleries: dict[str, list[str]] = {}
    pictures: dict[str, ImageSource] = {}
    for code, paths in wanted(request, files).items():
        own, captions[code] = one_language(code, paths)
        galleries[code] = list(own)
        pictures |= own
        found = {
            "pictures": (len(own), official.galleries[code]),
            "captions": (len(captions[code]), official.captions[code]),
        }
        for what, (having, expected) in found.items():
            if having != expected and not request.partial:
                raise DataError(
                    f"{paths[0]} has {having} {what} in {code}, the official test {expected}; give --partial to score what is there."
                )
            lacking += [f"{having} of {expected} {what} in {code}"] if having != expected else []
    notes = [f"IGLUE's test, read from {_parquet.called(folder)}; every language searches its own pictures"]
    return Table(
        name=NAME, split="test", pictures=pictures, captions=captions, galleries=galleries, missing=lacking, notes=notes
    )


def one_language(code: str, paths: Sequence[Path]) -> tuple[dict[str, ImageSource], list[tuple[str, str]]]:
    """Pictures and captions of one split; a picture's key carries the language, since ids may repeat."""
    pictures: dict[str, ImageSource] = {}
    captions: list[tuple[str, str]] = []
    for path in paths:
        for where, row in _parquet.rows(path, ["image_id", "image", "captions"]):
            key = f"{code}/{row['image_id']}"
            if key in pictures:
                raise DataError(f"{where}: picture {row['image_id']} is there already; every picture has one row.")
            pictures[key] = row["image"]
            captions += [(key, text) for text in texts(row["captions"], where, "captions")]
    return pictures, captions


def from_tables(folder: Path, tables: Sequence[Path], request: Request) -> Table:
    """The official tables, for the pictures that are there."""
    if not request.partial:
        raise DataError(
            f"{folder} has WIT's own tables, which link to pictures that may be gone: no score of them is whole. Give --partial."
        )
    files = downloaded(folder)
    captions: Captions = {}
    links: set[str] = set()
    codes: dict[str, str] = {}
    for language, url, caption in captioned(tables):
        links.add(url)
        if url in files:
            code = codes.setdefault(language, pack_code(language))
            captions.setdefault(code, []).append((url, caption))
    shown = {url for found in captions.values() for url, _ in found}
    galleries = {code: list(dict.fromkeys(url for url, _ in found)) for code, found in captions.items()}
    missing = [f"{len(shown)} of the {len(links)} captioned pictures of {len(tables)} table(s)"]
    pictures = {url: picture_of(files[url]) for url in shown}
    notes = [f"WIT's own tables, {CAPTION}; every language searches the pictures that it has a caption of"]
    return Table(
        name=NAME,
        split=request.split,
        pictures=pictures,
        captions=captions,
        galleries=galleries,
        missing=missing,
        notes=notes,
    )


def downloaded(folder: Path) -> Mapping[str, Path]:
    """Picture files by link, from images.tsv.

    Raises DataError for a line that is not a link and a file of the folder, or a link that stands there twice.
    """
    listed = folder / "images.tsv"
    if not listed.is_file():
        raise DataError(
            f"{listed} is missing; expected one line for each picture you downloaded: its image_url, a tab, its file below {folder}."
        )
    found: dict[str, Path] = {}
    for number, line in enumerate(lines(listed), 1):
        url, tab, name = line.partition("\t")
        path = folder / name
        if not (tab and url and name) or not path.resolve().is_relative_to(folder.resolve()) or not path.is_file():
            raise DataError(
                f"{listed}:{number}: expected an image_url, a tab, and a picture file below {folder}; found {line[:120]!r}."
            )
        if url in found:
            raise DataError(f"{listed}:{number}: {url} is already on an earlier line.")
        found[url] = path
    return found


def captioned(tables: Sequence[Path]) -> Iterator[tuple[str, str, str]]:
    """Language, link and caption of every row that has one.

    Raises DataError for a damaged table or other columns than WIT's.
    """
    csv.field_size_limit(LONGEST)
    for path in tables:
        number = 0
        try:
            with gzip.open(path) as packed, io.TextIOWrapper(packed, encoding="utf-8", newline="") as text:
                for number, row in enumerate(csv.reader(text, delimiter="\t"), 1):
                    if number == 1 and tuple(row) != COLUMNS or len(row) != len(COLUMNS):
                        raise DataError(
                            f"{path}:{number}: expected WIT's {len(COLUMNS)} columns, {COLUMNS[0]} to {COLUMNS[-1]}; found {len(row)}."
                        )
                    if number > 1 and row[COLUMNS.index(CAPTION)]:
                        yield row[0], row[2], row[COLUMNS.index(CAPTION)]
        except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path}: damaged after row {number} ({error}); download it again.") from error


def pack_code(language: str) -> str:
    """The pack's code of one of Wikipedia's, or Wikipedia's own where there is no pack."""
    try:
        return resolve_language(language).code
    except PolyclipError:
        return language
