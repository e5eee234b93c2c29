"""Which names the text encoder itself already places at their English names, before any head."""

from collections.abc import Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.vectors import normalize
from polyclip.evaluation.metrics import compute_ranks

PIVOT = "en"
UNNAMED = -1  # by a language or in English


def find_known_names(
    features: Mapping[str, Float[Tensor, "name width"]], places: Mapping[str, Sequence[int]], count: int
) -> dict[str, list[int]]:
    """Find the names whose English name is the nearest of all English names, by the encoder's features alone.

    Args:
        features: The text encoder's features by language, English among them.
        places: Number of the concept of each name, by language.
        count: Number of concepts.

    Returns:
        For each language but English and each concept: 1 where the English name is the nearest of those that the
        language has a name for too, 0 where another one is, -1 where either language has no name.

    """
    unit = {code: normalize(rows) for code, rows in features.items()}
    english = dict(zip(places[PIVOT], unit[PIVOT], strict=True))
    found = {code: [UNNAMED] * count for code in unit if code != PIVOT}
    for code, known in found.items():
        own = {place: row for place, row in zip(places[code], unit[code], strict=True) if place in english}
        if not own:
            continue
        keys = torch.tensor(list(own))
        ranks = compute_ranks(
            torch.stack(list(own.values())), torch.stack([english[place] for place in own]), keys, keys
        )
        for place, rank in zip(own, ranks.tolist(), strict=True):
            known[place] = int(rank == 0)
    return found
