"""Where a figure comes from: the run's own settings in its folder, and hashes, versions and counts beside every result."""

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from polyclip.core.storage import sha256
from polyclip.core.toml import CORPORA, LANGUAGES
from polyclip.models.aligner import PolyCLIP

if TYPE_CHECKING:
    from polyclip.evaluation.retrieval import Report

PACKAGES = ("polyclip", "torch", "transformers", "timm", "tokenizers", "accelerate", "pillow", "numpy")


def origin(aligner: PolyCLIP, seed: int, report: "Report") -> dict[str, Any]:
    """Hashes of packs and towers, versions, seed, counts, and what a reader must know."""
    packs = [*sorted(LANGUAGES.glob("*.toml")), *sorted(CORPORA.glob("*.toml"))]
    return {
        "hashes": {
            "text_encoder": aligner.text.tower.identity,
            "vision_tower": aligner.vision.tower.identity,
            "packs": {f"{path.parent.name}/{path.name}": sha256(path)[:16] for path in packs},
        },
        "versions": {name: version(name) for name in PACKAGES}
        | {"python": platform.python_version(), "machine": platform.machine()},
        "seed": seed,
        "counts": report.counts,
        "notes": report.notes,
        "interval": "95 % percentile bootstrap, 1000 draws of whole clusters",
    }
