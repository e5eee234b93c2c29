"""A budget of time: how it is written, and how much of it is left."""

import re
import time
from dataclasses import dataclass, field

from polyclip.errors import PolyclipError

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}
DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smh]?)")


@dataclass(frozen=True)
class Budget:
    """Seconds that a command may take, from the moment `started` of time.monotonic() on."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    @property
    def end(self) -> float:
        """The moment of time.monotonic() when it is used up."""
        return self.started + self.seconds

    def spent(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started


def duration(text: str) -> float:
    """Seconds: of `30s`, `5m`, `1.5h` or a bare number of them.

    Raises PolyclipError for anything else, and for nothing.
    """
    found = DURATION.fullmatch(text.strip().lower())
    if found is None or float(found[1]) == 0:
        raise PolyclipError(f"The budget is {text!r}, expected a duration above zero such as 30s, 5m or 1h; a bare number is seconds.")
    return float(found[1]) * UNITS[found[2]]


def span(seconds: float) -> str:
    """`0.5 s`, `48 s`, `4 min 20 s`, `1 h 5 min`."""
    if 0 < seconds < 1:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"
