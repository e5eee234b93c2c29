"""The projection head that every method trains: one linear layer from a tower's pooled vector to the shared space."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyclip.losses import unit


class Head(nn.Module):
    """Standardise each dimension, drop some, project, normalise.

    The means and deviations are those of the training features, measured once before the first step: they are constants, kept
    with the weights. They fold into the linear layer, so the head is still one linear map with an offset.
    """

    mean: Tensor
    deviation: Tensor

    def __init__(self, width: int, dim: int, dropout: float) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("deviation", torch.ones(width))
        self.dropout = nn.Dropout(dropout)
        self.linear = nn.Linear(width, dim, bias=False)
        nn.init.normal_(self.linear.weight, std=width**-0.5)

    def measure(self, features: Float[Tensor, "row width"]) -> None:
        """Take mean and deviation from training features; a dimension that never moves keeps deviation 1."""
        self.mean.copy_(features.mean(0))
        deviation = features.std(0)
        floor = 1e-3 * deviation.mean()
        self.deviation.copy_(torch.where(deviation > floor, deviation, torch.ones_like(deviation)))

    def forward(self, features: Float[Tensor, "row width"]) -> Float[Tensor, "row dim"]:
        """Unit vectors in the shared space."""
        return unit(self.linear(self.dropout((features - self.mean) / self.deviation)))
