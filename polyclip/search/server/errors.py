"""Errors that the page and its API answer instead of a result."""

from polyclip.errors import PolyclipError

# messages of static/translations by status; an error may name another one
KEYS = {
    403: "error_refused",
    404: "error_missing",
    413: "too_large",
    415: "error_image",
    421: "error_refused",
    422: "error_value",
    500: "no_answer",
    503: "no_answer",
}

API = ("/api/", "/small/", "/large/", "/health", "/metrics", "/openapi.json")  # read by programs: errors are JSON


def is_api(path: str) -> bool:
    """Whether errors of an address are answered as JSON."""
    return path.startswith(API)


class RequestError(PolyclipError):
    """A request that is answered with a message and an HTTP status from 400 to 503."""

    def __init__(self, status: int, sentence: str, *, key: str = "") -> None:
        super().__init__(sentence)
        self.status = status
        self.key = key or KEYS.get(status, "")  # of the page's message; "" where only the English sentence is shown
