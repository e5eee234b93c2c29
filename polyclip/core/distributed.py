"""Several processes of one job, as torchrun and accelerate start them: who does what, and how they agree.

Every process walks through the same pipeline. What can be shared is divided by `share`; where the processes must agree they wait for each
other; files of a run are written by the first alone. Until `start`, and inside a program of somebody else's, each process is alone.
"""

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from polyclip.errors import PolyclipError, RunError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")
MINUTES = "POLYCLIP_TIMEOUT"  # how long a process waits for the others before it gives up
LONGEST = 60.0
SHARED = "All machines of a job need one file system for the run folder and for POLYCLIP_CACHE."
_together = [False]  # whether the processes have met


class LostError(RunError):
    """Another process is gone, or does not answer."""


def launched() -> bool:
    """Whether a launcher started this process as one of several."""
    return int(os.environ.get("WORLD_SIZE") or 1) > 1 and "RANK" in os.environ


def first() -> bool:
    """Whether this process prints, and writes what all of them have made."""
    return not launched() or os.environ["RANK"] == "0"


def start() -> None:
    """Meet the other processes of the job; without a launcher nothing happens.

    Raises PolyclipError for a waiting time that is no number.
    """
    if not launched() or _together[0]:
        return
    import torch
    from accelerate import PartialState

    with lost():
        PartialState(cpu=not torch.cuda.is_available(), timeout=waiting())
    _together[0] = True


def stop() -> None:
    """Part from the others, once all have come so far: a process that ends early would look like one that was lost."""
    if _together[0]:
        from accelerate import PartialState

        wait()
        _together[0] = False
        PartialState().destroy_process_group()


def waiting() -> timedelta:
    """The longest that one process waits for another."""
    text = os.environ.get(MINUTES, str(LONGEST))
    try:
        return timedelta(minutes=float(text))
    except (ValueError, OverflowError) as error:
        raise PolyclipError(f"{MINUTES} is {text!r}, expected minutes such as 60.") from error


def count() -> int:
    """Processes that work together: 1 until `start`."""
    return int(os.environ["WORLD_SIZE"]) if _together[0] else 1


def number() -> int:
    """Of this process, from 0."""
    return int(os.environ["RANK"]) if _together[0] else 0


def share(items: Sequence[T]) -> Sequence[T]:
    """Every `count`-th item, so that each item is one process' own."""
    return items[number() :: count()]


def own(size: int) -> slice:
    """Of `size` rows, the run of them that is this process' own; lengths differ by one at most."""
    return slice(size * number() // count(), size * (number() + 1) // count())


def lengths(size: int) -> list[int]:
    """Of the runs of rows that `own` gives each process."""
    return [size * (n + 1) // count() - size * n // count() for n in range(count())]


def wait() -> None:
    """Until all are here.

    Raises LostError where one is lost.
    """
    if count() > 1:
        import torch.distributed as dist

        with lost():
            dist.barrier()


def wait_for(path: Path) -> None:
    """Until the first process has written a file that all of them read.

    Raises RunError where it cannot be seen from here, LostError where a process is lost.
    """
    wait()
    if count() > 1 and not path.exists():
        raise RunError(f"Process {number()} does not see {path}, which process 0 has written. {SHARED}")


def agreed(value: T) -> T:
    """What the first process says, which JSON can hold."""
    if count() == 1:
        return value
    import torch

    said = (
        torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)
        if first()
        else torch.zeros(0, dtype=torch.uint8)
    )
    length = int(summed(torch.tensor(len(said))))
    return json.loads(bytes(summed(torch.nn.functional.pad(said, (0, length - len(said)))).tolist()))


def everyones(value: T) -> list[T]:
    """What each process says, in the order of their numbers; JSON can hold it."""
    if count() == 1:
        return [value]
    import torch

    data = torch.frombuffer(bytearray(json.dumps(value).encode()), dtype=torch.uint8)[:, None]
    sizes = [int(size) for size in joined(torch.tensor([[len(data)]]), [1] * count())]
    parts = joined(data, sizes).split(sizes)
    return [json.loads(bytes(part.flatten().tolist())) for part in parts]


def joined(rows: "Tensor", sizes: Sequence[int]) -> "Tensor":
    """Rows of all processes one after the other, on the CPU where they were there; process i has `sizes[i]` of them. No gradient flows."""
    if count() == 1:
        return rows
    import torch
    import torch.distributed as dist
    from accelerate import PartialState

    padded = torch.zeros(max(sizes), *rows.shape[1:], dtype=rows.dtype, device=PartialState().device)
    padded[: len(rows)] = rows.detach()
    parts = [torch.empty_like(padded) for _ in sizes]
    with lost():
        dist.all_gather(parts, padded)
    return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)]).to(rows.device)


def summed(values: "Tensor") -> "Tensor":
    """Sum over all processes. No gradient flows."""
    if count() == 1:
        return values
    import torch.distributed as dist
    from accelerate import PartialState

    total = values.detach().to(PartialState().device).clone()
    with lost():
        dist.all_reduce(total)
    return total.to(values.device)


@contextmanager
def lost() -> Iterator[None]:
    """Turn what torch says when another process is gone, or does not answer, into one sentence.

    Raises LostError.
    """
    try:
        yield
    except RuntimeError as error:
        import torch.distributed as dist

        if not launched() or not (isinstance(error, dist.DistError) or "gloo" in str(error)):
            raise
        raise LostError(
            f"Process {os.environ['RANK']} of {os.environ['WORLD_SIZE']} lost another one, which ended or did not answer within {waiting()}: its own message "
            "stands above, unless it was killed. The same command with --resume goes on after the last epoch, on any number of processes."
        ) from error
