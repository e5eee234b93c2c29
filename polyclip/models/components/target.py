"""Where a component goes: a built encoder, or some of its layers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from polyclip.errors import DataError
from polyclip.models.modules import find_module

SPAN = re.compile(r"(-?\d*):(-?\d*)")


@dataclass(frozen=True, kw_only=True)
class TargetLayers:
    """A built encoder, which of its layers a method may change, and the method's rank there."""

    encoder: Any  # a built encoder (`polyclip.models.backbone.Backbone`)
    kind: str  # text or vision
    layers: str = ""  # "first:end" as in Python's slices, such as ":4" or "-4:"; empty means the whole encoder
    rank: str = "8"  # of low-rank updates; see components/lora.py

    @property
    def name(self) -> str:
        """Class name of the model, for messages."""
        model = find_module(self.encoder, "model")
        return type(self.encoder if model is None else model).__name__

    def layer_numbers(self) -> range:
        """Numbers of the chosen layers.

        Returns:
            A non-empty range.

        Raises:
            DataError: The encoder's layers are not known, or `layers` is not a slice or selects none of them.

        """
        count = len(self.encoder.trunk.layers)
        found = SPAN.fullmatch(self.layers or ":")
        if count == 0:
            raise DataError(
                f"polyclip does not know the layers of a {self.name}: choose a method for the whole encoder, without "
                f"{self.kind} layers."
            )
        if found is None:
            raise DataError(
                f"{self.kind} layers are {self.layers!r}, expected first:end, such as :4 for the first four or -4: "
                "for the last four."
            )
        first, end = (int(text) if text else None for text in found.groups())
        numbers = range(count)[first:end]
        if not numbers:
            raise DataError(
                f"{self.kind} layers {self.layers!r} hold none of the {count} layers (0 to {count - 1}) of a "
                f"{self.name}."
            )
        return numbers

    def get_chosen_modules(self) -> Sequence[nn.Module]:
        """The chosen layers, or the whole encoder."""
        return [self.encoder.trunk.layers[number] for number in self.layer_numbers()] if self.layers else [self.encoder]

    def get_classifier(self) -> nn.Module:
        """The classifier that the encoder kept beside its features; an empty module without one."""
        return find_module(self.encoder, "classifier") or nn.Module()

    def parameters(self) -> list[nn.Parameter]:
        """Parameters of the chosen modules that affect the features; an ImageNet classifier does not."""
        aside = {id(p) for p in self.get_classifier().parameters()}
        return [p for part in self.get_chosen_modules() for p in part.parameters() if id(p) not in aside]

    def modules(self) -> list[tuple[str, nn.Module]]:
        """Path and module of everything in the chosen modules, without the classifier."""
        aside = {id(m) for m in self.get_classifier().modules()}
        return [
            (path, module)
            for part in self.get_chosen_modules()
            for path, module in part.named_modules()
            if id(module) not in aside
        ]
