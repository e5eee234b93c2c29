"""Run an encoder in batches: on every core of a CPU, or on a GPU with the CPU preparing batches ahead."""

import os
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from contextvars import ContextVar
from itertools import chain, islice
from math import ceil
from typing import Any

import torch
from torch import Tensor

from polyclip.core.expected import check_count
from polyclip.core.matmul import multiply_at_full_rate
from polyclip.models.trunk import State

Meter = Callable[[int], None]  # receives the number of rows just done
LARGER = 32  # times the batch of one CPU core, on a GPU
AHEAD = 2  # batches that each worker may prepare before a GPU has taken them
WORKERS = 8
_most: ContextVar[int | None] = ContextVar("polyclip batch size", default=None)


@contextmanager
def use_batch_size(most: int | None) -> Iterator[None]:
    """Encode at most so many rows in a batch within the block.

    Args:
        most: The number; None leaves it as it is.

    Raises:
        PolyclipError: It is not a whole number, at least 1.

    """
    token = _most.set(_most.get() if most is None else check_count("batch_size", most))
    try:
        yield
    finally:
        _most.reset(token)


def get_device(encoder: Any) -> torch.device:
    """The device that an encoder's weights are on."""
    return next((parameter.device for parameter in encoder.parameters()), torch.device("cpu"))


def run_in_batches(
    encoder: Any,
    prepare: Callable[[list[int]], State],
    run: Callable[[State, list[int]], Callable[[], None]],
    costs: Sequence[int],
    meter: Meter,
) -> None:
    """Prepare and run every row, in batches of similar cost, without gradients: as many as are efficient on the device,
    at most as `use_batch_size` says.

    Args:
        encoder: Says how large a batch may be, and on which device it runs.
        prepare: Makes the inputs of the rows of a batch, on the CPU.
        run: Starts a batch on the device, and returns what takes its result to the CPU.
        costs: What each row costs, as `encoder.costs` counts.
        meter: Receives the number of rows just done.

    """
    device = get_device(encoder)
    if device.type == "cpu":

        def both(batch: list[int]) -> None:
            run(prepare(batch), batch)()

        with multiply_at_full_rate():
            run_on_every_core(both, plan_batches(costs, encoder.budget, torch.get_num_threads(), _most.get()), meter)
    else:
        run_ahead(prepare, run, plan_batches(costs, LARGER * encoder.budget, 1, _most.get()), meter, device)


def run_on_every_core(one: Callable[[list[int]], None], batches: Iterator[list[int]], meter: Meter) -> None:
    """Run `one` on every batch: each core takes batches of its own, with one thread.

    These models' operations are too small to be shared among cores; those of a batch alone, such as a query, still are,
    in this thread. The number of torch's threads is afterwards what it was, also where a batch fails; the others then
    stop at their next batch.
    """
    begun = list(islice(batches, 2))
    if len(begun) == 1:
        with torch.inference_mode():
            one(begun[0])
        meter(len(begun[0]))
        return
    batches = chain(begun, batches)
    lock = threading.Lock()
    failed = threading.Event()

    def work() -> None:
        torch.set_num_threads(1)
        with torch.inference_mode():
            while not failed.is_set():
                with lock:
                    batch = next(batches, None)
                if batch is None:
                    return
                try:
                    one(batch)
                except BaseException:
                    failed.set()
                    raise
                with lock:
                    meter(len(batch))

    threads = torch.get_num_threads()
    try:
        with ThreadPoolExecutor(threads) as pool:
            for future in [pool.submit(work) for _ in range(threads)]:
                future.result()
    finally:
        torch.set_num_threads(threads)


def run_ahead(
    prepare: Callable[[list[int]], State],
    run: Callable[[State, list[int]], Callable[[], None]],
    batches: Iterator[list[int]],
    meter: Meter,
    device: torch.device,
) -> None:
    """Run batches one after the other on a GPU, while CPU threads read, decode and tokenize the next ones.

    A batch's result is fetched after the next batch was started, so that the device does not wait for the copy.
    """
    workers = min(WORKERS, os.cpu_count() or 1)
    waiting: deque[tuple[list[int], Future[State]]] = deque()
    running: deque[tuple[list[int], Callable[[], None]]] = deque()

    def fetch() -> None:
        batch, keep = running.popleft()
        keep()
        meter(len(batch))

    def start() -> None:
        batch, made = waiting.popleft()
        running.append((batch, run(move_state(made.result(), device), batch)))
        if len(running) > 1:
            fetch()

    with ThreadPoolExecutor(workers) as pool, torch.inference_mode():
        try:
            for batch in batches:
                waiting.append((batch, pool.submit(prepare_pinned, prepare, batch, device)))
                if len(waiting) > AHEAD * workers:
                    start()
            while waiting:
                start()
            while running:
                fetch()
        finally:
            pool.shutdown(cancel_futures=True)


def prepare_pinned(prepare: Callable[[list[int]], State], batch: list[int], device: torch.device) -> State:
    """Prepare a batch, in pinned memory where the device can copy from there."""
    inputs = prepare(batch)
    wanted = device.type == "cuda" and can_pin(inputs)
    return {name: tensor.pin_memory() for name, tensor in inputs.items()} if wanted else inputs


def can_pin(inputs: State) -> bool:
    """Whether memory can be pinned here: torch knows the driver, and these are real tensors."""
    return torch.cuda.is_available() and all(type(tensor) is Tensor for tensor in inputs.values())


def move_state(state: State, device: torch.device) -> State:
    """A state's tensors on a device; a copy from pinned memory does not wait."""
    return {name: tensor.to(device, non_blocking=True) for name, tensor in state.items()}


def plan_batches(costs: Sequence[int], budget: int, workers: int, most: int | None = None) -> Iterator[list[int]]:
    """Plan batches of rows, the most expensive first.

    Args:
        costs: What each row costs.
        budget: The most that a batch costs, padded to its most expensive row; a single row may cost more.
        workers: Who take batches at the same time: each gets the same number of them, so that none waits for the last.
        most: The most rows in a batch.

    Yields:
        Row numbers of a batch.

    """
    limit = min(budget, compute_even_share(costs, budget, workers))
    batch: list[int] = []
    for row in sorted(range(len(costs)), key=lambda row: -costs[row]):
        if batch and ((len(batch) + 1) * costs[batch[0]] > limit or len(batch) == most):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def compute_even_share(costs: Sequence[int], budget: int, workers: int) -> int:
    """The cost of a batch of which every worker gets the same number."""
    if not any(costs):
        return budget
    total, most = sum(costs), max(costs)
    rounds = ceil(total / (budget * workers))
    return ceil(total / (rounds * workers * most)) * most + most - min(costs)  # the difference: what padding may add
