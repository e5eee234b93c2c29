"""`polyclip serve` under load: requests at a fixed rate, half of them bad, while slow clients hold connections and the
index is written again and again.

The images are copied and indexed first. Requests come from 32 addresses of the loopback, whether earlier ones are
answered or not. Slow clients, from four addresses: silent connections, heads and bodies that come byte by byte, and
answers that nobody takes.

    python speed/serving_load.py IMAGES RUN [--rate 500] [--seconds 60] [--slow 300]

Exit code 1 if an answer has another status than its kind may have; 503 with Retry-After is always allowed.
"""

import asyncio
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import quantiles
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from polyclip.data.corpus import load_corpus
from speed._load_clients import Outcome, Sending, be_slow, plan_load, send_plan
from speed._load_requests import Kind, list_bad, list_valid

CLIENTS = 32  # addresses that requests come from
PROCESSES = 2  # that send them
CALM = 3.0  # seconds before and after the load until memory is read
STARTED = 120  # seconds until a server has to answer


@dataclass(frozen=True)
class Load:
    """What a server is loaded with: kinds of requests, how many of them a second, and connections of slow clients."""

    valid: list[Kind]
    bad: list[Kind]
    rate: int
    seconds: float
    slow: int


def load_queries() -> list[str]:
    """Return captions of the starter corpus."""
    emoji = load_corpus("emoji")
    rows = [row for code in ("sw", "en", "de", "hi") for row in emoji.reader.read(emoji.folder, code, "train")]
    return list(dict.fromkeys(text for row in rows for text in row.captions))


async def build_index(folder: Path, run: Path, index: Path) -> None:
    """Run `polyclip index`.

    Raises:
        CalledProcessError: It fails.

    """
    command = [sys.executable, "-m", "polyclip", "index", str(folder), "--model", str(run), "--out", str(index)]
    command = ["nice", *command]  # as one would beside a server
    process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.DEVNULL)
    try:
        code = await process.wait()
    except asyncio.CancelledError:
        process.kill()
        await process.wait()
        raise
    if code:
        raise subprocess.CalledProcessError(code, command)


async def keep_indexing(folder: Path, run: Path, index: Path, done: list[int]) -> None:
    """Add an image and index, take it away and index, without end; `done` gets a number for each time."""
    source = next(path for path in sorted(folder.iterdir()) if path.is_file())
    extra = folder / f"extra{source.suffix}"
    while True:
        shutil.copy(source, extra)
        await build_index(folder, run, index)
        done.append(1)
        extra.unlink()
        await build_index(folder, run, index)
        done.append(0)


@contextmanager
def start_server(index: Path) -> Iterator[tuple[int, int]]:
    """Run `polyclip serve`; yields process id and port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "polyclip", "serve", "--index", str(index), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield server.pid, port
    finally:
        server.terminate()
        server.wait()


def read_processor(pid: int) -> float:
    """Return the seconds of the processor that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text("utf-8").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def read_memory(pid: int, name: str) -> float:
    """Return VmRSS (now) or VmHWM (at most until now) of a process in MiB."""
    text = Path(f"/proc/{pid}/status").read_text("utf-8")
    return int(text.partition(f"{name}:")[2].split()[0]) / 1024


def warm_up(port: int, valid: list[Kind]) -> None:
    """Wait for the server, and ask every valid kind a few times."""
    for _ in range(10 * STARTED):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(0.1)
    send_plan(port, plan_load(["127.0.0.1"], valid, valid, 20, 3))


async def send_load(port: int, plan: list[Sending]) -> Outcome:
    """Send planned requests from processes of their own."""
    found, loop = Outcome(), asyncio.get_running_loop()
    with ProcessPoolExecutor(PROCESSES, get_context("spawn")) as pool:
        await asyncio.gather(*(loop.run_in_executor(pool, time.sleep, 0.5) for _ in range(PROCESSES)))  # all started
        shares = [plan[number::PROCESSES] for number in range(PROCESSES)]
        for part in await asyncio.gather(*(loop.run_in_executor(pool, send_plan, port, share) for share in shares)):
            found.add(part)
    return found


