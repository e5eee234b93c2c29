"""How long training and scoring will take, by a few steps and a few items of the real thing. The test split is not read for it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from polyclip.core.registry import find
from polyclip.data.corpus import load_corpus
from polyclip.evaluation.retrieval import Request
from polyclip.models import feature_cache
from polyclip.models.aligner import PolyCLIP
from polyclip.models.branch import Branch
from polyclip.training import compute
from polyclip.training.branch_data import BranchData, validation
from polyclip.training.config import AlignConfig
from polyclip.training.loop import Phase, step, trainable
from polyclip.training.prepare import Work, phase
from polyclip.training.scoring_plan import reported, scored_marks

STEPS = 3  # the first is not counted: it pays for what is made at first use
PICTURES, CAPTIONS = 24, 192
SLACK = 5.0  # seconds for what is not measured: loading the winner, what its towers still know, files, printing
TEST_BY_VALIDATION = 2  # concepts, where a pack does not tell


@dataclass(frozen=True)
class Scoring:
    """Seconds that the final scores take: what every aligner needs, and what one with a live text tower needs beside it."""

    frozen: float
    live: float

    def of(self, live: bool) -> float:
        """Of one of the two."""
        return self.frozen + (self.live if live else 0.0)


def scoring_seconds(work: Work) -> Scoring:
    """An upper bound: every reported language names every test concept, every style draws it, and nothing is in the cache that is not known to be."""
    run, corpus = work.run, load_corpus(work.run.corpus)
    text, vision, held_out = work.aligner.text, work.aligner.vision, work.sides[0].held_out_pairs
    concepts = corpus.pack.rows.get("test", TEST_BY_VALIDATION * len(held_out.concepts))
    languages = len(reported(run, corpus))
    absent = [name for name, mark in scored_marks(run, work.aligner).items() if not mark.exists()]
    a_language = concepts * seconds_an_item(text, held_out.captions[:CAPTIONS])
    seconds = SLACK + languages * concepts / len(held_out.concepts) * seconds_to_score_a_language(run, work.aligner)
    seconds += a_language * len([name for name in absent if name != "pictures"])
    if "pictures" in absent:
        seconds += (
            concepts * len(corpus.reader.styles(corpus.folder)) * seconds_an_item(vision, held_out.pictures[:PICTURES])
        )
    return Scoring(seconds, languages * a_language)


def seconds_an_item(side: Branch, items: Sequence[Any]) -> float:
    """Of encoding past the cache."""
    side.pooled(items[:1], "one item", keep=False)  # builds the tower
    return timed(lambda: side.pooled(items, "items to measure the pace", keep=False)) / len(items)


def seconds_to_score_a_language(run: AlignConfig, aligner: PolyCLIP) -> float:
    """Of scoring what is encoded already: the validation split stands in for the test split."""
    request = Request(languages=run.languages, corpus=run.corpus, split="validation")
    benchmark = find("benchmarks", "held-out")
    benchmark.score(aligner.eval(), request)  # encodes the names
    return timed(lambda: benchmark.score(aligner.eval(), request)) / len(run.languages)


def training_seconds(work: Work) -> float:
    """Of all phases of a run; its weights are afterwards what they were before. A closed form takes no step: 0, it is not estimated."""
    run, aligner = work.run, work.aligner
    if aligner.method.solve is not None:
        return 0.0
    before = {name: tensor.clone() for name, tensor in aligner.state().items()}
    check = timed(validation(aligner, work.sides[0].held_out_pairs, work.sides))
    aligner.set_state(before, "the state before it was validated")  # a joint head measures its parts' lengths then
    heads = phase_seconds(work, phase("heads", run.heads, work), check)
    live = [data for data in work.sides if data.side.encoder is not None]
    return heads + (live_seconds(work, live) if live else 0.0)


def phase_seconds(work: Work, planned: Phase, check: float) -> float:
    """All steps of a phase, and a check at its start and after each epoch."""
    epochs = planned.settings.epochs
    return epochs * planned.steps_per_epoch * seconds_a_step(work.aligner, planned) + (epochs + 1) * check


def live_seconds(work: Work, live: list[BranchData]) -> float:
    """Of the second phase: states below the cut that are not in the cache, then steps and checks through the layers above it."""
    settings, method = work.run.towers, work.run.recipe.method
    below = 0.0
    for data in live:
        rows = rows_of(phase(method, settings, work), data.side.kind)
        below += timed(partial(data.rehearse, rows)) / len(rows) * absent_rows(data)
    planned = phase(method, settings, work)  # now with what is trained inside
    a_step = seconds_a_step(work.aligner, planned)
    for data in live:
        data.rest()
    check = (
        a_step / planned.batch * max(len(data.held_out) for data in live) / 2
    )  # forward alone is less than half of a step
    return below + settings.epochs * planned.steps_per_epoch * a_step + (settings.epochs + 2) * check


def absent_rows(data: BranchData) -> int:
    """Training and validation items of a side whose states at its cut are to be computed."""
    side = data.side
    if side.cut == 0 and side.kind == "text":
        return 0  # captions are read as they are
    parts = ((data.train, data.sections), (data.held_out, data.held_out_sections))
    return sum(feature_cache.missing(side.tower, side.cut, items, sections) for items, sections in parts)


def rows_of(planned: Phase, kind: str) -> list[int]:
    """The training rows of one side that the first steps ask for."""
    rows: set[int] = set()
    for number in range(STEPS):
        seed = planned.settings.seed * 1_000_003 + number
        caption, picture, concept = planned.pairs.sample(planned.batch, seed)
        wanted = [picture] if kind == "vision" else [caption, planned.pairs.others(concept, seed)]
        rows |= {row for table in wanted for row in table.tolist()}
    return sorted(rows)


def seconds_a_step(aligner: PolyCLIP, planned: Phase) -> float:
    """Mean over the first steps but one, taken for real and then taken back."""
    before = {name: tensor.clone() for name, tensor in aligner.state().items()}
    accelerator = compute.accelerator(planned.compute)
    model, optimizer = trainable(accelerator, aligner, planned)
    seconds = [timed(partial(step, accelerator, model, optimizer, planned, number)) for number in range(STEPS)]
    compute.release(accelerator, model, aligner)
    aligner.zero_grad(set_to_none=True)
    aligner.set_state(before, "the state before it was measured")
    return sum(seconds[1:]) / (STEPS - 1)


def timed(action: Callable[[], object]) -> float:
    """Seconds that it took."""
    started = time.monotonic()
    action()
    return time.monotonic() - started
