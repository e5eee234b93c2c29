"""The outermost layer of the application: every request is logged and counted, and none is left without an answer."""

import time
from collections.abc import Callable

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from polyclip.search.server.errors import RequestError
from polyclip.search.server.logs import ACCESS, LOG
from polyclip.search.server.metrics import Metrics

ADDRESSES = frozenset(("/", "/enter", "/health", "/metrics", "/openapi.json", "/api/search", "/api/indexes"))
FOLDERS = ("/static/", "/small/", "/large/", "/picture/")
FAULT = (
    "Something went wrong here that is not your fault; the server's log says what. Ask again, or ask something else."
)
LONGEST = 200  # characters of an address in the log


class Observer:
    """ASGI middleware that logs and counts answers, without queries, and answers 500 where the application fails."""

    def __init__(self, app: ASGIApp, metrics: Metrics, refuse: Callable[[Request, RequestError], Response]) -> None:
        self.app, self.metrics, self.refuse = app, metrics, refuse

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request to the application."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begun, status = time.perf_counter(), 0

        async def sent(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except Exception:  # noqa: BLE001 (one request must not end the server; the log says what it was)
            LOG.exception("A request could not be answered.")
            if not status:
                await self.refuse(Request(scope, receive), RequestError(500, FAULT))(scope, receive, sent)
        finally:
            self._note(scope, status, time.perf_counter() - begun)

    def _note(self, scope: Scope, status: int, seconds: float) -> None:
        """Log and count an answer; the address is written as it was sent, up to its question mark."""
        self.metrics.observe_answer(scope["method"], name_route(scope["path"]), status, seconds)
        path = scope.get("raw_path", b"").partition(b"?")[0][:LONGEST].decode("ascii", "backslashreplace")
        facts = {"method": scope["method"], "path": path, "status": status, "milliseconds": round(1000 * seconds, 1)}
        facts["client"] = scope["client"][0] if scope.get("client") else ""
        ACCESS.info("%(client)s %(method)s %(path)s %(status)d %(milliseconds).1f ms", facts, extra=facts)


def name_route(path: str) -> str:
    """Return the pattern of an address, "other" for what is not served."""
    return path if path in ADDRESSES else next((folder for folder in FOLDERS if path.startswith(folder)), "other")
