"""An endless, seeded order of training captions that is computed, not stored.

Captions with the same sampling weight (of a language: the names, and the further captions) form a stratum. Each stratum
is visited in a shuffled order, every caption once, then in another order, and so on; a fixed pattern decides whose turn
it is. Since all of it follows from the seed and the step's number, a resumed run sees each caption as often as one that
was never stopped, and no state is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Int, UInt64
from torch import Tensor

RUN = 1_000_003  # steps of one seed: a step's seed is seed * RUN + step
TURNS = 1 << 16  # length of the pattern
ROUNDS = 6


@dataclass(frozen=True)
class Strata:
    """Contiguous runs of captions that share a sampling weight."""

    starts: Sequence[int]  # row of the first caption of each stratum
    counts: Sequence[int]
    shares: Sequence[float]  # sampling weight of each stratum; they sum to 1

    def get_rows(self, size: int, seed: int) -> Int[Tensor, " caption"]:
        """Compute the captions of one step.

        Args:
            size: Batch size, the same at every step.
            seed: Seed of the run times `RUN`, plus the step.

        Returns:
            Rows of the captions.

        """
        run, step = divmod(seed, RUN)
        turn = np.arange(step * size, (step + 1) * size, dtype=np.int64)
        block, place = np.divmod(turn, TURNS)
        whose, before, often = self._pattern
        stratum = whose[place]
        number = block * often[stratum] + before[place]  # how many of its stratum came before
        count = np.asarray(self.counts, np.int64)[stratum]
        cycle, position = np.divmod(number, count)
        key = _mixed(
            _mixed(_mixed(np.full(size, run, np.uint64)) + stratum.astype(np.uint64)) + cycle.astype(np.uint64)
        )
        return torch.from_numpy(np.asarray(self.starts, np.int64)[stratum] + permute(position, count, key))

    @cached_property
    def _pattern(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Of each turn, its stratum and how often that came before; and the turns of each stratum, at least one."""
        exact = np.maximum(np.asarray(self.shares) / sum(self.shares) * TURNS, 1)
        often = np.floor(exact).astype(np.int64)
        for place in np.argsort(often - exact)[: TURNS - int(often.sum())]:
            often[place] += 1
        often[int(often.argmax())] += TURNS - int(often.sum())
        whose = np.random.default_rng(0).permutation(np.repeat(np.arange(len(often)), often))
        before = np.empty(TURNS, np.int64)
        for own in range(len(often)):
            before[whose == own] = np.arange(often[own])
        return whose, before, often


def permute(
    position: Int[np.ndarray, " place"], count: Int[np.ndarray, " place"], key: UInt64[np.ndarray, " place"]
) -> Int[np.ndarray, " place"]:
    """Map positions by a pseudorandom permutation of `count` items, without a table of it.

    A Feistel network on the smallest even number of bits that holds `count`; what falls outside goes through it again
    (cycle walking: Black and Rogaway 2002, "Ciphers with arbitrary finite domains").

    Args:
        position: Positions, each in [0, count).
        count: Number of items.
        key: Key of the permutation.

    Returns:
        New positions, each in [0, count).

    """
    half = np.maximum(1, np.ceil(np.log2(count) / 2)).astype(np.uint64)
    out, limit = position.astype(np.uint64), count.astype(np.uint64)
    outside = np.arange(len(out))
    while len(outside):
        out[outside] = _feistel(out[outside], half[outside], key[outside])
        outside = outside[out[outside] >= limit[outside]]
    return out.astype(np.int64)


def _feistel(value: np.ndarray, half: np.ndarray, key: np.ndarray) -> np.ndarray:
    mask = (np.uint64(1) << half) - np.uint64(1)
    left, right = value >> half, value & mask
    for number in range(ROUNDS):
        left, right = right, left ^ (_mixed(right + key * np.uint64(2 * number + 1)) & mask)
    return (left << half) | right


def _mixed(value: np.ndarray) -> np.ndarray:
    """The finalizer of SplitMix64 (Steele, Lea and Flood 2014): every input bit affects every output bit."""
    value = (value ^ (value >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    value = (value ^ (value >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return value ^ (value >> np.uint64(31))
