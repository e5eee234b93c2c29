"""The addresses of the page and of its API, and what is done at each."""

import base64
import io
import os
from collections.abc import Awaitable, Callable
from typing import Any

import anyio
from PIL import Image
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from polyclip.search.server import thumbnails
from polyclip.search.server.auth import Gate
from polyclip.search.server.collections import Shelf
from polyclip.search.server.errors import Refused
from polyclip.search.server.policy import HEADERS, Hosts, Token, secured
from polyclip.search.server.query import Answer, Question, answer, collection, question
from polyclip.search.server.render import STATIC, Views, as_json
from polyclip.search.server.upload import form_of, picture_of

LINE = 32  # questions that may wait; the next is told to come back
PREVIEW = 256  # pixels of the picture that was sent
FRESH = "private, no-cache"  # kept by the browser, but asked for by its ETag: a row of another index may come to stand at the same address


class Site:
    """Endpoints. Models answer one at a time and in a thread, so that the event loop stays free; pictures are drawn in others."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf, self.views = shelf, Views(shelf)
        self.desk = anyio.CapacityLimiter(1)
        self.easel = anyio.CapacityLimiter(min(4, os.cpu_count() or 1))

    async def page(self, request: Request) -> Response:
        """GET and POST /: the page, with an answer where something was asked."""
        try:
            asked, sent = await self.read(request)
            if asked.empty:
                return self.views.home(asked)
            found = await self.ask(asked)
        except Refused as error:
            return self.views.problem(request, error)
        return self.views.results(found, preview(sent) if sent is not None else "")

    async def api(self, request: Request) -> Response:
        """GET and POST /api/search."""
        asked, _ = await self.read(request)
        return JSONResponse(as_json(await self.ask(asked)), headers={"cache-control": "no-store"})

    async def indexes(self, request: Request) -> Response:
        """GET /api/indexes."""
        found = [
            {
                "index": each.name,
                "model": each.model.name,
                "trained": list(each.model.trained),
                "pictures": len(each.index),
                "folders": each.folders,
            }
            for each in self.shelf.collections.values()
        ]
        return JSONResponse({"indexes": found})

    async def view(self, request: Request) -> Response:
        """GET /picture/INDEX/ROW: a page with one picture."""
        each = collection(self.shelf, request.path_params["name"])
        thumbnails.file_of(each.index, request.path_params["row"])
        return self.views.picture(each, request.path_params["row"])

    async def small(self, request: Request) -> Response:
        """GET /small/INDEX/ROW: at most 320 pixels a side."""
        return await self.shown(request, thumbnails.SMALL, thumbnails.small)

    async def large(self, request: Request) -> Response:
        """GET /large/INDEX/ROW: at most 1,600 pixels a side."""
        return await self.shown(request, thumbnails.LARGE, thumbnails.large)

    async def shown(self, request: Request, edge: int, draw: Callable[..., bytes]) -> Response:
        """A picture as WebP, or 304 where the browser has it."""
        each = collection(self.shelf, request.path_params["name"])
        path = thumbnails.file_of(each.index, request.path_params["row"])
        tag = f'"{thumbnails.mark(path, edge)}"'
        headers = {"etag": tag, "cache-control": FRESH}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(
            await anyio.to_thread.run_sync(draw, path, limiter=self.easel), media_type="image/webp", headers=headers
        )

    async def read(self, request: Request) -> tuple[Question, Image.Image | None]:
        """The question of a request, and the picture that came with it. Raises Refused."""
        if request.method != "POST":
            return question(self.shelf, dict(request.query_params)), None
        form = await form_of(request)
        sent = form.get("picture")
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        if not isinstance(sent, UploadFile) or not sent.filename:
            return question(self.shelf, fields), None
        data = await sent.read()
        await form.close()
        picture = await anyio.to_thread.run_sync(picture_of, data, limiter=self.easel)
        return question(self.shelf, fields, picture), picture

    async def ask(self, asked: Question) -> Answer:
        """The answer, in its turn. Raises Refused (503) where the line is too long."""
        if self.desk.statistics().tasks_waiting >= LINE:
            raise Refused(503, f"{LINE} questions are waiting already; ask again in a moment.")
        return await anyio.to_thread.run_sync(answer, asked, limiter=self.desk)

    async def refuse(self, request: Request, error: Exception) -> Response:
        """One sentence for everything that went wrong; what nobody foresaw is in the log, and the server goes on."""
        if isinstance(error, HTTPException):
            error = Refused(
                error.status_code, f"{error.detail}." if error.status_code != 404 else "There is no such page here."
            )
        if not isinstance(error, Refused):
            error = Refused(
                500,
                "Something went wrong here that is not your fault; the server's log says what. Ask again, or ask something else.",
            )
        return self.views.refused(request, error)


def preview(image: Image.Image) -> str:
    """The picture that was sent, small, as a data: URL."""
    little, buffer = image.copy(), io.BytesIO()
    little.thumbnail((PREVIEW, PREVIEW))
    little.save(buffer, "WEBP", quality=thumbnails.QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def application(shelf: Shelf, hosts: Hosts, token: Token | None = None) -> ASGIApp:
    """Everything that answers over HTTP: pages, pictures and API behind the gate."""
    site = Site(shelf)
    refuse: Callable[[Request, Exception], Awaitable[Response]] = site.refuse
    rows: dict[str, Any] = {"/picture": site.view, "/small": site.small, "/large": site.large}
    routes = [
        Route("/", site.page, methods=["GET", "POST"]),
        Route("/api/search", site.api, methods=["GET", "POST"]),
        Route("/api/indexes", site.indexes),
        *(Route(f"{path}/{{name:str}}/{{row:int}}", endpoint) for path, endpoint in rows.items()),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    app = Starlette(routes=routes, exception_handlers={Refused: refuse, HTTPException: refuse, Exception: refuse})
    return secured(Gate(app, site.views, hosts, token), HEADERS)
