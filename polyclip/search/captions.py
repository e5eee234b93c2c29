"""Captions that people wrote for the images of an index: in files beside them, in a table, or in a corpus."""

import os
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from polyclip.core.storage import is_file, is_inside
from polyclip.data.builders import read_lines
from polyclip.data.corpus import load_corpus
from polyclip.data.readers.jsonl import find_image_folder, read_entries
from polyclip.data.tables.build import match_table
from polyclip.data.tables.columns import find_columns
from polyclip.data.tables.create import METADATA, OPTION
from polyclip.data.tables.find_files import ImageFolder
from polyclip.data.tables.read import SUFFIXES, read_table
from polyclip.errors import DataError, PolyclipError, UnknownName
from polyclip.languages.normalize import is_visible, match_script
from polyclip.languages.resolve import resolve_language
from polyclip.search._caption_table import Caption
from polyclip.search._format import BESIDE, NONE

LARGEST = 100_000  # bytes of a text file beside an image
SHOWN = 3  # problems of files beside images that are told one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptionSource:
    """Where captions come from.

    Attributes:
        place: `beside` for files beside the images, `none`, a table, or a corpus.
        language: Code of captions that do not name theirs; empty to take a trained language in their script.

    """

    place: str = BESIDE
    language: str = ""


def choose_source(place: str) -> str:
    """Return where captions come from as an index keeps it: paths are absolute.

    Raises:
        DataError: There is no such table or corpus.
        UnknownName: There is no corpus of that name.

    """
    if place in (BESIDE, NONE):
        return place
    path = Path(place)
    if path.exists():
        return str(path.resolve())
    if path.suffix.lower() in SUFFIXES or os.sep in place:
        raise DataError(f"--captions {place}: there is no such file or folder; expected a table or a corpus.")
    return str(load_corpus(place).path)


def find_captions(
    root: Path, paths: Collection[str], source: CaptionSource, trained: Sequence[str], *, follow_links: bool = False
) -> tuple[list[Caption], list[str]]:
    """Find the captions of indexed images.

    Args:
        root: Folder of the images.
        paths: The images, from the root.
        source: Where captions come from.
        trained: Codes of the model's languages.
        follow_links: Whether a text file beside an image may be a link that leads out of the root.

    Returns:
        The captions in the order of the images, each once, and one sentence for each thing that was left out.

    Raises:
        DataError: The table or corpus cannot be read, or names none of the images.
        UnknownName: There is no such corpus.

    """
    if source.place == NONE:
        return [], []
    problems: list[str] = []
    if source.place == BESIDE:
        found = [
            *read_beside(root, paths, problems, follow_links=follow_links),
            *read_metadata(root, source.language, problems),
        ]
    elif Path(source.place).suffix.lower() in SUFFIXES:
        found = read_captions_table(root, Path(source.place), source.language, problems)
    else:
        found = read_corpus(root, source.place)
    order = {path: place for place, path in enumerate(paths)}
    ours = [one for one in found if one.path in order]
    if found and not ours and source.place != BESIDE:
        raise DataError(f"{source.place} has captions, but none of an image that is indexed in {root}.")
    named = (replace(one, language=one.language or source.language or match_script(one.text, trained)) for one in ours)
    return sorted(dict.fromkeys(named), key=lambda one: order[one.path]), problems


def read_beside(root: Path, paths: Iterable[str], problems: list[str], *, follow_links: bool) -> Iterator[Caption]:
    """Read `dog.txt` and `dog.sw.txt` beside `dog.jpg`: a caption in each line."""
    texts = list_texts(root, paths)
    told = 0
    for path in paths:
        place = PurePosixPath(path)
        for name in texts.get(place.parent, {}).get(place.stem, []):
            language = find_language(name, place.stem)
            file = root / place.parent / name
            if language is None:
                continue
            try:
                yield from (Caption(path, line, language) for line in read_text(file, root, follow_links=follow_links))
            except DataError as error:
                told += 1
                problems += [f"captions of {error}"] if told <= SHOWN else []
    if told > SHOWN:
        problems.append(f"captions in {told - SHOWN:,} more files, for reasons like these")


