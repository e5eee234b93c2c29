"""Collect what can be compared of training data or a benchmark: images, file names, captions, concepts."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyclip.core.json import parse_json
from polyclip.core.progress import Progress
from polyclip.core.storage import check_plain, read_plain_text
from polyclip.data.corpus import Corpus, list_corpora, load_corpus
from polyclip.data.corpus_pack import CorpusPack
from polyclip.data.image_files import iterate_files
from polyclip.data.images import SUFFIXES, make_image_source
from polyclip.data.splits import SPLITS
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, PolyclipError, UnknownName
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Language, list_languages, load_language

ALL = "all"  # every split
LISTS = 100_000_000  # bytes of a text file that is read
READ = (".txt", ".jsonl")
Captions = dict[str, list[str]]  # code of the language, empty where it is unknown -> captions


@dataclass(frozen=True, kw_only=True)
class DatasetContents:
    """Training data or a benchmark: one side of a comparison."""

    name: str
    labels: frozenset[str]  # what it may be called in corpora/overlaps/known.toml
    images: Sequence[ImageSource] = ()
    listed: Sequence[str] = ()  # names of image files, at hand or not
    captions: Captions = field(default_factory=dict)
    concepts: frozenset[str] = frozenset()  # of a corpus, with their groups
    home: str = ""  # what concepts are of: the same words mean the same thing only in the same corpus
    notes: Sequence[str] = ()  # what was found but not read


def collect_corpus(corpus: Corpus, split: str, languages: Sequence[Language] = ()) -> DatasetContents:
    """Collect the contents of a split of a corpus, or of all splits.

    Args:
        corpus: The corpus to read.
        split: Name of the split, or `all`.
        languages: Languages of the captions; empty means all of the corpus.

    Returns:
        Images, file names, captions and concepts.

    Raises:
        UnknownName: The split does not exist.
        DataError: The corpus cannot be read.

    """
    splits = list(SPLITS) if split == ALL else [split]
    reader, folder = corpus.reader, corpus.folder
    rows = {concept: row for part in splits for concept, row in reader.split_concepts(folder, part).items()}
    images = [
        drawn[concept]
        for style in reader.styles(folder)
        for drawn in (reader.pictures(folder, style),)
        for concept in rows
        if concept in drawn
    ]
    locales = {language.code: corpus.get_locale(language) for language in languages} or {
        to_pack_code(locale): locale for locale in reader.languages(folder)
    }
    having = set(reader.languages(folder))
    captions = {
        code: [text for part in splits for row in reader.read(folder, locale, part) for text in row.captions]
        for code, locale in locales.items()
        if locale in having
    }
    return DatasetContents(
        name=f"{corpus.name} ({split})",
        labels=frozenset({corpus.name, folder.resolve().name}),
        images=images,
        listed=[image.name for image in images],
        captions=captions,
        concepts=frozenset(rows) | {row.group for row in rows.values()},
        home=str(folder.resolve()),
    )


def to_pack_code(locale: str) -> str:
    """Convert a corpus' locale to the code of its pack, where there is one."""
    return next((code for code in list_languages() if load_language(code).cldr == locale), locale)


def collect_contents(
    text: str, split: str, languages: Sequence[Language], known: Iterable[str], data: Path | None = None
) -> DatasetContents:
    """Collect the contents of what the user named.

    Args:
        text: A corpus, the path of a corpus pack, a folder (with our captions.jsonl, or of any benchmark), or a known
            dataset.
        split: Name of the split, or `all`.
        languages: Languages of the captions; empty means all.
        known: Names of datasets with known overlaps.
        data: Folder of a benchmark that is given by name.

    Returns:
        Images, file names, captions and concepts.

    Raises:
        UnknownName: `text` is none of these; the message names the nearest ones.
        DataError: The data cannot be read.

    """
    if data is None and (text.endswith(".toml") or text in list_corpora() or Path(text).is_file()):
        return collect_corpus(load_corpus(text), split, languages)
    folder = data or Path(text)
    if folder.is_dir():
        return collect_jsonl(folder, split, languages) if is_own_format(folder) else collect_folder(folder, text)
    if data is not None:
        raise DataError(f"{data} is not a folder; give the folder with the files of {text} with --data.")
    names = sorted(known)
    if normalize_name(text) not in {normalize_name(name) for name in names}:
        raise UnknownName("corpus, folder or known set of images", text, [*list_corpora(), *names])
    return DatasetContents(
        name=text,
        labels=frozenset({text}),
        notes=[f"{text}: no files were given, only what is known of it was looked up"],
    )


def normalize_name(name: str) -> str:
    """Remove case, hyphens, underscores and spaces from a name."""
    return re.sub(r"[\W_]", "", name).casefold()


def is_own_format(folder: Path) -> bool:
    """Whether the folder has a captions.jsonl in polyclip's own format."""
    path = folder / "captions.jsonl"
    if not path.is_file():
        return False
    check_plain(path)
    with path.open("rb") as lines:
        return b'"captions"' in lines.readline()


