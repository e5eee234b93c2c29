"""Render answers as HTML and JSON."""

from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from polyclip.data.images import MAX_PIXELS
from polyclip.languages.schema import load_languages
from polyclip.search.server.collections import Catalog, Collection
from polyclip.search.server.errors import RequestError, is_api
from polyclip.search.server.examples import mix_examples
from polyclip.search.server.query import MOST, ModelAnswer, SearchAnswer, SearchRequest
from polyclip.search.server.translations import Interface, choose_interface, load_interfaces
from polyclip.search.server.upload import FORMATS, MAX_UPLOAD

HERE = Path(__file__).parent
STATIC = HERE / "static"
GLANCE = 24  # images shown before any query
LIMITS = {  # of the placeholders in messages about errors
    "size": MAX_UPLOAD // 2**20,
    "pixels": MAX_PIXELS // 10**6,
    "formats": ", ".join(FORMATS),
}


class Views:
    """HTML pages and JSON of a catalog."""

    def __init__(self, catalog: Catalog) -> None:
        self.catalog = catalog
        self.pages = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.packs = load_languages()
        self.trained = {code for each in catalog.collections.values() for code in each.model.trained}
        self.pages.globals.update(
            catalog=catalog,
            packs=self.packs,
            own_names={pack.code: pack.own_name for pack in self.packs},
            trained=self.trained,
            mix_examples=mix_examples,
            interfaces=load_interfaces(),
            limits=LIMITS,
            max_upload=MAX_UPLOAD,
        )

    def render_page(self, request: Request, name: str, status: int = 200, **facts: Any) -> HTMLResponse:
        """Render a template in the visitor's language; browsers must not cache it, since queries are private."""
        ui = choose_interface(request)
        kept = [(key, value) for key, value in request.query_params.multi_items() if key not in ("ui", "token")]
        path = request.url.path
        own = {"ui": ui, "link": partial(build_link, ui)}
        own |= {"here": path if path.startswith("/picture/") else "/", "kept": kept if path == "/" else []}
        page = self.pages.get_template(name).render(own | facts)
        return HTMLResponse(page, status, headers={"cache-control": "no-store", "content-language": ui.code})

    def render_home(self, request: Request, asked: SearchRequest) -> Response:
        """Render the page before any query, with images from all over the index."""
        each = asked.collections[0]
        step = max(1, len(each.index) // GLANCE)
        rows = range(0, len(each.index), step)[:GLANCE]
        return self.render_page(
            request,
            "search.html",
            asked=asked,
            answer=None,
            problem=None,
            glance=[(row, each.index.paths[row]) for row in rows],
            query="",
        )

    def render_results(self, request: Request, found: SearchAnswer, preview: str = "") -> Response:
        """Render the page with an answer; `preview` is an uploaded query image as a data: URL."""
        return self.render_page(
            request,
            "search.html",
            asked=found.question,
            answer=found,
            problem=None,
            glance=[],
            query=preview,
            more=build_more_url(found.question, choose_interface(request)),
        )

    def render_problem(self, request: Request, error: RequestError) -> Response:
        """Render the search page with an error message."""
        asked = SearchRequest(
            collections=(next(iter(self.catalog.collections.values())),), text=request.query_params.get("q", "")[:1000]
        )
        return self.render_page(
            request, "search.html", error.status, asked=asked, answer=None, problem=error, glance=[], query=""
        )

    def render_refusal(self, request: Request, error: RequestError) -> Response:
        """Render an error message: as JSON for programs, else as a page of its own."""
        if is_api(request.url.path):
            return render_problem_json(error)
        return self.render_page(request, "message.html", error.status, problem=error)

    def render_image(self, request: Request, each: Collection, row: int) -> Response:
        """Render a page with one large image, for browsers without JavaScript."""
        return self.render_page(request, "picture.html", each=each, row=row, path=each.index.paths[row])

    def render_enter(self, request: Request, *, wrong: bool) -> Response:
        """Render the form that asks for the token."""
        if is_api(request.url.path):
            answer = render_problem_json(
                RequestError(401, "A token is needed: send the header 'Authorization: Bearer TOKEN'.")
            )
            answer.headers["www-authenticate"] = "Bearer"
            return answer
        return self.render_page(request, "enter.html", 401, wrong=wrong)

    def render_welcome(self, request: Request) -> Response:
        """Render a page that forwards to the search page.

        A redirect would not do: after one that began on another site, browsers withhold strict cookies.
        """
        rest = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "token"])
        return self.render_page(request, "welcome.html", target=f"/?{rest}" if rest else "/")


def render_problem_json(error: RequestError) -> Response:
    """Render an error as JSON: `{"error": message}`."""
    return JSONResponse({"error": str(error)}, error.status, headers={"cache-control": "no-store"})


def build_link(ui: Interface, path: str = "/", **fields: Any) -> str:
    """Return a URL of this server that keeps the interface language where the visitor chose it."""
    rest = urlencode(fields | ui.parameter)
    return f"{path}?{rest}" if rest else path


def build_more_url(asked: SearchRequest, ui: Interface) -> str:
    """Return the URL of the same request with more results; "" for an uploaded image, which no URL holds."""
    if asked.image is not None:
        return ""
    given = {"q": asked.text, "lang": asked.lang, "model": asked.collections[0].name, "folder": asked.folder}
    rest: dict[str, Any] = {"beside": asked.collections[1].name} if len(asked.collections) > 1 else {}
    rest |= {"least": asked.least} if asked.least > -1 else {}
    rest |= {"like": asked.like} if asked.like is not None else {}
    rest |= {} if asked.fold else {"all": 1}
    return build_link(
        ui, "/", **{name: value for name, value in given.items() if value}, **rest, top=min(2 * asked.top, MOST)
    )


def format_answer(found: SearchAnswer) -> dict[str, Any]:
    """Convert an answer to the JSON of /api/search; docs/guides/serve.md describes the keys."""
    language = found.language
    asked = found.question
    kind = "picture" if asked.image is not None else "like" if asked.like is not None else "words"
    spoken = {
        "code": language.code,
        "name": language.name,
        "direction": language.direction,
        "detected": not language.chosen,
        "sure": language.sure,
    }
    query = {"kind": kind, "text": asked.text if kind == "words" else "", "language": spoken if language.code else None}
    return {
        "query": query,
        "seconds": round(found.seconds, 4),
        "results": [format_model_answer(column) for column in found.columns],
    }


def format_model_answer(column: ModelAnswer) -> dict[str, Any]:
    """Convert one model's results to JSON."""
    each = column.collection
    hits = [
        {"row": hit.row, "path": hit.path, "similarity": round(hit.similarity, 5)}
        | {"caption": hit.caption or None, "from_caption": round(hit.from_caption, 5)}
        | {"alike": list(hit.alike)}
        | {"thumbnail": f"/small/{each.name}/{hit.row}", "picture": f"/large/{each.name}/{hit.row}"}
        for hit in column.hits
    ]
    facts: dict[str, Any] = {
        "index": each.name,
        "model": each.model.name,
        "trained": list(each.model.trained),
        "searched": len(each.index),
    }
    sure = column.confidence
    facts["confidence"] = {"confidence": round(sure.confidence, 4), "level": sure.level} if sure else None
    return facts | {"hint": column.hint, "more": column.more, "hits": hits}
