"""Captions of an index on disk: which image each is of, its text and its language; without torch."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from polyclip.core.storage import write_atomically
from polyclip.core.text import describe_error
from polyclip.errors import DataError
from polyclip.search._format import Manifest
from polyclip.search.ranking import Scores
from polyclip.search.results import Hit

SCHEMA = pa.schema([("row", pa.int64()), ("text", pa.string()), ("language", pa.string())])


@dataclass(frozen=True, slots=True)
class Caption:
    """A caption of an image; `language` is a code, empty where it is not known."""

    path: str  # from the root, with slashes
    text: str
    language: str


@dataclass(frozen=True, eq=False)
class CaptionTable:
    """Captions as they are kept: the row of each one's image, and the texts."""

    rows: Any  # int64 [caption]
    table: Any

    def get_text(self, place: int) -> str:
        """Return the text of a caption."""
        return str(self.table["text"][place].as_py())

    def measure_share(self, count: int) -> float:
        """Return the share of so many images that have a caption, in [0, 1]."""
        return len(np.unique(self.rows)) / count

    def list_captions(self, paths: Sequence[str]) -> list[Caption]:
        """List all captions, given the path of each row."""
        columns = self.table.to_pydict()
        return [
            Caption(paths[row], text, language)
            for row, text, language in zip(columns["row"], columns["text"], columns["language"], strict=True)
        ]


def make_hit(path: Path, scores: Scores, row: int, captions: CaptionTable | None) -> Hit:
    """An image that was found, with the caption that was nearest, if there are captions."""
    nearest = int(scores.nearest[row])
    text = captions.get_text(nearest) if captions is not None and nearest >= 0 else ""
    return Hit(path, float(scores.total[row]), text, float(scores.from_caption[row]))


def read_captions(folder: Path, manifest: Manifest) -> CaptionTable:
    """Read the captions of an index that has some.

    Args:
        folder: The index's own folder.
        manifest: Its manifest.

    Returns:
        The captions.

    Raises:
        DataError: The table is damaged, or names images that the index does not have.

    """
    path = folder / manifest.file_name("captions")
    try:
        with pq.ParquetFile(path) as file:
            table = file.read(columns=SCHEMA.names)
        if table.schema.remove_metadata() != SCHEMA or any(column.null_count for column in table.columns):
            raise ValueError(f"columns {', '.join(map(str, table.schema))}")
        rows = table["row"].to_numpy()
        if len(rows) != manifest.captions or not ((rows >= 0) & (rows < manifest.rows)).all():
            raise ValueError(f"expected {manifest.captions:,} captions of {manifest.rows:,} images")
        table["text"].validate(full=True)
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DataError(f"{path} is damaged ({describe_error(error)}). Remove {folder} and index again.") from error
    return CaptionTable(np.asarray(rows), table)


def write_captions(path: Path, captions: Sequence[Caption], rows: Sequence[int]) -> None:
    """Write captions atomically, with the row of each one's image."""
    columns = {"row": rows, "text": [one.text for one in captions], "language": [one.language for one in captions]}
    with write_atomically(path, what="the index") as temporary:
        pq.write_table(pa.table(columns, schema=SCHEMA), temporary, compression="zstd")
