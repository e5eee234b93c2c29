"""Sampled translations that depend on seed, text and number alone, not on the batch."""

from collections.abc import Sequence
from random import Random

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.core.storage import hash_parts


class SeededSampling:
    """A logits processor that leaves one token possible in each row, sampled with the row's own random number.

    Inverse transform sampling with greedy search: a generator shared by a batch would give a text different
    translations beside different texts.

    Args:
        seed: The seed.
        texts: Texts of the batch.
        candidates: Translations of each text.
        temperature: Sampling temperature, > 0.

    """

    def __init__(self, seed: int, texts: Sequence[str], candidates: int, temperature: float) -> None:
        self.temperature = temperature
        self.numbers = [
            Random(hash_parts(str(seed), text, str(number))) for text in texts for number in range(candidates)
        ]  # noqa: S311 - no secret

    def __call__(
        self, input_ids: Int[Tensor, "row position"], scores: Float[Tensor, "row token"]
    ) -> Float[Tensor, "row token"]:
        """Set all scores to minus infinity but that of the sampled token."""
        mass = (scores.double() / self.temperature).softmax(1).cumsum(1)
        drawn = (
            torch.tensor([number.random() for number in self.numbers], dtype=mass.dtype, device=mass.device)[:, None]
            * mass[:, -1:]
        )
        token = torch.searchsorted(mass, drawn, right=True).clamp(max=scores.shape[1] - 1)
        return torch.full_like(scores, -torch.inf).scatter(1, token, 0.0)
