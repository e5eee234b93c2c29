"""Arithmetic on embeddings and features."""

import torch
from jaxtyping import Float
from torch import Tensor


def normalize(features: Float[Tensor, "row dim"]) -> Float[Tensor, "row dim"]:
    """Scale every row to length 1; a zero row stays zero and so never wins a search.

    Args:
        features: Rows of any length.

    Returns:
        Embeddings, rows of length 1 (or 0).

    """
    return torch.nn.functional.normalize(features, dim=1)
