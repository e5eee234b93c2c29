"""Shards on this machine and elsewhere: located, checked for changes, and copied to the cache while they are read."""

import os
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, TypeVar

import fsspec
from fsspec.registry import known_implementations

from polyclip.core.environment import read_whole_number
from polyclip.core.storage import get_cache_folder, hash_parts, write_atomically
from polyclip.errors import DataError, PackError

BRACES = re.compile(r"\{([^{}]*)\}")
RANGE = re.compile(r"([0-9]{1,18})\.\.([0-9]{1,18})")
MOST = 100_000  # shards
SIGNS = (
    "ETag",
    "etag",
    "md5Hash",
    "blob_id",
    "checksum",
    "mtime",
    "LastModified",
    "last_modified",
    "created",
)  # of a file's content, the best first
KEPT = 20_000_000_000  # bytes of copies of remote shards; POLYCLIP_SHARD_BYTES says otherwise
KINDS = {"directory": "a folder", "other": "a pipe or device"}  # of what is no file, as fsspec calls them
COMMIT = re.compile(r"@[0-9a-f]{40}(/|$)")
lock = threading.Lock()

T = TypeVar("T")


@dataclass(frozen=True)
class Shard:
    """One file of a corpus; `token` changes with its content."""

    url: str
    token: str
    size: int  # bytes; 0 where it is not known

    @property
    def key(self) -> str:
        """Hash that identifies the shard and its content."""
        return hash_parts(self.url, self.token, str(self.size))


def expand_pattern(pattern: str) -> list[str]:
    """Expand `a{00..02}{x,y}` to `a00x`, `a00y`, `a01x` ...; numbers keep the width of the first.

    Raises:
        PackError: A range runs backwards, or the pattern stands for more than 100,000 names.

    """
    parts = BRACES.split(pattern)
    choices = [_choices(part, pattern) if number % 2 else [part] for number, part in enumerate(parts)]
    total = 1
    for found in choices:
        total *= len(found)
    if total > MOST:
        raise PackError(f"files: {pattern!r} stands for {total:,} shards, at most {MOST:,} are read.")
    return ["".join(found) for found in product(*choices)]


def _choices(inside: str, pattern: str) -> list[str]:
    found = RANGE.fullmatch(inside)
    if found is None:
        return inside.split(",")
    first, last = int(found[1]), int(found[2])
    if not first <= last < first + MOST:
        raise PackError(
            f"files: {{{inside}}} in {pattern!r} is not a range of at most {MOST:,}; expected such as {{00000..00099}}."
        )
    return [str(number).zfill(len(found[1])) for number in range(first, last + 1)]


def locate_shards(patterns: list[str], base: Path) -> list[Shard]:
    """Locate the shards that the patterns of a pack name, in their order.

    Args:
        patterns: Addresses that fsspec knows, or paths; `*` matches names, braces are expanded.
        base: The folder of relative paths.

    Returns:
        The shards.

    Raises:
        PackError: A shard is named twice, or a hub path has no commit.
        DataError: A shard is missing.

    """
    found: list[Shard] = []
    for url in (url for pattern in patterns for url in expand_pattern(pattern)):
        path = url if "://" in url else str(base / url)
        found += [_shard(inside) for inside in (_matching(path) if "*" in path else [path])]
    twice = (
        sorted({shard.url for shard in found if [other.url for other in found].count(shard.url) > 1})
        if len({s.url for s in found}) < len(found)
        else []
    )
    if twice:
        raise PackError(f"files: {twice[0]} is named more than once; name every shard once.")
    return found


def _matching(path: str) -> list[str]:
    system, inside = open_filesystem(path)
    found = sorted(ask_filesystem(path, lambda: system.glob(inside)))
    if not found:
        raise DataError(f"{path} matches no file; expected shards there.")
    return [found_path if "://" not in path else system.unstrip_protocol(found_path) for found_path in found]


def _shard(url: str) -> Shard:
    if url.startswith("hf://") and not COMMIT.search(url):
        raise PackError(
            f"files: {url} names no commit; write hf://datasets/OWNER/NAME@COMMIT/..., with all 40 digits, so that it "
            "stays the same data."
        )
    system, inside = open_filesystem(url)
    facts = ask_filesystem(url, lambda: system.info(inside))
    if facts["type"] != "file":
        raise DataError(f"{url} is {KINDS.get(facts['type'], facts['type'])}, expected a file.")
    sign = next((f"{name} {facts[name]}" for name in SIGNS if facts.get(name) is not None), "")
    return Shard(url, sign, int(facts.get("size") or 0))


