"""Energy of a computation: measured by codecarbon where possible, else estimated; the record says which."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import torch

WATTS = 5.0  # of one busy CPU core: an assumption, not measured
COUNTERS = Path("/sys/class/powercap")


@dataclass
class Energy:
    """Energy in joules, set when the block ends."""

    joules: float = 0.0
    measured: bool = False


def is_measurable(counters: Path = COUNTERS) -> bool:
    """Whether codecarbon is installed and finds a readable counter: RAPL of the CPU, or a GPU."""
    if find_spec("codecarbon") is None:
        return False
    return torch.cuda.is_available() or any(is_readable(path) for path in counters.glob("*/energy_uj"))


def is_readable(path: Path) -> bool:
    """Whether a counter can be read; on many systems only root may read RAPL's."""
    try:
        path.read_text()
    except OSError:
        return False
    return True


@contextmanager
def measure_energy() -> Iterator[Energy]:
    """Measure or estimate the energy of the enclosed block."""
    energy = Energy(measured=is_measurable())
    if not energy.measured:
        busy = time.process_time()
        yield energy
        energy.joules = WATTS * (time.process_time() - busy)
        return
    from codecarbon import OfflineEmissionsTracker

    tracker = OfflineEmissionsTracker(
        country_iso_code="USA", measure_power_secs=1, save_to_file=False, log_level="error"
    )  # sends no request
    tracker.start()
    try:
        yield energy
    finally:
        tracker.stop()
        energy.joules = tracker.final_emissions_data.energy_consumed * 3.6e6
