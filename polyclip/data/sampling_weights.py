"""Sampling weights of captions: by provenance, and by language."""

import math
from collections.abc import Iterable, Mapping, Sequence

from polyclip.data.types import Row
from polyclip.errors import DataError

HUMAN = "human"


def select_human(rows: list[Row]) -> list[Row]:
    """Select the rows with human captions, or all rows where there are none."""
    return [row for row in rows if row.provenance == HUMAN] or rows


def select_machine(rows: list[Row]) -> list[Row]:
    """Select the rows whose captions were machine-translated."""
    return [row for row in rows if row.provenance != HUMAN]


def parse_caption_weights(options: Sequence[str]) -> dict[str, float]:
    """Parse options such as `["nllb=0.5"]` to weights by provenance.

    Args:
        options: Texts PROVENANCE=WEIGHT.

    Returns:
        Weights, finite and >= 0.

    Raises:
        DataError: A text has another form or weight, or a provenance is named twice.

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
                f"--caption-weights {text!r}: expected PROVENANCE=WEIGHT with a weight of 0 or more, such as nllb=0.5 "
                "(human captions weigh 1)."
            )
        if key in found:
            raise DataError(f"--caption-weights names {key!r} twice: give one weight.")
        found[key] = weight
    return found


def get_caption_weight(provenance: str, mix: Mapping[str, float] | None) -> float:
    """Look up the sampling weight of a caption relative to a human caption.

    Args:
        provenance: Who wrote the caption, such as "human" or "nllb-200-distilled-600M@<commit>".
        mix: Weights by the beginning of a provenance; the longest that fits counts.

    Returns:
        The weight, 1 where none fits.

    """
    keys = [key for key in mix or {} if provenance.startswith(key)]
    return (mix or {})[max(keys, key=len)] if keys else 1.0


def drop_unweighted(
    rows: Mapping[str, list[Row]], mix: Mapping[str, float] | None, corpus: str
) -> dict[str, list[Row]]:
    """Drop the rows whose captions have weight 0.

    Args:
        rows: Rows by language code.
        mix: Weights by the beginning of a provenance.
        corpus: Name of the corpus, for the error message.

    Returns:
        The remaining rows by language code.

    Raises:
        DataError: No caption has a provenance that a key of `mix` begins.

    """
    if not mix:
        return dict(rows)
    known = sorted({row.provenance for found in rows.values() for row in found})
    for key in mix:
        if not any(provenance.startswith(key) for provenance in known):
            raise DataError(
                f"--caption-weights {key}: corpus {corpus!r} has no caption of that provenance in the languages "
                f"trained; it has {', '.join(known)}."
            )
    return {code: [row for row in found if get_caption_weight(row.provenance, mix) > 0] for code, found in rows.items()}


def compute_language_weights(named: Mapping[str, int], temperature: float | None) -> dict[str, float]:
    """Compute how often each language is sampled, 1 on average: n ** (1 / temperature) for n named images.

    1 / temperature is the alpha of XLM-R's sampling (Conneau et al. 2020, arXiv 1911.02116, section 3.1: alpha 0.3).
    Temperature 1 samples in proportion to the data, a high one samples all languages equally often.

    Args:
        named: Number of named images by language code.
        temperature: The temperature, > 0; None gives all languages the same weight.

    Returns:
        Weights by language code, with mean 1.

    Raises:
        DataError: The temperature is below 0.01 or above 1e6.

    """
    if temperature is None:
        return dict.fromkeys(named, 1.0)
    if not 0.01 <= temperature <= 1e6:
        raise DataError(
            f"--temperature {temperature:g}: expected a number above 0 (0.01 to 1e6); 1 is proportional, 3.33 is "
            "XLM-R's."
        )
    return scale_to_mean_one({code: count ** (1 / temperature) for code, count in named.items()})


def weigh_replay(weights: Mapping[str, float], new: Iterable[str], share: float) -> dict[str, float]:
    """Scale weights so that the languages which are not `new` weigh `share` of all together.

    Args:
        weights: Weights by language code.
        new: Codes of the new languages.
        share: Share of the replayed languages, in [0, 1].

    Returns:
        Weights by language code, with mean 1.

    """
    fresh = set(new)
    totals = {side: sum(value for code, value in weights.items() if (code in fresh) is side) for side in (True, False)}
    if not totals[False]:
        return dict(weights)
    return scale_to_mean_one(
        {
            code: value * ((1 - share) if code in fresh else share) / totals[code in fresh]
            for code, value in weights.items()
        }
    )


def weigh_helpers(weights: Mapping[str, float], helpers: Iterable[Mapping[str, object]]) -> dict[str, float]:
    """Scale weights so that all languages or lists of a helper weigh as much together as each did before.

    Args:
        weights: Weights by language code or list.
        helpers: Further sources of captions, whose keys are in `weights`.

    Returns:
        The new weights.

    """
    return dict(weights) | {key: weights[key] / len(helper) for helper in helpers for key in helper}


def scale_to_mean_one(weights: Mapping[str, float]) -> dict[str, float]:
    """Scale weights so that their mean is 1."""
    total = sum(weights.values())
    return {code: value * len(weights) / total for code, value in weights.items()}
