"""A text encoder without padding, for encoding on a CPU.

Its state is {"hidden": [token, width], "lengths": [caption]} (`polyclip.models.trunk.packed_bert`).
"""

from collections.abc import Callable, Iterator, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.encode_precision import FP32
from polyclip.models.trunk import State, run_above
from polyclip.models.trunk.packed_bert import PackedBert

BUDGET = 768  # tokens a batch, padding included: what one core keeps in its cache


class PackedEncoder:
    """The same function as `TextEncoder` up to rounding; `prepare` gives ids and mask, each [caption, longest]."""

    budget = BUDGET

    def __init__(
        self,
        prepare: Callable[[Sequence[str]], State],
        trunk: PackedBert,
        dim: int,
        pooling: str,
        precision: str = FP32,
    ) -> None:
        self.prepare, self.trunk, self.dim, self.pooling = prepare, trunk, dim, pooling
        self.precision = precision  # of the trunk's matrix products

    def costs(self, items: Sequence[str]) -> list[int]:
        """Tokens of each caption."""
        return self.prepare(items)["attention_mask"].sum(1).tolist() if items else []

    def parameters(self) -> Iterator[Tensor]:
        """Weights in use, as a module's: they tell the device."""
        return (tensor for layer in self.trunk.layers for tensor in layer.state.values())

    def in_precision(self, precision: str) -> "PackedEncoder":
        """The same encoder with its matrix products in a format; itself where they are in it."""
        if precision == self.precision:
            return self
        return PackedEncoder(self.prepare, self.trunk.in_precision(precision), self.dim, self.pooling, precision)

    def start(self, inputs: State) -> State:
        """Token ids as they are."""
        return inputs

    def __call__(self, **inputs: Tensor) -> Float[Tensor, "caption dim"]:
        """Pooled vectors, not normalised."""
        return self.finish(inputs, 0)

    def finish(self, state: State, position: int) -> Float[Tensor, "caption dim"]:
        """Pooled vectors from the state at `position` of the trunk."""
        captions = self.split(run_above(self.trunk, state, position))
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
