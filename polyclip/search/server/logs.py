"""What the server writes about itself, through `logging`; never a query, which only the address after `?` and bodies
hold.
"""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Level = Literal["debug", "info", "warning", "error"]
FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
LOG = logging.getLogger("polyclip.search.server")
ACCESS = logging.getLogger("polyclip.search.server.access")


@contextmanager
def log_to_stderr(level: Level) -> Iterator[None]:
    """Write polyclip's loggers, and uvicorn's errors, to standard error; as before afterwards.

    Args:
        level: The least level that is written; at `debug` uvicorn's own messages are too.

    Yields:
        Nothing.

    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT))
    least = logging.getLevelNamesMapping()[level.upper()]
    # what uvicorn warns of is each request that is not HTTP
    levels = {"polyclip": least, "uvicorn": least if level == "debug" else logging.ERROR}
    before = [(logger, logger.level, logger.propagate) for logger in map(logging.getLogger, levels)]
    for logger, _, _ in before:
        logger.addHandler(handler)
        logger.setLevel(levels[logger.name])
        logger.propagate = False  # the root logger may write to the terminal too
    try:
        yield
    finally:
        for logger, was, propagated in before:
            logger.removeHandler(handler)
            logger.setLevel(was)
            logger.propagate = propagated
