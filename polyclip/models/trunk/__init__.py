"""An encoder as a chain - opening, layers, closing part - that can be cut: below the cut it is computed once, above it
is run.

Position 0 is the output of `prepare`, position p >= 1 the hidden state that enters layer p - 1, and the last position,
one more than there are layers, the state that enters the closing part. A hidden state is a dictionary of tensors with
one row per item.
"""

from collections.abc import Iterator
from typing import Any, Protocol, runtime_checkable

from torch import Tensor, nn

State = dict[str, Tensor]


@runtime_checkable
class Chain(Protocol):
    """What runs: an opening, layers, and a closing part."""

    @property
    def layers(self) -> Any:
        """ModuleList or Sequential of the layers; empty where the family is not known, and then the encoder is never
        cut.
        """
        ...

    def begin(self, inputs: State) -> State:
        """Run the opening: from the output of `prepare` to the state that enters the first layer.

        Args:
            inputs: The output of `prepare`.

        Returns:
            The hidden state.

        """
        ...

    def step(self, number: int, state: State) -> State:
        """Run one layer.

        Args:
            number: Of the layer, from 0.
            state: The hidden state that enters it.

        Returns:
            The hidden state that leaves it.

        """
        ...

    def end(self, state: State) -> State:
        """Run what follows the last layer, before pooling.

        Args:
            state: The hidden state that leaves the last layer.

        Returns:
            The final hidden state; of a vision encoder {"pooled": features}.

        """
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
        """The normalization after the last layer, where there is one."""
        ...


class WholeModel:
    """A model of an unknown family: it runs as a whole and is never cut.

    Args:
        model: The module that holds the parameters.
        run: Maps the output of `prepare` to the final hidden state.

    """

    kind = "whole"
    width = heads = inner = 0
    layers: tuple[nn.Module, ...] = ()
    final_norm = None

    def __init__(self, model: Any, run: Any) -> None:
        self.model, self.run = model, run

    @property
    def opening(self) -> list[nn.Parameter]:
        """All parameters of the model."""
        return list(self.model.parameters())

    def begin(self, inputs: State) -> State:
        """Run the whole model at once."""
        return self.run(inputs)

    def step(self, number: int, state: State) -> State:
        """Raise IndexError: there are no layers."""
        raise IndexError(number)

    def end(self, state: State) -> State:
        """No-op: nothing follows the model."""
        return state


def run_below(trunk: Chain, inputs: State, position: int) -> State:
    """Run a trunk up to a position.

    Args:
        trunk: What runs.
        inputs: The output of `prepare`.
        position: Where to stop.

    Returns:
        The hidden state at `position`.

    """
    if position == 0:
        return inputs
    state = trunk.begin(inputs)
    for number in range(position - 1):
        state = trunk.step(number, state)
    return state


def run_above(trunk: Chain, state: State, position: int) -> State:
    """Run a trunk from a position to its end.

    Args:
        trunk: What runs.
        state: The hidden state at `position`.
        position: Where it was taken.

    Returns:
        The output of the closing part.

    """
    if position == 0:
        state, position = trunk.begin(state), 1
    for number in range(position - 1, len(trunk.layers)):
        state = trunk.step(number, state)
    return trunk.end(state)


def find_first_trained(trunk: Trunk) -> int:
    """Find the last position below which nothing is trained."""
    return next(
        (position for position, own in list_stages(trunk) if any(p.requires_grad for p in own)), len(trunk.layers) + 1
    )


def list_stages(trunk: Trunk) -> Iterator[tuple[int, list[nn.Parameter]]]:
    """Yield position and parameters of the opening and of each layer."""
    yield 0, trunk.opening
    for number, layer in enumerate(trunk.layers):
        yield number + 1, list(layer.parameters())
