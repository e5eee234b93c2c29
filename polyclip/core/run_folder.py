"""The folder of a run: its settings in run.toml, and whether it may be written to."""

import os
import socket
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import tomli_w
from filelock import FileLock, Timeout

from polyclip.core import distributed
from polyclip.core.nearby import RUN_FOLDER, hint_folder
from polyclip.core.run_schema import WrittenRun, find_fault, find_odd_value
from polyclip.core.storage import PART, read_plain_text, remove_abandoned, write_text
from polyclip.core.toml import parse_toml
from polyclip.errors import PolyclipError, RunError

LOCK, OWNER = ".lock", ".lock-owner"  # the lock ends with its process; the other file says whose it is
BESIDE = ("advice",)  # keys of run.toml that decide nothing: what they led to stands there too
ABSENT = "not given"


@contextmanager
def lock_folder(folder: Path) -> Iterator[None]:
    """Keep other commands from writing a folder; the processes of one job share the lock.

    The lock ends with the process that took it, however that ends: what a killed one leaves behind locks nobody out.
    If the block leaves the folder empty, it is removed.

    Args:
        folder: The run folder, which need not exist.

    Raises:
        RunError: Another process holds the lock, the folder cannot be written, or a link in it leads elsewhere.

    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    lock = FileLock(folder / LOCK)
    first = distributed.is_first_process() and not folder.is_file()  # a file is refused by `check_folder`
    refused = distributed.broadcast(take_lock(lock, folder) if first else "")
    if refused:
        raise RunError(refused)
    try:
        yield
    finally:
        if first:
            remove_lock(folder, missing)
            lock.release()


def take_lock(lock: FileLock, folder: Path) -> str:
    """Take the lock of a folder and write whose it is; returns why not, empty where it was taken."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        refuse_links(folder)
        lock.acquire(timeout=0)
        while not (folder / LOCK).exists():  # whoever held it removed the file between our opening and locking it
            lock.release()
            lock.acquire(timeout=0)
        remove_abandoned(folder)
        write_text(folder / OWNER, f"process {os.getpid()} on {socket.gethostname()}", what="the folder's lock")
    except Timeout:
        try:
            owner = (folder / OWNER).read_text("utf-8")
        except (OSError, UnicodeDecodeError):
            owner = "another process"
        return f"{folder} is being written by {owner}; wait until it has ended, or choose another --out."
    except OSError as error:
        return f"{folder} cannot be written: {error.strerror or error}; choose another --out."
    except PolyclipError as error:
        lock.release()
        return str(error)
    return ""


def refuse_links(folder: Path, lock: str = LOCK) -> None:
    """Check that nothing written into a folder lands elsewhere: a link takes the place of a folder, or of a lock.

    Links to other files need no check: what is written takes the place of the link.

    Args:
        folder: The folder that is about to be written, itself a link or not.
        lock: Name of its lock, the one file that is opened rather than replaced.

    Raises:
        RunError: There is such a link; it is named.

    """
    for path in folder.iterdir():
        if path.is_symlink() and (path.is_dir() or path.name == lock):
            raise RunError(
                f"{path} is a link, through which polyclip would write outside {folder}; remove it, or choose another "
                "--out."
            )


def remove_lock(folder: Path, made: list[Path]) -> None:
    """Remove the lock's files, while it is held, and the folders that were made for it and have stayed empty."""
    for name in (OWNER, LOCK):
        with suppress(OSError):  # Windows removes no open file
            (folder / name).unlink(missing_ok=True)
    for path in made:
        if not path.is_dir() or any(path.iterdir()):
            return
        path.rmdir()


def is_outside(path: Path) -> bool:
    """Whether a file of a run folder is a link to a file elsewhere, which is neither copied nor sent with the run.

    The links of the hub's cache (`snapshots/COMMIT/FILE` to `blobs/HASH`) lead to its own files.
    """
    place, target = path.parent.resolve(), path.resolve()
    own = [place, place.parents[1] / "blobs"] if place.parent.name == "snapshots" else [place]
    return not any(target.is_relative_to(folder) for folder in own)


def list_strangers(folder: Path) -> list[Path]:
    """Files and folders that no run has written, of a folder without run.toml."""
    return [path for path in folder.iterdir() if path.suffix != PART and path.name not in (LOCK, OWNER)]


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
        if folder.exists() and (not folder.is_dir() or list_strangers(folder)):
            raise RunError(f"{folder} exists and is not a run folder; choose another --out.")
        return
    found = parse_settings(folder)
    found = {key: value for key, value in found.items() if key not in BESIDE}
    if found != wanted:
        raise RunError(
            f"{folder} holds a run with other settings: {format_changes(found, wanted)}. Choose another --out, or give "
            "the same settings."
        )
    if is_unfinished(folder) and not resume:
        raise RunError(f"{folder} holds an interrupted run; add --resume to continue it, or choose another --out.")


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """Write run.toml, the file that makes a folder a run folder."""
    write_text(folder / "run.toml", tomli_w.dumps(settings), what="the run's settings")


def as_written(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings as they are read back from run.toml."""
    return parse_toml(tomli_w.dumps(settings))


def format_changes(was: dict[str, Any], now: dict[str, Any], prefix: str = "") -> str:
    """List differing settings, those that only one of both has too: `heads.epochs was 60, is now 40`."""
    found = []
    for key in dict.fromkeys((*now, *was)):
        old, new = was.get(key, ABSENT), now.get(key, ABSENT)
        if isinstance(new, dict) and isinstance(old, dict):
            found += [format_changes(old, new, f"{prefix}{key}.")]
        elif old != new:
            found += [f"{prefix}{key} was {old}, is now {new}"]
    return "; ".join(text for text in found if text)


def read_settings(folder: Path, *needed: str) -> dict[str, Any]:
    """Read the settings of a run folder.

    Args:
        folder: The run folder.
        needed: Keys that must be there, besides the languages.

    Returns:
        The settings, with values of the types that are written.

    Raises:
        RunError: run.toml is missing or damaged.

    """
    found = parse_settings(folder)
    if fault := find_odd_value(found) or find_fault(WrittenRun, found, *needed):
        raise RunError(
            f"{folder / 'run.toml'} is not what 'polyclip align' writes: {fault}. Copy it again, or align again."
        )
    return found


def parse_settings(folder: Path) -> dict[str, Any]:
    """Parse run.toml, whatever settings it holds.

    Raises:
        RunError: It is missing or is not TOML.

    """
    path = folder / "run.toml"
    try:
        return parse_toml(read_plain_text(path))
    except FileNotFoundError as error:
        raise RunError(
            f"{folder} is not a run folder: run.toml not found.{hint_folder(folder, RUN_FOLDER)} Make one with: "
            f"polyclip align --lang sw --out {folder}"
        ) from error
    except OSError as error:
        raise RunError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged ({error}).") from error


def is_unfinished(folder: Path) -> bool:
    """Whether the folder holds an interrupted run (a checkpoint is left)."""
    return any(folder.glob("checkpoint-*.safetensors"))
