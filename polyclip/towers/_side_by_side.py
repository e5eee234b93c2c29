"""Several towers read the same picture; their pooled vectors stand side by side."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
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
    )


class SideBySide(nn.Module):
    """Frozen towers in eval mode."""

    def __init__(self, towers: Sequence[nn.Module]) -> None:
        super().__init__()
        self.towers = nn.ModuleList(towers)
        self.dim = sum(int(tower.dim) for tower in towers)  # type: ignore[arg-type]
        self.budget = min(int(tower.budget) for tower in towers)  # type: ignore[arg-type]

    def costs(self, items: Sequence[Picture]) -> list[int]:
        """Every picture costs the same."""
        return [1] * len(items)

    def prepare(self, items: Sequence[Picture]) -> dict[str, Tensor]:
        """Pixels for each tower, by its number; a picture is decoded once."""
        opened = [Picture(item.name, item.key, lambda image=item.open(): image) for item in items]  # type: ignore[misc]
        return {f"pixels{number}": tower.prepare(opened)["pixels"] for number, tower in enumerate(self.towers)}  # type: ignore[operator]

    def forward(self, **pixels: Tensor) -> Float[Tensor, "picture dim"]:
        """Pooled vectors, not normalised."""
        return torch.cat([tower(pixels=pixels[f"pixels{number}"]) for number, tower in enumerate(self.towers)], dim=1)

    def folded(self) -> "SideBySide":
        """Each tower in its fastest form."""
        return SideBySide([tower.folded() if hasattr(tower, "folded") else tower for tower in self.towers])
