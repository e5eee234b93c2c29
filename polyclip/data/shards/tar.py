"""Members of a tar file, read in place: nothing is unpacked or unpickled, no path is followed."""

import io
import re
import tarfile
from collections import Counter
from collections.abc import Iterable, Iterator
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from polyclip.core.storage import check_plain
from polyclip.core.text import show_name
from polyclip.data.images import SUFFIXES
from polyclip.errors import DataError

PICTURES = tuple(sorted(suffix[1:] for suffix in SUFFIXES))
TEXTS = ("txt", "json")
LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]+)*")  # of `key.sw.txt` where no image says so
FAULTS = (tarfile.TarError, OSError, ValueError, OverflowError)  # of a damaged file: headers may hold any number
Places = dict[str, tuple[int, int]]  # suffix -> offset and size


class Member(NamedTuple):
    """A plain file of a tar file: its path, and where its bytes are."""

    name: str
    start: int
    size: int


@contextmanager
def explain_tar_errors(path: Path, shown: str) -> Iterator[None]:
    """Turn errors of tarfile and the disk into a DataError that names the damaged shard, shown as `shown`."""
    try:
        yield
    except FAULTS as error:
        packed = (
            " Compressed shards (.tar.gz) must be decompressed to .tar first."
            if shown.endswith((".gz", ".tgz", ".zst"))
            else ""
        )
        raise DataError(f"{shown}: damaged, or not a tar file ({error}); download it again.{packed}") from error


def iterate_members(path: Path, shown: str) -> Iterator[Member]:
    """Iterate over the plain files of a tar file, in its order.

    Args:
        path: The file.
        shown: What error messages call it.

    Yields:
        Its members, without folders.

    Raises:
        DataError: The shard is damaged or truncated, a member is not a plain file, or its path leads out.

    """
    with explain_tar_errors(path, shown):
        yield from read_members(path, shown)


def read_members(path: Path, shown: str) -> Iterator[Member]:
    """Iterate over the plain files of a tar file; raises tarfile's own errors (`FAULTS`) where it is damaged."""
    check_plain(path)
    with tarfile.open(path, "r:") as archive:
        for member in archive:
            archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every member it has seen
            if not member.isdir():
                yield Member(check_member(member, shown), member.offset_data, member.size)
    check_end(path)


def check_end(path: Path) -> None:
    """Check that a tar file ends with an empty block: tarfile accepts one that is cut between two members.

    Raises:
        ReadError: The block is missing.

    """
    with path.open("rb") as handle:
        handle.seek(-tarfile.BLOCKSIZE, io.SEEK_END)
        if handle.tell() % tarfile.BLOCKSIZE or any(handle.read()):
            raise tarfile.ReadError("it ends too early")


def check_member(member: tarfile.TarInfo, shown: str) -> str:
    """Check a member of a tar file, and return its path as text.

    Raises:
        DataError: The path leads out, or the member is not a plain file.

    """
    name, path = show_name(member.name), PurePosixPath(member.name)
    if path.is_absolute() or ".." in path.parts:
        raise DataError(f"{shown}: member {name[:80]!r} leads out of the archive; such a shard is not read.")
    if not member.isreg() or member.issparse():
        raise DataError(f"{shown}: member {name[:80]!r} is not a plain file; such a shard is not read.")
    return str(PurePosixPath(name))


def group_samples(members: Iterable[Member]) -> tuple[dict[str, Places], Counter[str]]:
    """Group members into samples: a sample is an image and the texts of its name.

    A name may have points: `v1.0042.png` and `v1.0042.txt` are a sample, and so are `0042.png` and `0042.sw.txt`, since
    it is the image that says where the name ends. Further images of a sample (`0042.mask.png`), files whose name starts
    with a point, and other kinds of files are not part of it.

    Args:
        members: The plain files of a shard, in its order.

    Returns:
        Place of each file by suffix (`png`, `json`, `txt`, `sw.txt`) by sample, and how many files are not read, by
        their kind.

    """
    found: dict[str, Places] = {}
    ignored: Counter[str] = Counter()
    listed = list(members)
    stems = {kinds: {stem_of(m.name) for m in listed if suffix_of(m.name) in kinds} for kinds in (PICTURES, TEXTS)}
    for member in listed:
        key, suffix = split_name(member.name, stems[PICTURES], stems[TEXTS])
        if suffix:
            places = found.setdefault(key, {})
            places[suffix if suffix not in places else f"{suffix} twice"] = (member.start, member.size)
        else:
            ignored[key] += 1
    return found, ignored


def split_name(name: str, images: AbstractSet[str], texts: AbstractSet[str]) -> tuple[str, str]:
    """Split a member's name into sample and suffix.

    Args:
        name: Path of the member.
        images: Names of all images of the shard, without suffix.
        texts: Names of all .txt and .json files, without suffix.

    Returns:
        Sample and suffix; or a kind of file that is not read, and no suffix.

    """
    stem, suffix = stem_of(name), suffix_of(name)
    outer, inner = stem_of(stem), suffix_of(stem)
    if PurePosixPath(name).name.startswith("."):
        return "hidden", ""
    if suffix not in (*PICTURES, *TEXTS):
        return (f".{suffix[:20]}" if suffix else "without suffix"), ""
    if stem not in images and outer in images and inner:  # of a text
        return (outer, f"{inner}.txt") if suffix == "txt" else (f".{inner[:20]}.{suffix}", "")
    if suffix in PICTURES and inner and outer in images and stem not in texts:
        return f".{inner[:20]}.{suffix}", ""
    if suffix == "txt" and stem not in images and LANGUAGE.fullmatch(inner):
        return outer, f"{inner}.txt"
    return stem, suffix


def stem_of(name: str) -> str:
    """A path without what follows the last point of its last part; the path where there is none."""
    return name.rpartition(".")[0] if suffix_of(name) else name


def suffix_of(name: str) -> str:
    """What follows the last point of a path's last part, in lower case; empty where there is none."""
    return name.rpartition("/")[2].rpartition(".")[2].lower() if "." in name.rpartition("/")[2] else ""


def read_at(path: Path, start: int, size: int) -> bytes:
    """Read the bytes of a member; DataError where the file cannot be read any more."""
    try:
        with path.open("rb") as handle:
            handle.seek(start)
            return handle.read(size)
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
