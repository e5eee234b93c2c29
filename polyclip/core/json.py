"""One parser of JSON for everything that is read: whatever a file holds, the error is JSONDecodeError."""

import json
from collections import Counter
from json import JSONDecodeError
from typing import Any

from polyclip.core.text import is_broken

__all__ = ["JSONDecodeError", "parse_json"]


class UnplacedJSONError(JSONDecodeError):
    """A fault of a whole document, or of a place that Python does not tell."""

    def __init__(self, what: str) -> None:
        super().__init__(what, "", 0)

    def __str__(self) -> str:
        return self.msg


def parse_json(text: str | bytes) -> Any:
    r"""Parse JSON; a byte order mark is dropped.

    Args:
        text: The document; bytes are UTF-8.

    Returns:
        Its value.

    Raises:
        JSONDecodeError: It is not JSON, is nested too deeply, has NaN, a number of over 4,300 digits, a key twice
            in one object, of which Python would keep the last, or half a
            surrogate pair such as `\ud83d`, which no file and no encoder can take.
        UnicodeDecodeError: The bytes are not UTF-8.

    """
    source = text.decode("utf-8-sig") if isinstance(text, bytes) else text.removeprefix("\ufeff")
    try:
        found = json.loads(source, parse_constant=refuse, object_pairs_hook=make_object)
    except JSONDecodeError:
        raise
    except RecursionError as error:
        raise UnplacedJSONError("nested too deeply") from error
    except ValueError as error:  # a number of over 4,300 digits, or none
        raise UnplacedJSONError(str(error).partition(";")[0]) from error
    if "\\ud" in source or "\\uD" in source or is_broken(source):
        place = find_surrogate(found)
        if place:
            raise UnplacedJSONError(f"half a surrogate pair in {place}")
    return found


def refuse(name: str) -> None:
    """Refuse NaN, Infinity and -Infinity, which Python reads and JSON does not have."""
    raise ValueError(f"{name} is no number")


def make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Make an object of its keys and values.

    Raises:
        ValueError: A key stands twice: one of its values would be lost.

    """
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"the key {ascii(twice)[:60]} stands twice in one object")
    return found


def find_surrogate(found: Any) -> str:
    """The value that holds half a surrogate pair, in ASCII and shortened; empty for none."""
    waiting = [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str) and is_broken(value):
            return ascii(value)[:60]
        waiting += [*value, *value.values()] if isinstance(value, dict) else value if isinstance(value, list) else []
    return ""
