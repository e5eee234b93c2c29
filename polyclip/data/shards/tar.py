"""Members of a tar file, read in place: nothing is unpacked or unpickled, no path is followed."""

import io
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from polyclip.errors import DataError


@contextmanager
def explain_tar_errors(path: Path, shown: str) -> Iterator[None]:
    """Turn errors of tarfile and the disk into a DataError that names the damaged shard, shown as `shown`."""
    try:
        yield
    except (tarfile.TarError, OSError) as error:
        packed = (
            " Compressed shards (.tar.gz) must be decompressed to .tar first."
            if shown.endswith((".gz", ".tgz", ".zst"))
            else ""
        )
        raise DataError(f"{shown}: damaged, or not a tar file ({error}); download it again.{packed}") from error


def iterate_members(path: Path, shown: str) -> Iterator[tuple[str, str, tarfile.TarInfo]]:
    """Iterate over the plain files of a tar file, in its order.

    Args:
        path: The file.
        shown: What error messages call it.

    Yields:
        Name of the sample, suffix and member.

    Raises:
        DataError: The shard is damaged or truncated, a member is not a plain file, or its path leads out.

    """
    with explain_tar_errors(path, shown), tarfile.open(path, "r:") as archive:
        for member in archive:
            key, suffix = split_member_name(member, shown)
            archive.members = []  # type: ignore[attr-defined]  # tarfile keeps every member it has seen
            if suffix:
                yield key, suffix, member
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


def split_member_name(member: tarfile.TarInfo, shown: str) -> tuple[str, str]:
    """Split the path of a member at the first point of its name into sample and suffix; a folder has no suffix.

    Raises:
        DataError: The path leads out, or the member is not a plain file.

    """
    name = PurePosixPath(member.name)
    if name.is_absolute() or ".." in name.parts:
        raise DataError(f"{shown}: member {member.name[:80]!r} leads out of the archive; such a shard is not read.")
    if member.isdir():
        return "", ""
    if not member.isreg() or member.issparse():
        raise DataError(f"{shown}: member {member.name[:80]!r} is not a plain file; such a shard is not read.")
    stem, _, suffix = name.name.partition(".")
    return str(name.parent / stem), suffix


def read_at(path: Path, start: int, size: int) -> bytes:
    """Read the bytes of a member."""
    with path.open("rb") as handle:
        handle.seek(start)
        return handle.read(size)
