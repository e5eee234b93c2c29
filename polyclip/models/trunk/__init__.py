"""A tower's body as a chain - opening, layers, closing - so that it can be cut: what lies below is computed once, what lies above is run.

Position 0 is what `prepare` gives, position p >= 1 the hidden state that enters layer p - 1, and the last position, one more than
there are layers, the state that enters the closing part. A hidden state is a dictionary of tensors with one row per item.
"""

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

State = dict[str, Tensor]


@runtime_checkable
class Chain(Protocol):
    """What runs: an opening, layers, a closing part."""

    @property
    def layers(self) -> Any:
        """ModuleList or Sequential of the layers; empty where the family is not known, and then the tower is never cut."""
        ...

    def begin(self, inputs: State) -> State:
        """From what `prepare` gives to the state that enters the first layer."""
        ...

    def step(self, number: int, state: State) -> State:
        """Through one layer."""
        ...

    def end(self, state: State) -> State:
        """Through what follows the last layer, before pooling."""
        ...


@runtime_checkable
class Trunk(Chain, Protocol):
    """How one family of models runs, and what a method may train in it. `layers` grows when a method appends one."""

    kind: str  # of a layer's input: "tokens" [row, token, width] or "map" [row, channel, height, width]
    width: int  # tokens: their length; map: the channels that leave the last layer
    heads: int  # of attention in one layer; 0 where there is none
    inner: int  # hidden width of a layer's feed-forward part; 0 where there is none
    model: Any

    @property
    def opening(self) -> list[nn.Parameter]:
        """Parameters used before the first layer."""
        ...

    @property
    def final_norm(self) -> nn.Module | None:
        """The normalisation after the last layer, where there is one."""
        ...


class Whole:
    """A model of a family that is not known: it runs as a whole and is never cut."""

    kind = "whole"
    width = heads = inner = 0
    layers: tuple[nn.Module, ...] = ()
    final_norm = None

    def __init__(self, model: Any, run: Any) -> None:
        self.model, self.run = model, run

    @property
    def opening(self) -> list[nn.Parameter]:
        """Everything."""
        return list(self.model.parameters())

    def begin(self, inputs: State) -> State:
        """All of it."""
        return self.run(inputs)

    def step(self, number: int, state: State) -> State:
        """There are no layers."""
        raise IndexError(number)

    def end(self, state: State) -> State:
        """Nothing follows."""
        return state


def below(trunk: Chain, inputs: State, position: int) -> State:
    """The state at `position`, from what `prepare` gives."""
    if position == 0:
        return inputs
    state = trunk.begin(inputs)
    for number in range(position - 1):
        state = trunk.step(number, state)
    return state


def above(trunk: Chain, state: State, position: int) -> State:
    """What the closing part gives, from the state at `position`."""
    if position == 0:
        state, position = trunk.begin(state), 1
    for number in range(position - 1, len(trunk.layers)):
        state = trunk.step(number, state)
    return trunk.end(state)


def first_trained(trunk: Trunk) -> int:
    """The deepest position below which nothing is trained."""
    return next(
        (position for position, own in stages(trunk) if any(p.requires_grad for p in own)), len(trunk.layers) + 1
    )


def stages(trunk: Trunk) -> Iterator[tuple[int, list[nn.Parameter]]]:
    """Position and parameters of the opening and of each layer."""
    yield 0, trunk.opening
    for number, layer in enumerate(trunk.layers):
        yield number + 1, list(layer.parameters())
