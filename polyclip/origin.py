"""Where a figure comes from: the run's own settings in its folder, and hashes, versions and counts beside every result."""

import platform
import tomllib
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tomli_w

from polyclip.aligner import Aligner
from polyclip.checkpoint import unfinished
from polyclip.errors import RunError
from polyclip.packs import CORPORA, LANGUAGES
from polyclip.storage import PART, sha256, write_text

if TYPE_CHECKING:
    from polyclip.benchmarks._retrieval import Report

PACKAGES = ("polyclip", "torch", "transformers", "timm", "tokenizers", "accelerate", "pillow", "numpy")


def check_folder(folder: Path, wanted: dict[str, Any], *, resume: bool) -> None:
    """Whether a run with the settings `wanted` may use `folder`; writes nothing.

    A finished run of the same settings may be made again: it ends with the same weights. With `resume` a folder without a run is
    fine too, since a run may have been stopped before it wrote anything. Raises RunError for a folder that is not a run's, that holds
    a run of other settings, or an unfinished one without --resume.
    """
    if not (folder / "run.toml").exists():
        if folder.exists() and (not folder.is_dir() or any(path.suffix != PART for path in folder.iterdir())):
            raise RunError(f"{folder} exists and is no run folder; choose another --out.")
        return
    found = read_run(folder)
    different = sorted(key for key in wanted if found.get(key) != wanted[key])
    if different:
        was, now = ({key: table.get(key) for key in different} for table in (found, wanted))
        raise RunError(f"{folder} holds a run with other settings: {changes(was, now)}. Choose another --out, or give the same settings.")
    if unfinished(folder) and not resume:
        raise RunError(f"{folder} holds an interrupted run; add --resume to continue it, or choose another --out.")


def write_settings(folder: Path, settings: dict[str, Any]) -> None:
    """run.toml: what makes the folder a run's."""
    write_text(folder / "run.toml", tomli_w.dumps(settings), what="the run's settings")


def changes(was: dict[str, Any], now: dict[str, Any], prefix: str = "") -> str:
    """`heads.epochs was 60, is now 40`."""
    found = []
    for key, value in now.items():
        old = was.get(key)
        if isinstance(value, dict) and isinstance(old, dict):
            found += [changes(old, value, f"{prefix}{key}.")]
        elif old != value:
            found += [f"{prefix}{key} was {old}, is now {value}"]
    return "; ".join(text for text in found if text)


def read_run(folder: Path) -> dict[str, Any]:
    """The settings in a run folder.

    Raises RunError when there are none.
    """
    path = folder / "run.toml"
    try:
        return tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise RunError(f"{folder} is no run folder: it has no run.toml. Make one with: polyclip align --lang sw --out {folder}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise RunError(f"{path} is damaged ({error}).") from error


def origin(aligner: Aligner, seed: int, report: "Report") -> dict[str, Any]:
    """Hashes of packs and towers, versions, seed, counts, and what a reader must know."""
    packs = [*sorted(LANGUAGES.glob("*.toml")), *sorted(CORPORA.glob("*.toml"))]
    return {
        "hashes": {
            "text_encoder": aligner.text.tower.identity,
            "vision_tower": aligner.vision.tower.identity,
            "packs": {f"{path.parent.name}/{path.name}": sha256(path)[:16] for path in packs},
        },
        "versions": {name: version(name) for name in PACKAGES} | {"python": platform.python_version(), "machine": platform.machine()},
        "seed": seed,
        "counts": report.counts,
        "notes": report.notes,
        "interval": "95 % percentile bootstrap, 1000 draws of whole clusters",
    }
