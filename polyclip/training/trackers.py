"""Training curves for those who watch them elsewhere: TensorBoard, W&B and trackio, through accelerate's trackers. log.jsonl is always written."""

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


def silent(line: Line) -> None:
    """The observer where nothing is tracked."""


def check_trackers(names: Sequence[str]) -> None:
    """Whether these trackers exist and their packages are installed.

    Raises UnknownName for one that does not exist, PolyclipError where its package is missing.
    """
    for name in names:
        if name not in TRACKERS:
            raise UnknownName("tracker", name, TRACKERS)
        if find_spec(name) is None:
            how = "pip install 'polyclip[track]'" if name == "tensorboard" else f"pip install {name}"
            raise PolyclipError(
                f"--track {name} needs the package {name}, which is not installed: {how}. Without it, log.jsonl has the same figures."
            )


@contextmanager
def tracking(names: Sequence[str], folder: Path, settings: dict[str, Any]) -> Iterator[Observer]:
    """Start the trackers, yield what takes the log's lines, and close them, also when training fails.

    TensorBoard's and W&B's files go below `folder`. Raises PolyclipError with one sentence for a tracker that cannot start.
    """
    started: list[Any] = []
    try:
        for name in dict.fromkeys(names):
            with complaining(name):
                started.append(start(name, folder, settings))
        yield Steps(started) if started else silent
    finally:
        for tracker in started:
            tracker.finish()


def start(name: str, folder: Path, settings: dict[str, Any]) -> Any:
    """One of accelerate's trackers, told the run's settings."""
    import torch
    from accelerate import PartialState
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS

    PartialState(
        cpu=not torch.cuda.is_available()
    )  # trackers ask it whether they are in the main process; on the device that fit.py takes
    kind = LOGGER_TYPE_TO_CLASS[name]
    if kind.requires_logging_directory:
        tracker = kind(name, str(folder))  # RUN/tensorboard
    else:
        tracker = kind(PROJECT, name=folder.resolve().name, **({"dir": str(folder)} if name == "wandb" else {}))
    tracker.start()
    tracker.store_init_configuration(flat(settings))
    return tracker


@contextmanager
def complaining(name: str) -> Iterator[None]:
    """What a tracker cannot do, in one sentence: these packages raise whatever they like, from their own errors to the network's."""
    try:
        yield
    except Exception as error:  # noqa: BLE001 (see above; nothing is swallowed)
        reason = (str(error).strip().split("\n")[0] or type(error).__name__)[:200]
        raise PolyclipError(
            f"--track {name} cannot start: {reason} Leave it out, or set it up first; log.jsonl has the same figures."
        ) from error


class Steps:
    """Gives each line to every tracker, numbered through all phases: trackers want steps that rise."""

    def __init__(self, trackers: Sequence[Any]) -> None:
        self.trackers, self.last, self.base = trackers, -1, 0

    def __call__(self, line: Line) -> None:
        """`{"phase": "heads", "epoch": 3, "loss": ...}` becomes `heads/loss` ... at its step."""
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


def flat(table: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings with dotted names; lists as text, since trackers take numbers, words and truth values alone."""
    found: dict[str, Any] = {}
    for key, value in table.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = (
                value if isinstance(value, bool | int | float | str) else ", ".join(map(str, value))
            )
    return found
