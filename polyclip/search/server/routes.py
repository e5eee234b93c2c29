"""Routes of the page and of its API."""

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
from polyclip.search.server.collections import Catalog
from polyclip.search.server.errors import RequestError
from polyclip.search.server.policy import HEADERS, Hosts, Token, add_headers
from polyclip.search.server.query import SearchAnswer, SearchRequest, answer_request, find_collection, parse_request
from polyclip.search.server.render import STATIC, Views, format_answer
from polyclip.search.server.upload import decode_upload, read_form

LINE = 32  # requests that may wait; further ones are refused
PREVIEW = 256  # pixels of the preview of an uploaded image
# kept by the browser, but asked for by its ETag: a row of another index may come to stand at the same address
FRESH = "private, no-cache"


class Endpoints:
    """Request handlers. Models answer one request at a time in a thread, images are encoded in others; the event loop
    stays free.
    """

    def __init__(self, catalog: Catalog) -> None:
        self.catalog, self.views = catalog, Views(catalog)
        self.model_limiter = anyio.CapacityLimiter(1)
        self.image_limiter = anyio.CapacityLimiter(min(4, os.cpu_count() or 1))

    async def get_page(self, request: Request) -> Response:
        """GET and POST /: the page, with results where there is a query."""
        try:
            asked, sent = await self.read_request(request)
            if asked.is_empty:
                return self.views.render_home(request, asked)
            found = await self.answer_request_in_turn(asked)
        except RequestError as error:
            return self.views.render_problem(request, error)
        return self.views.render_results(request, found, encode_preview(sent) if sent is not None else "")

    async def get_api(self, request: Request) -> Response:
        """GET and POST /api/search: results as JSON."""
        asked, _ = await self.read_request(request)
        return JSONResponse(
            format_answer(await self.answer_request_in_turn(asked)), headers={"cache-control": "no-store"}
        )

    async def get_indexes(self, request: Request) -> Response:
        """GET /api/indexes: the collections as JSON."""
        found = [
            {
                "index": each.name,
                "model": each.model.name,
                "trained": list(each.model.trained),
                "pictures": len(each.index),
                "folders": each.folders,
            }
            for each in self.catalog.collections.values()
        ]
        return JSONResponse({"indexes": found})

    async def get_view(self, request: Request) -> Response:
        """GET /picture/INDEX/ROW: a page with one image."""
        each = find_collection(self.catalog, request.path_params["name"])
        thumbnails.find_image_file(each.index, request.path_params["row"])
        return self.views.render_image(request, each, request.path_params["row"])

    async def get_small(self, request: Request) -> Response:
        """GET /small/INDEX/ROW: at most 320 pixels a side."""
        return await self.send_image(request, thumbnails.SMALL, thumbnails.encode_small)

    async def get_large(self, request: Request) -> Response:
        """GET /large/INDEX/ROW: at most 1,600 pixels a side."""
        return await self.send_image(request, thumbnails.LARGE, thumbnails.encode_large)

    async def send_image(self, request: Request, edge: int, draw: Callable[..., bytes]) -> Response:
        """Send an image as WebP, or 304 where the browser has it."""
        each = find_collection(self.catalog, request.path_params["name"])
        path = thumbnails.find_image_file(each.index, request.path_params["row"])
        tag = f'"{thumbnails.compute_etag(path, edge)}"'
        headers = {"etag": tag, "cache-control": FRESH}
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304, headers=headers)
        return Response(
            await anyio.to_thread.run_sync(draw, path, limiter=self.image_limiter),
            media_type="image/webp",
            headers=headers,
        )

    async def read_request(self, request: Request) -> tuple[SearchRequest, Image.Image | None]:
        """Parse a request and the image uploaded with it.

        Raises:
            RequestError: The request or the image is invalid.

        """
        if request.method != "POST":
            return parse_request(self.catalog, dict(request.query_params)), None
        form = await read_form(request)
        sent = form.get("picture")
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        if not isinstance(sent, UploadFile) or not sent.filename:
            return parse_request(self.catalog, fields), None
        data = await sent.read()
        await form.close()
        image = await anyio.to_thread.run_sync(decode_upload, data, limiter=self.image_limiter)
        return parse_request(self.catalog, fields, image), image

    async def answer_request_in_turn(self, asked: SearchRequest) -> SearchAnswer:
        """Answer a request once earlier ones are done.

        Raises:
            RequestError: (503) The queue is full.

        """
        if self.model_limiter.statistics().tasks_waiting >= LINE:
            raise RequestError(503, f"{LINE} questions are waiting already; ask again in a moment.")
        return await anyio.to_thread.run_sync(answer_request, asked, limiter=self.model_limiter)

    async def refuse(self, request: Request, error: Exception) -> Response:
        """Answer every error with one sentence; unexpected ones are logged, and the server keeps running."""
        if isinstance(error, HTTPException):
            error = RequestError(
                error.status_code, f"{error.detail}." if error.status_code != 404 else "There is no such page here."
            )
        if not isinstance(error, RequestError):
            error = RequestError(
                500,
                "Something went wrong here that is not your fault; the server's log says what. Ask again, or ask "
                "something else.",
            )
        return self.views.render_refusal(request, error)


def encode_preview(image: Image.Image) -> str:
    """Encode a small version of an uploaded image as a data: URL."""
    little, buffer = image.copy(), io.BytesIO()
    little.thumbnail((PREVIEW, PREVIEW))
    little.save(buffer, "WEBP", quality=thumbnails.QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def build_application(catalog: Catalog, hosts: Hosts, token: Token | None = None) -> ASGIApp:
    """Build the ASGI application: pages, images and API behind the access rules.

    Args:
        catalog: The collections served.
        hosts: Host names that the server answers to.
        token: The token that visitors need; None for none.

    Returns:
        An ASGI application.

    """
    endpoints = Endpoints(catalog)
    refuse: Callable[[Request, Exception], Awaitable[Response]] = endpoints.refuse
    rows: dict[str, Any] = {
        "/picture": endpoints.get_view,
        "/small": endpoints.get_small,
        "/large": endpoints.get_large,
    }
    routes = [
        Route("/", endpoints.get_page, methods=["GET", "POST"]),
        Route("/api/search", endpoints.get_api, methods=["GET", "POST"]),
        Route("/api/indexes", endpoints.get_indexes),
        *(Route(f"{path}/{{name:str}}/{{row:int}}", endpoint) for path, endpoint in rows.items()),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    app = Starlette(routes=routes, exception_handlers={RequestError: refuse, HTTPException: refuse, Exception: refuse})
    return add_headers(Gate(app, endpoints.views, hosts, token), HEADERS)
