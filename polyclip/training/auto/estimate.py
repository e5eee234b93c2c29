"""Estimate how long training and scoring take, from a few real steps and items; the test split is not read for it."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from polyclip.data.corpus import load_corpus
from polyclip.evaluation.benchmark import find_benchmark
from polyclip.evaluation.retrieval import Request
from polyclip.models import feature_cache
from polyclip.models.aligner import PolyCLIP
from polyclip.models.branch import Branch
from polyclip.training import compute
from polyclip.training.branch_data import BranchData, Validation
from polyclip.training.config import AlignConfig
from polyclip.training.loop import Phase, prepare_training, run_step
from polyclip.training.prepare import Work, make_phase
from polyclip.training.scoring_plan import list_reported_languages, list_score_markers

STEPS = 3  # the first is not counted: it pays for what is made at first use
PICTURES, CAPTIONS = 24, 192
SLACK = 5.0  # seconds for what is not measured: loading the winner, measuring retention, files, printing
TEST_BY_VALIDATION = 2  # concepts, where a pack does not tell


@dataclass(frozen=True)
class Scoring:
    """Seconds of the final scoring: of every model, and in addition of one with a trained text encoder."""

    frozen: float
    live: float

    def get_seconds(self, live: bool) -> float:
        """Seconds of scoring a model with or without a trained text encoder."""
        return self.frozen + (self.live if live else 0.0)


def estimate_scoring(work: Work) -> Scoring:
    """Estimate an upper bound of the scoring time.

    It assumes that every reported language names every test concept, every style draws it, and nothing is cached that
    is not known to be.

    Args:
        work: The prepared run.

    Returns:
        Seconds.

    """
    run, corpus = work.run, load_corpus(work.run.corpus)
    text, vision, held_out = work.aligner.text, work.aligner.vision, work.sides[0].held_out_pairs
    concepts = corpus.pack.rows.get("test", TEST_BY_VALIDATION * len(held_out.concepts))
    languages = len(list_reported_languages(run, corpus))
    absent = [name for name, mark in list_score_markers(run, work.aligner).items() if not mark.exists()]
    a_language = concepts * measure_item(text, held_out.captions[:CAPTIONS])
    seconds = SLACK + languages * concepts / len(held_out.concepts) * measure_language(run, work.aligner)
    seconds += a_language * len([name for name in absent if name != "pictures"])
    if "pictures" in absent:
        seconds += (
            concepts * len(corpus.reader.styles(corpus.folder)) * measure_item(vision, held_out.images[:PICTURES])
        )
    return Scoring(seconds, languages * a_language)


def measure_item(branch: Branch, items: Sequence[Any]) -> float:
    """Measure the seconds of encoding an item without the cache."""
    branch.encode_features(items[:1], "one item", keep=False)  # builds the encoder
    return measure_seconds(lambda: branch.encode_features(items, "items to measure the throughput", keep=False)) / len(
        items
    )


def measure_language(run: AlignConfig, aligner: PolyCLIP) -> float:
    """Measure the seconds of scoring a language whose features are cached, on the validation split."""
    request = Request(languages=run.languages, corpus=run.corpus, split="validation")
    benchmark = find_benchmark("held-out")
    benchmark.score(aligner.eval(), request)  # encodes the names
    return measure_seconds(lambda: benchmark.score(aligner.eval(), request)) / len(run.languages)


def estimate_training(work: Work) -> float:
    """Estimate the seconds of all phases of a run; its weights are restored afterwards.

    Args:
        work: The prepared run.

    Returns:
        Seconds; 0 for a closed form, which is not estimated.

    """
    run, aligner = work.run, work.aligner
    if aligner.method.solve is not None:
        return 0.0
    before = {name: tensor.clone() for name, tensor in aligner.state().items()}
    check = measure_seconds(Validation(aligner, work.sides[0].held_out_pairs, work.sides))
    aligner.set_state(before, "the state before it was validated")  # a joint head measures its parts' lengths then
    heads = estimate_phase(work, make_phase("heads", run.heads, work), check)
    live = [data for data in work.sides if data.side.encoder is not None]
    return heads + (estimate_live_phase(work, live) if live else 0.0)


def estimate_phase(work: Work, planned: Phase, check: float) -> float:
    """Estimate the seconds of all steps of a phase, and of validation at its start and after each epoch."""
    epochs = planned.settings.epochs
    return epochs * planned.steps_per_epoch * measure_step(work.aligner, planned) + (epochs + 1) * check


def estimate_live_phase(work: Work, live: list[BranchData]) -> float:
    """Estimate the seconds of the phase that trains inside encoders: missing hidden states, steps and validation."""
    settings, method = work.run.towers, work.run.recipe.method
    below = 0.0
    for data in live:
        rows = list_first_rows(make_phase(method, settings, work), data.side.kind)
        below += measure_seconds(partial(data.attach_rows, rows)) / len(rows) * count_absent_rows(data)
    planned = make_phase(method, settings, work)  # now with what is trained inside
    a_step = measure_step(work.aligner, planned)
    for data in live:
        data.detach_backbone()
    check = (
        a_step / planned.batch * max(len(data.held_out) for data in live) / 2
    )  # forward alone is less than half of a step
    return below + settings.epochs * planned.steps_per_epoch * a_step + (settings.epochs + 2) * check


def count_absent_rows(data: BranchData) -> int:
    """Count training and validation items of a branch whose hidden states at its cut are not cached."""
    side = data.side
    if side.cut == 0 and side.kind == "text":
        return 0  # captions are read as they are
    parts = ((data.train, data.sections), (data.held_out, data.held_out_sections))
    return sum(feature_cache.missing(side.tower, side.cut, items, sections) for items, sections in parts)


def list_first_rows(planned: Phase, kind: str) -> list[int]:
    """List the training rows of one branch that the first steps use."""
    rows: set[int] = set()
    for number in range(STEPS):
        seed = planned.settings.seed * 1_000_003 + number
        caption, image, concept = planned.pairs.sample(planned.batch, seed)
        wanted = [image] if kind == "vision" else [caption, planned.pairs.sample_other_captions(concept, seed)]
        rows |= {row for table in wanted for row in table.tolist()}
    return sorted(rows)


def measure_step(aligner: PolyCLIP, planned: Phase) -> float:
    """Measure the mean seconds of the first steps but one; the weights are restored afterwards."""
    before = {name: tensor.clone() for name, tensor in aligner.state().items()}
    accelerator = compute.create_accelerator(planned.compute)
    model, optimizer = prepare_training(accelerator, aligner, planned)
    seconds = [
        measure_seconds(partial(run_step, accelerator, model, optimizer, planned, number)) for number in range(STEPS)
    ]
    compute.release_model(accelerator, model, aligner)
    aligner.zero_grad(set_to_none=True)
    aligner.set_state(before, "the state before it was measured")
    return sum(seconds[1:]) / (STEPS - 1)


def measure_seconds(action: Callable[[], object]) -> float:
    """Measure the seconds that an action takes."""
    started = time.monotonic()
    action()
    return time.monotonic() - started
