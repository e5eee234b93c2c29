"""Multi30k (Elliott et al. 2016, 2017; Barrault et al. 2018): Flickr and COCO pictures with captions in English, German, French and Czech.

Layout below --data: the repository multi30k/dataset as distributed, and the pictures in `images/`. Task 1 has one caption a picture, a
translation of the English one; task 2 five a picture, written independently in English and in German. `--split` names task and set.
"""

from dataclasses import replace
from pathlib import Path

from polyclip.errors import DataError
from polyclip.evaluation.benchmarks._lines import complete, table, wanted
from polyclip.evaluation.captioned import Table, folder_of
from polyclip.evaluation.captioned import score as score_table
from polyclip.evaluation.facts import facts
from polyclip.evaluation.retrieval import Report, Request
from polyclip.models.aligner import PolyCLIP

NAME = "multi30k"
SHORT = {"test": "test_2016_flickr", "validation": "val"}
TASK2 = "task2/"
EACH = 5  # captions of task 2


def score(aligner: PolyCLIP, request: Request) -> Report:
    """See `_table`; `test` is test_2016_flickr, `validation` is val."""
    return score_table(aligner, request, read(request))


def read(request: Request) -> Table:
    """Pictures and captions of one set.

    Raises DataError for files that are not the official ones, unless `request.partial` accepts a part; UnknownName for a set that does not exist.
    """
    request = replace(request, split=SHORT.get(request.split, request.split))
    folder = folder_of(request, NAME)
    home = folder / "data" if (folder / "data").is_dir() else folder
    official = list(facts(NAME).splits[request.split].captions)
    task, _, name = request.split.rpartition("/")
    raw = home / (task or "task1") / "raw"
    lower_cased(raw)
    listed = raw.parent / "image_splits" / (f"{name}_images.txt" if task else f"{name}.txt")
    files = {code: paths for code in official if (paths := files_of(raw, name, code, EACH if task else 0))}
    lacking = complete(NAME, request, files, official, raw)
    found = table(NAME, request, listed, wanted(request, files))
    about = (
        "captions of each language were written independently"
        if task
        else "captions in every language but English are translations by people"
    )
    return replace(found, missing=found.missing + lacking, notes=[about])


def files_of(raw: Path, name: str, code: str, each: int) -> list[Path]:
    """Caption files of one language, packed or not; none where it has none.

    Raises DataError where some of several are missing.
    """
    stems = [f"{name}.{number}.{code}" for number in range(1, each + 1)] or [f"{name}.{code}"]
    found = [path for stem in stems for path in (raw / f"{stem}.gz", raw / stem) if path.is_file()]
    if found and len(found) != len(stems):
        raise DataError(
            f"{raw} has {len(found)} of the {len(stems)} files {name}.1.{code}.gz to {name}.{each}.{code}.gz; keep each once, packed or not."
        )
    return found


def lower_cased(raw: Path) -> None:
    """Raises DataError where only the lower-cased, tokenised copies are there: they are no text for a CLIP."""
    if not raw.is_dir():
        tokenised = (
            " The folder tok/ holds lower-cased tokens, which are no captions." if (raw.parent / "tok").is_dir() else ""
        )
        raise DataError(f"{raw} is missing; give the folder of the repository multi30k/dataset with --data.{tokenised}")
