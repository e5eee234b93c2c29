"""Benchmarks whose caption files go line by line with a list of picture names."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from polyclip.errors import DataError, UnknownName
from polyclip.evaluation.benchmarks._files import album, aligned, names
from polyclip.evaluation.captioned import Captions, Table, folder_of
from polyclip.evaluation.facts import facts
from polyclip.evaluation.retrieval import Request


def table(name: str, request: Request, listed: Path, files: Mapping[str, Sequence[Path]]) -> Table:
    """Pictures of the list, and captions by language: the nth line of each of its files describes the nth picture.

    Raises DataError for a list or file that is not the official one, unless `request.partial` accepts a part.
    """
    folder = folder_of(request, name)
    named = names(listed)
    expected = facts(name).splits[request.split].pictures
    if len(named) != expected and not request.partial:
        raise DataError(
            f"{listed} names {len(named)} pictures, the official file {expected}; give --partial to score what is there."
        )
    captions: Captions = {}
    for code, paths in files.items():
        columns = [aligned(path, named, listed) for path in paths]
        captions[code] = [pair for pairs in zip(*columns, strict=True) for pair in pairs]
    pictures = album(named, folder, facts(name).places, partial=request.partial)
    kept = {code: [(key, caption) for key, caption in found if key in pictures] for code, found in captions.items()}
    missing = [f"{len(pictures)} of {expected} pictures"] if len(pictures) != expected else []
    return Table(name=name, split=request.split, pictures=pictures, captions=kept, missing=missing)


def complete(
    name: str, request: Request, found: Mapping[str, Sequence[Path]], official: Sequence[str], where: Path
) -> list[str]:
    """What a partial folder lacks of the benchmark's languages, as one note; nothing where single languages were asked for.

    Raises DataError for a folder that lacks one and was not said to be a part.
    """
    absent = [code for code in official if code not in found]
    if request.languages or not absent:
        return []
    if not request.partial:
        raise DataError(
            f"{where} has no captions in {', '.join(absent)}; put their files there, name languages with --lang, or give --partial."
        )
    return [f"no captions in {', '.join(absent)}"]


def wanted(request: Request, found: Mapping[str, Sequence[Path]]) -> dict[str, Sequence[Path]]:
    """Files of the languages that were asked for, all where none was.

    Raises UnknownName for one that has none, unless a part is accepted and another has.
    """
    asked = [language.code for language in request.languages]
    absent = [code for code in asked if code not in found]
    if absent and (len(absent) == len(asked) or not request.partial):
        raise UnknownName(f"language in {request.data}", absent[0], found)
    return {code: paths for code, paths in found.items() if not asked or code in asked}
