"""Load on a small server, for seconds: half of the requests are bad, slow clients hold connections, and its index is
replaced meanwhile.
"""

import asyncio
import socket
import threading
from pathlib import Path

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from polyclip.search.server.collections import make_collection
from polyclip.search.server.policy import Hosts
from polyclip.search.server.routes import build_application
from speed._load_clients import Outcome, be_slow, plan_load, send_plan
from speed._load_requests import Kind, list_bad, list_valid, write_head
from tests.search.server.small import LetterModel, SmallIndex, make_catalog, serve_locally

ROWS = 9


def load(port: int, bad: list[Kind], rate: int, seconds: float) -> Outcome:
    """The load, from four addresses, beside twelve slow clients."""

    async def run() -> Outcome:
        valid = list_valid(["red", "green", "blue"], "small", ROWS)
        slow = [asyncio.create_task(be_slow(port, f"127.0.1.{way + 1}", way)) for way in (0, 1, 2, 3) * 3]
        plan = plan_load([f"127.0.0.{one}" for one in (2, 3, 4, 5)], valid, bad, rate, seconds)
        found = await asyncio.to_thread(send_plan, port, plan)
        for task in slow:
            task.cancel()
        await asyncio.gather(*slow, return_exceptions=True)
        return found

    return asyncio.run(run())


def test_a_server_under_load_answers_with_nothing_it_may_not(tmp_path: Path) -> None:
    catalog, stop, replaced = make_catalog(tmp_path), threading.Event(), []
    index, bad = SmallIndex(tmp_path), list_bad("small")
    assert len({kind.name for kind in bad}) == len(bad) >= 30

    def replace() -> None:
        while not stop.wait(0.05):
            catalog.collections["small"] = make_collection("small", index, LetterModel(), None)
            replaced.append(1)

    thread = threading.Thread(target=replace)
    thread.start()
    try:
        with serve_locally(build_application(catalog, Hosts("127.0.0.1"))) as port:
            found = load(port, bad, 60, 4)
    finally:
        stop.set()
        thread.join()
    assert found.wrong == {} and len(replaced) > 10
    assert sum(found.statuses.values()) == 240 and found.seconds and not found.statuses["500"]


def test_the_load_notices_what_should_not_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LetterModel, "embed_image", lambda *_: 1 / 0)
    with serve_locally(build_application(make_catalog(tmp_path), Hosts("127.0.0.1"))) as port:
        found = load(port, [Kind("misjudged", lambda: write_head("GET", "/nope"), (200,))], 40, 1)
    assert found.wrong["misjudged: 404"] == 20 and any(name.endswith(": 500") for name in found.wrong)


def test_the_load_counts_what_is_never_answered() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        thread = threading.Thread(target=lambda: [silent.accept()[0].close() for _ in range(2)])
        thread.start()
        plan = plan_load(["127.0.0.1"], [Kind("cut", lambda: write_head("GET", "/"), (200,))], [], 1, 1)
        found = send_plan(silent.getsockname()[1], plan * 2)
        thread.join()
    assert found.statuses == {"no answer": 2} and found.wrong == {"cut: ConnectionResetError": 2}
