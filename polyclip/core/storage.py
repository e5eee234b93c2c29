"""Atomic file writing, hashes, and the user's cache folder."""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from polyclip.core.environment import read_variable
from polyclip.errors import PolyclipError


def get_cache_folder() -> Path:
    """The folder of converted weights and features: `POLYCLIP_CACHE`, else the platform's cache folder for polyclip."""
    return Path(read_variable("POLYCLIP_CACHE") or platformdirs.user_cache_dir("polyclip"))


PART = ".part"  # how files end that are still being written; a killed process may leave one


@contextmanager
def write_atomically(path: Path, *, what: str) -> Iterator[Path]:
    """Yield a temporary path beside `path`, and move it into place at the end; on an error it is removed.

    Args:
        path: The file to write; its folder is made.
        what: What is written, for the error message.

    Yields:
        The temporary path.

    Raises:
        PolyclipError: The disk is full, or the folder cannot be written.

    """
    temporary = path
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=PART)
        os.close(handle)
        temporary = Path(name)
        yield temporary
        temporary.chmod(0o644)
        temporary.replace(path)
    except Exception as error:
        if not is_disk_error(error):
            raise
        raise PolyclipError(
            f"Cannot write {what} to {path}: {describe_disk_error(error)}. Nothing was left half-written; "
            "free some space or name another folder (POLYCLIP_CACHE moves the cache), then run the same command again."
        ) from error
    finally:
        if temporary != path:
            temporary.unlink(missing_ok=True)


def is_disk_error(error: Exception) -> bool:
    """Whether an error says that a file could not be written; that of safetensors, in Rust, is no OSError."""
    return isinstance(error, OSError) or type(error).__name__ == "SafetensorError"


def describe_disk_error(error: Exception) -> str:
    """What went wrong, without the class of the error: `No space left on device`."""
    return getattr(error, "strerror", None) or str(error).removeprefix("Error while serializing: ")


def write_text(path: Path, text: str, *, what: str) -> None:
    """Write UTF-8 text atomically."""
    with write_atomically(path, what=what) as temporary:
        temporary.write_text(text, encoding="utf-8")


def hash_file(path: Path) -> str:
    """SHA-256 of a file as hex digits, read in blocks."""
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
