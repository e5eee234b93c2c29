"""Text that may hold what cannot be written: names of files that are not UTF-8, and half a surrogate pair."""

import re

from polyclip.errors import escape_unseen, shorten

SURROGATE = re.compile("[\ud800-\udfff]")
# C0 and C1 but tab and new line, which a terminal obeys, and signs that turn the direction of what follows
CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def show_name(name: str) -> str:
    r"""A file name as text that can be printed and stored: bytes that are not UTF-8 as `\xe9`, a newline as `\n`.

    Other control characters and changes of the writing direction are escaped too, so that a name looks like what it is.

    Args:
        name: A name as the system gives it, with bytes that are not UTF-8 as surrogates.

    Returns:
        The same name where it is UTF-8 without such characters.

    """
    try:
        text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") if is_broken(name) else name
    except UnicodeEncodeError:  # surrogates that no file system made
        text = name
    return escape_unseen(text)


def describe_error(error: BaseException, most: int = 160) -> str:
    """What a library's error says, on one line and shortened."""
    return shorten(escape_unseen(" ".join(str(error).split())), most)


def is_broken(text: str) -> bool:
    """Whether text holds half a surrogate pair, so that no file and no encoder can take it."""
    return SURROGATE.search(text) is not None


def escape_controls(text: str) -> str:
    r"""Text that a terminal prints and does not obey: control characters as `\x1b`, tabs and line breaks kept."""
    return CONTROL.sub(lambda found: escape_unseen(found[0]), text)


def show_line(text: str) -> str:
    r"""Text on one line: control characters, tabs and line breaks as `\n`."""
    return escape_unseen(text)
