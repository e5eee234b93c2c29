"""Members of a tar file, read in place: nothing is unpacked, no path is followed, nothing is unpickled."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from polyclip.errors import DataError


@contextmanager
def reading(path: Path, shown: str) -> Iterator[None]:
    """Within it, what tarfile and the disk raise is a DataError that says which shard, shown so, is damaged."""
    try:
        yield
    except (tarfile.TarError, OSError) as error:
        packed = (
            " Packed shards (.tar.gz) are to be unpacked to .tar first."
            if shown.endswith((".gz", ".tgz", ".zst"))
            else ""
        )
        raise DataError(f"{shown}: damaged or no tar file ({error}); download it again.{packed}") from error


def members(path: Path, shown: str) -> Iterator[tuple[str, str, tarfile.TarInfo]]:
    """Sample, suffix and member of each plain file, in the order of the shard.

    Raises DataError for a shard that is damaged or cut off, a member that is no plain file, and one whose path leads out.
    """
    with reading(path, shown), tarfile.open(path, "r:") as archive:
        for member in archive:
            key, suffix = placed(member, shown)
            archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every member it has seen
            if suffix:
                yield key, suffix, member
        ended(path)


def ended(path: Path) -> None:
    """Raises ReadError for a shard without the empty block at its end: tarfile takes one that is cut between two members for whole."""
    with path.open("rb") as handle:
        handle.seek(-tarfile.BLOCKSIZE, io.SEEK_END)
        if handle.tell() % tarfile.BLOCKSIZE or any(handle.read()):
            raise tarfile.ReadError("it ends too early")


def placed(member: tarfile.TarInfo, shown: str) -> tuple[str, str]:
    """Sample and suffix of a member: its path up to the first point of its name, and what follows. A folder has no suffix."""
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise DataError(f"{shown}: member {member.name[:80]!r} leads out of the archive; such a shard is not read.")
    if member.isdir():
        return "", ""
    if not member.isreg() or member.issparse():
        raise DataError(f"{shown}: member {member.name[:80]!r} is no plain file; such a shard is not read.")
    stem, _, suffix = name.name.partition(".")
    return str(name.parent / stem), suffix


def at(path: Path, start: int, size: int) -> bytes:
    """Bytes of a member."""
    with path.open("rb") as handle:
        handle.seek(start)
        return handle.read(size)
