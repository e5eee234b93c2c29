"""Access control before the pages: checks every request and asks for the token once."""

import asyncio
from collections.abc import Collection

from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from polyclip.search.server.errors import RequestError
from polyclip.search.server.policy import Hosts, Token, check_site
from polyclip.search.server.render import Views

HEALTH = "/health"
OPEN = "/static/"  # style and script of the page that asks for the token
FIELDS = 32  # in an address, at most
PATIENCE = 0.3  # seconds before a wrong token is rejected
KEPT = 30 * 24 * 3600  # seconds a browser keeps the cookie


class Gate:
    """ASGI middleware that enforces the access rules. Without a token everyone who can reach the server may search."""

    def __init__(
        self, app: ASGIApp, views: Views, hosts: Hosts, token: Token | None, origins: Collection[str] = ()
    ) -> None:
        self.app, self.views, self.hosts, self.token, self.origins = app, views, hosts, token, origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it to the application."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        crowded = scope["query_string"].count(b"&") >= FIELDS
        request = Request({**scope, "query_string": b""} if crowded else scope, receive)
        try:
            if crowded:  # reading them would take longer than a search
                raise RequestError(400, f"The address has more than {FIELDS} fields; at most that many are read.")
            self.hosts.check(request.headers.get("host", ""))
            check_site(request.headers, request.method, self.origins)
            answer = await self.check_token(request)
        except RequestError as error:
            answer = self.views.render_refusal(request, error)
        await (answer or self.app)(scope, receive, send)

    async def check_token(self, request: Request) -> Response | None:
        """Return None for an authorized request, else the token form or the page after it."""
        if (
            self.token is None
            or request.url.path.startswith(OPEN)
            or request.url.path == HEALTH
            or self.token.is_authorized(request)
        ):
            return None
        given = request.query_params.get("token", "") if request.method == "GET" else ""
        if request.method == "POST" and request.url.path == "/enter":
            given = str((await request.form(max_files=0, max_fields=2, max_part_size=2**10)).get("token", ""))
        if not given:
            return self.views.render_enter(request, wrong=False)
        if not self.token.matches(given):
            await asyncio.sleep(PATIENCE)
            return self.views.render_enter(request, wrong=True)
        welcome = self.views.render_welcome(request)
        secure = request.url.scheme == "https"
        welcome.set_cookie(
            self.token.cookie,
            self.token.session,
            max_age=KEPT,
            httponly=True,
            samesite="strict",
            secure=secure,
            path="/",
        )
        return welcome
