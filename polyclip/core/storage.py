"""Atomic file writing, hashes, and the user's cache folder."""

import errno
import hashlib
import os
import re
import shutil
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

import platformdirs

from polyclip.core.environment import read_variable
from polyclip.errors import PolyclipError

if sys.platform != "win32":
    import fcntl


def get_cache_folder() -> Path:
    """The folder of converted weights and features: `POLYCLIP_CACHE`, else the platform's cache folder for polyclip."""
    return Path(read_variable("POLYCLIP_CACHE") or platformdirs.user_cache_dir("polyclip"))


PART = ".part"  # how files and folders end that are still being written; a killed process may leave one
ABANDONED = re.compile(rf"\..+\.[a-z0-9_]{{8,9}}{re.escape(PART)}")  # as `mkdtemp` names them below
DAY = 86_400.0  # seconds


@contextmanager
def write_atomically(path: Path, *, what: str) -> Iterator[Path]:
    """Yield a temporary path, and move what is written there to `path` at the end; on an error it is removed.

    It lies in a folder of its own beside `path`, since libraries have temporary files too. The folder is locked: what a
    killed process has left is removed by the next one that writes beside it.

    Args:
        path: The file to write; its folder is made.
        what: What is written, for the error message.

    Yields:
        The temporary path.

    Raises:
        PolyclipError: The disk is full, or the folder cannot be written.

    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        remove_abandoned(path.parent)
        with make_work_folder(path) as work:
            yield work / path.name
            move_into_place(work, path)
    except Exception as error:
        if not is_disk_error(error):
            raise
        raise PolyclipError(
            f"Cannot write {what} to {path}: {describe_disk_error(error)}. Nothing was left half-written; "
            "free some space or name another folder (POLYCLIP_CACHE moves the cache), then run the same command again."
        ) from error


@contextmanager
def make_work_folder(path: Path) -> Iterator[Path]:
    """Make a folder beside `path`, lock it, and remove it with all that is in it at the end."""
    handle = None
    while handle is None:
        work = Path(mkdtemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART))
        handle = take_lock(work)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)
        os.close(handle)


def move_into_place(work: Path, path: Path) -> None:
    """Move the file of a work folder to `path`; the folder goes before the file appears, so that nothing stays behind.

    Whoever is killed in between has not written the file, and will write beside it again.
    """
    whole = work.with_name(f"{work.name.removesuffix(PART)}_{PART}")
    (work / path.name).chmod(0o644)
    handle = take_lock(work / path.name)
    try:
        (work / path.name).replace(whole)
        shutil.rmtree(work)
        whole.replace(path)
    finally:
        whole.unlink(missing_ok=True)
        if handle is not None:
            os.close(handle)


def take_lock(path: Path) -> int | None:
    """Lock a file or a folder that this process has just made; returns the handle that holds the lock.

    None where another process took it for abandoned and removed it before it was locked. Windows, which moves no open
    file, and file systems without locks have none: there a handle is returned all the same.
    """
    if sys.platform == "win32":
        return os.open(os.devnull, os.O_RDONLY)
    try:
        handle = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    with suppress(OSError):
        fcntl.flock(handle, fcntl.LOCK_EX)
    if path.exists():
        return handle
    os.close(handle)
    return None


def remove_abandoned(folder: Path) -> None:
    """Remove from a folder what killed processes were writing there; what is being written stays."""
    with suppress(OSError), os.scandir(folder) as found:
        for name in [entry.name for entry in found if ABANDONED.fullmatch(entry.name) and not entry.is_symlink()]:
            with suppress(OSError):
                remove_unlocked(folder / name)


def remove_unlocked(path: Path) -> None:
    """Remove a file or a folder that no process holds locked; on Windows, one that is a day old."""
    if sys.platform == "win32":
        if time.time() - path.stat().st_mtime < DAY:
            return
        handle = -1
    else:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if sys.platform != "win32":
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()
    finally:
        if handle >= 0:
            os.close(handle)


def is_disk_error(error: Exception) -> bool:
    """Whether an error says that a file could not be written; that of safetensors, in Rust, is no OSError."""
    return isinstance(error, OSError) or type(error).__name__ == "SafetensorError"


def describe_disk_error(error: Exception) -> str:
    """What went wrong, without the class of the error: `No space left on device`."""
    said = error.strerror if isinstance(error, OSError) else None
    return said or str(error).removeprefix("Error while serializing: ")


def write_text(path: Path, text: str, *, what: str) -> None:
    """Write UTF-8 text atomically."""
    with write_atomically(path, what=what) as temporary:
        temporary.write_text(text, encoding="utf-8")


def check_plain(path: Path) -> None:
    """Check that a path is a plain file: a pipe would be waited for, and a device may have no end.

    Raises:
        OSError: It is something else, or is not there.

    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder, expected a file", str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is a pipe or device, expected a plain file", str(path))


def check_plain_files(folder: Path) -> None:
    """Check that a folder that a library reads holds plain files alone; see `check_plain`.

    Raises:
        OSError: Something below it is a pipe or a device.

    """
    for path in sorted(folder.rglob("*")):
        if not path.is_dir() and path.exists():
            check_plain(path)


def read_plain_bytes(path: Path) -> bytes:
    """Read a whole plain file; OSError for anything else."""
    check_plain(path)
    return path.read_bytes()


def read_plain_text(path: Path, encoding: str = "utf-8") -> str:
    """Read a plain file of text; OSError for anything else, UnicodeDecodeError for another encoding."""
    check_plain(path)
    return path.read_text(encoding)


def is_file(path: Path) -> bool:
    """Whether a path, whose name a file gave, is a file: no name is too long to ask, or has too odd letters."""
    try:
        return path.is_file()
    except (OSError, ValueError):
        return False


def exists(path: Path) -> bool:
    """Whether a path, whose name a file gave, is there; see `is_file`."""
    return is_file(path) or is_folder(path)


def is_inside(path: Path, folder: Path) -> bool:
    """Whether a path, whose name a file gave, leads into a folder, once links are followed."""
    try:
        return path.resolve().is_relative_to(folder.resolve())
    except (OSError, ValueError, RuntimeError):  # a name that no file can have, or links in a circle
        return False


def is_folder(path: Path) -> bool:
    """Whether a path, whose name a file gave, is a folder; see `is_file`."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def hash_file(path: Path) -> str:
    """SHA-256 of a plain file as hex digits, read in blocks; OSError for anything else."""
    check_plain(path)
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def describe_file(path: Path) -> str:
    """Size, time of change and inode of a file: equal as long as nobody wrote to it."""
    facts = path.stat()
    return f"{facts.st_size} {facts.st_mtime_ns} {facts.st_ino}"


def hash_parts(*parts: str | bytes) -> str:
    """SHA-256 of several parts as hex digits; each part is preceded by its length, so that no two lists collide."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "little") + data)
    return total.hexdigest()


def measure_cache() -> dict[str, int]:
    """Size in bytes of each first-level folder of the cache."""
    root = get_cache_folder()
    folders = sorted(p for p in root.iterdir() if p.is_dir()) if root.exists() else []
    return {f.name: sum(p.stat().st_size for p in f.rglob("*") if p.is_file()) for f in folders}


CACHE_PARTS = ("weights", "features", "translations", "hashes", "thumbnails", "shards")


def clear_cache(parts: tuple[str, ...] = CACHE_PARTS) -> None:
    """Remove the folders that polyclip itself makes in the cache, and nothing else."""
    for part in parts:
        folder = get_cache_folder() / part
        if folder.exists():
            shutil.rmtree(folder)
