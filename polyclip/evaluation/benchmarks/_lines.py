"""Benchmarks whose caption files go line by line with a list of image names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from polyclip.errors import DataError, UnknownName
from polyclip.evaluation.benchmarks._files import collect_images, pair_lines, read_image_names
from polyclip.evaluation.captioned import CaptionedDataset, Captions, get_data_folder
from polyclip.evaluation.facts import load_facts
from polyclip.evaluation.retrieval import Request


def read_table(name: str, request: Request, listed: Path, files: Mapping[str, Sequence[Path]]) -> CaptionedDataset:
    """Read a list of images and the caption files of each language.

    Args:
        name: Name of the benchmark.
        request: Folder and split.
        listed: The list of images.
        files: Caption files by language; line n of each describes image n.

    Returns:
        The images and captions.

    Raises:
        DataError: A file differs from the official one, unless `request.partial` accepts a part.

    """
    folder = get_data_folder(request, name)
    named = read_image_names(listed)
    expected = load_facts(name).splits[request.split].pictures
    if len(named) != expected and not request.partial:
        raise DataError(
            f"{listed} names {len(named)} images, the official file {expected}; give --partial to score what is there."
        )
    captions: Captions = {}
    for code, paths in files.items():
        columns = [pair_lines(path, named, listed) for path in paths]
        captions[code] = [pair for pairs in zip(*columns, strict=True) for pair in pairs]
    images = collect_images(named, folder, load_facts(name).places, partial=request.partial)
    kept = {code: [(key, caption) for key, caption in found if key in images] for code, found in captions.items()}
    missing = [f"{len(images)} of {expected} images"] if len(images) != expected else []
    return CaptionedDataset(name=name, split=request.split, images=images, captions=kept, missing=missing)


def check_complete(
    name: str, request: Request, found: Mapping[str, Sequence[Path]], official: Sequence[str], where: Path
) -> list[str]:
    """Check that all languages of the benchmark are there.

    Args:
        name: Name of the benchmark.
        request: Requested languages; if there are any, nothing is checked.
        found: Caption files by language.
        official: Codes of the benchmark's languages.
        where: Where the files are, for the error message.

    Returns:
        A note on the missing languages; empty where none is missing.

    Raises:
        DataError: A language is missing and `request.partial` is false.

    """
    absent = [code for code in official if code not in found]
    if request.languages or not absent:
        return []
    if not request.partial:
        raise DataError(
            f"{where} has no captions in {', '.join(absent)}; put their files there, name languages with --lang, or "
            "give --partial."
        )
    return [f"no captions in {', '.join(absent)}"]


def select_files(request: Request, found: Mapping[str, Sequence[Path]]) -> dict[str, Sequence[Path]]:
    """Select the files of the requested languages, by default all.

    Args:
        request: Requested languages.
        found: Files by language.

    Returns:
        Files by language.

    Raises:
        UnknownName: A requested language is missing, unless a part is accepted and another one is there.

    """
    asked = [language.code for language in request.languages]
    absent = [code for code in asked if code not in found]
    if absent and (len(absent) == len(asked) or not request.partial):
        raise UnknownName(f"language in {request.data}", absent[0], found)
    return {code: paths for code, paths in found.items() if not asked or code in asked}