def list_texts(root: Path, paths: Iterable[str]) -> dict[PurePosixPath, dict[str, list[str]]]:
    """Text files by folder and by the name of the image that they may be of; each folder is listed once."""
    found: dict[PurePosixPath, dict[str, list[str]]] = {}
    for folder in dict.fromkeys(PurePosixPath(path).parent for path in paths):
        here = found[folder] = defaultdict(list)
        try:
            names = sorted(path.name for path in (root / folder).iterdir())
        except OSError:
            continue
        for name in names:
            stem, dot, ending = name.rpartition(".")
            if dot and ending.lower() == "txt":
                here[stem].append(name)
                if "." in stem:
                    here[stem.rpartition(".")[0]].append(name)
    return found


def find_language(name: str, stem: str) -> str | None:
    """Code of the language in a text file's name; empty for `dog.txt`, None where `dog.x.txt` names no language."""
    part = name[len(stem) : -len(".txt")].removeprefix(".")
    try:
        return resolve_language(part).code if part else ""
    except PolyclipError:
        return None


def read_text(file: Path, root: Path, *, follow_links: bool) -> list[str]:
    """Read the captions of a text file.

    Raises:
        DataError: It cannot be read, is too large, or a link that leads out of the root.

    """
    try:
        if not follow_links and not is_inside(file, root):
            raise DataError(f"{file}: it is a link that leads out of {root}; --follow-links reads it.")
        if file.stat().st_size > LARGEST:
            raise DataError(
                f"{file}: {file.stat().st_size:,} bytes, a text file beside an image has at most {LARGEST:,}."
            )
        return [line for line in read_lines(file) if is_visible(line)]
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error}).") from error


def read_metadata(root: Path, language: str, problems: list[str]) -> list[Caption]:
    """Read `metadata.csv` or `metadata.jsonl` of an imagefolder; one that is no table of captions is a problem."""
    path = next((root / name for name in METADATA if is_file(root / name)), None)
    if path is None:
        return []
    try:
        return read_captions_table(root, path, language, problems)
    except PolyclipError as error:
        problems.append(f"captions of {error}")
        return []


def read_captions_table(root: Path, path: Path, language: str, problems: list[str]) -> list[Caption]:
    """Read the captions of a table, whose images are looked up below the root; a language is that of the only column.

    Raises:
        DataError: It cannot be read, or its columns cannot be guessed; the message names the command that has options.

    """
    try:
        table = read_table(path)
        draft, _ = match_table(table, replace(find_columns(table, language=language), split=None), root)
    except (DataError, UnknownName) as error:
        if OPTION.search(str(error)) is None:
            raise
        raise DataError(
            f"{error} These are options of 'polyclip corpus new {root} {path} --out ours': make a corpus with it, and "
            "give --captions ours."
        ) from error
    problems += [f"of {path.name}: {one.sentence}" for one in draft.suspicions]
    return [
        Caption(image, text, code)
        for code, own in draft.captions.items()
        for image, texts in own.items()
        for text in texts
    ]


def read_corpus(root: Path, name: str) -> list[Caption]:
    """Read the captions of a corpus in `captions.jsonl`.

    Raises:
        DataError: The corpus is of another kind.

    """
    corpus = load_corpus(name)
    if corpus.pack.reader != "jsonl":
        raise DataError(
            f"--captions {name}: its reader is {corpus.pack.reader!r}; expected a table, or a corpus in captions.jsonl "
            "as 'polyclip corpus new' makes it."
        )
    images, folder, found = find_image_folder(corpus.folder).resolve(), ImageFolder(root), []
    for image, entry in read_entries(corpus.folder).items():
        path = images / image
        own = path.relative_to(root).as_posix() if path.is_relative_to(root) else folder.find(image)
        captions = [(code, text) for code, texts in entry["captions"].items() for text in texts]
        found += [Caption(own, text, code) for code, text in captions] if own else []
    return found
