"""Crossmodal-3600 (Thapliyal et al. 2022, arXiv 2205.12522): 3,600 photographs, 261,375 captions by people, 36 languages.

Layouts below --data, see `_xm3600_files`: the official `captions.jsonl` and `images/`, and four repackagings. 100 photographs are from where each
of the languages is spoken: beside `first-caption` and `all-captions` there are `all-captions/home` and `all-captions/away`.
"""

from pathlib import Path

from polyclip.errors import DataError, UnknownName
from polyclip.evaluation.benchmarks._files import packs_by
from polyclip.evaluation.benchmarks._xm3600_files import CAPTIONS, Found, find
from polyclip.evaluation.captioned import Table, folder_of
from polyclip.evaluation.captioned import score as score_table
from polyclip.evaluation.facts import facts
from polyclip.evaluation.retrieval import Report, Request
from polyclip.models.aligner import PolyCLIP

NAME = "xm3600"
PICTURES = facts(NAME).splits["test"].pictures


def score(aligner: PolyCLIP, request: Request) -> Report:
    """Score the requested languages, or all 36, under every protocol.

    Raises DataError where the files are not the official ones; `request.partial` accepts a subset and every row says so.
    """
    return score_table(aligner, request, read(request))


def read(request: Request) -> Table:
    """Pictures, captions under their pack's code, and the language of each picture's region where the layout has it.

    Raises UnknownName for a language that XM3600 does not have, DataError for bad files, and, unless `request.partial`, for other counts
    than the official ones.
    """
    folder = folder_of(request, NAME)
    packs = packs_by("xm3600")
    for language in request.languages:
        if language.code not in packs.values():
            raise UnknownName("XM3600 language", language.code, packs.values())
    codes = [language.codes.xm3600 for language in request.languages]
    found = find(folder, codes, partial=request.partial)
    missing = lacking(found, codes, folder, partial=request.partial)
    captions = {
        packs[code]: [(key, text) for key, text in own if key in found.pictures]
        for code, own in found.captions.items()
        if own
    }
    return Table(
        name=NAME,
        split="test",
        pictures=found.pictures,
        captions=captions,
        homes={key: packs[home] for key, home in found.homes.items() if home in packs},
        notes=[f"read from {found.layout}"],
        missing=missing,
    )


def lacking(found: Found, codes: list[str], folder: Path, *, partial: bool) -> list[str]:
    """What a part lacks: pictures and captions, and, where no languages were asked for, whole languages.

    Raises DataError for counts other than the official ones unless `partial`.
    """
    missing = [f"{len(found.pictures)} of {PICTURES} pictures"] if len(found.pictures) != PICTURES else []
    if missing and not partial:
        raise DataError(
            f"{folder} has {found.named} pictures, the official file {PICTURES}; give --partial to score what is there."
        )
    absent = []
    for code in codes or CAPTIONS:
        having, expected = len(found.captions.get(code, [])), PICTURES if found.first else CAPTIONS[code]
        if having != expected and not partial:
            raise DataError(
                f"{folder} has {having} captions in {code}, the official file {expected}; give --partial to score what is there."
            )
        missing += (
            [f"{having} of {expected} captions in {code}"]
            if 0 < having != expected and len(found.pictures) == PICTURES
            else []
        )
        absent += [code] if not having and not codes else []
    return missing + ([f"no caption in {', '.join(absent)}"] if absent else [])
