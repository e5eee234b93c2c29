"""The files of the feature cache: which rows each one holds, what it is called, and how it is read and checked.

A file holds a chunk of rows and is named by what made it: the encoder, the format it was run in, and the rows.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file
from torch import Tensor

from polyclip.core.encode_precision import current_encode_precision
from polyclip.core.storage import check_plain, get_cache_folder, hash_parts
from polyclip.data.types import ImageSource
from polyclip.errors import WeightsError
from polyclip.models.backbone import BackboneSpec
from polyclip.models.trunk import State

POOLED = -1  # the position of pooled vectors
CHUNK = 1024  # rows a file: a few seconds of work on a laptop is the most that an interruption loses


def split_sections(items: Sequence[Any], sections: Sequence[int]) -> list[Sequence[Any]]:
    """The runs of `items` whose lengths `sections` gives; all of them in one where it gives none."""
    ends = list(accumulate(sections or [len(items)]))
    return [items[end - length : end] for end, length in zip(ends, sections or [len(items)], strict=True)]


def plan_chunks(items: Sequence[Any]) -> tuple[list[Sequence[Any]], Int[Tensor, " row"]]:
    """Distinct items in chunks, and for each item the row where its vector will stand."""
    place: dict[str, int] = {}
    distinct: list[Any] = []
    for item in items:
        key = item if isinstance(item, str) else item.key
        if key not in place:
            place[key] = len(distinct)
            distinct.append(item)
    order = torch.tensor([place[item if isinstance(item, str) else item.key] for item in items], dtype=torch.long)
    return [distinct[start : start + CHUNK] for start in range(0, len(distinct), CHUNK)], order


def get_key(item: Any) -> str:
    """The key of a caption or an image in the cache."""
    return f"text {item}" if isinstance(item, str) else f"picture {item.key}"


def get_folder(tower: BackboneSpec, position: int) -> Path:
    """Folder of an encoder's cache files, named by the encoder and by the format it is run in."""
    folder = get_cache_folder() / "features" / tower.name_features(current_encode_precision())
    return folder if position == POOLED else folder / str(position)


def name_chunk(chunk: Sequence[str | ImageSource]) -> str:
    """Name of the cache file of a chunk."""
    return f"{hash_parts(*map(get_key, chunk))[:32]}.safetensors"


def count_rows(order: Int[Tensor, " row"]) -> list[int]:
    """The number of rows of each file, from the row of each item in all of them."""
    whole = int(order.max()) + 1
    return [min(CHUNK, whole - start) for start in range(0, whole, CHUNK)]


def find_rows(paths: Sequence[Path], order: Int[Tensor, " row"]) -> list[tuple[Path, int]]:
    """Find the file of each item, and its row there, from the row of each item in all files."""
    return [(paths[row // CHUNK], row % CHUNK) for row in order.tolist()]


def vectors_of(path: Path, tower: BackboneSpec, rows: int) -> Float[Tensor, "row dim"]:
    """Pooled vectors of one chunk, mapped from disk.

    Raises:
        WeightsError: The file is damaged: not `rows` rows of the tower's size, or a value that is not finite.

    """
    vectors = read_file(path).get("vectors")
    shape = None if vectors is None else tuple(vectors.shape)
    if vectors is None or shape != (rows, tower.dim) or vectors.dtype != torch.float32:
        raise WeightsError(
            f"{path} holds vectors of shape {shape}, expected {(rows, tower.dim)} of {tower.name}. Run 'polyclip cache "
            "clear' and try again."
        )
    if not vectors.isfinite().all():
        raise WeightsError(f"{path} holds values that are not finite. Run 'polyclip cache clear' and try again.")
    return vectors


def read_file(path: Path) -> State:
    """Tensors of one file of the cache, mapped from disk."""
    try:
        check_plain(path)
        return load_file(path)
    except Exception as error:  # safetensors raises its own type for a truncated header and for a wrong length
        raise WeightsError(f"{path} is damaged ({error}). Run 'polyclip cache clear' and try again.") from error


@lru_cache(maxsize=512)
def read_mapped(path: Path) -> State:
    """The same, and the file stays mapped."""
    return read_file(path)


def pack_states(rows: Sequence[State]) -> State:
    """Rows of different lengths one after the other, with where each ends."""
    names = list(rows[0])
    ends = {f"{name}.end": torch.tensor(list(accumulate(len(row[name]) for row in rows))) for name in names}
    return {name: torch.cat([row[name] for row in rows]) for name in names} | ends


def unpack_state(path: Path, number: int) -> State:
    """One row of such a file."""
    table = read_mapped(path)
    names = [name for name in table if not name.endswith(".end")]
    start = {name: int(table[f"{name}.end"][number - 1]) if number else 0 for name in names}
    return {name: table[name][start[name] : int(table[f"{name}.end"][number])] for name in names}


def check_states(path: Path, rows: int) -> None:
    """Check that a file holds the hidden states of so many items.

    Raises:
        WeightsError: It has fewer or more, or does not say where each ends.

    """
    table = read_file(path)
    ends = {name.removesuffix(".end"): tensor.tolist() for name, tensor in table.items() if name.endswith(".end")}
    whole = set(ends) == {name for name in table if not name.endswith(".end")} and all(
        len(end) == rows and end == sorted(end) and end[0] >= 0 and end[-1] == len(table[name])
        for name, end in ends.items()
    )
    if not ends or not whole:
        raise WeightsError(f"{path} does not hold {rows} hidden states. Run 'polyclip cache clear' and try again.")
