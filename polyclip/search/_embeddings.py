"""Embeddings of an index on disk, as tensors."""

from pathlib import Path

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from polyclip.core.storage import write_atomically
from polyclip.search._format import Manifest
from polyclip.search._matrix import map_embeddings


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
    return torch.from_numpy(map_embeddings(folder, manifest, kind))


def write_embeddings(path: Path, embeddings: Float[Tensor, "row dim"]) -> None:
    """Write the embeddings atomically."""
    with write_atomically(path, what="the index") as temporary:
        save_file({"vectors": embeddings.contiguous()}, temporary)
