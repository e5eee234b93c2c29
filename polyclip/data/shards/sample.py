"""One sample of a shard: where its picture is, and its captions by language, checked."""

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from polyclip.data.shards.schema import Stored
from polyclip.errors import AmbiguousName, DataError, UnknownName
from polyclip.languages.normalize import visible
from polyclip.languages.resolve import resolve_language

MAX_TEXT = 1_000_000  # bytes of one sample's captions
MAX_CODE = 40  # characters of a language's name
Caption = tuple[str, str]  # code, text


@dataclass(frozen=True, slots=True)
class Sample:
    """A picture's place in its shard, two numbers that its format understands or a path, and what it is called there."""

    key: str
    place: tuple[int, int]
    path: str
    data: Callable[[], bytes]  # of the picture
    captions: Callable[[], list[Caption]]  # both raise DataError where the sample is bad


def from_json(text: bytes, stored: Stored) -> list[Caption]:
    """Captions of `key.json`: "captions", by language or a list, else "caption"; "language" names the language of those without.

    Raises DataError for what is no such object.
    """
    try:
        entry = json.loads(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f".json is not JSON in UTF-8 ({str(error)[:80]})") from error
    if not isinstance(entry, dict):
        raise DataError(f".json is {str(entry)[:40]!r}, expected an object")
    spoken = entry.get("captions", entry.get("caption"))
    if isinstance(spoken, dict):
        return [found for code, texts in spoken.items() for found in in_language(str(code), texts)]
    return [] if spoken is None else in_language(str(entry.get("language") or stored.language), spoken)


def from_lines(text: bytes, code: str) -> list[Caption]:
    """Captions of `key.txt`, one a line; empty lines say nothing.

    Raises DataError for another encoding than UTF-8.
    """
    try:
        lines = text.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"captions are not UTF-8 ({error})") from error
    return in_language(code, [line.removesuffix("\r") for line in lines if line.strip()])


def in_language(code: str, texts: Any) -> list[Caption]:
    """One text, or a list of them, under the code of the language's pack, or the language's own name where no pack stands for it."""
    found = [texts] if isinstance(texts, str) else texts
    if not isinstance(found, list | tuple) or not all(isinstance(text, str) for text in found):
        raise DataError(f"captions are {str(texts)[:60]!r}, expected text or a list of text")
    return [(code_of(code), text) for text in found]


@cache
def code_of(name: str) -> str:
    """`swh_Latn` is `sw`.

    Raises DataError where there is no name.
    """
    if not name or len(name) > MAX_CODE:
        raise DataError(
            'captions name no language; say it in the pack: [shards] language = "sw"'
            if not name
            else f"{name[:40]!r}... is no language"
        )
    try:
        return resolve_language(name).code
    except (UnknownName, AmbiguousName):
        return name


def checked(captions: Iterable[Caption]) -> list[Caption]:
    """The same, each once.

    Raises DataError where there is none, and for one with nothing to see in it.
    """
    found = list(dict.fromkeys(captions))
    if not found:
        raise DataError("no caption")
    for code, text in found:
        if not visible(text):
            raise DataError(f"a caption in {code!r} has nothing to see in it: {ascii(text)[:40]}")
    return found
