"""Answers as pages and as JSON; nothing is decided here."""

from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response

from polyclip.languages.schema import all_languages
from polyclip.search.server.collections import Collection, Shelf
from polyclip.search.server.errors import Refused
from polyclip.search.server.examples import Example, examples
from polyclip.search.server.query import MOST, Answer, Column, Question
from polyclip.search.server.upload import MAX_UPLOAD

HERE = Path(__file__).parent
STATIC = HERE / "static"
GLANCE = 24  # pictures shown before anything is asked
TITLES = {
    401: "Token needed",
    403: "Not allowed",
    404: "Not found",
    413: "Too large",
    415: "Not a picture",
    421: "Wrong name",
    503: "Busy",
}


class Views:
    """Pages and JSON of a shelf."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf
        self.pages = Environment(
            loader=FileSystemLoader(HERE / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self.packs = all_languages()
        self.trained = {code for each in shelf.collections.values() for code in each.model.trained}
        self.examples: list[Example] = examples(
            [code for each in shelf.collections.values() for code in each.model.trained]
        )
        self.pages.globals.update(
            shelf=shelf, packs=self.packs, trained=self.trained, examples=self.examples, max_upload=MAX_UPLOAD
        )

    def page(self, name: str, status: int = 200, **facts: Any) -> HTMLResponse:
        """A template, not to be kept by browsers: what people looked for is theirs."""
        return HTMLResponse(self.pages.get_template(name).render(facts), status, headers={"cache-control": "no-store"})

    def home(self, asked: Question) -> Response:
        """The page before anything is asked, with pictures from all over the index."""
        each = asked.collections[0]
        step = max(1, len(each.index) // GLANCE)
        rows = range(0, len(each.index), step)[:GLANCE]
        return self.page(
            "search.html",
            asked=asked,
            answer=None,
            problem="",
            glance=[(row, each.index.paths[row]) for row in rows],
            query="",
        )

    def results(self, found: Answer, preview: str = "") -> Response:
        """The page with an answer; `preview` is the picture that was sent, as a data: URL."""
        return self.page(
            "search.html",
            asked=found.question,
            answer=found,
            problem="",
            glance=[],
            query=preview,
            more=more(found.question),
        )

    def problem(self, request: Request, error: Refused) -> Response:
        """The search page with a sentence instead of an answer."""
        asked = Question(
            collections=(next(iter(self.shelf.collections.values())),), text=request.query_params.get("q", "")[:1000]
        )
        return self.page("search.html", error.status, asked=asked, answer=None, problem=str(error), glance=[], query="")

    def refused(self, request: Request, error: Refused) -> Response:
        """A sentence: as JSON below /api, else as a page of its own."""
        if request.url.path.startswith("/api/"):
            return problem_json(error)
        return self.page(
            "message.html", error.status, title=TITLES.get(error.status, "That did not work"), sentence=str(error)
        )

    def picture(self, each: Collection, row: int) -> Response:
        """One picture, large, on a page of its own: what a browser without JavaScript opens."""
        return self.page("picture.html", each=each, row=row, path=each.index.paths[row])

    def enter(self, request: Request, wrong: str) -> Response:
        """What asks for the token."""
        if request.url.path.startswith("/api/"):
            answer = problem_json(Refused(401, "A token is needed: send the header 'Authorization: Bearer TOKEN'."))
            answer.headers["www-authenticate"] = "Bearer"
            return answer
        return self.page("enter.html", 401, wrong=wrong)

    def welcome(self, request: Request) -> Response:
        """Leads to the page itself. No redirect: after one that began on another site, browsers keep back cookies of the strict kind."""
        rest = urlencode([(name, value) for name, value in request.query_params.multi_items() if name != "token"])
        return self.page("welcome.html", target=f"/?{rest}" if rest else "/")


def problem_json(error: Refused) -> Response:
    """`{"error": sentence}`."""
    return JSONResponse({"error": str(error)}, error.status, headers={"cache-control": "no-store"})


def more(asked: Question) -> str:
    """The address of the same question with more pictures; empty for a picture that was sent, which no address holds."""
    if asked.picture is not None:
        return ""
    given = {"q": asked.text, "lang": asked.lang, "model": asked.collections[0].name, "folder": asked.folder}
    rest: dict[str, Any] = {"beside": asked.collections[1].name} if len(asked.collections) > 1 else {}
    rest |= {"least": asked.least} if asked.least > -1 else {}
    rest |= {"like": asked.like} if asked.like is not None else {}
    return "/?" + urlencode(
        {name: value for name, value in given.items() if value} | rest | {"top": min(2 * asked.top, MOST)}
    )


def as_json(found: Answer) -> dict[str, Any]:
    """What /api/search answers; docs/serve.md says what each key is."""
    language = found.language
    asked = found.question
    kind = "picture" if asked.picture is not None else "like" if asked.like is not None else "words"
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
        "results": [column_json(column) for column in found.columns],
    }


def column_json(column: Column) -> dict[str, Any]:
    """One model's answer."""
    each = column.collection
    hits = [
        {"row": hit.row, "path": hit.path, "similarity": round(hit.similarity, 5)}
        | {"thumbnail": f"/small/{each.name}/{hit.row}", "picture": f"/large/{each.name}/{hit.row}"}
        for hit in column.hits
    ]
    facts = {
        "index": each.name,
        "model": each.model.name,
        "trained": list(each.model.trained),
        "searched": len(each.index),
    }
    return facts | {"hint": column.hint, "more": column.more, "hits": hits}
