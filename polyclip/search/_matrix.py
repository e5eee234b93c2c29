"""Embeddings of an index on disk, as an array that stays there; without torch."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from safetensors import SafetensorError, safe_open

from polyclip.core.storage import check_plain
from polyclip.core.tensor_files import LENGTH
from polyclip.core.text import describe_error
from polyclip.errors import DataError
from polyclip.search._format import Manifest

if TYPE_CHECKING:
    from torch import Tensor


def map_embeddings(folder: Path, manifest: Manifest, kind: str = "vectors") -> Any:
    """Map embeddings from disk.

    Args:
        folder: The index's own folder.
        manifest: Its manifest.
        kind: `vectors`, of images, or `caption_vectors`.

    Returns:
        Embeddings [row, dim], float32, of length 1; what is written to them does not reach the file.

    Raises:
        DataError: The file is damaged, or its shape is not that of the manifest.

    """
    path = folder / manifest.file_name(kind)
    expected = [manifest.rows if kind == "vectors" else manifest.captions, manifest.dim]
    try:
        check_plain(path)
        with safe_open(path, "numpy") as handle:
            facts = handle.get_slice("vectors")
            shape, form = list(facts.get_shape()), facts.get_dtype()
        with path.open("rb") as file:
            start = LENGTH + int.from_bytes(file.read(LENGTH), "little")
    except (SafetensorError, KeyError, OSError) as error:
        raise DataError(f"{path} is damaged ({describe_error(error)}). Remove {folder} and index again.") from error
    if shape != expected or form != "F32":
        raise DataError(
            f"{path} holds {shape} values of {form}, expected {expected} of F32. Remove {folder} and index again."
        )
    return np.memmap(path, np.float32, "c", start, tuple(shape)) if all(shape) else np.zeros(shape, np.float32)


def find_torch() -> Any:
    """torch, where it is imported; None where it is not, or where another thread is at it: nothing is a tensor then."""
    module = sys.modules.get("torch")
    return None if module is None or module.__spec__._initializing else module  # type: ignore[union-attr]


def make_array(embeddings: Any) -> Any:
    """Embeddings as an array of float32, of a tensor on any device or of an array; torch can share its memory."""
    torch = find_torch()
    if torch is not None and isinstance(embeddings, torch.Tensor):
        embeddings = embeddings.detach().float().cpu().numpy()
    return np.require(embeddings, np.float32, ["C", "W"])


def make_tensor(matrix: Any) -> "Tensor":
    """A tensor that shares its memory with an array."""
    import torch

    return torch.from_numpy(matrix)


def multiply(rows: Any, others: Any) -> Any:
    """Product of two arrays of float32, in torch where that is loaded.

    numpy's own threads go on waiting, busily, after a product, so that torch's threads wait for a core: a text encoded
    next took three times as long.

    Args:
        rows: [row, dim].
        others: [dim] or [dim, column].

    Returns:
        An array [row] or [row, column].

    """
    torch = find_torch()
    if torch is None:
        return rows @ others
    return (torch.from_numpy(rows) @ torch.from_numpy(others)).numpy()
