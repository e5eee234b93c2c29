"""Crossmodal-3600 (Thapliyal et al. 2022, arXiv 2205.12522): 3,600 photographs, 261,375 human captions, 36 languages.

Layouts below --data, see `_xm3600_files`: the official `captions.jsonl` and `images/`, and four repackagings; further
languages, with which communities extend it, are scored too and named. 100 photographs are from where each of the
languages is spoken: beside `first-caption` and `all-captions` there are `all-captions/home` and `all-captions/away`.
"""

from pathlib import Path

from polyclip.errors import DataError, UnknownName
from polyclip.evaluation.benchmarks._files import map_codes_to_packs
from polyclip.evaluation.benchmarks._xm3600_files import CAPTIONS, Xm3600Files, list_further, read_layout
from polyclip.evaluation.captioned import CaptionedDataset, get_data_folder
from polyclip.evaluation.captioned import score as score_table
from polyclip.evaluation.facts import load_facts
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.models.aligner import PolyCLIP

NAME = "xm3600"
IMAGES = load_facts(NAME).splits["test"].pictures


def score(aligner: PolyCLIP, request: Request) -> BenchmarkReport:
    """Score the requested languages, or all 36, under every protocol.

    Args:
        aligner: The model to score.
        request: Folder and languages.

    Returns:
        Scores in both directions, counts and notes.

    Raises:
        DataError: The files differ from the official ones; `request.partial` accepts a part, and every row says so.
        UnknownName: XM3600 does not have a requested language.

    """
    return score_table(aligner, request, read(request))


def read(request: Request) -> CaptionedDataset:
    """Read images, captions by the code of their pack, and the language of each image's region where the layout has it.

    Args:
        request: Folder and languages.

    Returns:
        The images and captions.

    Raises:
        UnknownName: XM3600 does not have a requested language.
        DataError: A file is malformed, or, unless `request.partial`, a count is not the official one.

    """
    folder = get_data_folder(request, NAME)
    packs = map_codes_to_packs("xm3600")
    codes = [language.codes.xm3600 or language.code for language in request.languages]
    found = read_layout(folder, codes, partial=request.partial)
    further = list_further(found.captions)
    packs |= further
    for language in request.languages:
        if language.code not in packs.values():
            raise UnknownName("XM3600 language", language.code, packs.values())
    missing = check_counts(found, [code for code in codes if code in CAPTIONS], folder, partial=request.partial)
    captions = {
        packs[code]: [(key, text) for key, text in own if key in found.images]
        for code, own in found.captions.items()
        if own
    }
    return CaptionedDataset(
        name=NAME,
        split="test",
        images=found.images,
        captions=captions,
        homes={key: packs[home] for key, home in found.homes.items() if home in packs},
        notes=[f"read from {found.layout}", *describe_further(found, further)],
        missing=missing,
    )


def describe_further(found: Xm3600Files, further: dict[str, str]) -> list[str]:
    """Say which languages are not of the official files."""
    own = [f"{pack} ({len(found.captions[code]):,} captions)" for code, pack in further.items() if found.captions[code]]
    return [f"not of the official 36 languages: {', '.join(own)}"] if own else []


def check_counts(found: Xm3600Files, codes: list[str], folder: Path, *, partial: bool) -> list[str]:
    """List what a partial folder lacks: images, captions, and, where none were requested, whole languages.

    Args:
        found: Contents of the files.
        codes: The benchmark's codes of the requested languages.
        folder: Folder of the files, for the error message.
        partial: Accept other counts than the official ones.

    Returns:
        One note for each thing that is missing.

    Raises:
        DataError: A count is not the official one and `partial` is false.

    """
    missing = [f"{len(found.images)} of {IMAGES} images"] if len(found.images) != IMAGES else []
    if missing and not partial:
        raise DataError(
            f"{folder} has {found.named} images, the official file {IMAGES}; give --partial to score what is there."
        )
    absent = []
    for code in codes or CAPTIONS:
        having, expected = len(found.captions.get(code, [])), IMAGES if found.first else CAPTIONS[code]
        if having != expected and not partial:
            raise DataError(
                f"{folder} has {having} captions in {code}, the official file {expected}; give --partial to score "
                "what is there."
            )
        missing += (
            [f"{having} of {expected} captions in {code}"]
            if 0 < having != expected and len(found.images) == IMAGES
            else []
        )
        absent += [code] if not having and not codes else []
    return missing + ([f"no caption in {', '.join(absent)}"] if absent else [])
