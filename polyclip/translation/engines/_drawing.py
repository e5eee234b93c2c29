"""Translations drawn from a model so that each depends on the seed, its text and its number alone, not on its batch."""

from collections.abc import Sequence
from random import Random

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.core.storage import digest


class Draw:
    """A logits processor that leaves one token possible in each row: the one its own random number picks from the distribution.

    Inverse transform sampling with greedy search, since a generator shared by a batch would give a text other translations beside other texts.
    """

    def __init__(self, seed: int, texts: Sequence[str], candidates: int, temperature: float) -> None:
        self.temperature = temperature
        self.numbers = [Random(digest(str(seed), text, str(number))) for text in texts for number in range(candidates)]  # noqa: S311 - no secret

    def __call__(
        self, input_ids: Int[Tensor, "row position"], scores: Float[Tensor, "row token"]
    ) -> Float[Tensor, "row token"]:
        """Scores with minus infinity everywhere but at the drawn token."""
        mass = (scores.double() / self.temperature).softmax(1).cumsum(1)
        drawn = (
            torch.tensor([number.random() for number in self.numbers], dtype=mass.dtype, device=mass.device)[:, None]
            * mass[:, -1:]
        )
        token = torch.searchsorted(mass, drawn, right=True).clamp(max=scores.shape[1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(1, token, 0.0)
