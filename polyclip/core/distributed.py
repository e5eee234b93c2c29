"""Several processes of one job, as torchrun and accelerate start them.

Every process runs the same pipeline. `share_items` and `get_own_rows` divide the work; where the processes must agree
they wait for each other; files of a run are written by process 0 alone. Before `start`, and inside a program that does
not call it, each process works alone.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from polyclip.core.environment import read_minutes, read_variable, read_whole_number
from polyclip.core.launch import is_launched
from polyclip.errors import PolyclipError, RunError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
MINUTES = "POLYCLIP_TIMEOUT"  # how long a process waits for the others before it gives up
LONGEST = 60.0
SHARED = "All machines of a job need one file system for the run folder and for POLYCLIP_CACHE."
_together = [False]  # whether `start` has joined the processes


class LostError(RunError):
    """Another process of the job has ended or does not answer."""


def is_first_process() -> bool:
    """Whether this is process 0, which prints and writes the files of the run."""
    return not is_launched() or read_whole_number("RANK", 0) == 0


def start() -> None:
    """Join the other processes of the job; a no-op without a launcher.

    Raises:
        PolyclipError: POLYCLIP_TIMEOUT is not a number of minutes.
        LostError: Another process ended or did not answer in time.

    """
    if not is_launched() or _together[0]:
        return
    from accelerate import PartialState

    from polyclip.core.device import current_device

    with explain_lost_process(), explain_launcher():
        PartialState(cpu=current_device().type == "cpu", timeout=get_timeout())
    _together[0] = True


def stop() -> None:
    """Leave the process group once every process has come this far.

    A process that left earlier would look like a lost one.
    """
    if _together[0]:
        from accelerate import PartialState

        wait()
        _together[0] = False
        PartialState().destroy_process_group()


def get_timeout() -> timedelta:
    """The longest time that a process waits for another, from POLYCLIP_TIMEOUT (minutes, default 60)."""
    return timedelta(minutes=read_minutes(MINUTES, LONGEST))


def get_world_size() -> int:
    """Number of processes that work together; 1 before `start`."""
    return read_whole_number("WORLD_SIZE", 1) if _together[0] else 1


def get_rank() -> int:
    """Number of this process, from 0."""
    return read_whole_number("RANK", 0) if _together[0] else 0


def share_items(items: Sequence[T]) -> Sequence[T]:
    """Take every `get_world_size()`-th item, so that each item belongs to exactly one process.

    Args:
        items: The same sequence in every process.

    Returns:
        The items of this process.

    """
    return items[get_rank() :: get_world_size()]


def get_own_rows(size: int) -> slice:
    """The contiguous slice of `size` rows that belongs to this process; lengths differ by at most one."""
    return slice(size * get_rank() // get_world_size(), size * (get_rank() + 1) // get_world_size())


def count_own_rows(size: int) -> list[int]:
    """The number of rows that `get_own_rows` gives each process, by rank."""
    return [size * (n + 1) // get_world_size() - size * n // get_world_size() for n in range(get_world_size())]


def wait() -> None:
    """Wait until every process has come this far.

    Raises:
        LostError: Another process ended or did not answer in time.

    """
    if get_world_size() > 1:
        import torch.distributed as dist

        with explain_lost_process():
            dist.barrier()


def wait_for(path: Path) -> None:
    """Wait until process 0 has written a file that every process reads.

    Args:
        path: The file, on a file system that all machines share.

    Raises:
        RunError: The file is not visible from this process.
        LostError: Another process ended or did not answer in time.

    """
    wait()
    if get_world_size() > 1 and not path.exists():
        raise RunError(f"Process {get_rank()} does not see {path}, which process 0 has written. {SHARED}")


def broadcast(value: T) -> T:
    """Return the value of process 0 in every process.

    Args:
        value: Anything that JSON can hold.

    Returns:
        The value that process 0 passed.

    """
    if get_world_size() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    with explain_lost_process():
        found: list[T] = broadcast_object_list([value])
    return found[0]


def gather_objects(value: T) -> list[T]:
    """Collect one value from each process.

    Args:
        value: Anything that JSON can hold.

    Returns:
        The values in the order of the ranks.

    """
    if get_world_size() == 1:
        return [value]
    from accelerate.utils import gather_object

    with explain_lost_process():
        found: list[T] = gather_object([value])
    return found


def gather_rows(rows: "Tensor", sizes: Sequence[int]) -> "Tensor":
    """Concatenate the rows of all processes, on the device of `rows`. No gradient flows.

    Args:
        rows: The rows of this process, [row, ...].
        sizes: Number of rows of each process, by rank.

    Returns:
        All rows in the order of the ranks.

    """
    if get_world_size() == 1:
        return rows
    import torch
    import torch.distributed as dist
    from accelerate import PartialState

    padded = torch.zeros(max(sizes), *rows.shape[1:], dtype=rows.dtype, device=PartialState().device)
    padded[: len(rows)] = rows.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    with explain_lost_process():
        dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)]).to(rows.device)


def sum_over_processes(values: "Tensor") -> "Tensor":
    """Sum a tensor over all processes. No gradient flows."""
    if get_world_size() == 1:
        return values
    import torch.distributed as dist
    from accelerate import PartialState

    total = values.detach().to(PartialState().device).clone()
    with explain_lost_process():
        dist.all_reduce(total)
    return total.to(values.device)


@contextmanager
def explain_launcher() -> Iterator[None]:
    """Turn accelerate's errors about a launcher's variables into one sentence.

    Raises:
        PolyclipError: RANK, WORLD_SIZE, MASTER_ADDR or another of them is missing or no number.

    """
    try:
        yield
    except ValueError as error:
        raise PolyclipError(
            f"The variables that a launcher sets (RANK, WORLD_SIZE, LOCAL_RANK, MASTER_ADDR, MASTER_PORT) cannot be "
            f"used: {error}. Start several processes with torchrun or accelerate launch, or unset these variables."
        ) from error


@contextmanager
def explain_lost_process() -> Iterator[None]:
    """Turn torch's error about a lost process into one sentence.

    Raises:
        LostError: Another process ended or did not answer in time.

    """
    try:
        yield
    except RuntimeError as error:
        import torch.distributed as dist

        if not is_launched() or not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        raise LostError(
            f"Process {read_variable('RANK')} of {read_variable('WORLD_SIZE')} lost another process, which ended or "
            f"did not answer within {get_timeout()}: its own message "
            "is above, unless it was killed. The same command continues, 'polyclip align' with --resume, with any "
            "number of processes."
        ) from error
