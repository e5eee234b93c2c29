"""Durations as people write them, such as 90m or 2h."""

import re

from polyclip.errors import PolyclipError

UNITS = {"": 1, "s": 1, "m": 60, "h": 3600}


DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*([smh]?)")


def parse_duration(text: str) -> float:
    """Parse a duration such as `30s`, `5m`, `1.5h` or a bare number of seconds.

    Args:
        text: The duration; white space and case do not matter.

    Returns:
        Seconds, > 0.

    Raises:
        PolyclipError: The text is not a duration, or is zero.

    """
    found = DURATION.fullmatch(text.strip().lower())
    if found is None or float(found[1]) == 0:
        raise PolyclipError(
            f"The budget is {text!r}, expected a duration above zero such as 30s, 5m or 1h; a bare number is seconds."
        )
    return float(found[1]) * UNITS[found[2]]


def format_duration(seconds: float) -> str:
    """Format seconds as `0.5 s`, `48 s`, `4 min 20 s` or `1 h 5 min`."""
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
