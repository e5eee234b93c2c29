"""What surrounds a command and may be in its way: arguments that are no text, and memory that is missing."""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from polyclip.core.text import is_broken, show_name
from polyclip.errors import PolyclipError

NO_MEMORY = ("allocate memory", "out of memory", "not enough memory")  # what torch says, on a CPU and on a GPU
BYTES = re.compile(r"allocate (\d+) bytes")


@contextmanager
def explain_memory() -> Iterator[None]:
    """Turn what Python, torch and pyarrow raise where memory is missing into one sentence.

    Raises:
        PolyclipError: There is not enough memory.

    """
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        text = str(error)
        if not (isinstance(error, MemoryError) or any(said in text for said in NO_MEMORY)):
            raise
        size = BYTES.search(text)
        raise PolyclipError(
            f"There is not enough memory{f' for {int(size[1]):,} bytes' if size else ''}: give smaller numbers "
            "(--batch-size or --micro-batch, --head-dim, --top) or fewer images, or close other programs."
        ) from error


def check_text() -> None:
    """Check that the arguments and the current folder are UTF-8: the files that name them can hold nothing else.

    Raises:
        PolyclipError: One is not; it is shown with its bytes.

    """
    given = [("The argument", each) for each in sys.argv[1:]]
    with suppress(OSError):  # a folder that is gone
        given.append(("The current folder", str(Path.cwd())))
    for what, text in given:
        if is_broken(text):
            raise PolyclipError(
                f"{what} {show_name(text)} is not UTF-8, which names of folders and files have to be: rename it (a "
                "program such as convmv renames all of a folder)."
            )
