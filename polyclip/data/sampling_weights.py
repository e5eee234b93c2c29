"""How often captions are drawn: by who wrote them, and by how much their language names."""

import math
from collections.abc import Iterable, Mapping, Sequence

from polyclip.data.types import Row
from polyclip.errors import DataError

HUMAN = "human"


def by_people(rows: list[Row]) -> list[Row]:
    """The rows that judge a model: those that people wrote, or all where there are none."""
    return [row for row in rows if row.provenance == HUMAN] or rows


def by_machine(rows: list[Row]) -> list[Row]:
    """The others."""
    return [row for row in rows if row.provenance != HUMAN]


def parsed(options: Sequence[str]) -> dict[str, float]:
    """`["nllb=0.5"]` to a dictionary.

    Raises DataError for what is not PROVENANCE=WEIGHT with a finite weight of 0 or more, and for a provenance named twice.
    """
    found: dict[str, float] = {}
    for text in options:
        key, _, value = text.rpartition("=")
        try:
            weight = float(value)
        except ValueError:
            weight = math.nan
        if not key or not 0 <= weight < math.inf:
            raise DataError(
                f"--mix {text!r}: expected PROVENANCE=WEIGHT with a weight of 0 or more, such as nllb=0.5 (captions by people weigh 1)."
            )
        if key in found:
            raise DataError(f"--mix names {key!r} twice: give one weight.")
        found[key] = weight
    return found


def weight_of(provenance: str, mix: Mapping[str, float] | None) -> float:
    """How often a caption is drawn, one that people wrote being 1: the weight of the longest key that `provenance` begins with, else 1."""
    keys = [key for key in mix or {} if provenance.startswith(key)]
    return (mix or {})[max(keys, key=len)] if keys else 1.0


def mixed(rows: Mapping[str, list[Row]], mix: Mapping[str, float] | None, corpus: str) -> dict[str, list[Row]]:
    """Rows by language without those that are never drawn.

    Raises DataError for a key of `mix` that no provenance begins with.
    """
    if not mix:
        return dict(rows)
    known = sorted({row.provenance for found in rows.values() for row in found})
    for key in mix:
        if not any(provenance.startswith(key) for provenance in known):
            raise DataError(
                f"--mix {key}: corpus {corpus!r} has no caption of that provenance in the languages trained; it has {', '.join(known)}."
            )
    return {code: [row for row in found if weight_of(row.provenance, mix) > 0] for code, found in rows.items()}


def language_weights(named: Mapping[str, int], temperature: float | None) -> dict[str, float]:
    """How often each language is drawn, 1 on average: in proportion to n ** (1 / temperature) for n named pictures, all the same for None.

    1 / temperature is the alpha of XLM-R's sampling (Conneau et al. 2020, arXiv 1911.02116, section 3.1: alpha 0.3); 1 draws languages as
    often as they name something, a high temperature draws all as often.
    Raises DataError for a temperature that is not above 0.
    """
    if temperature is None:
        return dict.fromkeys(named, 1.0)
    if not temperature > 0:
        raise DataError(
            f"--temperature {temperature:g}: expected a number above 0; 1 is proportional, 3.33 is XLM-R's."
        )
    return averaged({code: count ** (1 / temperature) for code, count in named.items()})


def rehearsing(weights: Mapping[str, float], new: Iterable[str], share: float) -> dict[str, float]:
    """The same, with the languages that are not `new` weighing `share` (in [0, 1)) of all together."""
    fresh = set(new)
    totals = {side: sum(value for code, value in weights.items() if (code in fresh) is side) for side in (True, False)}
    if not totals[False]:
        return dict(weights)
    return averaged(
        {
            code: value * ((1 - share) if code in fresh else share) / totals[code in fresh]
            for code, value in weights.items()
        }
    )


def averaged(weights: Mapping[str, float]) -> dict[str, float]:
    """Scaled so that their mean is 1."""
    total = sum(weights.values())
    return {code: value * len(weights) / total for code, value in weights.items()}
