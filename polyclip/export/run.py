"""One export from end to end: written beside its place, moved there, read back by its own library, removed if it says anything else."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

import polyclip
from polyclip.core.progress import console
from polyclip.core.registry import find, module_name
from polyclip.core.run_folder import read_run
from polyclip.core.storage import sha256, write_text
from polyclip.errors import PolyclipError, RunError
from polyclip.export.base import Order, Target, Written, check_installed
from polyclip.export.samples import Samples, samples
from polyclip.export.verify import LEAST, LEAST_INT8, Agreement, agreements, check, vectors_of
from polyclip.models.aligner import PolyCLIP, load_model

DISTRIBUTIONS = {
    "open_clip": "open_clip_torch",
    "sentence_transformers": "sentence-transformers",
}  # where they are not the module's name


@dataclass(frozen=True)
class Exported:
    """A folder that says what the run says, and how that was found out."""

    folder: Path
    target: str
    agreements: list[Agreement]
    notes: tuple[str, ...]


def export(run: Path, target: str, out: Path, *, int8: bool = False) -> Exported:
    """Write a run for another library, and check it.

    Raises UnknownName for a target that does not exist, RunError where the run cannot be expressed there, the library is missing, the folder
    is not empty, or what was written does not say what the run says; nothing is left then.
    """
    plug, name = find("exports", target).TARGET, module_name(target)
    check_installed(target, plug)
    if int8 and not plug.int8:
        raise RunError(f"{target} has no int8 form here: leave --int8 out, or choose --to onnx.")
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RunError(f"{out} is not empty: name a new folder with --out, or remove it first.")
    with removed_on_failure(out):
        written = placed(plug, Order(aligner=load_model(run), run=run, folder=out, final=out.resolve(), int8=int8))
        given = samples(run)
        wanted = spoken(load_model(run), given)  # loaded anew: writing may take an aligner apart
        console.print(f"reading {out} back with {plug.needs[0]} alone", highlight=False, soft_wrap=True)
        found = agreements(vectors_of(name, out.resolve(), given), wanted, given.wide, LEAST_INT8 if int8 else LEAST)
        check(target, found, int8=int8)
        done = Exported(out, target, found, written.notes)
        write_text(out / "export.json", facts(done, run, plug), what="facts of the export")
    return done


def spoken(aligner: PolyCLIP, given: Samples) -> dict[str, np.ndarray]:
    """What the run says."""
    text = aligner.text.embed(given.captions, "captions of the check", keep=False)
    return {"text": text.numpy(), "pictures": aligner.encode_image(given.pictures).numpy()}


def placed(plug: Target, order: Order) -> Written:
    """Write into a folder beside the final one, and move it there.

    Raises PolyclipError with one sentence on a full disk.
    """
    final = order.final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=final.parent, prefix=f".{final.name}.") as name:
            work = Path(name) / "whole"
            work.mkdir()
            written = plug.write(Order(aligner=order.aligner, run=order.run, folder=work, final=final, int8=order.int8))
            shutil.rmtree(final, ignore_errors=True)  # empty, as was checked
            work.rename(final)
    except OSError as error:
        raise PolyclipError(
            f"Cannot write the export to {final}: {error.strerror or error}. Free some space or name another folder; nothing was left."
        ) from error
    return written


@contextmanager
def removed_on_failure(folder: Path) -> Iterator[None]:
    """An export that was not found to be right does not stay, whatever ended it."""
    whole = False
    try:
        yield
        whole = True
    finally:
        if not whole:
            shutil.rmtree(folder, ignore_errors=True)


def facts(done: Exported, run: Path, plug: Target) -> str:
    """The text of export.json."""
    settings = read_run(run)
    recipe: dict[str, Any] = settings["recipe"]
    table = {
        "schema": 1,
        "target": done.target,
        "polyclip": polyclip.__version__,
        "versions": {name: installed(name) for name in (*plug.needs, *plug.checks)},
        "aligner_sha256": sha256(run / "aligner.safetensors"),
        "languages": settings["languages"],
        **{key: recipe[key] for key in ("method", "text_encoder", "vision_tower")},
        "checked": [asdict(one) for one in done.agreements],
        "notes": list(done.notes),
    }
    return json.dumps(table, ensure_ascii=False, indent=1) + "\n"


def installed(package: str) -> str:
    """Version of a package."""
    try:
        return version(DISTRIBUTIONS.get(package, package))
    except PackageNotFoundError:
        return "unknown"
