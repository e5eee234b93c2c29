"""Arithmetic of embeddings."""

import torch
from jaxtyping import Float
from torch import Tensor


def unit(vectors: Float[Tensor, "row dim"]) -> Float[Tensor, "row dim"]:
    """Rows of length 1; a zero row stays zero and so never wins a search."""
    return torch.nn.functional.normalize(vectors, dim=1)
