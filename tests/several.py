"""Several processes of one job on this machine, joined by gloo; forked, so that they start with the test's state."""

import multiprocessing
import os
import socket
import sys
import traceback
import warnings
from collections.abc import Callable
from pathlib import Path

import torch
from accelerate.state import AcceleratorState
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyclip.core import distributed

Work = Callable[[], dict[str, Tensor]]


def run_processes(count: int, work: Work, folder: Path) -> list[dict[str, Tensor]]:
    """Return what `work` returns in each of `count` processes; an error in one of them fails the test."""
    context = multiprocessing.get_context("fork")
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "OMP_NUM_THREADS": "1"}
    environment |= {"WORLD_SIZE": str(count), "LOCAL_WORLD_SIZE": str(count)}
    running = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forks beside threads; these have ended
        for rank in range(count):
            own = environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)}
            running.append(
                context.Process(target=run_one, args=(own, work, folder / f"process-{count}-{rank}.safetensors"))
            )
            running[-1].start()
    for each in running:
        each.join(120)
        if each.is_alive():
            each.kill()
    assert [each.exitcode for each in running] == [0] * count
    return [load_file(folder / f"process-{count}-{rank}.safetensors") for rank in range(count)]


def run_one(environment: dict[str, str], work: Work, path: Path) -> None:
    """Run the work of one process."""
    try:
        os.environ |= environment
        torch.set_num_threads(1)
        AcceleratorState._reset_state(True)  # of the process that was forked
        distributed.start()
        save_file({name: tensor.detach().contiguous().clone() for name, tensor in work().items()}, path)
        distributed.stop()
    except BaseException:  # noqa: BLE001 (whatever it is, the test sees it)
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def free_port() -> int:
    """Return a free TCP port."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
