"""Scores of many languages, computed by the processes of a distributed job in turns and shared with all of them."""

from collections.abc import Callable, Iterable
from dataclasses import asdict
from typing import Any

import numpy as np

from polyclip.core import distributed
from polyclip.core.fields import read_fields
from polyclip.evaluation.results import PerQueryScore, QueryOutcomes, Score

ARRAYS = ("rank", "gain")


def score_each(codes: Iterable[str], score: Callable[[str], list[Score]]) -> list[Score]:
    """Score each language in one process and gather the scores in all of them.

    Args:
        codes: Language codes in the order of the scores.
        score: Scores one language.

    Returns:
        The scores of all languages, in the order of `codes`.

    """
    wanted = list(codes)
    own = {code: score(code) for code in distributed.share_items(wanted)}
    if distributed.get_world_size() == 1:
        return [found for scores in own.values() for found in scores]
    table = {
        code: told
        for said in distributed.gather_objects({code: serialize_scores(scores) for code, scores in own.items()})
        for code, told in said.items()
    }
    return [found for code in wanted for found in deserialize_scores(table[code])]


def serialize_scores(scores: list[Score]) -> dict[str, Any]:
    """Convert scores to values that JSON can hold; an outcome that several scores share is written once."""
    outcomes = list({id(s.outcome): s.outcome for s in scores if isinstance(s, PerQueryScore)}.values())
    place = {id(outcome): number for number, outcome in enumerate(outcomes)}
    facts = [read_fields(outcome, QueryOutcomes) for outcome in outcomes]
    return {
        "outcomes": [fact | {name: (str(fact[name].dtype), fact[name].tolist()) for name in ARRAYS} for fact in facts],
        "scores": [
            (asdict(score), place[id(score.outcome)] if isinstance(score, PerQueryScore) else None) for score in scores
        ],
    }


def deserialize_scores(told: dict[str, Any]) -> list[Score]:
    """Restore scores from `serialize_scores`."""
    arrays = [
        {name: np.array(values, kind) for name in ARRAYS for kind, values in [fact[name]]} for fact in told["outcomes"]
    ]
    outcomes = [
        QueryOutcomes(**fact | {"cluster": tuple(fact["cluster"])} | own)
        for fact, own in zip(told["outcomes"], arrays, strict=True)
    ]
    return [
        Score(**facts) if place is None else PerQueryScore(outcomes[place], **facts) for facts, place in told["scores"]
    ]
