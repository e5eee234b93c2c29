"""Multi30k (Elliott et al. 2016, 2017; Barrault et al. 2018): Flickr and COCO images, captions in en, de, fr, cs.

Layout below --data: the repository multi30k/dataset as distributed, and the images in `images/`. Task 1 has one caption
per image, a translation of the English one; task 2 has five per image, written independently in English and in German.
`--split` names task and set.
"""

from dataclasses import replace
from pathlib import Path

from polyclip.errors import DataError
from polyclip.evaluation.benchmarks._lines import check_complete, read_table, select_files
from polyclip.evaluation.captioned import CaptionedDataset, get_data_folder
from polyclip.evaluation.captioned import score as score_table
from polyclip.evaluation.facts import load_facts
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.models.aligner import PolyCLIP

NAME = "multi30k"
SHORT = {"test": "test_2016_flickr", "validation": "val"}
TASK2 = "task2/"
EACH = 5  # captions of task 2


def score(aligner: PolyCLIP, request: Request) -> BenchmarkReport:
    """Score the requested languages; `test` is test_2016_flickr, `validation` is val."""
    return score_table(aligner, request, read(request))


def read(request: Request) -> CaptionedDataset:
    """Read images and captions of one set.

    Args:
        request: Folder, split and languages.

    Returns:
        The images and captions.

    Raises:
        DataError: The files differ from the official ones, unless `request.partial` accepts a part.
        UnknownName: The set does not exist.

    """
    request = replace(request, split=SHORT.get(request.split, request.split))
    folder = get_data_folder(request, NAME)
    home = folder / "data" if (folder / "data").is_dir() else folder
    official = list(load_facts(NAME).splits[request.split].captions)
    task, _, name = request.split.rpartition("/")
    raw = home / (task or "task1") / "raw"
    check_raw_folder(raw)
    listed = raw.parent / "image_splits" / (f"{name}_images.txt" if task else f"{name}.txt")
    files = {code: paths for code in official if (paths := find_files(raw, name, code, EACH if task else 0))}
    lacking = check_complete(NAME, request, files, official, raw)
    found = read_table(NAME, request, listed, select_files(request, files))
    about = (
        "captions of each language were written independently"
        if task
        else "captions in every language but English are human translations"
    )
    return replace(found, missing=found.missing + lacking, notes=[about])


def find_files(raw: Path, name: str, code: str, each: int) -> list[Path]:
    """Find the caption files of one language, compressed or not; DataError where only some are there."""
    stems = [f"{name}.{number}.{code}" for number in range(1, each + 1)] or [f"{name}.{code}"]
    found = [path for stem in stems for path in (raw / f"{stem}.gz", raw / stem) if path.is_file()]
    if found and len(found) != len(stems):
        raise DataError(
            f"{raw} has {len(found)} of the {len(stems)} files {name}.1.{code}.gz to {name}.{each}.{code}.gz; keep "
            "each once, packed or not."
        )
    return found


def check_raw_folder(raw: Path) -> None:
    """Check that the original captions are there, not only lower-cased tokens; DataError otherwise."""
    if not raw.is_dir():
        tokenised = (
            " The folder tok/ holds lower-cased tokens, which are not captions."
            if (raw.parent / "tok").is_dir()
            else ""
        )
        raise DataError(f"{raw} is missing; give the folder of the repository multi30k/dataset with --data.{tokenised}")
