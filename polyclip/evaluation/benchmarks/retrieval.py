"""Images and captions of your own: `polyclip eval retrieval --data my.jsonl`, or a folder with a captions.jsonl.

One JSON object per line, as in a corpus: {"image": "dogs/rex.jpg", "captions": {"sw": ["mbwa mweusi"], "en": ["a black
dog"]}}, optionally with "group" (images that are resampled together), "split" and "category". Lines of another split
than --split are left out and counted; a line without a split is always scored.
"""

from pathlib import Path
from typing import Any

from polyclip.core.progress import Progress
from polyclip.core.storage import is_file, is_inside
from polyclip.data.caption_lines import clean_captions
from polyclip.data.images import make_image_source
from polyclip.data.types import ImageSource
from polyclip.errors import DataError
from polyclip.evaluation.benchmarks._files import group_by_pack, read_json_lines
from polyclip.evaluation.captioned import CaptionedDataset, Captions
from polyclip.evaluation.captioned import score as score_table
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.models.aligner import PolyCLIP

NAME = "retrieval"
KEYS = {"image", "captions", "split", "group", "category"}


def score(aligner: PolyCLIP, request: Request) -> BenchmarkReport:
    """Score the requested languages; see `polyclip.evaluation.captioned.score`."""
    return score_table(aligner, request, read(request))


def read(request: Request) -> CaptionedDataset:
    """Read images and captions; languages get the code of their pack.

    Args:
        request: File or folder, and split.

    Returns:
        The images and captions.

    Raises:
        DataError: A line is malformed, or an image is missing, occurs twice or is outside the folder; with file and
            line.

    """
    if request.data is None:
        raise DataError(
            "retrieval requires --data FILE.jsonl with one image and its captions per line; see 'polyclip corpora show "
            "retrieval'."
        )
    path = request.data / "captions.jsonl" if request.data.is_dir() else request.data
    captions: Captions = {}
    images: dict[str, ImageSource] = {}
    groups: dict[str, str] = {}
    codes: dict[str, str] = {}
    entries, others = read_split(path, request.split)
    with Progress("reading images", len(entries)) as progress:
        for where, entry in entries:
            key, file = locate_image(entry["image"], path.parent, where)
            if key in images:
                raise DataError(f"{where}: image {key} is already on an earlier line; put all its captions on one.")
            images[key], groups[key] = make_image_source(file), str(entry.get("group", key))
            for code, own in group_by_pack(clean_captions(entry["captions"], where), where, codes):
                captions.setdefault(code, []).extend((key, text) for text in own)
            progress.advance(1)
    notes = [f"{others} line(s) of other splits left out"] if others else []
    return CaptionedDataset(
        name=NAME, split=request.split, images=images, captions=captions, groups=groups, notes=notes
    )


def read_split(path: Path, split: str) -> tuple[list[tuple[str, dict[str, Any]]], int]:
    """Return the lines of this split or of none, checked, and the number of other lines."""
    kept, others = [], 0
    for where, entry in read_json_lines(path):
        if not {"image", "captions"} <= entry.keys() <= KEYS or not isinstance(entry["captions"], dict):
            raise DataError(
                f"{where}: expected image and captions by language, and at most {', '.join(sorted(KEYS))}; found "
                f"{str(entry)[:80]}."
            )
        if entry.get("split") in (None, split):
            kept.append((where, entry))
        else:
            others += 1
    if not kept:
        raise DataError(f"{path}: none of its {others} lines is of split {split!r}.")
    return kept, others


def locate_image(image: object, folder: Path, where: str) -> tuple[str, Path]:
    """Return the name and file of an image; DataError if it is missing or outside the folder."""
    if not isinstance(image, str) or not is_inside(folder / image, folder):
        raise DataError(f"{where}: image is {str(image)[:80]!r}, expected a path inside {folder}.")
    if not is_file(folder / image):
        raise DataError(f"{where}: image {folder / image} is missing.")
    return image, folder / image
