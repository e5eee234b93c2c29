"""The clients of `speed/serving_load.py`: those that ask at a fixed rate, written to take little of the processor that
the server needs too, and slow ones that hold connections.
"""

import asyncio
import itertools
import random
import select
import socket
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from speed._load_requests import Kind, write_head

PATIENCE = 60  # seconds until a request counts as not answered
BLOCK = 2**16  # bytes read at once


@dataclass
class Outcome:
    """What came out: seconds of each valid answer, statuses, what should not have been, and the clients themselves."""

    seconds: list[float] = field(default_factory=list)
    refused: list[float] = field(default_factory=list)  # seconds until a 503
    statuses: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    late: list[float] = field(default_factory=list)  # seconds by which each request was sent too late
    processor: float = 0.0  # seconds of the processor that the clients took

    def add(self, other: "Outcome") -> None:
        """Count what other clients found."""
        self.seconds += other.seconds
        self.refused += other.refused
        self.statuses += other.statuses
        self.wrong += other.wrong
        self.late += other.late
        self.processor += other.processor


@dataclass(frozen=True)
class Sending:
    """A request: when, in seconds from the start, from which address, and what its answer may be."""

    at: float
    address: str
    name: str
    sent: bytes
    statuses: tuple[int, ...]
    valid: bool


def plan_load(
    addresses: Sequence[str], valid: Sequence[Kind], bad: Sequence[Kind], rate: int, seconds: float
) -> list[Sending]:
    """Write requests at a fixed rate, of which every other one is bad."""
    chance, found = random.Random(1), []
    for number in range(int(rate * seconds)):
        good = number % 2 == 0
        kind = chance.choices(valid, [each.weight for each in valid])[0] if good else bad[number // 2 % len(bad)]
        found.append(Sending(number / rate, chance.choice(addresses), kind.name, kind.write(), kind.statuses, good))
    return found


class Exchange:
    """A connection and the request on it."""

    def __init__(self, port: int, address: str) -> None:
        self.address = address
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.bind((address, 0))
        self.socket.connect_ex(("127.0.0.1", port))
        self.begun, self.kept = 0.0, False  # when its request was due; whether it answered an earlier one
        self.sending: Sending
        self.left, self.found = memoryview(b""), bytearray()

    def start(self, sending: Sending, begun: float) -> None:
        """Take a request."""
        self.sending, self.begun = sending, begun
        self.left, self.found = memoryview(sending.sent), bytearray()

    def write(self) -> bool:
        """Send what can be sent; whether something is left."""
        with suppress(BlockingIOError, ConnectionError):  # the answer may come before all of the request is sent
            while self.left:
                self.left = self.left[self.socket.send(self.left) :]
        return bool(self.left)

    def read(self) -> tuple[int, bytes] | None:
        """Return status and head of a whole answer; None while there is more to come.

        Raises:
            ConnectionError: There will be no whole answer.

        """
        try:
            block = self.socket.recv(BLOCK)
        except BlockingIOError:
            return None
        self.found += block
        end = self.found.find(b"\r\n\r\n")
        if end >= 0:
            head = bytes(self.found[:end]).lower()
            length = int(head.partition(b"content-length: ")[2].partition(b"\r")[0])
            if len(self.found) >= end + 4 + length:
                return int(head[9:12]), head
        if not block:
            raise ConnectionResetError
        return None


class Senders:
    """Sends planned requests, each when it is due, whether earlier ones are answered or not.

    Connections are kept, as browsers do; a request goes out on a new one where its address has none that is free.
    """

    def __init__(self, port: int, plan: Sequence[Sending]) -> None:
        self.port, self.plan, self.found = port, list(reversed(plan)), Outcome()
        self.poll = select.epoll()
        self.busy: dict[int, Exchange] = {}
        self.free: defaultdict[str, list[Exchange]] = defaultdict(list)

    def run(self) -> Outcome:
        """Send everything and wait for all answers."""
        processor, begun = time.process_time(), time.monotonic()
        while self.plan or self.busy:
            now = time.monotonic()
            while self.plan and begun + self.plan[-1].at <= now:
                sending = self.plan.pop()
                self.found.late.append(now - begun - sending.at)
                self.send(sending, begun + sending.at)
            pause = begun + self.plan[-1].at - time.monotonic() if self.plan else 1.0
            for number, event in self.poll.poll(max(0.0, pause)):
                self.follow(self.busy[number], event)
            if not self.plan:
                self.give_up(time.monotonic() - PATIENCE)
        for one in itertools.chain.from_iterable(self.free.values()):
            one.socket.close()
        self.poll.close()
        self.found.processor = time.process_time() - processor
        return self.found

    def send(self, sending: Sending, begun: float) -> None:
        """Send a request on a free connection, or on a new one."""
        free = self.free[sending.address]
        one = free.pop() if free else Exchange(self.port, sending.address)
        one.start(sending, begun)
        self.busy[one.socket.fileno()] = one
        more = one.write()
        self.poll.register(one.socket, select.EPOLLIN | (select.EPOLLOUT if more else 0))

    def follow(self, one: Exchange, event: int) -> None:
        """Go on with a request whose connection has news."""
        if event & select.EPOLLOUT and not one.write():
            self.poll.modify(one.socket, select.EPOLLIN)
        if not event & ~select.EPOLLOUT:
            return
        try:
            found = one.read()
        except OSError as error:
            self.release(one)
            one.socket.close()
            if one.kept and not one.found:  # closed while it was free: that happens to every client
                self.send(one.sending, one.begun)
            else:
                self.note(one.sending, type(error).__name__)
            return
        if found:
            self.finish(one, *found)

    def finish(self, one: Exchange, status: int, head: bytes) -> None:
        """Note an answer; its connection is free for the next request unless it ends."""
        sending, seconds = one.sending, time.monotonic() - one.begun
        self.release(one)
        if one.left or b"connection: close" in head or status in (400, 413):
            one.socket.close()
        else:
            one.kept = True
            self.free[one.address].append(one)
        self.found.statuses[str(status)] += 1
        if status == 503 and head.partition(b"retry-after: ")[2][:1].isdigit():
            self.found.refused.append(seconds)
        elif status not in sending.statuses:
            self.found.wrong[f"{sending.name}: {status}"] += 1
        elif sending.valid:
            self.found.seconds.append(seconds)

    def give_up(self, before: float) -> None:
        """Give up requests that were due before a moment."""
        for one in [each for each in self.busy.values() if each.begun < before]:
            self.release(one)
            one.socket.close()
            self.note(one.sending, "TimeoutError")

    def release(self, one: Exchange) -> None:
        """Expect nothing more on a connection."""
        self.poll.unregister(one.socket)
        del self.busy[one.socket.fileno()]

    def note(self, sending: Sending, fault: str) -> None:
        """Note a request without an answer."""
        self.found.statuses["no answer"] += 1
        self.found.wrong[f"{sending.name}: {fault}"] += 1


def send_plan(port: int, plan: Sequence[Sending]) -> Outcome:
    """Send planned requests and wait for all answers."""
    return Senders(port, plan).run()


async def be_slow(port: int, address: str, way: int) -> None:
    """Hold a connection without end, and open another one where the server ends it.

    Args:
        port: Of the server.
        address: That the connection comes from.
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
            reader, writer = await asyncio.open_connection("127.0.0.1", port, local_addr=(address, 0))
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
