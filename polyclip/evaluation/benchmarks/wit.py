"""WIT (Srinivasan et al.

2021, arXiv 2103.01913): images of Wikipedia and their captions, as a test by IGLUE (2201.11732).

Layouts below --data: the Hub's parquet copy of IGLUE's test, one split per language (`image_id`, `image`, `captions`),
where every language searches its own images; or the official `wit_v1.<split>.all-*.tsv.gz`, which have links but no
images: `images.tsv` beside them lists what you could download, one image_url, tab, image file per line. Links die, so
that such a score is always PARTIAL.
"""

import csv
import gzip
import io
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from polyclip.core.storage import check_plain, is_file, is_inside
from polyclip.data.images import make_image_source
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, PolyclipError
from polyclip.evaluation.benchmarks import _parquet
from polyclip.evaluation.benchmarks._files import check_texts, read_lines
from polyclip.evaluation.benchmarks._lines import check_complete, select_files
from polyclip.evaluation.captioned import CaptionedDataset, Captions, get_data_folder
from polyclip.evaluation.captioned import score as score_table
from polyclip.evaluation.facts import load_facts
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.languages.resolve import resolve_language
from polyclip.models.aligner import PolyCLIP

NAME = "wit"
COLUMNS = (
    "language", "page_url", "image_url", "page_title", "section_title", "hierarchical_section_title",
    "caption_reference_description", "caption_attribution_description", "caption_alt_text_description", "mime_type",
    "original_height", "original_width", "is_main_image", "attribution_passes_lang_id", "page_changed_recently",
    "context_page_description", "context_section_description",
)  # fmt: skip
CAPTION = "caption_reference_description"  # the caption below the image in its article
LONGEST = 16_000_000  # characters of one field


def score(aligner: PolyCLIP, request: Request) -> BenchmarkReport:
    """Score the requested languages; see `polyclip.evaluation.captioned.score`."""
    return score_table(aligner, request, read(request))


def read(request: Request) -> CaptionedDataset:
    """Read images and captions.

    Args:
        request: Folder, split and languages.

    Returns:
        The images and captions.

    Raises:
        DataError: The files differ from the official ones, unless `request.partial` accepts a part.

    """
    folder = get_data_folder(request, NAME)
    tables = sorted(folder.glob(f"wit_v1.{request.split}.all-*.tsv.gz"))
    return read_tables(folder, tables, request) if tables else read_parquet(folder, request)


def read_parquet(folder: Path, request: Request) -> CaptionedDataset:
    """Read IGLUE's test from the Hub's copy."""
    official = load_facts(NAME).splits["test"]
    if request.split != "test":
        raise DataError(
            f"{folder} has no wit_v1.{request.split}.all-*.tsv.gz; the parquet copy is of split test alone."
        )
    files = {code: paths for code, paths in _parquet.find_shards(folder).items() if code in official.captions}
    lacking = check_complete(NAME, request, files, list(official.captions), folder)
    captions: Captions = {}
    galleries: dict[str, list[str]] = {}
    images: dict[str, ImageSource] = {}
    for code, paths in select_files(request, files).items():
        own, captions[code] = read_language(code, paths)
        galleries[code] = list(own)
        images |= own
        found = {
            "images": (len(own), official.galleries[code]),
            "captions": (len(captions[code]), official.captions[code]),
        }
        for what, (having, expected) in found.items():
            if having != expected and not request.partial:
                raise DataError(
                    f"{paths[0]} has {having} {what} in {code}, the official test {expected}; give --partial to score "
                    "what is there."
                )
            lacking += [f"{having} of {expected} {what} in {code}"] if having != expected else []
    notes = [f"IGLUE's test, read from {_parquet.describe_copy(folder)}; every language searches its own images"]
    return CaptionedDataset(
        name=NAME, split="test", images=images, captions=captions, galleries=galleries, missing=lacking, notes=notes
    )


