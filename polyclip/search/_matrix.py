"""Embeddings of an index on disk, as an array that stays there; without torch."""

from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError, safe_open

from polyclip.core.storage import check_plain
from polyclip.core.tensor_files import LENGTH
from polyclip.core.text import describe_error
from polyclip.errors import DataError
from polyclip.search._format import Manifest


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
