"""Weights that come inside a package, converted once into the cache folder and verified whenever they are read."""

import hashlib
import json
import mmap
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from torch import Tensor

from polyclip.core.json import parse_json
from polyclip.core.storage import (
    PART,
    describe_disk_error,
    describe_file,
    get_cache_folder,
    hash_file,
    hash_parts,
    is_disk_error,
    write_text,
)
from polyclip.errors import PolyclipError, WeightsError

Convert = Callable[[Path, Path], dict[str, int]]


@dataclass(frozen=True)
class ConvertedWeights:
    """A folder of converted weights and its manifest: the hash of each file, and facts such as parameter counts."""

    folder: Path
    hashes: dict[str, str]
    facts: dict[str, Any]

    def compute_identity(self, preprocessing: str) -> str:
        """Hash over the weights' hashes and `preprocessing`, which says what else changes the encoder's output."""
        return hash_parts(json.dumps(self.hashes, sort_keys=True), preprocessing)

    def get_file(self, name: str) -> Path:
        """Path of a file after its hash was verified.

        Args:
            name: Of the file in the folder.

        Returns:
            Its path.

        Raises:
            WeightsError: The file is missing or damaged.

        """
        path = self.folder / name
        found = hash_mapped_file(path) if path.is_file() else "no file"
        if found != self.hashes[name]:
            raise WeightsError(
                f"{path} is damaged: its SHA-256 is {found[:16]}, expected {self.hashes[name][:16]}. "
                "Run 'polyclip cache clear' and try again; it will be converted anew."
            )
        remember_verified(path)
        return path

    def load(self, name: str) -> dict[str, Tensor]:
        """Load the tensors of a verified safetensors file, memory-mapped from disk."""
        from safetensors.torch import load_file

        return load_file(self.get_file(name))


def remember_verified(path: Path) -> None:
    """Note size and time of a verified file beside it, for `polyclip.search.quick`."""
    try:
        note = path.with_suffix(".verified")
        if not note.exists() or note.read_text("utf-8") != describe_file(path):
            write_text(note, describe_file(path), what="a note on converted weights")
    except (OSError, PolyclipError):
        return


def hash_mapped_file(path: Path) -> str:
    """SHA-256 of a file that will be memory-mapped anyway, in one call that releases the GIL, so that other threads run
    meanwhile.
    """
    if not path.stat().st_size:
        return hash_file(path)  # nothing that could be mapped
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        return hashlib.sha256(whole).hexdigest()


def convert_once(name: str, source: Path, source_sha256: str, convert: Convert) -> ConvertedWeights:
    """Convert a package's file unless that was done before.

    Args:
        name: Of the encoder, for the folder's name.
        source: The package's file.
        source_sha256: Its expected hash.
        convert: Writes the converted files: (source, folder) to facts for the manifest.

    Returns:
        The converted weights.

    Raises:
        WeightsError: `source` is not the expected file.
        PolyclipError: The disk is full.

    """
    folder = get_cache_folder() / "weights" / f"{name}-{source_sha256[:12]}"
    manifest = folder / "manifest.json"
    remove_unfinished(folder.parent)
    if not manifest.exists():
        check_source(source, source_sha256)
        _convert_whole(source, folder, convert)
    return _read(manifest)


def check_source(source: Path, expected: str) -> None:
    """Check the hash of a package's file.

    Raises:
        WeightsError: The file is missing, truncated or another version's.

    """
    found = hash_file(source) if source.is_file() else "no file"
    if found != expected:
        raise WeightsError(
            f"{source} is not the file polyclip knows: its SHA-256 is {found[:16]}, expected {expected[:16]}. "
            "Reinstall it: pip install --force-reinstall 'polyclip[starter]'."
        )


def _convert_whole(source: Path, folder: Path, convert: Convert) -> None:
    """Convert in one process at a time."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(folder.parent / f".{folder.name}.lock"):  # the others wait, and find it converted
            if not (folder / "manifest.json").exists():
                _convert(source, folder, convert)
    except Exception as error:
        if not is_disk_error(error):
            raise
        raise PolyclipError(
            f"Cannot write converted weights to {folder}: {describe_disk_error(error)}. Nothing was left half-written; "
            "free some space or set POLYCLIP_CACHE to another folder, then run the same command again."
        ) from error


def remove_unfinished(weights: Path) -> None:
    """Remove what killed processes were converting, whatever it was: hundreds of megabytes for a text encoder."""
    for left in [path for path in weights.glob(".*-*.*/") if path.suffix != PART]:
        with suppress(Timeout, OSError), FileLock(weights / f"{left.name.rpartition('.')[0]}.lock", timeout=0):
            shutil.rmtree(left)


def _convert(source: Path, folder: Path, convert: Convert) -> None:
    """Convert beside the folder and move all files into place together."""
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
        work = Path(temporary) / "whole"
        work.mkdir()
        facts = convert(source, work)
        hashes = {path.name: hash_file(path) for path in sorted(work.iterdir())}
        (work / "manifest.json").write_text(json.dumps({"hashes": hashes, "facts": facts}, indent=1), "utf-8")
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)


@cache
def _read(manifest: Path) -> ConvertedWeights:
    table = parse_json(manifest.read_text("utf-8"))
    return ConvertedWeights(manifest.parent, table["hashes"], table["facts"])
