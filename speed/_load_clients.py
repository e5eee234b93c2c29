"""The clients of `speed/serving_load.py`: those that ask at a fixed rate, and slow ones that hold connections."""

import asyncio
import itertools
import random
import time
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field

from speed._load_requests import Kind, write_head

CLIENTS = 32  # addresses that requests come from
PATIENCE = 60  # seconds until a request counts as not answered
Connection = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Outcome:
    """What came out: seconds of each valid answer, statuses, and what should not have been."""

    seconds: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)  # seconds until a 503
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)


class Client:
    """An address that requests come from; it keeps its connections, as browsers do."""

    def __init__(self, port: int, address: str) -> None:
        self.port, self.address = port, address
        self.free: list[Connection] = []

    async def open(self) -> Connection:
        """Open a connection."""
        return await asyncio.open_connection("127.0.0.1", self.port, local_addr=(self.address, 0))

    async def ask(self, sent: bytes) -> tuple[int, dict[str, str]]:
        """Send a request, and return status and headers; a kept connection that was closed meanwhile is opened anew."""
        while True:
            kept = bool(self.free)
            connection = self.free.pop() if kept else await self.open()
            try:
                status, headers = await exchange(connection, sent)
            except (OSError, asyncio.IncompleteReadError):
                connection[1].close()
                if not kept:
                    raise
                continue
            if headers.get("connection") == "close" or status in (400, 413):
                connection[1].close()
            else:
                self.free.append(connection)
            return status, headers


async def exchange(connection: Connection, sent: bytes) -> tuple[int, dict[str, str]]:
    """Send a request on a connection and read its answer."""
    reader, writer = connection
    with suppress(ConnectionError):  # the answer to a request that is refused may come before all of it is sent
        writer.write(sent)
        await writer.drain()
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
    headers = dict(line.split(": ", 1) for line in head[1:] if ": " in line)
    await reader.readexactly(int(headers["content-length"]))
    return int(head[0].split()[1]), headers


async def run_request(client: Client, kind: Kind, valid: bool, found: Outcome) -> None:
    """Ask once and note what came out."""
    begun = time.monotonic()
    try:
        status, headers = await asyncio.wait_for(client.ask(kind.write()), PATIENCE)
    except (OSError, asyncio.IncompleteReadError, TimeoutError) as error:
        found.statuses["no answer"] += 1
        found.wrong[f"{kind.name}: {type(error).__name__}"] += 1
        return
    seconds = time.monotonic() - begun
    found.statuses[str(status)] += 1
    if status == 503 and headers.get("retry-after", "").isdecimal():
        found.refused.append(seconds)
    elif status not in kind.statuses:
        found.wrong[f"{kind.name}: {status}"] += 1
    elif valid:
        found.seconds.append(seconds)


async def send_load(clients: list[Client], valid: list[Kind], bad: list[Kind], rate: int, seconds: float) -> Outcome:
    """Send requests at a fixed rate, half of them bad, and wait for all answers."""
    chance, found, tasks = random.Random(1), Outcome(), set()
    begun = time.monotonic()
    for number in range(int(rate * seconds)):
        await asyncio.sleep(max(0.0, begun + number / rate - time.monotonic()))
        good = number % 2 == 0
        kind = chance.choices(valid, [each.weight for each in valid])[0] if good else bad[number // 2 % len(bad)]
        task = asyncio.create_task(run_request(chance.choice(clients), kind, good, found))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)
    for client in clients:
        for _, writer in client.free:
            writer.transport.abort()
    await asyncio.sleep(0)  # sockets are closed in the loop's next round
    return found


async def be_slow(client: Client, way: int) -> None:
    """Hold a connection without end, and open another one where the server ends it.

    Args:
        client: Whose connection it is.
        way: 0 silent, 1 a head byte by byte, 2 a body byte by byte, 3 answers that are never taken.

    """
    head = write_head("POST", "/api/search", content_type="application/json", content_length="5000")
    pieces = {
        0: itertools.repeat(b""),
        1: (bytes([byte]) for byte in head * 100),
        2: itertools.chain([head], itertools.repeat(b"{")),
        3: itertools.repeat(write_head("GET", "/static/page.js") * 50),
    }
    while True:
        with suppress(OSError):
            reader, writer = await client.open()
            if way == 3:
                writer.transport.pause_reading()  # type: ignore[attr-defined]
            try:
                for piece in pieces[way]:
                    writer.write(piece)
                    await asyncio.sleep(1)
                    if reader.at_eof() or writer.transport.is_closing():
                        break
            finally:
                writer.transport.abort()
        await asyncio.sleep(0.5)
