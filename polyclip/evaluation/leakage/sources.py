"""What training data or a benchmark consists of, as far as it can be compared: images, their files' names, captions, concepts."""

import json
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyclip.core.progress import Progress
from polyclip.data.corpus import Corpus, CorpusPack, list_corpora, load_corpus
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
    """One side of a comparison."""

    name: str
    labels: frozenset[str]  # what it may be called in corpora/overlaps/known.toml
    images: Sequence[ImageSource] = ()
    listed: Sequence[str] = ()  # names of image files, at hand or not
    captions: Captions = field(default_factory=dict)
    concepts: frozenset[str] = frozenset()  # of a corpus, with their groups
    home: str = ""  # what concepts are of: the same words mean the same thing only in the same corpus
    notes: Sequence[str] = ()  # what was found but not read


def collect_corpus(corpus: Corpus, split: str, languages: Sequence[Language] = ()) -> DatasetContents:
    """A split of a corpus, or all of them; captions in `languages`, or in every language it has.

    Raises UnknownName for a split that does not exist, and what the reader raises.
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
    """The pack's code of a corpus' locale, else the locale."""
    return next((code for code in list_languages() if load_language(code).cldr == locale), locale)


def collect_contents(
    text: str, split: str, languages: Sequence[Language], known: Iterable[str], data: Path | None = None
) -> DatasetContents:
    """What a person named: a corpus, the path of a pack, a folder (with captions.jsonl of our kind, or of any benchmark), or a set of `known`.

    `data` is the folder of a benchmark that is given by name. Raises UnknownName with the nearest names, and what the readers raise.
    """
    if data is None and (text.endswith(".toml") or text in list_corpora()):
        return collect_corpus(load_corpus(text), split, languages)
    folder = data or Path(text)
    if folder.is_dir():
        return collect_jsonl(folder, split, languages) if is_own_format(folder) else collect_folder(folder, text)
    if data is not None:
        raise DataError(f"{data} is no folder; --data is where the files of {text} are.")
    names = sorted(known)
    if normalize_name(text) not in {normalize_name(name) for name in names}:
        raise UnknownName("corpus, folder or known set of images", text, [*list_corpora(), *names])
    return DatasetContents(
        name=text,
        labels=frozenset({text}),
        notes=[f"{text}: no files were given, only what is known of it was looked up"],
    )


def normalize_name(name: str) -> str:
    """A name without case, hyphens, underscores and spaces."""
    return re.sub(r"[\W_]", "", name).casefold()


def is_own_format(folder: Path) -> bool:
    """Whether its captions.jsonl is of the kind polyclip trains on."""
    path = folder / "captions.jsonl"
    if not path.is_file():
        return False
    with path.open("rb") as lines:
        return b'"captions"' in lines.readline()


def collect_jsonl(folder: Path, split: str, languages: Sequence[Language]) -> DatasetContents:
    """A folder of one's own, without a pack."""
    pack = CorpusPack(name=folder.resolve().name, about="", reader="jsonl", folder=".")
    return collect_corpus(Corpus(pack, folder / "corpus.toml"), split, languages)


def collect_folder(folder: Path, name: str) -> DatasetContents:
    """Any benchmark's files: every image below the folder, names in lists, captions in text files and in the JSON lines of XM3600 and IGLUE.

    What is of another kind is named in the notes. Raises DataError for a folder with nothing of these.
    """
    files = sorted(
        path for path in folder.rglob("*") if path.is_file() and path.resolve().is_relative_to(folder.resolve())
    )
    paths = [path for path in files if path.suffix.lower() in SUFFIXES]
    listed, captions, notes = read_texts([path for path in files if path.suffix.lower() in READ])
    unread = sorted(path.name for path in files if path.suffix.lower() not in (*SUFFIXES, *READ))
    if not paths and not listed and not captions:
        raise DataError(
            f"{folder} has neither images nor lists of them nor captions in .txt or .jsonl files; expected a benchmark's own files."
        )
    images = []
    with Progress(f"reading images of {name}", len(paths)) as progress:
        for path in paths:
            images.append(make_image_source(path))
            progress.advance(1)
    notes += (
        [
            f"{folder}: not read, since of another kind: {', '.join(unread[:5])}{f' and {len(unread) - 5} more' if len(unread) > 5 else ''}"
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
    """Names of images, captions by language, and what could not be read."""
    listed: list[str] = []
    captions: Captions = defaultdict(list)
    notes: list[str] = []
    for path in paths:
        try:
            if path.stat().st_size > LISTS:
                raise DataError(f"{path}: {path.stat().st_size:,} bytes, at most {LISTS:,} are read")
            lines = [line for line in path.read_text("utf-8-sig").split("\n") if line.strip()]
            found = parse_json_lines(lines) if path.suffix == ".jsonl" else parse_lines(lines, path)
        except (UnicodeDecodeError, json.JSONDecodeError, DataError, KeyError, TypeError) as error:
            notes.append(f"{path}: not read ({type(error).__name__}: {error})")
            continue
        listed += found[0]
        for code, texts in found[1].items():
            captions[code] += texts
    return listed, dict(captions), notes


def parse_lines(lines: Sequence[str], path: Path) -> tuple[list[str], Captions]:
    """A list of image files where every line is one (Multi30k adds `#` and a number), else captions, in the language its name tells."""
    names = [line.strip().partition("#")[0] for line in lines]
    if all(Path(name).suffix.lower() in SUFFIXES for name in names):
        return names, {}
    return [], {guess_language(path.stem): [line.strip() for line in lines]}


def guess_language(stem: str) -> str:
    """`test_1kcaptions_de`, `swh_Latn`, `test.fr`: the code of the language that a file's name ends in, empty where it does not say."""
    parts = re.split(r"[_.-]", stem)
    for text in (stem, "_".join(parts[-2:]), parts[-1]):
        try:
            return resolve_language(text).code
        except PolyclipError:
            continue
    return ""


def parse_json_lines(lines: Sequence[str]) -> tuple[list[str], Captions]:
    """Lines of XM3600 (image/key) or of IGLUE (img_path, sentences).

    Raises DataError for lines of another kind.
    """
    listed: list[str] = []
    captions: Captions = defaultdict(list)
    for line in lines:
        entry = json.loads(line)
        reader = next((KINDS[key] for key in KINDS if key in entry), None) if isinstance(entry, dict) else None
        if reader is None:
            raise DataError(f"expected lines with one of {', '.join(KINDS)}, found {line[:40]!r}")
        reader(entry, listed, captions)
    return listed, captions


def parse_xm3600(entry: dict[str, Any], listed: list[str], captions: Captions) -> None:
    """One image with its captions in 36 languages."""
    listed.append(f"{entry['image/key']}.jpg")
    for code, found in entry.items():
        if isinstance(found, dict):
            captions[guess_language(code)] += found["caption"]


def parse_iglue(entry: dict[str, Any], listed: list[str], captions: Captions) -> None:
    """One image with its captions in the language of the folder, which the line does not say."""
    listed.append(str(entry["img_path"]))
    captions[""] += entry["sentences"]


KINDS: dict[str, Callable[[dict[str, Any], list[str], Captions], None]] = {"image/key": parse_xm3600, "img_path": parse_iglue}
