"""What a finished export says, in a fresh process with the target's library alone, against what the run says."""

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
from polyclip.export.samples import Samples

ALONE = Path(__file__).parent / "_readers" / "run.py"
LEAST, LEAST_INT8 = 0.9999, 0.99  # cosine
LEAST_WIDE = 0.95  # of pictures that are not square: libraries resize them whole and cut then, the run cuts while it resizes, up to half a pixel apart
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class Agreement:
    """Cosines between an export's vectors and the run's, of one kind."""

    kind: str  # text, pictures, or wide pictures
    count: int
    lowest: float
    mean: float
    least: float  # what `lowest` has to be
    rewritten: int = 0  # captions that the library changes before it reads them, left out of the figures

    def sentence(self) -> str:
        """For people."""
        more = f"; {self.rewritten} more are rewritten by the library before it reads them" if self.rewritten else ""
        return f"{self.kind}: cosine with the run at least {self.lowest:.6f}, {self.mean:.6f} on average of {self.count}{more}"


def vectors_of(target: str, folder: Path, given: Samples) -> dict[str, Any]:
    """Vectors by a fresh process, without network.

    Raises RunError, with the last line of what it said, when it fails.
    """
    with tempfile.TemporaryDirectory() as name:
        material = Path(name)
        (material / "captions.json").write_text(json.dumps(given.captions, ensure_ascii=False), encoding="utf-8")
        for number, picture in enumerate(given.pictures):
            picture.save(material / f"{number:04}.png")
        command = [sys.executable, "-I", str(ALONE), target, str(folder), name]
        done = subprocess.run(command, env=os.environ | OFFLINE, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            said = (done.stderr.strip() or done.stdout.strip() or f"exit code {done.returncode}").splitlines()[-1]
            raise RunError(
                f"The export to {target} could not be read back by its own library: {said[:300]} It was removed."
            )
        with np.load(material / "vectors.npz", allow_pickle=False) as found:
            return dict(found)


def agreements(found: dict[str, Any], wanted: dict[str, np.ndarray], wide: list[bool], least: float) -> list[Agreement]:
    """One for each kind that the export makes; `wanted` are the run's unit vectors, `wide` says which pictures are not square.

    Raises RunError for vectors of another shape, or that are not finite.
    """
    for kind in ("text", "pictures"):
        if kind in found and (found[kind].shape != wanted[kind].shape or not np.isfinite(found[kind]).all()):
            raise RunError(
                f"The export's {kind} vectors have shape {list(found[kind].shape)}, expected {list(wanted[kind].shape)}, all finite. It was removed."
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
            cosine = cosines(found[key][kept].astype(np.float64), wanted[key][kept].astype(np.float64))
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


def cosines(own: np.ndarray, run: np.ndarray) -> np.ndarray:
    """Row by row; two vectors of zeros agree, one alone does not."""
    product = np.linalg.norm(own, axis=1) * np.linalg.norm(run, axis=1)
    empty = (own == 0).all(1) & (run == 0).all(1)
    return np.where(empty, 1.0, (own * run).sum(1) / np.where(product == 0, 1.0, product))


def check(target: str, found: list[Agreement], *, int8: bool) -> None:
    """Raises RunError where an export says something else than the run."""
    low = [one for one in found if not one.lowest >= one.least]
    if low or not found:
        facts = "; ".join(f"{one.sentence()}, expected {one.least}" for one in low) or "it makes no vectors"
        what = "export without --int8" if int8 else "use another target, or report this with the run's run.toml"
        raise RunError(f"The export to {target} does not say what the run says ({facts}). It was removed; {what}.")
