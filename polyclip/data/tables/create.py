"""Corpora made of a spreadsheet, an annotation file or a folder: drafted, described, written."""

import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp

import tomli_w

from polyclip.core.progress import console
from polyclip.core.storage import get_cache_folder, hash_parts, write_text
from polyclip.core.toml import read_pack
from polyclip.data.builders import CAPTIONS, describe_corpus, read_beside
from polyclip.data.caption_checks import Suspicion
from polyclip.data.corpus_pack import PACK, CorpusPack
from polyclip.data.tables.build import Draft, draft_table, finish
from polyclip.data.tables.columns import find_columns, find_unread
from polyclip.data.tables.describe import describe_draft
from polyclip.data.tables.read import read_table
from polyclip.errors import DataError, PackError

OPTION = re.compile(r"(?<![\w-])--[a-z]")  # in a message
METADATA = ("metadata.csv", "metadata.jsonl")  # of the imagefolder layout


@dataclass(frozen=True, slots=True, kw_only=True)
class TableOptions:
    """What is known about a table beforehand; everything else is found out.

    Attributes:
        image_column: Column that names the images.
        captions: Columns of captions by language; an empty name is the only column with text.
        split_column: Column that says train, validation or test.
        sheet: Sheet of a workbook.
        encoding: Encoding of a text file.

    """

    image_column: str | None = None
    captions: Mapping[str, str | Sequence[str]] | None = None
    split_column: str | None = None
    sheet: str | None = None
    encoding: str | None = None


def draft_corpus(images: Path, table: Path | None, options: TableOptions) -> Draft:
    """Draft a corpus; nothing is written.

    Args:
        images: Folder of the images.
        table: The table; None for a folder with `metadata.csv` or `metadata.jsonl`, or with `name.txt` beside
            `name.jpg`.
        options: What is known about the table.

    Returns:
        The draft.

    Raises:
        DataError: The table cannot be read, a column cannot be guessed, or nothing fits together.
        UnknownName: There is no such column or sheet, or no pack for a language.

    """
    if not images.is_dir():
        raise DataError(f"{images} is not a folder; expected the folder of the images.")
    here = table or next((images / name for name in METADATA if (images / name).is_file()), None)
    if here is None:
        return draft_folder(images, options)
    read = read_table(here, sheet=options.sheet, encoding=options.encoding)
    columns = find_columns(read, options.image_column, options.captions, options.split_column)
    draft = draft_table(read, columns, images)
    unread = find_unread(read, columns) if options.captions is None else []
    draft.suspicions += [Suspicion("unread-column", sentence) for sentence in unread]
    return draft


def draft_folder(folder: Path, options: TableOptions) -> Draft:
    """Draft a corpus of images with captions in text files beside them."""
    languages = list(options.captions or ())
    if len(languages) > 1:
        raise DataError(f"{folder} has no table; name.txt beside name.jpg is in one language, give one --lang.")
    captions = read_beside(folder, languages[0] if languages else None)
    draft = Draft(source=folder, images=folder, about="captions in text files beside the images", rows=len(captions))
    for image, texts in captions.items():
        for code, own in texts.items():
            if own:
                draft.captions.setdefault(code, {})[image] = list(dict.fromkeys(own))
        if not any(texts.values()):
            draft.unused["without a caption"] += 1
    if not draft.captions:
        raise DataError(f"{folder}: every text file beside an image is empty; expected a caption in each line.")
    finish(draft, {})
    return draft


def write_draft(draft: Draft, out: Path, *, move_together: bool = True) -> Path:
    """Write captions.jsonl and corpus.toml into a folder.

    Args:
        draft: The corpus.
        out: The folder; one that this function wrote before is overwritten.
        move_together: Whether the pack names the images' folder relative to itself.

    Returns:
        Path of corpus.toml.

    Raises:
        DataError: The folder holds something else.

    """
    if not is_own(out):
        raise DataError(
            f"{out} exists and is not a corpus that 'polyclip corpus new' made; name another folder, with --out."
        )
    root = draft.images.resolve()
    images = Path(os.path.relpath(root, out.resolve())).as_posix() if move_together else root.as_posix()
    facts = {"name": out.resolve().name, "about": f"made of {draft.source.name}", "reader": "jsonl", "folder": "."}
    with write_folder(out) as folder:
        write_text(folder / CAPTIONS, draft.format_lines(), what="the corpus")
        write_text(folder / PACK, tomli_w.dumps({**facts, "images": images}), what="the corpus")
    return out / PACK


@contextmanager
def write_folder(out: Path) -> Iterator[Path]:
    """Yield the folder where it exists, else one that takes its name once everything is written."""
    if out.exists():
        yield out
        return
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(mkdtemp(dir=out.parent, prefix=f".{out.name}."))
    except OSError as error:
        raise DataError(f"Cannot write the corpus to {out}: {error.strerror or error}.") from error
    try:
        yield temporary
        temporary.chmod(0o755)
        temporary.replace(out)
    finally:
        if temporary.exists():
            shutil.rmtree(temporary)


def is_own(out: Path) -> bool:
    """Whether a folder is missing, empty, or a corpus that `write_draft` wrote."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return True
    try:
        pack = read_pack(CorpusPack, out / PACK)
    except PackError:
        return False
    return bool(pack.images) or pack.reader == "datasets"


def find_or_make_pack(path: Path) -> Path:
    """The pack of a table or folder that is given in place of a corpus; made in the cache.

    Args:
        path: A table, or a folder.

    Returns:
        Path of the pack.

    Raises:
        DataError: No corpus can be made of it without further options; the message names the command that has them.

    """
    if (path / PACK).is_file():
        return path / PACK
    if (path / CAPTIONS).is_file():
        text = describe_corpus(path.resolve().name, {"reader": "jsonl", "folder": path.resolve().as_posix()})
        pack = get_cache_folder() / "corpora" / f"jsonl-{hash_parts(text)[:16]}.toml"
        write_text(pack, text, what="a corpus pack")
        return pack
    stamp = path.stat()
    try:
        return _made(path.resolve(), (stamp.st_mtime_ns, stamp.st_size))
    except DataError as error:
        if OPTION.search(str(error)) is None:
            raise
        named = path if path.is_dir() else f"PHOTOS {path}"
        advice = f"These are options of 'polyclip corpus new {named}': make a corpus with it."
        raise DataError(f"{error} {advice}") from error


@lru_cache(maxsize=16)
def _made(path: Path, stamp: tuple[int, int]) -> Path:
    table, images = (None, path) if path.is_dir() else (path, path.parent)
    draft = draft_corpus(images, table, TableOptions())
    below = os.path.commonpath([Path(image).parent for image in draft.found])
    if table and below:  # the same names, and so the same splits, as `polyclip corpus new` gives
        draft = draft_corpus(images / below, table, TableOptions())
    for line in describe_draft(draft):
        console.print(line, highlight=False, soft_wrap=True)
    key = hash_parts(path.as_posix(), draft.images.resolve().as_posix(), draft.format_lines())[:16]
    out = get_cache_folder() / "corpora" / key / path.stem
    return out / PACK if (out / PACK).is_file() else write_draft(draft, out, move_together=False)
