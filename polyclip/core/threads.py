"""Threads that do whole pieces of work each, where torch's own would share every small operation and wait."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def open_workers(most: int) -> Iterator[ThreadPoolExecutor]:
    """Threads whose torch operations run in one thread each: as many as torch has, at most `most`.

    Args:
        most: Pieces of work at hand.

    """
    count = max(1, min(torch.get_num_threads(), most))
    before = torch.get_num_threads()
    pool = ThreadPoolExecutor(count, "polyclip", work_alone)
    try:
        wait([pool.submit(time.sleep, 0.001) for _ in range(count)])  # all threads have started
        torch.set_num_threads(before)  # what threads of others begin with
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


def is_first_faster(measure: Callable[[Any], float], first: Any, second: Any, turns: int) -> bool:
    """Whether the first of two pieces of work is the faster one; they take turns, and the fastest turn of each counts.

    Both run in one thread: several, which other processes delay, would wait for each other.

    Args:
        measure: Does a piece of work, and returns its seconds.
        first: A piece of work.
        second: Another one.
        turns: How often each is done.

    """
    with open_workers(1) as pool:
        seconds = [[pool.submit(measure, work).result() for work in (first, second)] for _ in range(turns)]
    of_first, of_second = map(min, zip(*seconds, strict=True))
    return of_first < of_second


def work_alone() -> None:
    """Give this thread's own operations no further threads."""
    torch.set_num_threads(1)
    torch.get_num_threads()  # ends torch's preparation of the thread, which would take over the number of another one
