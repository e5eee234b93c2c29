"""Cached features of very many rows: encoded in chunks as `feature_cache.encode` does, and left on disk, so that memory
stays flat.

A batch is read from the files row by row instead of memory-mapped: pages of a map that were once touched count as the
process's own until memory is short.
"""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from io import FileIO
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.core.json import parse_json
from polyclip.core.progress import Progress
from polyclip.core.text import describe_error
from polyclip.data.types import ImageSource
from polyclip.errors import WeightsError
from polyclip.models import feature_cache, feature_files
from polyclip.models.backbone import BackboneSpec
from polyclip.models.feature_files import POOLED, get_folder, name_chunk, plan_chunks

OPEN = 128  # files at a time


@dataclass(frozen=True)
class CachedColumn:
    """Features of one encoder in cache files."""

    files: list[Path]
    starts: Int[np.ndarray, " file"]  # number of each one's first item
    place: Int[np.ndarray, " item"]  # row in its file
    offsets: Int[np.ndarray, " file"]  # bytes before each one's features
    dim: int
    handles: "OrderedDict[int, FileIO]" = field(default_factory=OrderedDict)

    def __del__(self) -> None:
        for handle in self.handles.values():
            handle.close()

    def read_into(self, out: Float[np.ndarray, "row dim"], rows: Int[np.ndarray, " row"]) -> None:
        """Read the features of these items into `out`."""
        file = np.searchsorted(self.starts, rows, "right") - 1
        where = self.offsets[file] + self.place[rows].astype(np.int64) * self.dim * 4
        for number in np.lexsort((where, file)).tolist():
            handle = self.open_file(int(file[number]))
            handle.seek(int(where[number]))
            if handle.readinto(out[number].data) != self.dim * 4:
                raise WeightsError(
                    f"{self.files[int(file[number])]} ends too early. Run 'polyclip cache clear' and try again."
                )
        if not np.isfinite(out).all():
            first = int(file[~np.isfinite(out).all(1)][0])
            raise WeightsError(
                f"{self.files[first]} holds features that are not finite. Run 'polyclip cache clear' and try again."
            )

    def open_file(self, number: int) -> FileIO:
        """Open file `number`; if too many are open, the least recently used one is closed."""
        if number not in self.handles:
            if len(self.handles) >= OPEN:
                self.handles.popitem(last=False)[1].close()
            self.handles[number] = FileIO(self.files[number], "rb")
        self.handles.move_to_end(number)
        return self.handles[number]


@dataclass(frozen=True)
class CachedFeatures:
    """Features [row, dim] on disk, indexed like a tensor: by a tensor of rows, or by `[:]`, which reads all of them
    into memory.
    """

    columns: list[CachedColumn]  # of an encoder, or of the encoders that it consists of

    def __len__(self) -> int:
        return len(self.columns[0].place)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of rows and of dimensions."""
        return len(self), sum(column.dim for column in self.columns)

    def __getitem__(self, rows: Tensor | slice) -> Tensor:
        """Read the features of these rows, in their shape."""
        wanted = torch.arange(len(self))[rows] if isinstance(rows, slice) else rows
        flat = wanted.reshape(-1).numpy()
        parts = [np.empty((len(flat), column.dim), np.float32) for column in self.columns]
        for column, out in zip(self.columns, parts, strict=True):
            column.read_into(out, flat)
        found = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        return torch.from_numpy(found).reshape(*wanted.shape, self.shape[1])

    def mean(self, axis: int) -> Float[Tensor, " dim"]:
        """Mean over all rows; `axis` is 0, as for a tensor."""
        return self._moments[0]

    def std(self, axis: int) -> Float[Tensor, " dim"]:
        """Standard deviation over all rows, with n - 1 in the denominator as torch has it; `axis` is 0."""
        return self._moments[1]

    @property
    def _moments(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation, merged chunk by chunk (Chan, Golub and LeVeque 1983)."""
        count, mean, squares = (
            0,
            torch.zeros(self.shape[1], dtype=torch.float64),
            torch.zeros(self.shape[1], dtype=torch.float64),
        )
        for start in range(0, len(self), feature_files.CHUNK):
            part = self[start : start + feature_files.CHUNK].double()
            own, total = part.mean(0), count + len(part)
            squares += ((part - own) ** 2).sum(0) + (own - mean) ** 2 * count * len(part) / total
            mean += (own - mean) * len(part) / total
            count = total
        return mean.float(), (squares / max(1, count - 1)).sqrt().float()


