"""Captions of an index with their embeddings: those of the last time are not encoded again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.languages.normalize import find_pack
from polyclip.models.aligner import PolyCLIP
from polyclip.search._caption_table import Caption, read_captions
from polyclip.search._embeddings import read_embeddings
from polyclip.search._format import Manifest
from polyclip.search.ranking import measure_usual

SAMPLED = 10_000  # captions, at most, that say how a query's cosines with captions are distributed


@dataclass(frozen=True, eq=False)
class IndexCaptions:
    """Captions in the order of their images, their embeddings, and whether they differ from those of the last time."""

    captions: Sequence[Caption] = ()
    embeddings: Float[Tensor, "caption dim"] = field(default_factory=lambda: torch.empty(0, 0))
    changed: bool = False


def read_index_captions(folder: Path, manifest: Manifest, paths: Sequence[str]) -> IndexCaptions:
    """Read the captions of an index, given the path of each of its rows; none where it has none."""
    if not manifest.captions:
        return IndexCaptions()
    table = read_captions(folder, manifest)
    return IndexCaptions(table.list_captions(paths), read_embeddings(folder, manifest, "caption_vectors"))


def encode_captions(captions: Sequence[Caption], old: IndexCaptions, aligner: PolyCLIP) -> IndexCaptions:
    """Encode captions, each text once and none that the index had.

    Args:
        captions: The captions, in the order of their images.
        old: Those of the index as it was, by the same model.
        aligner: The model.

    Returns:
        The captions with their embeddings.

    """
    known = {(one.text, one.language): row for one, row in zip(old.captions, old.embeddings, strict=True)}
    new: dict[str, dict[str, None]] = {}
    for one in captions:
        if (one.text, one.language) not in known:
            new.setdefault(one.language, {})[one.text] = None
    for language, texts in new.items():
        spelt = language if find_pack(language) else ""  # a language of the corpus that has no pack: NFC only
        rows = aligner.encode_text(list(texts), spelt, show_progress_bar=True)
        known |= {(text, language): row for text, row in zip(texts, rows, strict=True)}
    embeddings = torch.stack([known[one.text, one.language] for one in captions]) if captions else torch.empty(0, 0)
    return IndexCaptions(captions, embeddings, list(captions) != list(old.captions))


def measure_usual_cosines(
    said: IndexCaptions, rows: Sequence[int], queries: Float[Tensor, "query dim"], count: int
) -> tuple[float, float]:
    """Mean and standard deviation of the cosine of any query with an image's nearest caption.

    Args:
        said: The captions; at least one.
        rows: Row of each one's image.
        queries: Embeddings of texts.
        count: Number of images.

    Returns:
        Both, from an even sample of the captions.

    """
    step = -(-len(rows) // SAMPLED)
    return measure_usual((queries @ said.embeddings[::step].T).numpy(), rows[::step], count)
