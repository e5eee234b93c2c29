"""One sample of a shard: where its image is, and its captions by language, checked."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from polyclip.core.json import parse_json
from polyclip.data.caption_lines import resolve_codes
from polyclip.data.shards.schema import ShardOptions
from polyclip.errors import AmbiguousName, DataError, UnknownName
from polyclip.languages.normalize import is_visible
from polyclip.languages.resolve import resolve_language

MAX_TEXT = 1_000_000  # bytes of one sample's captions
MAX_CODE = 40  # characters of a language's name
Caption = tuple[str, str]  # code, text


@dataclass(frozen=True, slots=True)
class Sample:
    """A sample: its key in the shard, and the place of its image (two numbers of the format, or a path)."""

    key: str
    place: tuple[int, int]
    path: str
    data: Callable[[], bytes]  # of the image
    captions: Callable[[], list[Caption]]  # both raise DataError where the sample is bad


def parse_json_captions(text: bytes, stored: ShardOptions) -> list[Caption]:
    """Parse the captions of `key.json`: "captions", by language or a list, else "caption".

    "language" names the language of captions without one.

    Raises:
        DataError: The text is not such an object.

    """
    try:
        entry = parse_json(text.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise DataError(f".json is not JSON in UTF-8 ({str(error)[:80]})") from error
    if not isinstance(entry, dict):
        raise DataError(f".json is {str(entry)[:40]!r}, expected an object")
    spoken = entry.get("captions", entry.get("caption"))
    if isinstance(spoken, dict):
        return tag_languages(spoken)
    return [] if spoken is None else tag_language(str(entry.get("language") or stored.language), spoken)


def parse_lines(text: bytes, code: str) -> list[Caption]:
    """Parse the captions of `key.txt`, one a line; empty lines are skipped.

    Raises:
        DataError: The text is not UTF-8.

    """
    try:
        lines = text.decode("utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise DataError(f"captions are not UTF-8 ({error})") from error
    return tag_language(code, [line.removesuffix("\r") for line in lines if line.strip()])


def tag_language(code: str, texts: Any) -> list[Caption]:
    """Pair texts with the code of the language's pack, or with the language's own name where it has none.

    Raises:
        DataError: The captions are not text, or name no language.

    """
    found = [texts] if isinstance(texts, str) else texts
    if not isinstance(found, list | tuple) or not all(isinstance(text, str) for text in found):
        raise DataError(f"captions are {str(texts)[:60]!r}, expected text or a list of text")
    return [(resolve_code(code), text) for text in found]


def tag_languages(captions: Mapping[Any, Any]) -> list[Caption]:
    """Pair texts by language with the codes of the packs; empty ones are skipped.

    Raises:
        DataError: The captions are not text, or two names stand for the same language.

    """
    spoken = {str(code): texts for code, texts in captions.items() if texts not in (None, "", [])}
    found = [found for code, texts in spoken.items() for found in tag_language(code, texts)]
    resolve_codes(spoken)
    return found


@cache
def resolve_code(name: str) -> str:
    """Resolve a language's name to the code of its pack, as `swh_Latn` to `sw`; a name without a pack stays.

    Raises:
        DataError: The name is empty or too long.

    """
    if not name or len(name) > MAX_CODE:
        raise DataError(
            'captions name no language; say it in the pack: [shards] language = "sw"'
            if not name
            else f"{name[:40]!r}... is not a language"
        )
    try:
        return resolve_language(name).code
    except (UnknownName, AmbiguousName):
        return name


def check_sample_captions(captions: Iterable[Caption]) -> list[Caption]:
    """Check captions and drop repeated ones.

    Raises:
        DataError: There is no caption, or one has no visible character.

    """
    found = list(dict.fromkeys(captions))
    if not found:
        raise DataError("no caption")
    for code, text in found:
        if not is_visible(text):
            raise DataError(f"a caption in {code!r} contains only invisible characters: {ascii(text)[:40]}")
    return found
