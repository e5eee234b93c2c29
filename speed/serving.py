"""Searches a second of `polyclip serve`, and how long they take, with many clients at once.

The server runs in a process of its own; each client asks a text that nobody asked before, waits for the answer, and
asks the next. Refused means 503.

    python speed/serving.py INDEX [--clients 64] [--requests 640]
"""

import http.client
import json
import socket
import statistics
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Annotated
from urllib.parse import urlencode

import typer
from rich.console import Console

from polyclip.data.corpus import load_corpus


def load_queries(count: int) -> list[str]:
    """Return different captions of the starter corpus."""
    emoji = load_corpus("emoji")
    rows = [row for code in ("sw", "en", "de", "hi") for row in emoji.reader.read(emoji.folder, code, "train")]
    return list(dict.fromkeys(text for row in rows for text in row.captions))[:count]


def find_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def ask(port: int, query: str) -> tuple[int, float]:
    """Ask one text; return the status and the seconds."""
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
    connection.request("GET", f"/api/search?{urlencode({'q': query, 'top': 12})}")
    answer = connection.getresponse()
    json.loads(answer.read())
    connection.close()
    return answer.status, time.monotonic() - started


def wait_for_server(port: int) -> None:
    """Return once the server answers."""
    for _ in range(600):
        try:
            ask(port, "mbwa")
        except OSError:
            time.sleep(0.1)
        else:
            return
    raise RuntimeError("polyclip serve does not answer")


def main(
    index: Path,
    clients: Annotated[int, typer.Option(min=1)] = 64,
    requests: Annotated[int, typer.Option(min=1)] = 640,
) -> None:
    """Print what was answered, and how fast."""
    queries, port = load_queries(requests), find_port()
    command = [sys.executable, "-m", "polyclip", "serve", "--index", str(index), "--port", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for_server(port)
        started = time.monotonic()
        with ThreadPoolExecutor(clients) as pool:
            found = list(pool.map(partial(ask, port), queries))
        total = time.monotonic() - started
    finally:
        server.terminate()
        server.wait()
    seconds = sorted(taken for status, taken in found if status == 200)
    refused = sum(status == 503 for status, _ in found)
    Console().print(
        f"{clients} clients, {len(found)} searches: {len(seconds)} answered, {refused} refused, "
        f"{len(found) - len(seconds) - refused} failed; {len(seconds) / total:.0f} a second; p50 "
        f"{1000 * statistics.median(seconds):.0f} ms, p99 {1000 * seconds[int(len(seconds) * 0.99)]:.0f} ms",
        highlight=False,
    )


if __name__ == "__main__":
    typer.run(main)
