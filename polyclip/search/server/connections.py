"""Connections that send or take too little are ended, and those without a request make room for others.

uvicorn itself waits without end for the first request of a connection, for the rest of a slow one, and for a client
that does not take its answer.
"""

import asyncio
from collections import defaultdict
from weakref import WeakKeyDictionary

from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.server import ServerState

from polyclip.search.server.logs import LOG
from polyclip.search.server.policy import HEADERS, RETRY

MOST = 512  # connections with a request, or that may send one
PER_CLIENT = 256  # of one address; a proxy is one
TOLD = 2048  # connections beyond them that are told that there is no room; more are cut off
FILES = MOST + 2 * TOLD  # that may be open, where the system allows as many
LOOK = 2.5  # seconds between two looks at a connection
IDLE = 12.5  # seconds a connection may stay without the whole head of a request
QUIET = 1.0  # seconds after an answer in which no connection ends for another: its next request may be under way
SLOW = 10.0  # seconds for which a body may come slower than `RATE`, or an answer not be taken
RATE = 4096  # bytes a second
LONGEST = 300.0  # seconds in which a body has to arrive
CROWDED = ("503 Service Unavailable", "Too many connections; ask again in a moment.")
LATE = ("408 Request Timeout", "The request did not arrive in time.")
UNREADABLE = ("400 Bad Request", "This is not an HTTP request that can be read.")


def allow_files() -> None:
    """Let this process have `FILES` open where it may: each connection is one."""
    try:
        import resource
    except ImportError:  # not on Windows, where there is no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def format_refusal(status: str, sentence: str) -> bytes:
    """Return a whole answer for a connection whose request does not reach the application."""
    more = {"retry-after": RETRY} if status.startswith("503") else {}
    headers = HEADERS | more | {"content-type": "text/plain; charset=utf-8", "connection": "close"}
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers.items())]
    return "\r\n".join([*lines, f"content-length: {len(sentence)}", "", sentence]).encode("ascii")


class Connection(H11Protocol):
    """A connection of uvicorn's with time-outs, and with limits on their number, in all and for each client."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection if there is room; the one longest without a request ends to make some."""
        super().connection_made(transport)
        self.since = self._steady = self.loop.time()  # of its state, and when a body last came fast enough
        self._received = 0  # bytes since the last look
        self._stuck: float | None = None  # since when the client does not take its answer
        self._ended = False  # whether its last answer was written
        self._timer = self.loop.call_later(LOOK, self._look)
        self.crowd = CROWDS.setdefault(self.server_state, Crowd())
        if self.crowd.admit(self):
            return
        if len(self.connections) > MOST + TOLD:
            transport.abort()
        else:  # at once: reading the request first would keep the connection longer
            self._end(*CROWDED)

    @property
    def is_idle(self) -> bool:
        """Whether no request is being read or answered."""
        return self.cycle is None or self.cycle.response_complete

    @property
    def may_end(self) -> bool:
        """Whether it may end to make room, so that no request goes without an answer."""
        return self.is_idle and (self.cycle is None or self.loop.time() - self.since > QUIET)

    def make_room(self) -> None:
        """End: with a refusal before the first request, which may have been sent and not been read yet."""
        if self.cycle is None:
            self._end(*CROWDED)
        else:
            self.crowd.leave(self)
            self.transport.close()

    def data_received(self, data: bytes) -> None:
        """Take bytes, unless the last answer was written."""
        if self._ended:
            return
        was_idle = self.is_idle
        self._received += len(data)
        super().data_received(data)
        if was_idle and not self.is_idle:
            self.since = self._steady = self.loop.time()

    def on_response_complete(self) -> None:
        """Wait for the next request."""
        self.since = self._steady = self.loop.time()
        super().on_response_complete()

    def pause_writing(self) -> None:
        """Note since when the client does not take its answer."""
        self._stuck = self.loop.time()
        super().pause_writing()

    def resume_writing(self) -> None:
        """Note that the client took its answer."""
        self._stuck = None
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Look at the connection no more."""
        self._timer.cancel()
        self.crowd.leave(self)
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP, with the headers of every answer."""
        self._end(*UNREADABLE)

    def _look(self) -> None:
        """End the connection if it is too slow, else look again later."""
        now, received = self.loop.time(), self._received
        self._received = 0
        if received >= RATE * LOOK:
            self._steady = now
        self._timer = self.loop.call_later(LOOK, self._look)
        if self.transport.is_closing():
            self._stuck = self._stuck or now  # what is left of the answer
        if self._stuck is not None and now - self._stuck > SLOW:
            self.transport.abort()
        elif self._ended:
            self.transport.close()
        elif self.is_idle and now - self.since > IDLE and self.conn.trailing_data[0]:
            self._end(*LATE)  # of a head that never became whole
        elif self.is_idle and now - self.since > IDLE:
            self.transport.close()
        elif self._is_body_late(now):
            self._end(*LATE)

    def _is_body_late(self, now: float) -> bool:
        reading = not self.is_idle and self.cycle.more_body
        return reading and (now - self._steady > SLOW or now - self.since > LONGEST)

    def _end(self, status: str, sentence: str) -> None:
        """Write the last answer; what still comes is read and dropped, or the system would take the answer back."""
        LOG.info("A connection was ended: %s", sentence)
        self._ended = True
        self.crowd.leave(self)
        if not self.is_idle and self.cycle.response_started:
            self.transport.close()
            return
        self.transport.write(format_refusal(status, sentence))
        if self.transport.can_write_eof():
            self.transport.write_eof()


class Crowd:
    """The connections of a server that may send requests, in all and of each address."""

    def __init__(self) -> None:
        self._all: dict[Connection, None] = {}
        self._own: defaultdict[str, dict[Connection, None]] = defaultdict(dict)

    def admit(self, new: Connection) -> bool:
        """Take a connection; where there are enough, the one longest without a request ends, or none is taken."""
        address = get_address(new)
        own = self._own[address]
        if crowd := self._all if len(self._all) >= MOST else own if len(own) >= PER_CLIENT else {}:
            idle = [each for each in crowd if each.may_end]
            if not idle:
                return False
            min(idle, key=lambda each: each.since).make_room()
        self._all[new] = self._own[address][new] = None
        return True

    def leave(self, old: Connection) -> None:
        """Count a connection no more."""
        self._all.pop(old, None)
        own = self._own[get_address(old)]
        own.pop(old, None)
        if not own:
            del self._own[get_address(old)]


CROWDS: WeakKeyDictionary[ServerState, Crowd] = WeakKeyDictionary()


def get_address(connection: Connection) -> str:
    """The address that a connection comes from; empty where the system does not tell."""
    return connection.client[0] if connection.client else ""
