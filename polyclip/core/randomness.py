"""The caller's random generators, as they were."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from polyclip.core.storage import hash_parts

LARGEST = 2**43  # seeds below it are used as they are: times a million steps they are below 2**63


def fold_seed(seed: int) -> int:
    """A seed that can be multiplied with the number of a step: itself where it is small, else from its hash.

    Args:
        seed: Any integer, such as the time of day.

    Returns:
        An integer below 2**43 in size, the same for the same seed.

    """
    return seed if abs(seed) < LARGEST else int(hash_parts(str(seed))[:16], 16) % LARGEST


@contextmanager
def keep_random_state() -> Iterator[None]:
    """Seed torch as one likes within the block; afterwards its generators are where they were, also after an error."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=list(devices)):
        yield
