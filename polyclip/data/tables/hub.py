"""Data sets of the `datasets` library as corpora: by their name on the hub, or in a folder."""

import re
from pathlib import Path
from typing import Any

from polyclip.core.storage import check_plain_files, write_text
from polyclip.data.builders import describe_corpus
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.corpus_pack import PACK
from polyclip.data.shards.filesystem import ask_filesystem
from polyclip.data.tables.columns import Columns, find_columns
from polyclip.data.tables.create import TableOptions, is_own
from polyclip.data.tables.table import Table
from polyclip.errors import DataError

HUB_NAME = re.compile(r"[\w.-]+/[\w.-]+")
ROWS = 50  # from which the columns are guessed


def is_dataset(place: Path) -> bool:
    """Whether a place is a data set: a folder that `save_to_disk` wrote, or a name on the hub that is no folder."""
    if place.is_dir():
        return (place / "state.json").is_file() or (place / "dataset_dict.json").is_file()
    return HUB_NAME.fullmatch(place.as_posix()) is not None and not place.parent.is_dir()


def write_dataset(place: Path, options: TableOptions, split: str, out: Path) -> tuple[Corpus, Table, Columns]:
    """Write a pack for a data set; its rows stay where they are.

    Args:
        place: OWNER/NAME on the hub, or a folder.
        options: Columns of images and captions.
        split: Split of the data set.
        out: Folder for corpus.toml.

    Returns:
        The corpus, the first rows, and what their columns are.

    Raises:
        DataError: The hub cannot be reached, there is no such data set, or a column cannot be guessed.

    """
    if not is_own(out):
        raise DataError(f"{out} exists and is not a corpus that 'polyclip corpus new' made; name another, with --out.")
    revision = "" if place.is_dir() else find_revision(place.as_posix())
    table = read_first_rows(place, split, revision)
    columns = find_columns(table, options.image_column, options.captions)
    captions = {code: table.header[places[0]] for code, places in columns.captions.items()}
    shards = {"captions": captions, "image": table.header[columns.image], "split": split}
    where = str(place.resolve()) if place.is_dir() else place.as_posix()
    shards |= {"revision": revision} if revision else {}
    facts = {"reader": "datasets", "files": where, "shards": shards}
    write_text(out / PACK, describe_corpus(out.resolve().name, facts), what="a corpus pack")
    return load_corpus(str(out / PACK)), table, columns


def find_revision(name: str) -> str:
    """The newest commit of a data set on the hub."""
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, OfflineModeIsEnabled

    try:
        return str(HfApi().dataset_info(name).sha)
    except OfflineModeIsEnabled as error:
        raise DataError(
            f"{name} is no folder here, and as a data set on the hub it cannot be asked for: HF_HUB_OFFLINE is set. "
            "Unset it, or give the folder of a copy that save_to_disk wrote."
        ) from error
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise DataError(
            f"{name} is no folder here, and the hub has no such data set or cannot be reached "
            f"({' '.join(str(error).split())[:120]})."
        ) from error


def read_first_rows(place: Path, split: str, revision: str) -> Table:
    """Read the first rows of a data set: its images count as files named by their number."""
    import datasets

    def ask() -> tuple[dict[str, Any], list[dict[str, Any]]]:
        if place.is_dir():
            check_plain_files(place)
            found: Any = datasets.load_from_disk(str(place))
            rows = (found[split] if isinstance(found, datasets.DatasetDict) else found).to_iterable_dataset()
        else:
            rows = datasets.load_dataset(place.as_posix(), split=split, revision=revision, streaming=True)
        features = rows.features or rows._resolve_features().features
        pictures = [name for name, kind in features.items() if isinstance(kind, datasets.Image)]
        for name in pictures:
            rows = rows.cast_column(name, datasets.Image(decode=False))
        return dict.fromkeys(pictures, True) | {"": list(features)}, list(rows.take(ROWS))

    kinds, rows = ask_filesystem(f"data set {place}, split {split}", ask)
    header = tuple(kinds[""])
    cells = [
        tuple(f"{number}.png" if name in kinds else read_cell(row.get(name)) for name in header)
        for number, row in enumerate(rows, 1)
    ]
    if not cells:
        raise DataError(f"data set {place}, split {split}: it has no rows.")
    about = f"data set, split {split}" + (f", revision {revision}" if revision else "")
    return Table(path=place, about=about, header=header, rows=cells, numbers=range(1, len(cells) + 1))


def read_cell(cell: object) -> str:
    """The text of a cell; the first of a list."""
    first = cell[0] if isinstance(cell, list) and cell else cell
    return str(first) if isinstance(first, str | int | float) else ""
