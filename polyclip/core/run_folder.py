"""The folder of a run: its settings, and whether it may be written."""

import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from polyclip.core.storage import PART, write_text
from polyclip.errors import RunError

if TYPE_CHECKING:
    pass


def check_folder(folder: Path, wanted: dict[str, Any], *, resume: bool) -> None:
    """Whether a run with the settings `wanted` may use `folder`; writes nothing.

    A finished run of the same settings may be made again: it ends with the same weights. With `resume` a folder without a run is
    fine too, since a run may have been stopped before it wrote anything. Raises RunError for a folder that is not a run's, that holds
    a run of other settings, or an unfinished one without --resume.
    """
    if not (folder / "run.toml").exists():
        if folder.exists() and (not folder.is_dir() or any(path.suffix != PART for path in folder.iterdir())):
            raise RunError(f"{folder} exists and is no run folder; choose another --out.")
        return
    found = read_run(folder)
    different = sorted(key for key in wanted if found.get(key) != wanted[key])
    if different:
        was, now = ({key: table.get(key) for key in different} for table in (found, wanted))
        raise RunError(
            f"{folder} holds a run with other settings: {changes(was, now)}. Choose another --out, or give the same settings."
        )
    if unfinished(folder) and not resume:
        raise RunError(f"{folder} holds an interrupted run; add --resume to continue it, or choose another --out.")


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """run.toml: what makes the folder a run's."""
    write_text(folder / "run.toml", tomli_w.dumps(settings), what="the run's settings")


def changes(was: dict[str, Any], now: dict[str, Any], prefix: str = "") -> str:
    """`heads.epochs was 60, is now 40`."""
    found = []
    for key, value in now.items():
        old = was.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            found += [changes(old, value, f"{prefix}{key}.")]
        elif old != value:
            found += [f"{prefix}{key} was {old}, is now {value}"]
    return "; ".join(text for text in found if text)


def read_run(folder: Path) -> dict[str, Any]:
    """The settings in a run folder.

    Raises RunError when there are none.
    """
    path = folder / "run.toml"
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise RunError(
            f"{folder} is no run folder: it has no run.toml. Make one with: polyclip align --lang sw --out {folder}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged ({error}).") from error


def unfinished(folder: Path) -> bool:
    """Whether a run was interrupted here."""
    return any(folder.glob("checkpoint-*.safetensors"))