def read_language(code: str, paths: Sequence[Path]) -> tuple[dict[str, ImageSource], list[tuple[str, str]]]:
    """Read one language; image keys include the language, since ids may repeat."""
    images: dict[str, ImageSource] = {}
    captions: list[tuple[str, str]] = []
    for path in paths:
        for where, row in _parquet.read_rows(path, ["image_id", "image", "captions"]):
            key = f"{code}/{row['image_id']}"
            if key in images:
                raise DataError(f"{where}: image {row['image_id']} occurs twice; every image must have one row.")
            images[key] = row["image"]
            captions += [(key, text) for text in check_texts(row["captions"], where, "captions")]
    return images, captions


def read_tables(folder: Path, tables: Sequence[Path], request: Request) -> CaptionedDataset:
    """Read the official tables, for the images that are there."""
    if not request.partial:
        raise DataError(
            f"{folder} has WIT's own tables, which link to images that may be gone, so that a score is always "
            "partial. Give "
            "--partial."
        )
    files = read_downloads(folder)
    captions: Captions = {}
    links: set[str] = set()
    codes: dict[str, str] = {}
    for language, url, caption in read_captions(tables):
        links.add(url)
        if url in files:
            code = codes.setdefault(language, to_pack_code(language))
            captions.setdefault(code, []).append((url, caption))
    shown = {url for found in captions.values() for url, _ in found}
    galleries = {code: list(dict.fromkeys(url for url, _ in found)) for code, found in captions.items()}
    missing = [f"{len(shown)} of the {len(links)} captioned images of {len(tables)} table(s)"]
    images = {url: make_image_source(files[url]) for url in shown}
    notes = [f"WIT's own tables, {CAPTION}; every language searches the images that it has a caption of"]
    return CaptionedDataset(
        name=NAME,
        split=request.split,
        images=images,
        captions=captions,
        galleries=galleries,
        missing=missing,
        notes=notes,
    )


def read_downloads(folder: Path) -> Mapping[str, Path]:
    """Read image files by link from images.tsv.

    Args:
        folder: Folder of the benchmark.

    Returns:
        Image file by link.

    Raises:
        DataError: A line is not a link and a file of the folder, or a link occurs twice.

    """
    listed = folder / "images.tsv"
    if not listed.is_file():
        raise DataError(
            f"{listed} is missing; expected one line for each image you downloaded: its image_url, a tab, its file "
            f"below {folder}."
        )
    found: dict[str, Path] = {}
    for number, line in enumerate(read_lines(listed), 1):
        url, tab, name = line.partition("\t")
        path = folder / name
        if not (tab and url and is_file(path) and is_inside(path, folder)):
            raise DataError(
                f"{listed}:{number}: expected an image_url, a tab, and an image file below {folder}; found "
                f"{line[:120]!r}."
            )
        if url in found:
            raise DataError(f"{listed}:{number}: {url} is already on an earlier line.")
        found[url] = path
    return found


def read_captions(tables: Sequence[Path]) -> Iterator[tuple[str, str, str]]:
    """Yield language, link and caption of every row with a caption; DataError for a damaged table."""
    csv.field_size_limit(LONGEST)
    for path in tables:
        number = 0
        try:
            check_plain(path)
            with gzip.open(path) as packed, io.TextIOWrapper(packed, encoding="utf-8", newline="") as text:
                for number, row in enumerate(csv.reader(text, delimiter="\t"), 1):
                    if number == 1 and tuple(row) != COLUMNS or len(row) != len(COLUMNS):
                        raise DataError(
                            f"{path}:{number}: expected WIT's {len(COLUMNS)} columns, {COLUMNS[0]} to {COLUMNS[-1]}; "
                            f"found {len(row)}."
                        )
                    if number > 1 and row[COLUMNS.index(CAPTION)]:
                        yield row[0], row[2], row[COLUMNS.index(CAPTION)]
        except (OSError, EOFError, zlib.error, csv.Error, UnicodeDecodeError) as error:
            raise DataError(f"{path}: damaged after row {number} ({error}); download it again.") from error


def to_pack_code(language: str) -> str:
    """Convert Wikipedia's language code to that of the pack, where there is one."""
    try:
        return resolve_language(language).code
    except PolyclipError:
        return language
