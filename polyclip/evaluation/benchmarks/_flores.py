"""The two benchmarks of visheratin/nllb-clip: a list of images and one caption file per Flores-200 language."""

import re
from dataclasses import replace
from pathlib import Path

from polyclip.errors import DataError, PolyclipError
from polyclip.evaluation.benchmarks._files import map_codes_to_packs
from polyclip.evaluation.benchmarks._lines import read_table, select_files
from polyclip.evaluation.captioned import CaptionedDataset, get_data_folder
from polyclip.evaluation.facts import load_facts
from polyclip.evaluation.retrieval import Request
from polyclip.languages.resolve import resolve_language

CODE = re.compile(r"[a-z]{3}_[A-Z][a-z]{3}")
SILVER = (
    "silver: captions in every language but English are machine translations by NLLB-3.3B, of the family "
    "NLLB-CLIP was trained with"
)


def read(name: str, request: Request, listed: str, beside: tuple[str, ...] = ()) -> CaptionedDataset:
    """Read images and captions; languages without a pack keep their Flores code.

    Args:
        name: Name of the benchmark.
        request: Folder, split and languages.
        listed: File name of the list of images.
        beside: File names of other text files in the folder.

    Returns:
        The images and captions.

    Raises:
        DataError: The files differ from the official ones, unless `request.partial` accepts a part.

    """
    folder = get_data_folder(request, name)
    inside = folder / "data" / name
    home = inside if inside.is_dir() else folder
    files = find_caption_files(home, {listed, *beside})
    expected = load_facts(name).splits[request.split].files
    lacking = [f"{len(files)} of {expected} languages"] if len(files) != expected and not request.languages else []
    if lacking and not request.partial:
        raise DataError(
            f"{home} has captions in {len(files)} languages, the official folder in {expected}; name some with "
            "--lang, or give --partial."
        )
    found = read_table(
        name, request, home / listed, select_files(request, {code: [path] for code, path in files.items()})
    )
    return replace(found, missing=found.missing + lacking, notes=[SILVER])


def find_caption_files(folder: Path, others: set[str]) -> dict[str, Path]:
    """Find the caption files by pack, or by Flores code where there is no pack; DataError for another file name."""
    codes = map_codes_to_packs("flores")
    found: dict[str, Path] = {}
    for path in sorted(folder.glob("*.txt")):
        if path.name in others:
            continue
        if not CODE.fullmatch(path.stem):
            raise DataError(
                f"{path}: {path.stem!r} is not a Flores-200 code{hint_code(path.stem)}; expected files such as "
                "swh_Latn.txt."
            )
        found[codes.get(path.stem, path.stem)] = path
    return found


def hint_code(code: str) -> str:
    """Return a hint with the Flores code of what `code` stands for; empty where it has none."""
    try:
        flores = resolve_language(code).codes.flores
    except PolyclipError:
        return ""
    return f", which calls it {flores}" if flores else ""
