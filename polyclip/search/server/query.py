"""From the fields of a request to an answer: which pictures, how similar, in which language the question was."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from polyclip.data.images import open_picture
from polyclip.languages.normalize import visible
from polyclip.search.server.collections import Collection, Shelf
from polyclip.search.server.errors import Refused
from polyclip.search.server.language import Spoken, hint, spoken
from polyclip.search.server.thumbnails import file_of

LONGEST = 1000  # characters of a query
TOP, MOST = 48, 480  # pictures a page, and at most
WIDEN = 8  # how many times as many pictures are looked at where a filter leaves too few


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """What was asked: words, or a picture, or a picture of the index by its row; and what the answer may hold."""

    collections: tuple[Collection, ...]  # one, or two side by side
    text: str = ""
    picture: Image.Image | None = None
    like: int | None = None  # row in the first collection
    lang: str = ""  # as typed; empty: to be detected
    folder: str = ""
    least: float = -1.0  # similarity
    top: int = TOP

    @property
    def empty(self) -> bool:
        """Whether nothing was asked."""
        return self.picture is None and self.like is None and not visible(self.text)


@dataclass(frozen=True)
class Found:
    """A picture of the answer; `similarity` is a cosine in [-1, 1]."""

    row: int
    path: str  # from the index' root
    similarity: float


@dataclass(frozen=True, eq=False)
class Column:
    """What one model found, whether there is more, and what to expect of it in this language."""

    collection: Collection
    hits: list[Found]
    more: bool
    hint: str


@dataclass(frozen=True, eq=False)
class Answer:
    """One column for each model that was asked. `language` is that of words, empty for pictures; `seconds` without waiting in line."""

    question: Question
    language: Spoken
    columns: list[Column]
    seconds: float


def question(shelf: Shelf, fields: Mapping[str, str], picture: Image.Image | None = None) -> Question:
    """Read q, lang, model, beside, like, folder, least and top.

    Raises Refused (422) for a value that cannot be one, (404) for a model or picture that is not there.
    """
    names = [fields.get("model") or next(iter(shelf.collections)), fields.get("beside", "")]
    chosen = tuple(collection(shelf, name) for name in dict.fromkeys(names) if name)
    text, folder = fields.get("q", ""), fields.get("folder", "").strip("/")
    if len(text) > LONGEST:
        raise Refused(422, f"The query has {len(text):,} characters, at most {LONGEST:,} are read.")
    if folder and not any(folder in each.folders for each in chosen):
        raise Refused(422, f"No folder {folder!r} in this collection; leave the filter out to search everywhere.")
    like = int(number("like", fields["like"], 0.0, float(len(chosen[0].index) - 1))) if fields.get("like") else None
    least = number("least", fields.get("least") or "-1", -1.0, 1.0)
    top = int(number("top", fields.get("top") or str(TOP), 1.0, float(MOST)))
    lang = fields.get("lang", "").strip()
    return Question(
        collections=chosen, text=text, picture=picture, like=like, lang=lang, folder=folder, least=least, top=top
    )


def collection(shelf: Shelf, name: str) -> Collection:
    """The collection of that name. Raises Refused (404)."""
    if name not in shelf.collections:
        raise Refused(404, f"No index is called {name!r} here; there are {', '.join(shelf.collections)}.")
    return shelf.collections[name]


def number(name: str, text: str, low: float, high: float) -> float:
    """A number in bounds. Raises Refused (422)."""
    try:
        value = float(text) if len(text) < 20 else float("nan")
    except ValueError:
        value = float("nan")
    if not low <= value <= high:
        raise Refused(422, f"{name} is {text[:20]!r}, expected a number from {low:g} to {high:g}.")
    return value


def answer(asked: Question) -> Answer:
    """Search. One thread at a time: models are not for two.

    Raises Refused (422) where nothing was asked or the language has no pack, (404) for a picture of the index that is gone.
    """
    if asked.empty:
        raise Refused(422, "Nothing to search for: give words (q) or a picture.")
    begun = time.perf_counter()
    words = asked.picture is None and asked.like is None
    trained = {code for each in asked.collections for code in each.model.trained}
    language = spoken(asked.text, asked.lang, trained) if words else Spoken()
    image = asked.picture
    if asked.like is not None:
        image = open_picture(file_of(asked.collections[0].index, asked.like))
    columns = []
    for each in asked.collections:
        vector = each.model.text(asked.text, language.code) if image is None else each.model.picture(image)
        hits = matching(each, vector, asked)
        columns.append(
            Column(
                each,
                hits[: asked.top],
                len(hits) > asked.top < MOST,
                hint(language, each.model.trained) if words else "",
            )
        )
    return Answer(asked, language, columns, time.perf_counter() - begun)


def matching(each: Collection, vector: Float[Tensor, "1 dim"], asked: Question) -> list[Found]:
    """The best pictures that the filters let through, best first, one more than asked for where there are as many.

    The index knows nothing of filters: more and more of it is looked at until enough is left.
    """
    reach, whole = asked.top + 2, len(each.index)
    while True:
        hits = each.index.search(vector, min(reach, whole))[0]
        rows = [(each.row(hit), hit.similarity) for hit in hits if hit.similarity >= asked.least]
        found = [Found(row, each.index.paths[row], value) for row, value in rows if passes(each, row, asked)]
        if len(found) > asked.top or reach >= whole or len(rows) < len(hits):
            return found[: asked.top + 1]
        reach *= WIDEN


def passes(each: Collection, row: int, asked: Question) -> bool:
    """Whether a picture is in the folder asked for, and not the one that others are to be like."""
    if each is asked.collections[0] and row == asked.like:
        return False
    return not asked.folder or PurePosixPath(each.index.paths[row]).is_relative_to(asked.folder)
