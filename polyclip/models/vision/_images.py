"""What towers that read pictures have in common: bytes in, hidden states in between, one pooled vector out."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyclip.data.images import wanted
from polyclip.data.types import ImageSource
from polyclip.models.preprocessing import Preprocessing
from polyclip.models.trunk import State, Trunk, above


class Pictures(nn.Module):
    """A frozen tower in eval mode. Who builds on it sets `trunk`; its closing part gives {"pooled": ...}."""

    budget = 4  # pictures a batch: larger ones fall out of one core's cache
    grain = 16  # the same in training
    trunk: Trunk

    def __init__(self, preprocessing: Preprocessing, dim: int) -> None:
        super().__init__()
        self.preprocessing, self.dim = preprocessing, dim

    def costs(self, items: Sequence[ImageSource]) -> list[int]:
        """Every picture costs the same."""
        return [1] * len(items)

    def prepare(self, items: Sequence[ImageSource]) -> State:
        """Bytes [picture, size, size, 3]: a quarter of the memory of what the tower computes with."""
        with wanted(self.preprocessing.size):
            opened = [item.open() for item in items]
        return {"bytes": self.preprocessing.bytes_of(opened)}

    def forward(self, **inputs: Tensor) -> Float[Tensor, "picture dim"]:
        """Pooled vectors, not normalised."""
        return self.finish(inputs, 0)

    def start(self, inputs: State) -> State:
        """From bytes to the numbers the tower was trained with."""
        return {"pixels": self.preprocessing.normalised(inputs["bytes"])} if "bytes" in inputs else inputs

    def finish(self, state: State, position: int) -> Float[Tensor, "picture dim"]:
        """Pooled vectors from the state at `position` of the trunk."""
        return above(self.trunk, self.start(state), position)["pooled"]

    def mean(self, state: State) -> Float[Tensor, "picture channel"]:
        """Mean over places or tokens."""
        hidden = state["hidden"]
        return hidden.mean((2, 3)) if hidden.ndim == 4 else hidden.mean(1)

    def weigh(self, row: State) -> int:
        """Every picture costs the same."""
        return 1

    def split(self, state: State) -> list[State]:
        """One state a picture."""
        return [{name: tensor[row] for name, tensor in state.items()} for row in range(len(next(iter(state.values()))))]

    def join(self, rows: Sequence[State]) -> State:
        """The states of several pictures; maps in channels-last memory order."""
        joined = {name: torch.stack([row[name] for row in rows]) for name in rows[0]}
        return {
            name: t.contiguous(memory_format=torch.channels_last) if t.ndim == 4 and name == "hidden" else t
            for name, t in joined.items()
        }
