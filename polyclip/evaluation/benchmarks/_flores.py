"""The two sets of visheratin/nllb-clip: one file a Flores-200 language, translated by NLLB-3.3B, beside a list of pictures."""

import re
from dataclasses import replace
from pathlib import Path

from polyclip.errors import DataError, PolyclipError
from polyclip.evaluation.benchmarks._files import packs_by
from polyclip.evaluation.benchmarks._lines import table, wanted
from polyclip.evaluation.captioned import Table, folder_of
from polyclip.evaluation.facts import facts
from polyclip.evaluation.retrieval import Request
from polyclip.languages.resolve import resolve_language

CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
SILVER = "silver: captions in every language but English are machine translations by NLLB-3.3B, of the family NLLB-CLIP was trained with"


def read(name: str, request: Request, listed: str, beside: tuple[str, ...] = ()) -> Table:
    """Pictures and captions; languages without a pack keep their Flores code. `listed` is the list of pictures, `beside` lies there too.

    Raises DataError for files that are not the official ones, unless `request.partial` accepts a part.
    """
    folder = folder_of(request, name)
    inside = folder / "data" / name
    home = inside if inside.is_dir() else folder
    files = caption_files(home, {listed, *beside})
    expected = facts(name).splits[request.split].files
    lacking = [f"{len(files)} of {expected} languages"] if len(files) != expected and not request.languages else []
    if lacking and not request.partial:
        raise DataError(
            f"{home} has captions in {len(files)} languages, the official folder in {expected}; name some with --lang, or give --partial."
        )
    found = table(name, request, home / listed, wanted(request, {code: [path] for code, path in files.items()}))
    return replace(found, missing=found.missing + lacking, notes=[SILVER])


def caption_files(folder: Path, others: set[str]) -> dict[str, Path]:
    """Caption files by pack, or by Flores code where there is no pack.

    Raises DataError for a file that has no Flores code for a name.
    """
    codes = packs_by("flores")
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.txt")):
        if path.name in others:
            continue
        if not CODE.fullmatch(path.stem):
            raise DataError(
                f"{path}: {path.stem!r} is no code of Flores-200{meant(path.stem)}; expected files such as swh_Latn.txt."
            )
        found[codes.get(path.stem, path.stem)] = path
    return found


def meant(code: str) -> str:
    """The Flores code of what `code` stands for, where it has one."""
    try:
        flores = resolve_language(code).codes.flores
    except PolyclipError:
        return ""
    return f", which calls it {flores}" if flores else ""
