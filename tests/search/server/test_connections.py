"""Clients that are slow, silent, half open or too many: they are ended, and everyone else is answered."""

import os
import socket
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Event

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from polyclip.search.server import connections, upload
from polyclip.search.server.policy import HEADERS
from polyclip.search.server.server import prepare_process
from tests.search.server.small import make_application, serve_locally

ASK = b"GET /api/search?q=rrr&top=1 HTTP/1.1\r\nHost: 127.0.0.1\r\n"
POST = b"POST /api/search HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n"


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """A server whose time-outs are well below a second."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (("LOOK", 0.1), ("IDLE", 0.8), ("SLOW", 0.6), ("MOST", 24), ("PER_CLIENT", 12)):
            patch.setattr(connections, name, value)
        with serve_locally(make_application(tmp_path_factory.mktemp("small"))) as port:
            yield port


def connect(port: int, client: str = "127.0.0.1") -> socket.socket:
    """A connection from an address of the loopback: each counts as a client of its own."""
    found = socket.create_connection(("127.0.0.1", port), 10, (client, 0))
    found.settimeout(10)
    return found


def read(connection: socket.socket) -> bytes:
    """All that the server sends until it ends the connection."""
    found = b""
    while block := connection.recv(2**16):
        found += block
    return found


def ask(port: int, client: str = "127.0.0.1") -> bytes:
    with connect(port, client) as one:
        one.sendall(ASK + b"Connection: close\r\n\r\n")
        return read(one)


def test_a_head_that_does_not_become_whole_is_ended(port: int) -> None:
    with connect(port) as one:
        one.sendall(ASK)
        begun = time.monotonic()
        for _ in range(4):  # a byte now and then does not help
            one.sendall(b"X")
            time.sleep(0.05)
        found = read(one)
    assert found.startswith(b"HTTP/1.1 408 ") and time.monotonic() - begun < 5
    head = found.partition(b"\r\n\r\n")[0].decode().lower()
    assert all(f"{name}: {value}".lower() in head for name, value in HEADERS.items())


def test_a_silent_connection_is_ended_without_a_word(port: int) -> None:
    with connect(port) as one:
        assert read(one) == b""
    with connect(port) as one:
        one.sendall(ASK + b"\r\n")
        assert read(one).count(b"HTTP/1.1 200 OK") == 1  # and after it nothing more


def test_a_body_that_does_not_arrive_is_ended(port: int) -> None:
    with connect(port) as one:
        one.sendall(POST + b'{"q"')
        assert read(one).startswith(b"HTTP/1.1 408 ")
    with connect(port) as one:
        one.sendall(POST)
        time.sleep(0.1)
        one.sendall(b'{"q":"rrr"}')
        assert one.recv(2**16).startswith(b"HTTP/1.1 200 ")


def test_a_large_body_that_comes_fast_enough_is_read(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections, "RATE", 100)
    head = POST.replace(b"application/json", b"multipart/form-data; boundary=x").replace(b"h: 11", b"h: 4000")
    with connect(port) as one:
        one.sendall(head)
        for _ in range(8):  # longer than a slow body may take
            one.sendall(b" " * 500)
            time.sleep(0.1)
        assert b" 408 " not in one.recv(2**16)


def test_an_answer_that_is_not_taken_is_ended(port: int, tmp_path: Path) -> None:
    """Hundreds of answers are asked for on one connection and none is read."""
    with connect(port) as one:
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.settimeout(5)
        asks = b"GET /static/page.js HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" * 1000
        with pytest.raises(OSError, match=r"reset|Broken pipe"):
            for _ in range(100):
                one.sendall(asks)
                time.sleep(0.05)
    assert ask(port).startswith(b"HTTP/1.1 200 ")


def test_what_is_not_http_is_refused_with_every_header(port: int) -> None:
    for sent in (b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/1.1\r\n bad\r\n\r\n"):
        with connect(port) as one:
            one.sendall(sent)
            found = read(one)
        assert found.startswith(b"HTTP/1.1 400 ") and b"content-security-policy" in found, found


def test_silent_connections_make_room_and_busy_ones_are_a_limit_for_their_client_alone(port: int) -> None:
    with ExitStack() as stack:
        for _ in range(40):  # more than one client may have, and more than all may have
            stack.enter_context(connect(port))
        assert ask(port).startswith(b"HTTP/1.1 200 ")
        assert ask(port, "127.0.0.2").startswith(b"HTTP/1.1 200 ")
        slow = [stack.enter_context(connect(port)) for _ in range(12)]
        for one in slow:
            one.sendall(POST)
        time.sleep(0.05)
        refused = ask(port)
        assert refused.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in refused
        assert ask(port, "127.0.0.3").startswith(b"HTTP/1.1 200 ")
        assert all(read(one).startswith(b"HTTP/1.1 408 ") for one in slow)
    assert ask(port).startswith(b"HTTP/1.1 200 ")


def test_whoever_has_asked_is_answered_when_many_connect_at_once(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """All connect while the server is busy, so that it takes all connections before it reads the first request."""
    look, stalled = connections.Connection._look, Event()

    def stall(self: connections.Connection) -> None:
        if not stalled.is_set():
            stalled.set()
            time.sleep(0.7)
        look(self)

    monkeypatch.setattr(connections.Connection, "_look", stall)
    with ExitStack() as stack:
        stack.enter_context(connect(port))  # whose timer stalls the server
        assert stalled.wait(5)
        asked = [stack.enter_context(connect(port, f"127.0.0.{2 + number // 20}")) for number in range(40)]
        for one in asked:
            one.sendall(ASK + b"Connection: close\r\n\r\n")
        found = [read(one) for one in asked]
    statuses = Counter(answer[9:12] for answer in found)
    assert set(statuses) == {b"200", b"503"} and statuses[b"503"] == 40 - 2 * 12, statuses
    assert all(b"retry-after: 1" in answer for answer in found if answer[9:12] == b"503")


def test_a_whole_server_full_of_busy_clients_says_when_to_come_back(port: int) -> None:
    with ExitStack() as stack:
        for number in range(24):
            stack.enter_context(connect(port, f"127.0.1.{1 + number // 8}")).sendall(POST)
        time.sleep(0.05)
        refused = ask(port, "127.0.2.1")
        assert refused.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1" in refused
        time.sleep(1.5)
        assert ask(port, "127.0.2.1").startswith(b"HTTP/1.1 200 ")


def test_an_upload_cut_short_is_no_fault_of_the_server(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with connect(port) as one:
        one.sendall(POST.replace(b"11", str(upload.MAX_UPLOAD).encode()) + b"x" * 1000)
    assert ask(port).startswith(b"HTTP/1.1 200 ")
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


@pytest.mark.parametrize(("given", "expected"), [(None, "64"), ("7", "7")])
def test_a_serving_process_takes_short_turns_and_keeps_few_products(
    monkeypatch: pytest.MonkeyPatch, given: str | None, expected: str
) -> None:
    name, turn = "ONEDNN_PRIMITIVE_CACHE_CAPACITY", sys.getswitchinterval()
    monkeypatch.setenv(name, given or "")  # so that it is put back afterwards
    if given is None:
        monkeypatch.delenv(name)
    try:
        prepare_process()
        assert sys.getswitchinterval() == pytest.approx(0.0005)
        assert os.environ[name] == expected
    finally:
        sys.setswitchinterval(turn)
