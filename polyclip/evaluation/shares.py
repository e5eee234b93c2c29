"""Scores of many languages, taken by the processes of a job in turns and known to all of them afterwards."""

from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from typing import Any

import numpy as np

from polyclip.core import distributed
from polyclip.evaluation.results import Measured, QueryOutcomes, Score

ARRAYS = ("rank", "gain")


def each(codes: Iterable[str], score: Callable[[str], list[Score]]) -> list[Score]:
    """The scores of each language in their order; each language is scored by one process."""
    wanted = list(codes)
    own = {code: score(code) for code in distributed.share(wanted)}
    if distributed.count() == 1:
        return [found for scores in own.values() for found in scores]
    table = {
        code: told
        for said in distributed.everyones({code: written(scores) for code, scores in own.items()})
        for code, told in said.items()
    }
    return [found for code in wanted for found in read(table[code])]


def written(scores: list[Score]) -> dict[str, Any]:
    """What JSON can hold of scores; an outcome that several share is there once."""
    outcomes = list({id(s.outcome): s.outcome for s in scores if isinstance(s, Measured)}.values())
    place = {id(outcome): number for number, outcome in enumerate(outcomes)}
    facts = [{f.name: getattr(outcome, f.name) for f in fields(QueryOutcomes)} for outcome in outcomes]
    return {
        "outcomes": [fact | {name: (str(fact[name].dtype), fact[name].tolist()) for name in ARRAYS} for fact in facts],
        "scores": [
            (asdict(score), place[id(score.outcome)] if isinstance(score, Measured) else None) for score in scores
        ],
    }


def read(told: dict[str, Any]) -> list[Score]:
    """The scores again."""
    arrays = [
        {name: np.array(values, kind) for name in ARRAYS for kind, values in [fact[name]]} for fact in told["outcomes"]
    ]
    outcomes = [
        QueryOutcomes(**fact | {"cluster": tuple(fact["cluster"])} | own)
        for fact, own in zip(told["outcomes"], arrays, strict=True)
    ]
    return [Score(**facts) if place is None else Measured(outcomes[place], **facts) for facts, place in told["scores"]]
