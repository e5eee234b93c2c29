"""A `TextEncoder` without padding, for encoding: its state is {"hidden": [token, width], "lengths": [caption]} (`polyclip.trunk.packed`)."""

from collections.abc import Iterator, Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyclip.trunk import State, above
from polyclip.trunk.packed import PackedBert


class PackedEncoder:
    """The same function as `encoder`, whose layers are all `polyclip.trunk.packed.plain`, up to the rounding of float32."""

    def __init__(self, encoder: Any) -> None:
        self.encoder, self.dim, self.pooling, self.budget = encoder, encoder.dim, encoder.pooling, encoder.budget
        self.trunk = PackedBert(encoder.trunk)

    def parameters(self) -> Iterator[nn.Parameter]:
        """Those of the encoder, which is where they are."""
        return self.encoder.parameters()

    def costs(self, items: Sequence[str]) -> list[int]:
        """Tokens of each caption."""
        return self.encoder.costs(items)

    def prepare(self, items: Sequence[str]) -> State:
        """Token ids and mask, each of shape [caption, longest caption]."""
        return self.encoder.prepare(items)

    def start(self, inputs: State) -> State:
        """Token ids as they are."""
        return inputs

    def __call__(self, **inputs: Tensor) -> Float[Tensor, "caption dim"]:
        """Pooled vectors, not normalised."""
        return self.finish(inputs, 0)

    def finish(self, state: State, position: int) -> Float[Tensor, "caption dim"]:
        """Pooled vectors from the state at `position` of the trunk."""
        captions = self.split(above(self.trunk, state, position))
        return torch.stack([row["hidden"][0] if self.pooling == "cls" else row["hidden"].mean(0) for row in captions])

    def weigh(self, row: State) -> int:
        """Tokens of a caption's state."""
        return len(row["hidden"])

    def split(self, state: State) -> list[State]:
        """One state a caption."""
        return [{"hidden": rows} for rows in state["hidden"].split(state["lengths"].tolist())]

    def join(self, rows: Sequence[State]) -> State:
        """The states of several captions."""
        hidden = [row["hidden"] for row in rows]
        return {"hidden": torch.cat(hidden), "lengths": torch.tensor([len(own) for own in hidden])}
