"""Several towers read the same picture; their pooled vectors stand side by side."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import nn

from polyclip.core.storage import digest
from polyclip.core.vectors import unit
from polyclip.data.types import ImageSource
from polyclip.errors import DataError
from polyclip.models import backbone
from polyclip.models.backbone import BackboneSpec, take
from polyclip.models.trunk import State, Whole
from polyclip.models.vision._images import Pictures
from polyclip.models.vocabulary.classes import Classifier


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """One tower made of those that `argument` joins by "+", as `a+b`; its vector has the length of all together.

    Raises DataError where it joins none.
    """
    take(options, {}, "side-by-side")
    if not argument:
        raise DataError(
            "side-by-side joins vision towers and was given none; write the towers with a + between them: efficientnet-lite0+efficientnet-lite1."
        )
    towers = [backbone.describe("towers", part) for part in argument.split("+")]
    return BackboneSpec(
        name="+".join(tower.name for tower in towers),
        identity=digest(*(tower.identity for tower in towers)),
        dim=sum(tower.dim for tower in towers),
        parameters=sum(tower.parameters for tower in towers),
        embeddings=0,
        build=lambda: SideBySide([tower.build() for tower in towers]),
        parts=tuple(towers),
        classifier=partial(classifier, towers),
    )


def classifier(towers: Sequence[BackboneSpec]) -> Classifier | None:
    """The rows of towers whose classifiers have the same classes side by side, with zeros for towers that have none or others."""
    found = [None if tower.classifier is None else tower.classifier() for tower in towers]
    first = next((one for one in found if one is not None), None)
    if first is None:
        return None
    blank = [torch.zeros(len(first.rows), tower.dim) for tower in towers]
    fits = [
        one is not None and list(one.labels) == list(first.labels) and len(one.rows) == len(first.rows) for one in found
    ]
    rows = [
        unit(one.rows) if fit and one is not None else zeros for one, fit, zeros in zip(found, fits, blank, strict=True)
    ]
    return Classifier(first.labels, torch.cat(rows, dim=1))


class SideBySide(Pictures):
    """Frozen towers in eval mode."""

    def __init__(self, towers: Sequence[Any]) -> None:
        nn.Module.__init__(self)
        self.towers = nn.ModuleList(towers)
        self.dim = sum(tower.dim for tower in towers)
        self.budget = min(tower.budget for tower in towers)
        self.trunk = Whole(self.towers, self.pooled)

    def prepare(self, items: Sequence[ImageSource]) -> State:
        """What each tower takes, with its number; a picture is decoded once."""
        opened = [replace(item, open=partial(same, item.open())) for item in items]
        towers: list[Any] = list(self.towers)
        return {
            f"{number} {name}": tensor
            for number, tower in enumerate(towers)
            for name, tensor in tower.prepare(opened).items()
        }

    def start(self, inputs: State) -> State:
        """Each tower does that itself."""
        return inputs

    def pooled(self, inputs: State) -> State:
        """The towers' vectors, one after the other."""
        towers: list[Any] = list(self.towers)
        own = [
            {name.partition(" ")[2]: t for name, t in inputs.items() if name.startswith(f"{number} ")}
            for number in range(len(towers))
        ]
        return {"pooled": torch.cat([tower(**given) for tower, given in zip(towers, own, strict=True)], dim=1)}

    def folded(self) -> "SideBySide":
        """Each tower in its fastest form."""
        towers: list[Any] = list(self.towers)
        return SideBySide([tower.folded() if hasattr(tower, "folded") else tower for tower in towers])


def same(image: Image.Image) -> Image.Image:
    """A picture that is decoded already."""
    return image
