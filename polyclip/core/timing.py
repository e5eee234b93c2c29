"""How long each part of a command took."""

import time
from dataclasses import dataclass, field


@dataclass
class Clock:
    """Seconds spent between laps."""

    laps: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def lap(self, name: str) -> None:
        """Book the time since the last lap under `name`."""
        now = time.monotonic()
        self.laps[name], self.started = round(now - self.started, 2), now
