"""Embeddings of an index on disk, as tensors."""

from pathlib import Path

import torch
from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyclip.core.storage import write_atomically
from polyclip.core.text import describe_error
from polyclip.errors import DataError
from polyclip.search._format import Manifest


def read_embeddings(folder: Path, manifest: Manifest, kind: str = "vectors") -> Float[Tensor, "row dim"]:
    """Read embeddings, memory-mapped.

    Args:
        folder: The index's own folder.
        manifest: Its manifest.
        kind: `vectors`, of images, or `caption_vectors`.

    Returns:
        Embeddings [row, dim], float32, of length 1.

    Raises:
        DataError: The file is damaged, or its shape is not that of the manifest.

    """
    path = folder / manifest.file_name(kind)
    rows = manifest.rows if kind == "vectors" else manifest.captions
    try:
        embeddings = load_file(path)["vectors"]
    except (SafetensorError, KeyError, OSError) as error:
        raise DataError(f"{path} is damaged ({describe_error(error)}). Remove {folder} and index again.") from error
    if tuple(embeddings.shape) != (rows, manifest.dim) or embeddings.dtype != torch.float32:
        raise DataError(
            f"{path} holds {list(embeddings.shape)} values of {embeddings.dtype}, expected "
            f"{[rows, manifest.dim]}. Remove {folder} and index again."
        )
    return embeddings


def write_embeddings(path: Path, embeddings: Float[Tensor, "row dim"]) -> None:
    """Write the embeddings atomically."""
    with write_atomically(path, what="the index") as temporary:
        save_file({"vectors": embeddings.contiguous()}, temporary)
