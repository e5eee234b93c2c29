"""Export a run: write it beside its place, move it there, read it back with its own library, and remove it if it
disagrees.
"""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from polyclip.core.encode_precision import FP32, use_encode_precision
from polyclip.core.progress import console
from polyclip.core.registry import find, to_module_name
from polyclip.core.run_folder import read_settings
from polyclip.core.storage import hash_file, write_text
from polyclip.errors import PolyclipError, RunError
from polyclip.exporters.base import ExportNotes, ExportOrder, Target, check_installed
from polyclip.exporters.samples import Samples, load_samples
from polyclip.exporters.support import check_plan, read_plan
from polyclip.exporters.verify import LEAST, LEAST_INT8, Agreement, check_agreements, compute_agreements, read_back
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.hf import silence_libraries

DISTRIBUTIONS = {
    "open_clip": "open_clip_torch",
    "sentence_transformers": "sentence-transformers",
}  # where it differs from the module's name


@dataclass(frozen=True)
class ExportResult:
    """A checked export: its folder, how well it agrees with the run, and notes."""

    folder: Path
    target: str
    agreements: list[Agreement]
    notes: tuple[str, ...]
    text: bool = True  # whether it embeds captions
    images: bool = True


def export(run: Path, target: str, out: Path, *, int8: bool = False, width: int = 0) -> ExportResult:
    """Export a run to another library and check the result.

    Args:
        run: Run folder.
        target: Name of a module in polyclip/exporters/targets.
        out: New or empty folder.
        int8: Whether to write 8-bit weights, where the target supports them.
        width: Length to which embeddings are padded with zeros, where the target supports it; 0: as they are.

    Returns:
        The export; on an error nothing is left in `out`.

    Raises:
        UnknownName: The target does not exist.
        RunError: The run cannot be expressed there, a package is missing, `out` is not empty, or the export disagrees
            with the run.

    Example:
        >>> export(Path("runs/sw"), "onnx", Path("sw-onnx")).agreements[0].lowest

    """
    plug, name = find("exports", target).TARGET, to_module_name(target)
    check_installed(target, plug)
    if int8 and not plug.int8:
        raise RunError(f"{target} does not support --int8: remove it, or choose --to onnx.")
    if width and not plug.pads:
        raise RunError(f"{target} does not support --width: remove it, or choose --to onnx.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} is not empty: name a new folder with --out, or remove it first.")
    check_plan(read_plan(run), target)
    aligner = load_model(run)
    if 0 < width < aligner.dim:
        raise RunError(f"--width {width} is less than the {aligner.dim} numbers of this run's embeddings.")
    with remove_on_failure(out), use_encode_precision(FP32):  # other libraries compute in float32
        order = ExportOrder(aligner=aligner, run=run, folder=out, final=out.resolve(), int8=int8, width=width)
        with silence_libraries():
            written = write_and_move(plug, order)
        given = load_samples(run)
        wanted = embed_samples(load_model(run), given, width)  # loaded again: writing may modify an aligner
        console.print(f"reading {out} back with {plug.needs[0]} alone", highlight=False, soft_wrap=True)
        found = compute_agreements(
            read_back(name, out.resolve(), given, plug.reader), wanted, given.wide, LEAST_INT8 if int8 else LEAST
        )
        check_agreements(target, found, int8=int8)
        done = ExportResult(out, target, found, written.notes, written.text, written.images)
        write_text(out / "export.json", format_facts(done, run, plug), what="facts of the export")
    return done


def embed_samples(aligner: PolyCLIP, given: Samples, width: int = 0) -> dict[str, np.ndarray]:
    """Embed the sample captions and images with the run, padded with zeros to a width."""
    text = aligner.text.embed(given.captions, "captions of the check", keep=False)
    found = {"text": text.numpy(), "pictures": aligner.encode_image(given.images).numpy()}
    return {kind: np.pad(rows, ((0, 0), (0, max(0, width - rows.shape[1])))) for kind, rows in found.items()}


def write_and_move(plug: Target, order: ExportOrder) -> ExportNotes:
    """Write into a temporary folder beside the final one, then move it there.

    Raises:
        PolyclipError: The disk is full or the folder cannot be written.

    """
    final = order.final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{final.name}.") as name:
            work = Path(name) / "whole"
            work.mkdir()
            written = plug.write(replace(order, folder=work))
            shutil.rmtree(final, ignore_errors=True)  # empty, as was checked
            work.rename(final)
    except OSError as error:
        raise PolyclipError(
            f"Cannot write the export to {final}: {error.strerror or error}. Free some space or name another folder; "
            "nothing was left."
        ) from error
    return written


@contextmanager
def remove_on_failure(folder: Path) -> Iterator[None]:
    """Remove the folder if the block fails for any reason."""
    whole = False
    try:
        yield
        whole = True
    finally:
        if not whole:
            shutil.rmtree(folder, ignore_errors=True)


def format_facts(done: ExportResult, run: Path, plug: Target) -> str:
    """Return the text of export.json."""
    settings = read_settings(run, "corpus", "recipe")
    recipe: dict[str, Any] = settings["recipe"]
    table = {
        "schema": 1,
        "target": done.target,
        "polyclip": version("polyclip"),
        "versions": {name: find_version(name) for name in (*plug.needs, *plug.checks)},
        "aligner_sha256": hash_file(run / "aligner.safetensors"),
        "languages": settings["languages"],
        **{key: recipe[key] for key in ("method", "text_encoder", "vision_tower")},
        "checked": [asdict(one) for one in done.agreements],
        "notes": list(done.notes),
    }
    return json.dumps(table, ensure_ascii=False, indent=1) + "\n"


def find_version(package: str) -> str:
    """Return the version of a package, "unknown" where it is missing."""
    try:
        return version(DISTRIBUTIONS.get(package, package))
    except PackageNotFoundError:
        return "unknown"
