"""Provenance of a result: hashes, versions, seed and counts that are written beside the scores."""

import platform
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

from polyclip.core.storage import hash_file
from polyclip.core.toml import CORPORA, LANGUAGES
from polyclip.models.aligner import PolyCLIP

if TYPE_CHECKING:
    from polyclip.evaluation.retrieval import BenchmarkReport

PACKAGES = ("polyclip", "torch", "transformers", "timm", "tokenizers", "accelerate", "pillow", "numpy")


def describe_origin(aligner: PolyCLIP, seed: int, report: "BenchmarkReport") -> dict[str, Any]:
    """Describe where the scores come from.

    Args:
        aligner: The model that was scored.
        seed: Seed of the run.
        report: Scores with counts and notes.

    Returns:
        The `origin` object of result.json: hashes of packs and encoders, versions, seed, counts and notes.

    """
    packs = [*sorted(LANGUAGES.glob("*.toml")), *sorted(CORPORA.glob("*.toml"))]
    return {
        "hashes": {
            "text_encoder": aligner.text.tower.identity,
            "vision_tower": aligner.vision.tower.identity,
            "packs": {f"{path.parent.name}/{path.name}": hash_file(path)[:16] for path in packs},
        },
        "versions": {name: version(name) for name in PACKAGES}
        | {"python": platform.python_version(), "machine": platform.machine()},
        "seed": seed,
        "counts": report.counts,
        "notes": report.notes,
        "interval": "95 % percentile bootstrap, 1000 draws of whole clusters",
        **({"without_score": report.without} if report.without else {}),
    }
