"""Routes of the page and of its API."""

import base64
import io
import os
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import anyio
from PIL import Image
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp

from polyclip.search.server import thumbnails
from polyclip.search.server.auth import HEALTH, Gate
from polyclip.search.server.body import MEDIA, read_json
from polyclip.search.server.collections import Catalog, Collection
from polyclip.search.server.errors import RequestError
from polyclip.search.server.metrics import Metrics
from polyclip.search.server.observer import FAULT, Observer
from polyclip.search.server.openapi import describe_api
from polyclip.search.server.policy import HEADERS, Hosts, Token, add_headers
from polyclip.search.server.query import SearchRequest, find_collection, parse_request
from polyclip.search.server.render import STATIC, Views, format_answer
from polyclip.search.server.static_files import StaticFiles
from polyclip.search.server.upload import decode_upload, read_form
from polyclip.search.server.waiting import WaitingLine

CORS_AGE = 600  # seconds that a browser keeps what another site may ask
DIGITS = 12  # of a row's number, fewer
PREVIEW = 256  # pixels of the preview of an uploaded image
# kept by the browser, but asked for by its ETag: a row of another index may come to stand at the same address
FRESH = "private, no-cache"


class Endpoints:
    """Request handlers. Models answer in one thread, images are encoded in others; the event loop stays free."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog, self.views = catalog, Views(catalog)
        self.line = WaitingLine()
        self.metrics = Metrics(lambda: len(self.line))
        self.image_limiter = anyio.CapacityLimiter(min(4, os.cpu_count() or 1))

    async def get_page(self, request: Request) -> Response:
        """GET and POST /: the page, with results where there is a query."""
        try:
            asked, sent = await self.read_request(request)
            if asked.is_empty:
                return self.views.render_home(request, asked)
            found = await self.line.ask(asked)
        except RequestError as error:
            return self.views.render_problem(request, error)
        return self.views.render_results(request, found, encode_preview(sent) if sent is not None else "")

    async def get_api(self, request: Request) -> Response:
        """GET and POST /api/search: results as JSON."""
        asked, _ = await self.read_request(request)
        return JSONResponse(format_answer(await self.line.ask(asked)), headers={"cache-control": "no-store"})

    async def get_health(self, request: Request) -> Response:
        """GET /health: that the server answers, without a token and without names, for a container's health check."""
        pictures = sum(len(each.index) for each in self.catalog.collections.values())
        found = {"status": "ready", "indexes": len(self.catalog.collections), "pictures": pictures}
        return JSONResponse(found | {"waiting": len(self.line)}, headers={"cache-control": "no-store"})

    async def get_metrics(self, request: Request) -> Response:
        """GET /metrics: counts in Prometheus' text format."""
        return PlainTextResponse(self.metrics.format_text(), headers={"cache-control": "no-store"})

    async def get_description(self, request: Request) -> Response:
        """GET /openapi.json: the description of the API."""
        return JSONResponse(describe_api(thumbnails.SMALL, thumbnails.LARGE))

    async def get_indexes(self, request: Request) -> Response:
        """GET /api/indexes: the collections as JSON."""
        await self.catalog.refresh()
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
        each, row = self.find_row(request)
        thumbnails.find_image_file(each.index, row)
        return self.views.render_image(request, each, row)

    def find_row(self, request: Request) -> tuple[Collection, int]:
        """The collection and the row that a path names.

        Raises:
            RequestError: (404) There is no such collection, or the row is no number.

        """
        row = request.path_params["row"]
        if not (row.isascii() and row.isdecimal() and len(row) < DIGITS):
            raise RequestError(404, "There is no such page here.")
        return find_collection(self.catalog, request.path_params["name"]), int(row)

    async def get_small(self, request: Request) -> Response:
        """GET /small/INDEX/ROW: at most 320 pixels a side."""
        return await self.send_image(request, thumbnails.SMALL, thumbnails.encode_small)

    async def get_large(self, request: Request) -> Response:
        """GET /large/INDEX/ROW: at most 1,600 pixels a side."""
        return await self.send_image(request, thumbnails.LARGE, thumbnails.encode_large)

    async def send_image(self, request: Request, edge: int, draw: Callable[..., bytes]) -> Response:
        """Send an image as WebP, or 304 where the browser has it."""
        each, row = self.find_row(request)
        path = thumbnails.find_image_file(each.index, row)
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
        await self.catalog.refresh()
        if request.method != "POST":
            return parse_request(self.catalog, dict(request.query_params)), None
        self.line.check_room()
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() == MEDIA:
            return parse_request(self.catalog, await read_json(request)), None
        form = await read_form(request)
        sent = form.get("picture")
        fields = {name: value for name, value in form.items() if isinstance(value, str)}
        if not isinstance(sent, UploadFile) or not sent.filename:
            return parse_request(self.catalog, fields), None
        data = await sent.read()
        await form.close()
        image = await anyio.to_thread.run_sync(decode_upload, data, limiter=self.image_limiter)
        return parse_request(self.catalog, fields, image), image

    async def refuse(self, request: Request, error: Exception) -> Response:
        """Answer an error with one sentence."""
        if isinstance(error, HTTPException):
            error = RequestError(
                error.status_code, f"{error.detail}." if error.status_code != 404 else "There is no such page here."
            )
        if isinstance(error, ClientDisconnect):
            error = RequestError(400, "The connection ended before the request had arrived.")
        if not isinstance(error, RequestError):
            error = RequestError(500, FAULT)
        return self.views.render_refusal(request, error)


def encode_preview(image: Image.Image) -> str:
    """Encode a small version of an uploaded image as a data: URL."""
    little, buffer = image.copy(), io.BytesIO()
    little.thumbnail((PREVIEW, PREVIEW))
    little.save(buffer, "WEBP", quality=thumbnails.QUALITY)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"


def build_application(
    catalog: Catalog, hosts: Hosts, token: Token | None = None, origins: Sequence[str] = ()
) -> ASGIApp:
    """Build the ASGI application: pages, images and API behind the access rules.

    Args:
        catalog: The collections served.
        hosts: Host names that the server answers to.
        token: The token that visitors need; None for none.
        origins: Other sites whose pages may ask; they send the token, never a cookie.

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
        Route(HEALTH, endpoints.get_health),
        Route("/metrics", endpoints.get_metrics),
        Route("/openapi.json", endpoints.get_description),
        *(Route(f"{path}/{{name:str}}/{{row:str}}", endpoint) for path, endpoint in rows.items()),
        Route("/static/{path:path}", StaticFiles(STATIC).get_file),
    ]
    handled = (RequestError, HTTPException, ClientDisconnect, Exception)
    app: ASGIApp = Starlette(routes=routes, exception_handlers=dict.fromkeys(handled, refuse))
    app = Gate(app, endpoints.views, hosts, token, origins)
    if origins:
        app = CORSMiddleware(
            app,
            origins,
            ["GET", "POST"],
            ["authorization", "content-type"],
            expose_headers=["retry-after"],
            max_age=CORS_AGE,
        )
    return add_headers(Observer(app, endpoints.metrics, endpoints.views.render_refusal), HEADERS)
