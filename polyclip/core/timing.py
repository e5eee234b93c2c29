"""Wall-clock time of each part of a command."""

import time
from dataclasses import dataclass, field


@dataclass
class Clock:
    """A stopwatch that sums seconds by named lap."""

    laps: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def lap(self, name: str) -> None:
        """Record the time since the last lap under `name`."""
        now = time.monotonic()
        self.laps[name], self.started = round(now - self.started, 2), now
