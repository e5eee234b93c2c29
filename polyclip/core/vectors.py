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


def at_least_float32(values: Tensor) -> Tensor:
    """The values in the format that sums and lengths need: products under autocast come in bf16 or fp16."""
    return values.to(torch.promote_types(values.dtype, torch.float32))


def fix_signs(columns: Float[Tensor, "row column"]) -> Float[Tensor, "row column"]:
    """Turn each column so that its largest entry is positive: which way an eigenvector points is otherwise left to the
    number of threads.

    Args:
        columns: Eigenvectors or singular vectors.

    Returns:
        The columns, some of them times -1.

    """
    largest = columns.gather(0, columns.abs().argmax(dim=0, keepdim=True))
    return columns * largest.sign().where(largest != 0, 1.0)