def collect_jsonl(folder: Path, split: str, languages: Sequence[Language]) -> DatasetContents:
    """Collect the contents of a folder with a captions.jsonl but no pack."""
    pack = CorpusPack(name=folder.resolve().name, about="", reader="jsonl", folder=".")
    return collect_corpus(Corpus(pack, folder / "corpus.toml"), split, languages)


def collect_folder(folder: Path, name: str) -> DatasetContents:
    """Collect what can be read of any benchmark's files.

    That is every image below the folder, names in lists, captions in text files and in the JSON Lines of XM3600 and
    IGLUE. Other files are listed in the notes.

    Args:
        folder: The folder.
        name: Name of the benchmark.

    Returns:
        Images, file names and captions.

    Raises:
        DataError: The folder has none of these.

    """
    files = sorted(iterate_files(folder))
    paths = [path for path in files if path.suffix.lower() in SUFFIXES]
    listed, captions, notes = read_texts([path for path in files if path.suffix.lower() in READ])
    unread = sorted(path.name for path in files if path.suffix.lower() not in (*SUFFIXES, *READ))
    if not paths and not listed and not captions:
        raise DataError(
            f"{folder} has neither images nor lists of them nor captions in .txt or .jsonl files; expected a "
            "benchmark's own files."
        )
    images = []
    with Progress(f"reading images of {name}", len(paths)) as progress:
        for path in paths:
            images.append(make_image_source(path))
            progress.advance(1)
    notes += (
        [
            f"{folder}: not read, since of another kind: "
            f"{', '.join(unread[:5])}{f' and {len(unread) - 5} more' if len(unread) > 5 else ''}"
        ]
        if unread
        else []
    )
    root = folder.resolve()
    labels = frozenset({name, root.name, f"{root.parent.name}-{root.name}"})
    return DatasetContents(
        name=name,
        labels=labels,
        images=images,
        listed=[p.name for p in images] + listed,
        captions=captions,
        notes=notes,
    )


def read_texts(paths: Sequence[Path]) -> tuple[list[str], Captions, list[str]]:
    """Read names of images, captions by language, and notes on what could not be read."""
    listed: list[str] = []
    captions: Captions = defaultdict(list)
    notes: list[str] = []
    for path in paths:
        try:
            if path.stat().st_size > LISTS:
                raise DataError(f"{path}: {path.stat().st_size:,} bytes, at most {LISTS:,} are read")
            lines = [line for line in read_plain_text(path, "utf-8-sig").split("\n") if line.strip()]
            found = parse_json_lines(lines) if path.suffix == ".jsonl" else parse_lines(lines, path)
        except (UnicodeDecodeError, json.JSONDecodeError, DataError, KeyError, TypeError) as error:
            notes.append(f"{path}: not read ({type(error).__name__}: {error})")
            continue
        listed += found[0]
        for code, texts in found[1].items():
            captions[code] += texts
    return listed, dict(captions), notes


def parse_lines(lines: Sequence[str], path: Path) -> tuple[list[str], Captions]:
    """Parse a text file.

    Args:
        lines: Lines of the file.
        path: The file; its name may end in a language code.

    Returns:
        Names of images if every line is one (Multi30k adds `#` and a number), else captions by language.

    """
    names = [line.strip().partition("#")[0] for line in lines]
    if all(Path(name).suffix.lower() in SUFFIXES for name in names):
        return names, {}
    return [], {guess_language(path.stem): [line.strip() for line in lines]}


def guess_language(stem: str) -> str:
    """Guess the language from the end of a file name: `test_1kcaptions_de`, `swh_Latn`, `test.fr`.

    Empty if there is none.
    """
    parts = re.split(r"[_.-]", stem)
    for text in (stem, "_".join(parts[-2:]), parts[-1]):
        try:
            return resolve_language(text).code
        except PolyclipError:
            continue
    return ""


def parse_json_lines(lines: Sequence[str]) -> tuple[list[str], Captions]:
    """Parse lines of XM3600 (image/key) or of IGLUE (img_path, sentences); DataError for other lines."""
    listed: list[str] = []
    captions: Captions = defaultdict(list)
    for line in lines:
        entry = parse_json(line)
        reader = next((KINDS[key] for key in KINDS if key in entry), None) if isinstance(entry, dict) else None
        if reader is None:
            raise DataError(f"expected lines with one of {', '.join(KINDS)}, found {line[:40]!r}")
        reader(entry, listed, captions)
    return listed, captions


def parse_xm3600(entry: dict[str, Any], listed: list[str], captions: Captions) -> None:
    """Add one image with its captions in 36 languages."""
    listed.append(f"{entry['image/key']}.jpg")
    for code, found in entry.items():
        if isinstance(found, dict):
            captions[guess_language(code)] += found["caption"]


def parse_iglue(entry: dict[str, Any], listed: list[str], captions: Captions) -> None:
    """Add one image with its captions, whose language the line does not give."""
    listed.append(str(entry["img_path"]))
    captions[""] += entry["sentences"]


KINDS: dict[str, Callable[[dict[str, Any], list[str], Captions], None]] = {
    "image/key": parse_xm3600,
    "img_path": parse_iglue,
}
