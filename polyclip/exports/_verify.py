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
from polyclip.exports._samples import Samples

ALONE = Path(__file__).parent / "_alone" / "run.py"
LEAST, LEAST_INT8 = 0.9999, 0.99  # cosine
OFFLINE = {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


@dataclass(frozen=True)
class Agreement:
    """Cosines between an export's vectors and the run's, of one kind."""

    kind: str  # text or pictures
    count: int
    lowest: float
    mean: float
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
            raise RunError(f"The export to {target} could not be read back by its own library: {said[:300]} It was removed.")
        with np.load(material / "vectors.npz", allow_pickle=False) as found:
            return dict(found)


def agreements(found: dict[str, Any], wanted: dict[str, np.ndarray]) -> list[Agreement]:
    """One for each kind that the export makes; `wanted` are the run's unit vectors."""
    rewritten = found.get("rewritten", np.zeros(len(wanted["text"]), bool)).astype(bool)
    kept = {"text": ~rewritten, "pictures": np.ones(len(wanted["pictures"]), bool)}
    return [agreement(kind, found[kind][kept[kind]], wanted[kind][kept[kind]], int((~kept[kind]).sum())) for kind in kept if kind in found]


def agreement(kind: str, own: np.ndarray, run: np.ndarray, rewritten: int) -> Agreement:
    """Of one kind.

    Raises RunError for vectors of another shape, or that are not finite.
    """
    if own.shape != run.shape or not np.isfinite(own).all() or not len(own):
        raise RunError(f"The export's {kind} vectors have shape {list(own.shape)}, expected {list(run.shape)}, all finite. It was removed.")
    cosine = cosines(own.astype(np.float64), run.astype(np.float64))
    return Agreement(kind, len(cosine), float(cosine.min()), float(cosine.mean()), rewritten)


def cosines(own: np.ndarray, run: np.ndarray) -> np.ndarray:
    """Row by row; two vectors of zeros agree, one alone does not."""
    product = np.linalg.norm(own, axis=1) * np.linalg.norm(run, axis=1)
    empty = (own == 0).all(1) & (run == 0).all(1)
    return np.where(empty, 1.0, (own * run).sum(1) / np.where(product == 0, 1.0, product))


def check(target: str, found: list[Agreement], least: float) -> None:
    """Raises RunError where an export says something else than the run."""
    low = [one for one in found if not one.lowest >= least]
    if low:
        facts = "; ".join(one.sentence() for one in low)
        raise RunError(f"The export to {target} does not say what the run says ({facts}), expected {least} or more for each. It was removed; {hint(least)}.")


def hint(least: float) -> str:
    """What to do."""
    return "export without --int8" if least == LEAST_INT8 else "use another target, or report this with the run's run.toml"
