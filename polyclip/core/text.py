"""Text that may hold what cannot be written: names of files that are not UTF-8, and half a surrogate pair."""

import re

SURROGATE = re.compile("[\ud800-\udfff]")


def show_name(name: str) -> str:
    r"""A file name as text that can be printed and stored: bytes that are not UTF-8 as `\xe9`.

    Args:
        name: A name as the system gives it, with such bytes as surrogates.

    Returns:
        The same name where it is UTF-8.

    """
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace") if is_broken(name) else name
    except UnicodeEncodeError:  # surrogates that no file system made
        return SURROGATE.sub(lambda found: f"\\u{ord(found[0]):04x}", name)


def is_broken(text: str) -> bool:
    """Whether text holds half a surrogate pair, so that no file and no encoder can take it."""
    return SURROGATE.search(text) is not None
