"""What all vision encoders share: uint8 pixels in, hidden states in between, one feature vector an image out."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyclip.data.images import decode_for_edge
from polyclip.data.types import ImageSource
from polyclip.models.preprocessing import Preprocessing
from polyclip.models.trunk import State, Trunk, run_above


class ImageEncoder(nn.Module):
    """Frozen vision encoder in eval mode.

    A subclass sets `trunk`, whose closing part returns {"pooled": features}.

    Args:
        preprocessing: Size, interpolation, mean and standard deviation.
        dim: Length of the features.

    """

    budget = 4  # images a batch: larger ones fall out of one core's cache
    grain = 16  # the same in training
    trunk: Trunk

    def __init__(self, preprocessing: Preprocessing, dim: int) -> None:
        super().__init__()
        self.preprocessing, self.dim = preprocessing, dim

    def costs(self, items: Sequence[ImageSource]) -> list[int]:
        """Every image costs the same."""
        return [1] * len(items)

    def prepare(self, items: Sequence[ImageSource]) -> State:
        """Decoded pixels as bytes [image, size, size, 3]: a quarter of the memory of float32."""
        with decode_for_edge(self.preprocessing.size):
            return {"bytes": self.preprocessing.to_bytes(item.open() for item in items)}

    def forward(self, **inputs: Tensor) -> Float[Tensor, "image dim"]:
        """Features of images, not normalized."""
        return self.finish(inputs, 0)

    def start(self, inputs: State) -> State:
        """Normalize bytes to the pixel values that the encoder was trained with."""
        return {"pixels": self.preprocessing.normalize(inputs["bytes"])} if "bytes" in inputs else inputs

    def finish(self, state: State, position: int) -> Float[Tensor, "image dim"]:
        """Features from the hidden state at `position` of the trunk."""
        return run_above(self.trunk, self.start(state), position)["pooled"]

    def mean(self, state: State) -> Float[Tensor, "image channel"]:
        """Mean over locations or tokens."""
        hidden = state["hidden"]
        return hidden.mean((2, 3)) if hidden.ndim == 4 else hidden.mean(1)

    def weigh(self, row: State) -> int:
        """Every image costs the same."""
        return 1

    def split(self, state: State) -> list[State]:
        """Split a batch into one state an image."""
        return [{name: tensor[row] for name, tensor in state.items()} for row in range(len(next(iter(state.values()))))]

    def join(self, rows: Sequence[State]) -> State:
        """Batch the states of several images; feature maps in channels-last memory order."""
        joined = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        return {
            name: t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 and name == "hidden" else t
            for name, t in joined.items()
        }