def open_filesystem(url: str) -> tuple[Any, str]:
    """Open the file system of an address; returns it and the path in it.

    Raises:
        PackError: The package that reads such addresses is missing, or fsspec does not know them.

    """
    protocol = url.partition("://")[0] if "://" in url else "file"
    try:
        return fsspec.core.url_to_fs(url)
    except ImportError as error:
        package = known_implementations[protocol]["class"].partition(".")[0]
        raise PackError(
            f"{url}: reading {protocol}:// requires the package {package}, which is not installed: pip install "
            f"{package}"
        ) from error
    except ValueError as error:
        raise PackError(
            f"{url}: fsspec does not know {protocol}://; expected s3://, gs://, hf://, https:// or a path."
        ) from error


def ask_filesystem(url: str, question: Callable[[], T]) -> T:
    """Call a function of a file system, and explain its errors.

    Args:
        url: The address, for the error message.
        question: The call.

    Returns:
        Its result.

    Raises:
        DataError: The call failed.

    """
    try:
        return question()
    except FileNotFoundError as error:
        said = " ".join(str(error).split())[:160]
        raise DataError(f"{url} not found ({said}); check files in the pack.") from error
    except Exception as error:  # each backend raises its own kinds for credentials, permissions and networks
        raise DataError(
            f"{url} cannot be read: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        ) from error


def local(shard: Shard) -> Path:
    """Return the shard's file on this machine: itself, or a copy in the cache, fetched first if it is missing.

    Copies of other shards are removed, the longest unused first, where together they exceed 20 GB
    (POLYCLIP_SHARD_BYTES).

    Args:
        shard: The shard.

    Returns:
        Path of the file.

    Raises:
        DataError: The shard cannot be fetched, is incomplete, or is no file any more.

    """
    if "://" not in shard.url or shard.url.startswith("file://"):
        path = Path(open_filesystem(shard.url)[1])
        if path.exists() and not path.is_file():  # replaced since it was listed: reading a pipe would never end
            raise DataError(f"{path} is a folder, pipe or device by now, expected a file; put the shard back.")
        return path
    return fetch_copy(shard.key, lambda target: _fetch(shard, target))


def fetch_copy(key: str, make: Callable[[Path], None]) -> Path:
    """Return the copy of this name in the cache; `make` writes it if it is missing."""
    path = get_cache_folder() / "shards" / "copies" / key[:32]
    with lock:
        if path.is_file():
            os.utime(path)
        else:
            with write_atomically(path, what="a copy of a shard") as temporary:
                make(temporary)
            _trim(path)
    return path


def _fetch(shard: Shard, target: Path) -> None:
    system, inside = open_filesystem(shard.url)
    ask_filesystem(shard.url, lambda: system.get_file(inside, str(target)))
    found = target.stat().st_size
    if shard.size and found != shard.size:
        raise DataError(
            f"{shard.url}: {found:,} bytes arrived, {shard.size:,} were announced; run the same command again."
        )


def _trim(newest: Path) -> None:
    most = read_whole_number("POLYCLIP_SHARD_BYTES", KEPT)
    others = sorted(
        (path for path in newest.parent.iterdir() if path != newest and not path.name.startswith(".")),
        key=lambda path: path.stat().st_mtime,
    )
    total = newest.stat().st_size + sum(path.stat().st_size for path in others)
    for path in others:
        if total <= most:
            return
        total -= path.stat().st_size
        path.unlink()


def resolve_beside(url: str, name: str) -> str:
    """Resolve the path of an image in a shard to an address, from the shard's folder.

    Raises:
        DataError: The path leads out of the folder.

    """
    parts = name.replace("\\", "/").split("/")
    if not name or name.startswith(("/", "\\")) or ".." in parts or parts[0].endswith(":") or not name.isprintable():
        raise DataError(f"the path {name[:80]!r} leads out of the shard's folder")
    folder = url.rpartition("/")[0]
    return f"{folder}/{name}" if folder else name


def read_file(url: str, most: int) -> bytes:
    """Read a whole file.

    Args:
        url: Its address.
        most: The most bytes that are read.

    Returns:
        Its bytes.

    Raises:
        DataError: The file is missing, or larger than `most`.

    """
    system, inside = open_filesystem(url)

    def read() -> bytes:
        with system.open(inside, "rb") as handle:
            data: bytes = handle.read(most + 1)
            return data

    data = ask_filesystem(url, read)
    if len(data) > most:
        raise DataError(f"{url}: more than {most:,} bytes; no more are read of an image.")
    return data
