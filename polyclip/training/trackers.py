"""Experiment trackers: TensorBoard, W&B and trackio, through accelerate. log.jsonl is always written."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from polyclip.errors import PolyclipError, UnknownName

TRACKERS = ("tensorboard", "wandb", "trackio")
PROJECT = "polyclip"
Line = dict[str, Any]
Observer = Callable[[Line], None]  # takes one line of log.jsonl


def ignore_line(line: Line) -> None:
    """Ignore a line: the observer where nothing is tracked."""


def check_trackers(names: Sequence[str]) -> None:
    """Check that these trackers exist and their packages are installed.

    Args:
        names: Of the trackers.

    Raises:
        UnknownName: A tracker does not exist.
        PolyclipError: Its package is missing.

    """
    for name in names:
        if name not in TRACKERS:
            raise UnknownName("tracker", name, TRACKERS)
        if find_spec(name) is None:
            how = "pip install 'polyclip[track]'" if name == "tensorboard" else f"pip install {name}"
            raise PolyclipError(
                f"--track {name} requires the package {name}, which is not installed: {how}. Without it, log.jsonl has "
                "the same figures."
            )


@contextmanager
def open_trackers(names: Sequence[str], folder: Path, settings: dict[str, Any]) -> Iterator[Observer]:
    """Start the trackers, yield what takes the log's lines, and close them, also when training fails.

    Args:
        names: Of the trackers.
        folder: The run folder; TensorBoard's and W&B's files go below it.
        settings: Of the run, shown by the trackers.

    Yields:
        An observer that takes lines of log.jsonl.

    Raises:
        PolyclipError: A tracker cannot start.

    """
    started: list[Any] = []
    try:
        for name in dict.fromkeys(names):
            with explain_tracker_errors(name):
                started.append(start_tracker(name, folder, settings))
        yield TrackerSteps(started) if started else ignore_line
    finally:
        for tracker in started:
            tracker.finish()


def start_tracker(name: str, folder: Path, settings: dict[str, Any]) -> Any:
    """Start one of accelerate's trackers with the run's settings."""
    from accelerate import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    from polyclip.core.device import current_device

    PartialState(cpu=current_device().type == "cpu")  # trackers ask it whether they are in the main process
    kind = LOGGER_TYPE_TO_CLASS[name]
    if kind.requires_logging_directory:
        tracker = kind(name, str(folder))  # RUN/tensorboard
    else:
        tracker = kind(PROJECT, name=folder.resolve().name, **({"dir": str(folder)} if name == "wandb" else {}))
    tracker.start()
    tracker.store_init_configuration(flatten(settings))
    return tracker


@contextmanager
def explain_tracker_errors(name: str) -> Iterator[None]:
    """Turn whatever goes wrong in a tracker into one PolyclipError: these packages raise errors of all kinds."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 (see above; nothing is swallowed)
        reason = (str(error).strip().split("\n")[0] or type(error).__name__)[:200]
        raise PolyclipError(
            f"--track {name} cannot start: {reason} Omit it, or set it up first; log.jsonl has the same figures."
        ) from error


class TrackerSteps:
    """Gives each line to every tracker, with step numbers that rise through all phases, as trackers require."""

    def __init__(self, trackers: Sequence[Any]) -> None:
        self.trackers, self.last, self.base = trackers, -1, 0

    def __call__(self, line: Line) -> None:
        """Log `{"phase": "heads", "epoch": 3, "loss": ...}` as `heads/loss` ... at its step."""
        if line["epoch"] == 0:
            self.base = self.last + 1
        self.last = self.base + line["epoch"]
        values = {
            f"{line['phase']}/{key}": value
            for key, value in line.items()
            if key not in ("phase", "epoch") and isinstance(value, int | float)
        }
        for tracker in self.trackers:
            tracker.log(values, step=self.last)


def flatten(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Flatten nested settings to dotted names; lists become text, since trackers take numbers, text and booleans."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= flatten(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = (
                value if isinstance(value, bool | int | float | str) else ", ".join(map(str, value))
            )
    return found
