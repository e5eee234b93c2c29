"""A time budget, and how much of it is left."""

import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Budget:
    """Seconds that a command may take, from the moment `started` of time.monotonic() on."""

    seconds: float
    started: float = field(default_factory=time.monotonic)

    @property
    def end(self) -> float:
        """The moment of time.monotonic() when the budget is used up."""
        return self.started + self.seconds

    def get_elapsed(self) -> float:
        """Seconds since the start."""
        return time.monotonic() - self.started
