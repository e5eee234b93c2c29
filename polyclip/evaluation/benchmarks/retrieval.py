"""Pictures and captions of one's own: `polyclip eval retrieval --data my.jsonl`, or the folder that has a captions.jsonl.

One JSON object a line, as in a corpus: {"image": "dogs/rex.jpg", "captions": {"sw": ["mbwa mweusi"], "en": ["a black dog"]}}, optionally with
"group" (pictures that are redrawn together), "split" and "category". Lines of another split than --split are left out and counted; a line
without one is always scored.
"""

from pathlib import Path
from typing import Any

from polyclip.core.progress import Progress
from polyclip.data.images import picture_of
from polyclip.data.types import ImageSource
from polyclip.errors import DataError
from polyclip.evaluation.benchmarks._files import by_pack, json_lines
from polyclip.evaluation.captioned import Captions, Table
from polyclip.evaluation.captioned import score as score_table
from polyclip.evaluation.retrieval import Report, Request
from polyclip.models.aligner import PolyCLIP

NAME = "retrieval"
KEYS = {"image", "captions", "split", "group", "category"}


def score(aligner: PolyCLIP, request: Request) -> Report:
    """See `_table`."""
    return score_table(aligner, request, read(request))


def read(request: Request) -> Table:
    """Pictures and captions, languages under their pack's code whatever code the file has for them.

    Raises DataError, with file and line, for what is not such a line, and for a picture that is missing, there twice or outside the folder.
    """
    if request.data is None:
        raise DataError(
            "retrieval needs --data FILE.jsonl with one picture and its captions a line; see 'polyclip corpora show retrieval'."
        )
    path = request.data / "captions.jsonl" if request.data.is_dir() else request.data
    captions: Captions = {}
    pictures: dict[str, ImageSource] = {}
    groups: dict[str, str] = {}
    codes: dict[str, str] = {}
    entries, others = of_split(path, request.split)
    with Progress("reading pictures", len(entries)) as progress:
        for where, entry in entries:
            key, file = placed(entry["image"], path.parent, where)
            if key in pictures:
                raise DataError(f"{where}: picture {key} is already on an earlier line; put all its captions on one.")
            pictures[key], groups[key] = picture_of(file), str(entry.get("group", key))
            for code, own in by_pack(entry["captions"], where, codes):
                captions.setdefault(code, []).extend((key, text) for text in own)
            progress.advance(1)
    notes = [f"{others} line(s) of other splits left out"] if others else []
    return Table(name=NAME, split=request.split, pictures=pictures, captions=captions, groups=groups, notes=notes)


def of_split(path: Path, split: str) -> tuple[list[tuple[str, dict[str, Any]]], int]:
    """Checked lines that are of this split or of none, and how many are of others."""
    kept, others = [], 0
    for where, entry in json_lines(path):
        if not {"image", "captions"} <= entry.keys() <= KEYS or not isinstance(entry["captions"], dict):
            raise DataError(
                f"{where}: expected image and captions by language, and at most {', '.join(sorted(KEYS))}; found {str(entry)[:80]}."
            )
        if entry.get("split") in (None, split):
            kept.append((where, entry))
        else:
            others += 1
    if not kept:
        raise DataError(f"{path}: none of its {others} lines is of split {split!r}.")
    return kept, others


def placed(image: object, folder: Path, where: str) -> tuple[str, Path]:
    """A picture's name and file.

    Raises DataError for one that is missing or outside the folder.
    """
    if not isinstance(image, str) or not (folder / image).resolve().is_relative_to(folder.resolve()):
        raise DataError(f"{where}: image is {str(image)[:80]!r}, expected a path inside {folder}.")
    if not (folder / image).is_file():
        raise DataError(f"{where}: picture {folder / image} is missing.")
    return image, folder / image
