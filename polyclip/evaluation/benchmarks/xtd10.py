"""XTD10 (Aggarwal and Kale 2020, arXiv 2012.05107), with the German, French and Japanese captions beside it.

1,000 COCO images, 11 languages. Layout below --data: the repository as distributed (`XTD10/`, `MIC/`, `STAIR/`) or all
its caption files in one folder, and the images in `images/` or in COCO's own `train2014/` and `val2014/`.
`xtd-200-of-1000 (LilT)` is the pool that LilT's script keeps (codezakh/LilT, process_xtd10.py, MIT): the images of
COCO's val2014, in the seven languages that it reads.
"""

from dataclasses import replace
from pathlib import Path

from polyclip.errors import DataError, PolyclipError
from polyclip.evaluation.benchmarks._files import map_codes_to_packs
from polyclip.evaluation.benchmarks._lines import check_complete, read_table, select_files
from polyclip.evaluation.captioned import CaptionedDataset, Pool, get_data_folder
from polyclip.evaluation.captioned import score as score_table
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.languages.resolve import resolve_language
from polyclip.models.aligner import PolyCLIP

NAME = "xtd10"
FOLDERS = ("XTD10", "MIC", "STAIR", ".")
PREFIX = "test_1kcaptions_"
LILT = "xtd-200-of-1000 (LilT)"
LILT_LANGUAGES = frozenset({"es", "it", "ko", "pl", "ru", "tr", "zh"})
LILT_SIZE = 200
LILT_NOTE = (
    "for continuity alone, never beside XTD figures: 200 images are an easier search than 1,000, and 165 of "
    "them were in LilT's COCO training set"
)


def score(aligner: PolyCLIP, request: Request) -> BenchmarkReport:
    """Score the requested languages, and LilT's pool where its 200 images are all there."""
    return score_table(aligner, request, read(request))


def read(request: Request) -> CaptionedDataset:
    """Read images and captions.

    Args:
        request: Folder and languages.

    Returns:
        The images and captions.

    Raises:
        DataError: The files differ from the official ones, unless `request.partial` accepts a part.

    """
    folder = get_data_folder(request, NAME)
    listed = next(
        (
            folder / place / "test_image_names.txt"
            for place in FOLDERS
            if (folder / place / "test_image_names.txt").is_file()
        ),
        None,
    )
    if listed is None:
        raise DataError(
            f"{folder} has no XTD10/test_image_names.txt; give the repository's own folder, see 'polyclip corpora "
            f"show {NAME}'."
        )
    files = {code: [path] for code, path in find_caption_files(folder).items()}
    lacking = check_complete(NAME, request, files, list(map_codes_to_packs("xtd").values()), folder)
    found = read_table(NAME, request, listed, select_files(request, files))
    pool = frozenset(key for key in found.images if key.startswith("COCO_val2014_"))
    pools = {LILT: Pool(pool, LILT_LANGUAGES, LILT_NOTE)} if len(pool) == LILT_SIZE else {}
    return replace(
        found, pools=pools, missing=found.missing + lacking, notes=["800 of the 1,000 images are in COCO's train2014"]
    )


def find_caption_files(folder: Path) -> dict[str, Path]:
    """Find the caption files by pack; DataError for a language code that is not XTD's, which calls Japanese jp."""
    codes = map_codes_to_packs("xtd")
    found: dict[str, Path] = {}
    for path in [path for place in FOLDERS for path in sorted((folder / place).glob(f"{PREFIX}*.txt"))]:
        code = path.stem.removeprefix(PREFIX)
        if code not in codes:
            raise DataError(f"{path}: {code!r} is not a language code of XTD10, {hint_code(code)}")
        found.setdefault(codes[code], path)  # MIC/ has English once more
    return found


def hint_code(code: str) -> str:
    """Return a hint with the code that XTD10 has for what `code` stands for, or all of its codes."""
    try:
        pack = resolve_language(code)
    except PolyclipError:
        return f"which are {', '.join(sorted(map_codes_to_packs('xtd')))}."
    if not pack.codes.xtd:
        return f"which has no {pack.name}; its codes are {', '.join(sorted(map_codes_to_packs('xtd')))}."
    return f"which calls {pack.name} {pack.codes.xtd}: rename the file to {PREFIX}{pack.codes.xtd}.txt."
