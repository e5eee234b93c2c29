"""Several towers read the same picture; their pooled vectors stand side by side."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor, nn

from polyclip.records import Picture
from polyclip.storage import digest
from polyclip.tower import Tower


def describe_joined(towers: Sequence[Tower]) -> Tower:
    """One tower made of several, named `a+b`; its vector has the length of all together."""
    return Tower(
        name="+".join(tower.name for tower in towers),
        identity=digest(*(tower.identity for tower in towers)),
        dim=sum(tower.dim for tower in towers),
        parameters=sum(tower.parameters for tower in towers),
        embeddings=0,
        build=lambda: SideBySide([tower.build() for tower in towers]),
        parts=tuple(towers),
    )


class SideBySide(nn.Module):
    """Frozen towers in eval mode."""

    def __init__(self, towers: Sequence[Any]) -> None:
        super().__init__()
        self.towers = nn.ModuleList(towers)
        self.dim = sum(tower.dim for tower in towers)
        self.budget = min(tower.budget for tower in towers)

    def costs(self, items: Sequence[Picture]) -> list[int]:
        """Every picture costs the same."""
        return [1] * len(items)

    def prepare(self, items: Sequence[Picture]) -> dict[str, Tensor]:
        """Pixels for each tower, by its number; a picture is decoded once."""
        opened = [replace(item, open=partial(same, item.open())) for item in items]
        towers: list[Any] = list(self.towers)
        return {f"pixels{number}": tower.prepare(opened)["pixels"] for number, tower in enumerate(towers)}

    def forward(self, **pixels: Tensor) -> Float[Tensor, "picture dim"]:
        """Pooled vectors, not normalised."""
        return torch.cat([tower(pixels=pixels[f"pixels{number}"]) for number, tower in enumerate(self.towers)], dim=1)

    def folded(self) -> "SideBySide":
        """Each tower in its fastest form."""
        towers: list[Any] = list(self.towers)
        return SideBySide([tower.folded() if hasattr(tower, "folded") else tower for tower in towers])


def same(image: Image.Image) -> Image.Image:
    """A picture that is decoded already."""
    return image