async def load_server(port: int, pid: int, load: Load, replace: Awaitable[None]) -> tuple[Outcome, dict[str, float]]:
    """Load a running server, beside slow clients and what replaces its index; return as `measure` does."""
    warm_up(port, load.valid)
    addresses = [f"127.0.0.{number + 2}" for number in range(CLIENTS)]
    plan = plan_load(addresses, load.valid, load.bad, load.rate, load.seconds)
    await asyncio.sleep(CALM)
    before, begun = read_memory(pid, "VmRSS"), read_processor(pid)
    beside = [
        asyncio.ensure_future(be_slow(port, f"127.0.1.{number % 4 + 1}", number % 4)) for number in range(load.slow)
    ]
    beside.append(asyncio.ensure_future(replace))
    started = time.monotonic()
    try:
        found = await send_load(port, plan)
    finally:
        for task in beside:
            task.cancel()
        await asyncio.gather(*beside, return_exceptions=True)
    took, used = time.monotonic() - started, read_processor(pid) - begun
    await asyncio.sleep(CALM)
    after, peak = read_memory(pid, "VmRSS"), read_memory(pid, "VmHWM")
    return found, {"before": before, "peak": peak, "after": after, "server": used / took, "took": took}


async def measure(images: Path, run: Path, rate: int, seconds: float, slow: int) -> tuple[Outcome, dict[str, float]]:
    """Index, serve, and load the server; return what came out, and memory in MiB and indexings as further figures."""
    with tempfile.TemporaryDirectory() as name:
        folder, index, done = Path(name) / "images", Path(name) / "index", list[int]()
        shutil.copytree(images, folder)
        await build_index(folder, run, index)
        valid = list_valid(load_queries(), "index", sum(path.is_file() for path in folder.iterdir()))
        load = Load(valid, list_bad("index"), rate, seconds, slow)
        with start_server(index) as (pid, port):
            found, figures = await load_server(port, pid, load, keep_indexing(folder, run, index, done))
    return found, figures | {"indexings": len(done)}


def make_table(found: Outcome, figures: dict[str, float]) -> Table:
    """Return the table of a measurement."""
    table = Table(show_header=False)
    table.add_row(
        "answers by status", ", ".join(f"{status}: {count}" for status, count in sorted(found.statuses.items()))
    )
    for name, seconds in (
        ("valid requests answered", found.seconds),
        ("503 with Retry-After", found.refused),
        ("requests sent, too late by", found.late),
    ):
        if len(seconds) > 1:
            cuts = quantiles(seconds, n=100)
            table.add_row(name, f"{len(seconds):,}: p50 {1000 * cuts[49]:.0f} ms, p99 {1000 * cuts[98]:.0f} ms")
        else:
            table.add_row(name, str(len(seconds)))
    wrong = ", ".join(f"{what} ({count})" for what, count in found.wrong.most_common(8)) or "none"
    table.add_row("answers that should not be", wrong)
    table.add_row("server's memory", "before {before:.0f}, at most {peak:.0f}, after {after:.0f} MiB".format(**figures))
    share = found.processor / figures["took"]
    table.add_row("cores taken", f"server {figures['server']:.2f}, clients {share:.2f}")
    table.add_row("index written again", f"{figures['indexings']:.0f} times")
    return table


def main(
    images: Annotated[Path, typer.Argument(help="Folder of images.", exists=True, file_okay=False)],
    run: Annotated[Path, typer.Argument(help="Run folder made by 'polyclip align'.", exists=True, file_okay=False)],
    rate: Annotated[int, typer.Option(min=2, help="Requests a second.")] = 500,
    seconds: Annotated[float, typer.Option(min=1)] = 60,
    slow: Annotated[int, typer.Option(min=0, help="Connections that slow clients hold.")] = 300,
) -> None:
    """Print what came out of the load, and the server's memory."""
    found, figures = asyncio.run(measure(images, run, rate, seconds, slow))
    Console().print(make_table(found, figures))
    if found.wrong:
        raise typer.Exit(1)


if __name__ == "__main__":
    typer.run(main)
