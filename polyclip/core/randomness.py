"""The caller's random generators, as they were."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def keep_random_state() -> Iterator[None]:
    """Seed torch as one likes within the block; afterwards its generators are where they were, also after an error."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_initialized() else []
    with torch.random.fork_rng(devices=list(devices)):
        yield
