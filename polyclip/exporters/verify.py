"""Compare an export with its run: embeddings of a fresh process, with the target's library alone, against the run's."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from polyclip.errors import RunError
from polyclip.exporters.samples import Samples

ALONE = Path(__file__).parent / "_readers" / "run.py"
LEAST, LEAST_INT8 = 0.9999, 0.99  # cosine
# of images that are not square: libraries resize them whole and cut then, the run cuts while it resizes, up to half a
# pixel apart
LEAST_WIDE = 0.95
LABELS = {"pictures": "images", "wide pictures": "images that are not square"}  # of the kinds that `export.json` has
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
OFFLINE |= {"ORT_DISABLE_TELEMETRY": "1"}  # else onnxruntime writes a device number and a database into the home folder


@dataclass(frozen=True)
class Agreement:
    """Cosine similarity between an export's embeddings and the run's, for one kind of input."""

    kind: str  # text, pictures, or wide pictures
    count: int
    lowest: float
    mean: float
    least: float  # required minimum of `lowest`
    rewritten: int = 0  # captions that the library changes before tokenization, excluded from the cosines

    def format_sentence(self) -> str:
        """Return the agreement as one sentence."""
        more = f"; {self.rewritten} more are changed by the library before tokenization" if self.rewritten else ""
        return (
            f"{LABELS.get(self.kind, self.kind)}: cosine with the run at least {self.lowest:.6f}, "
            f"{self.mean:.6f} on average of {self.count}{more}"
        )


def read_back(target: str, folder: Path, given: Samples, reader: Path | None = None) -> dict[str, Any]:
    """Embed the samples with the export in a fresh process, offline.

    Args:
        target: Name of the target.
        folder: The exported folder.
        given: Captions and images.
        reader: The program that reads it; by default polyclip's own of the target's name.

    Returns:
        Arrays "text" and "pictures" [item, dim], as far as the export makes them, and "rewritten", see `_readers`.

    Raises:
        RunError: The process failed; the message holds the last line of its output.

    """
    with tempfile.TemporaryDirectory() as name:
        material = Path(name)
        (material / "captions.json").write_text(json.dumps(given.captions, ensure_ascii=False), encoding="utf-8")
        for number, image in enumerate(given.images):
            image.save(material / f"{number:04}.png")
        program = reader or ALONE.with_name(f"{target}.py")
        command = [sys.executable, "-I", str(ALONE), str(program), str(folder), name]
        done = subprocess.run(command, env=os.environ | OFFLINE, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
            raise RunError(
                f"The export to {target} could not be read back by its own library: {said[:300]} It was removed."
            )
        with np.load(material / "vectors.npz", allow_pickle=False) as found:
            return dict(found)


def compute_agreements(
    found: dict[str, Any], wanted: dict[str, np.ndarray], wide: list[bool], least: float
) -> list[Agreement]:
    """Compare embeddings for each kind that the export makes.

    Args:
        found: The export's embeddings, as `read_back` returns them.
        wanted: The run's embeddings.
        wide: Which images are not square.
        least: Minimum cosine.

    Returns:
        One agreement for each kind.

    Raises:
        RunError: A shape differs or a value is not finite.

    """
    for kind in ("text", "pictures"):
        if kind in found and (found[kind].shape != wanted[kind].shape or not np.isfinite(found[kind]).all()):
            raise RunError(
                f"The export's {kind} embeddings have shape {list(found[kind].shape)}, expected "
                f"{list(wanted[kind].shape)}, all finite. It was removed."
            )
    rewritten, other = found.get("rewritten", np.zeros(len(wanted["text"]), bool)).astype(bool), np.array(wide)
    rows = {
        "text": ("text", ~rewritten, least),
        "pictures": ("pictures", ~other, least),
        "wide pictures": ("pictures", other, min(least, LEAST_WIDE)),
    }
    made = []
    for kind, (key, kept, lowest) in rows.items():
        if key in found and kept.any():
            cosine = compute_cosines(found[key][kept].astype(np.float64), wanted[key][kept].astype(np.float64))
            made.append(
                Agreement(
                    kind,
                    len(cosine),
                    float(cosine.min()),
                    float(cosine.mean()),
                    lowest,
                    int(rewritten.sum()) if key == "text" else 0,
                )
            )
    return made


def compute_cosines(own: np.ndarray, run: np.ndarray) -> np.ndarray:
    """Cosine similarity row by row; two zero rows count as 1, one zero row as 0."""
    product = np.linalg.norm(own, axis=1) * np.linalg.norm(run, axis=1)
    empty = (own == 0).all(1) & (run == 0).all(1)
    return np.where(empty, 1.0, (own * run).sum(1) / np.where(product == 0, 1.0, product))


def check_agreements(target: str, found: list[Agreement], *, int8: bool) -> None:
    """Check that an export agrees with its run.

    Raises:
        RunError: A cosine is too low, or the export embeds nothing.

    """
    low = [one for one in found if not one.lowest >= one.least]
    if low or not found:
        facts = "; ".join(f"{one.format_sentence()}, expected {one.least}" for one in low) or "it embeds nothing"
        what = "export without --int8" if int8 else "use another target, or report this with the run's run.toml"
        raise RunError(f"The export to {target} disagrees with the run ({facts}). It was removed; {what}.")
