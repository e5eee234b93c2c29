"""Embedding checks: batch independence, constant output, norms, and values that are not finite."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.vectors import normalize
from polyclip.evaluation.tokenizer.findings import EmbeddingStats, Finding
from polyclip.models.backbone import UnitEncoder
from polyclip.models.batches import run_on_every_core

PROBED = 12  # captions, of all lengths
FILLER = " ".join(["dog"] * 24)  # a long caption, so that every other one in its batch is filled up
BATCH_TOLERANCE = 1e-4  # cosine distance; float32 leaves 1e-13, bfloat16 1e-5, padding in the mean 1e-1
BATCH_SHARE = 0.01  # of the spread, for an encoder whose captions all lie close together
NOISE = 1e-9  # cosine distance that is rounding whatever the spread
CONSTANT = (
    1e-6  # cosine distance from the mean direction; e5-small has 0.1 in English, equal embeddings in float32 have 1e-13
)
UNIT = 1e-3  # by which an embedding's length may differ from 1


def measure_embeddings(encoder: Any, texts: Sequence[str]) -> EmbeddingStats | None:
    """Measure the embeddings of a few captions, one by one and in a batch.

    Args:
        encoder: The text encoder, built.
        texts: Captions; PROBED of them are used.

    Returns:
        Statistics of the embeddings; None where a value is not finite.

    """
    chosen = sample_lengths(texts)
    alone = encode_batches(encoder, chosen, [[row] for row in range(len(chosen))])
    together = encode_batches(encoder, [*chosen, FILLER], [list(range(len(chosen) + 1))])[:-1]
    if not (alone.isfinite().all() and together.isfinite().all()):
        return None
    lengths = alone.norm(dim=1)
    directions = normalize(alone)
    return EmbeddingStats(
        captions=len(chosen),
        batch_distance=compute_distance(directions, normalize(together)),
        spread=compute_distance(directions, normalize(directions.mean(0, keepdim=True))),
        shortest=float(lengths.min()),
        longest=float(lengths.max()),
    )


def sample_lengths(texts: Sequence[str]) -> list[str]:
    """Sample PROBED different captions from the shortest to the longest."""
    ordered = sorted(set(texts), key=lambda text: (len(text), text))
    count = min(PROBED, len(ordered))
    return [ordered[place * (len(ordered) - 1) // max(1, count - 1)] for place in range(count)]


def encode_batches(encoder: Any, texts: Sequence[str], batches: list[list[int]]) -> Float[Tensor, "caption dim"]:
    """Encode `texts` in these batches, in float64, so that small distances are not lost in rounding."""
    out = torch.empty(len(texts), encoder.dim, dtype=torch.float64)

    def one(batch: list[int]) -> None:
        out[batch] = encoder(**encoder.prepare([texts[row] for row in batch])).double()

    run_on_every_core(one, iter(batches), lambda _: None)
    return out


def compute_distance(one: Float[Tensor, "row dim"], other: Float[Tensor, "other dim"]) -> float:
    """Compute the largest cosine distance between rows of embeddings, in [0, 2]; `other` may be a single row."""
    return max(0.0, float((1 - (one * other).sum(1)).max()))


def check_embeddings(
    encoder: Any, name: str, found: EmbeddingStats | None, *, known: bool, left: bool
) -> list[Finding]:
    """Check the statistics of the embeddings.

    Args:
        encoder: The text encoder, built.
        name: Name of the language.
        found: Statistics of the embeddings; None where a value was not finite.
        known: Whether the tokenizer knows the script.
        left: Whether rows are padded on the left.

    Returns:
        The defects found.

    """
    if found is None:
        return [
            Finding(
                "non-finite",
                True,
                f"{name}: the encoder gives values that are not finite; its weights are damaged or overflow in their "
                "precision.",
            )
        ]
    findings = []
    if found.batch_distance > max(NOISE, min(BATCH_TOLERANCE, BATCH_SHARE * found.spread)):
        cause = (
            "rows are padded on the left, where it pools or counts positions"
            if left
            else "padding leaks into its embedding"
        )
        text = (
            f"{name}: a caption gets another embedding in a batch than alone (cosine distance "
            f"{found.batch_distance:.2g}): {cause}."
        )
        findings.append(Finding("batch-dependent", True, text))
    if found.spread < CONSTANT and known:
        findings.append(
            Finding(
                "constant",
                True,
                f"{name}: every caption gets the same embedding; weights, pooling or mask do not fit the model.",
            )
        )
    claims_unit = isinstance(encoder, UnitEncoder) and encoder.unit
    if claims_unit and max(abs(found.shortest - 1), abs(found.longest - 1)) > UNIT:
        text = (
            f"{name}: the encoder claims unit length, its embeddings have lengths {found.shortest:.3g} to "
            f"{found.longest:.3g}."
        )
        findings.append(Finding("not-unit", True, text))
    return findings