class MissingChunks(Sequence[tuple[Sequence[Any], Path]]):
    """Items and file of each chunk that `feature_cache.compute` is to encode, put together on access."""

    def __init__(self, items: Sequence[Any], spans: list[tuple[int, int, Path]]) -> None:
        self.items, self.spans = items, spans

    def __len__(self) -> int:
        return len(self.spans)

    @overload
    def __getitem__(self, number: int) -> tuple[Sequence[Any], Path]: ...

    @overload
    def __getitem__(self, number: slice) -> "MissingChunks": ...

    def __getitem__(self, number: int | slice) -> "tuple[Sequence[Any], Path] | MissingChunks":
        if isinstance(number, slice):
            return MissingChunks(self.items, self.spans[number])
        start, end, path = self.spans[number]
        return plan_chunks(self.items[start:end])[0][0], path


def open_features(
    tower: BackboneSpec, items: Sequence[str] | Sequence[ImageSource], what: str, sections: Sequence[int]
) -> CachedFeatures:
    """Encode items as `feature_cache.encode` does, but leave the features on disk.

    Args:
        tower: The encoder.
        items: Captions, or image sources; read chunk by chunk.
        what: What is encoded, for the progress bar.
        sections: Lengths of runs of items that belong together, as in `feature_cache.encode`.

    Returns:
        The features, read from disk when indexed.

    Raises:
        WeightsError: A cache file is damaged; that a feature is not finite is found when it is read.
        DataError: An image cannot be read.

    """
    return CachedFeatures([_column(part, items, what, sections) for part in (tower.parts or (tower,))])


def _column(tower: BackboneSpec, items: Sequence[Any], what: str, sections: Sequence[int]) -> CachedColumn:
    spans, place = [], np.empty(len(items), np.int16)
    folder = get_folder(tower, POOLED)
    with Progress(f"looking up {what}", len(items)) as progress:
        for start, end in list_chunks(sections):
            found, order = plan_chunks(items[start:end])
            spans.append((start, end, folder / name_chunk(found[0])))
            place[start:end] = order.numpy()
            progress.advance(end - start)
    missing = list({path: (start, end, path) for start, end, path in spans if not path.exists()}.values())
    if missing:
        feature_cache.compute(tower, MissingChunks(items, missing), what, POOLED)
    files = [path for _, _, path in spans]
    heads = {path: _offset(path, tower) for path in dict.fromkeys(files)}
    return CachedColumn(
        files, np.array([start for start, _, _ in spans]), place, np.array([heads[path] for path in files]), tower.dim
    )


def list_chunks(sections: Sequence[int]) -> Iterator[tuple[int, int]]:
    """Yield the bounds of the chunks; none holds rows of two sections."""
    first = 0
    for length in sections:
        for start in range(first, first + length, feature_files.CHUNK):
            yield start, min(start + feature_files.CHUNK, first + length)
        first += length


def _offset(path: Path, tower: BackboneSpec) -> int:
    """Bytes before the features in a cache file.

    Raises:
        WeightsError: The file is damaged or holds other features.

    """
    try:
        with path.open("rb") as handle:
            length = int.from_bytes(handle.read(8), "little")
            facts = parse_json(handle.read(min(length, 4096)))["vectors"]
        (rows, dim), (start, end) = facts["shape"], facts["data_offsets"]
        whole = (facts["dtype"], start, end, dim) == ("F32", 0, 4 * rows * dim, tower.dim)
        whole = whole and 8 + length + end == path.stat().st_size
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise WeightsError(
            f"{path} is damaged ({describe_error(error)}). Run 'polyclip cache clear' and try again."
        ) from error
    if not whole:
        raise WeightsError(
            f"{path} is damaged, or holds other features than the {tower.dim} values of {tower.name}. Run "
            "'polyclip cache clear'."
        )
    return 8 + length
