"""The queue before the models: what waits together is encoded together."""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

import anyio

from polyclip.search.server.collections import ServedModel
from polyclip.search.server.errors import RequestError
from polyclip.search.server.language import DetectedLanguage
from polyclip.search.server.query import SearchAnswer, SearchRequest, answer_request, detect_request_language

P = ParamSpec("P")
T = TypeVar("T")
LOG = logging.getLogger(__name__)
LINE = 256  # requests that may wait; further ones are refused
LONGEST = 3.0  # seconds that a request may have to wait behind a whole batch; it can be asked again later
BATCH = 64  # requests answered in one go


class WaitingLine:
    """Answers requests in turn, with one thread; requests that wait meanwhile are taken together."""

    def __init__(self) -> None:
        self._limiter = anyio.CapacityLimiter(1)
        self._waiting: deque[tuple[SearchRequest, asyncio.Future[SearchAnswer]]] = deque()
        self._working: asyncio.Task[None] | None = None
        self._pace = 0.0  # seconds for each request of the last batches

    def __len__(self) -> int:
        return len(self._waiting)

    def check_room(self) -> None:
        """Check that another request may wait: before its body is read.

        Raises:
            RequestError: (503) The queue is full or too slow.

        """
        waiting = len(self._waiting)
        if waiting >= LINE or (waiting >= BATCH and waiting * self._pace > LONGEST):
            raise RequestError(503, f"{waiting} questions are waiting already; ask again in a moment.")

    async def ask(self, asked: SearchRequest) -> SearchAnswer:
        """Answer a request once earlier ones are done.

        Raises:
            RequestError: (503) The queue is full or too slow; or the request has no answer.

        """
        self.check_room()
        answer: asyncio.Future[SearchAnswer] = asyncio.get_running_loop().create_future()
        self._waiting.append((asked, answer))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work())
        return await answer

    async def _work(self) -> None:
        while self._waiting:
            taken = [self._waiting.popleft() for _ in range(min(BATCH, len(self._waiting)))]
            wanted = [(asked, answer) for asked, answer in taken if not answer.done()]  # others have hung up
            begun = time.monotonic()
            found = await anyio.to_thread.run_sync(
                answer_together, [asked for asked, _ in wanted], limiter=self._limiter
            )
            self._pace = (self._pace + (time.monotonic() - begun) / len(taken)) / 2
            for (_, answer), one in zip(wanted, found, strict=True):
                if answer.done():
                    continue
                if isinstance(one, Exception):
                    answer.set_exception(one)
                else:
                    answer.set_result(one)


def answer_together(asked: Sequence[SearchRequest]) -> list[SearchAnswer | Exception]:
    """Answer several requests, whose texts are encoded in one batch; what one of them raises is its own answer."""
    spoken = [attempt(detect_request_language, one) for one in asked]
    try:
        embed_together(asked, spoken)
    except Exception:  # one text that breaks the encoder must not leave the others without an answer
        LOG.exception("%d texts could not be encoded together; each is encoded alone", len(asked))
    return [
        language if isinstance(language, Exception) else attempt(answer_request, one, language)
        for one, language in zip(asked, spoken, strict=True)
    ]


def attempt(do: Callable[P, T], *given: P.args, **more: P.kwargs) -> T | Exception:
    """Return what a function returns or raises: said to this visitor where it is awaited, and to no other."""
    try:
        return do(*given, **more)
    except Exception as error:  # noqa: BLE001 (raised where it is awaited)
        return error


def embed_together(asked: Sequence[SearchRequest], spoken: Sequence[DetectedLanguage | Exception]) -> None:
    """Encode the texts of several requests, so that each finds its own ready; what cannot be encoded is left out."""
    wanted: dict[ServedModel, list[tuple[str, str]]] = {}
    for one, language in zip(asked, spoken, strict=True):
        if one.has_words and isinstance(language, DetectedLanguage):
            for each in one.collections:
                wanted.setdefault(each.model, []).append((one.text, language.code))
    for model, texts in wanted.items():
        model.remember_texts(texts)
