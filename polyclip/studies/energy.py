"""Energy of a piece of work: measured by codecarbon where the machine lets it, else estimated, and the record says which."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

WATTS = 5.0  # of one busy core: an assumption about a server or laptop, no measurement
COUNTERS = Path("/sys/class/powercap")


@dataclass
class Energy:
    """Joules, once the work is done."""

    joules: float = 0.0
    measured: bool = False


def measurable(counters: Path = COUNTERS) -> bool:
    """Whether codecarbon is installed and finds a counter that it may read: RAPL of the processor, or a GPU."""
    if find_spec("codecarbon") is None:
        return False
    return torch.cuda.is_available() or any(readable(path) for path in counters.glob("*/energy_uj"))


def readable(path: Path) -> bool:
    """RAPL's counters are for root alone on many systems."""
    try:
        path.read_text()
    except OSError:
        return False
    return True


@contextmanager
def metered() -> Iterator[Energy]:
    """Energy of what happens inside."""
    energy = Energy(measured=measurable())
    if not energy.measured:
        busy = time.process_time()
        yield energy
        energy.joules = WATTS * (time.process_time() - busy)
        return
    from codecarbon import OfflineEmissionsTracker

    tracker = OfflineEmissionsTracker(
        country_iso_code="USA", measure_power_secs=1, save_to_file=False, log_level="error"
    )  # no request leaves the machine
    tracker.start()
    try:
        yield energy
    finally:
        tracker.stop()
        energy.joules = tracker.final_emissions_data.energy_consumed * 3.6e6
