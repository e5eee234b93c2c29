"""The folder of a run: its settings in run.toml, and whether it may be written to."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from polyclip.core.storage import PART, write_text
from polyclip.errors import RunError

if TYPE_CHECKING:
    pass


def check_folder(folder: Path, wanted: dict[str, Any], *, resume: bool) -> None:
    """Check that a run with the settings `wanted` may use `folder`; writes nothing.

    A finished run with the same settings may be made again: it ends with the same weights. With `resume`, a folder
    without a run is accepted too, since a run may have been stopped before it wrote anything.

    Args:
        folder: The run folder, which need not exist.
        wanted: The settings of the new run.
        resume: Whether an interrupted run may be continued.

    Raises:
        RunError: The folder is not a run folder, holds a run with other settings, or holds an interrupted run and
            `resume` is not set.

    """
    if not (folder / "run.toml").exists():
        if folder.exists() and (not folder.is_dir() or any(path.suffix != PART for path in folder.iterdir())):
            raise RunError(f"{folder} exists and is not a run folder; choose another --out.")
        return
    found = read_settings(folder)
    different = sorted(key for key in wanted if found.get(key) != wanted[key])
    if different:
        was, now = ({key: table.get(key) for key in different} for table in (found, wanted))
        raise RunError(
            f"{folder} holds a run with other settings: {format_changes(was, now)}. Choose another --out, or give the "
            "same settings."
        )
    if is_unfinished(folder) and not resume:
        raise RunError(f"{folder} holds an interrupted run; add --resume to continue it, or choose another --out.")


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write run.toml, the file that makes a folder a run folder."""
    write_text(folder / "run.toml", tomli_w.dumps(settings), what="the run's settings")


def format_changes(was: dict[str, Any], now: dict[str, Any], prefix: str = "") -> str:
    """List differing settings, as in `heads.epochs was 60, is now 40`."""
    found = []
    for key, value in now.items():
        old = was.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            found += [format_changes(old, value, f"{prefix}{key}.")]
        elif old != value:
            found += [f"{prefix}{key} was {old}, is now {value}"]
    return "; ".join(text for text in found if text)


def read_settings(folder: Path) -> dict[str, Any]:
    """Read the settings of a run folder.

    Raises:
        RunError: run.toml is missing or damaged.

    """
    path = folder / "run.toml"
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise RunError(
            f"{folder} is not a run folder: run.toml not found. Make one with: polyclip align --lang sw --out {folder}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged ({error}).") from error


def is_unfinished(folder: Path) -> bool:
    """Whether the folder holds an interrupted run (a checkpoint is left)."""
    return any(folder.glob("checkpoint-*.safetensors"))
