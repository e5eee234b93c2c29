"""Errors that the page and its API answer instead of a result."""

from polyclip.errors import PolyclipError


class RequestError(PolyclipError):
    """A request that is answered with a message and an HTTP status from 400 to 503."""

    def __init__(self, status: int, sentence: str) -> None:
        super().__init__(sentence)
        self.status = status
