"""The pipeline on one page: `align` and `evaluate`."""

import time
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from polyclip import checkpoint, distributed
from polyclip.aligner import Aligner, load
from polyclip.alignment import Run, settings_of
from polyclip.benchmarks._held_out import named_rows
from polyclip.benchmarks._retrieval import Request
from polyclip.continued import changes
from polyclip.exports._known import limits
from polyclip.knowledge import knowledge
from polyclip.leakage import told
from polyclip.origin import origin, read_run
from polyclip.packs import Corpus, Language, known_languages, load_corpus, load_language
from polyclip.plugins import find
from polyclip.progress import console
from polyclip.records import Result
from polyclip.report.card import write_card
from polyclip.report.result import write_result
from polyclip.storage import cache_folder, digest, write_text
from polyclip.track import tracking
from polyclip.training import keep, prepared, trained


def align(run: Run) -> Result:
    """Fit one aligner and score it on held-out concepts; writes only below `run.out` and the cache folder.

    Raises RunError for a folder that holds another or an unfinished run, DataError where the test split is not unseen, and whatever
    packs, towers and readers raise.
    """
    clock = Clock()
    work = prepared(run)
    tell_exports(work.aligner)
    clock.lap("encode")
    with tracking(run.track, run.out, settings_of(run)) as observe:
        keep(work, trained(replace(work, observe=observe)))
    clock.lap("train")
    return scored(run, work.aligner, clock, work.leaked)


def tell_exports(aligner: Aligner) -> None:
    """Say before training where the run will not be able to go, and what would."""
    limit = limits(aligner.method, aligner.recipe.vision_tower)
    if limit:
        console.print(limit, highlight=False, soft_wrap=True)


def scored(run: Run, aligner: Aligner, clock: "Clock", leaked: dict[str, Any] | None) -> Result:
    """Score a trained aligner on the test split and write the run's result, with what that split shares with the training data."""
    corpus = load_corpus(run.corpus)
    request = Request(languages=reported(run, corpus), trained=codes(run.languages), corpus=run.corpus)
    report = find("benchmarks", "held-out").score(aligner.eval(), request)
    rows = named_rows(corpus, request)[0]
    before = run.continued
    kept = knowledge(aligner, corpus, rows, request.trained, request.split) if before is None else changes(before, aligner, corpus, rows, request.split)
    clock.lap("evaluate")
    facts = origin(aligner, run.heads.seed, report)
    facts |= {} if leaked is None else {"notes": [*facts["notes"], *told(leaked)], "leakage": leaked}
    result = Result(read_run(run.out), model_facts(aligner), clock.laps, report.scores, facts, kept)
    if distributed.first():
        write_result(run.out / "result.json", result)
        write_card(run.out)
        for mark in scored_marks(run, aligner).values():
            write_text(mark, "", what="a note that test features are in the cache")
        checkpoint.remove(run.out)
    return result


def scored_marks(run: Run, aligner: Aligner) -> dict[str, Path]:
    """Files of the cache, one for the pictures and one a language, that say what `scored` has encoded before: without a look at the test split."""
    corpus = load_corpus(run.corpus)
    files = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in sorted(corpus.folder.iterdir())]
    wanted = {"pictures": aligner.vision} | {language.code: aligner.text for language in reported(run, corpus)}
    keys = {name: digest(run.corpus, *files, side.tower.identity, str(side.cut), name) for name, side in wanted.items()}
    return {name: cache_folder() / "features" / "scored" / key[:32] for name, key in keys.items()}


def evaluate(benchmark: str, folder: Path, request: Request) -> Result:
    """Score the aligner of a run folder on a benchmark.

    Raises UnknownName for a benchmark that does not exist, and whatever `load` and the benchmark raise.
    """
    module = find("benchmarks", benchmark)
    clock = Clock()
    aligner = load(folder)
    facts = read_run(folder)
    clock.lap("load")
    report = module.score(aligner, Request(**{**request.__dict__, "trained": frozenset(facts["languages"])}))
    clock.lap("evaluate")
    laps = {"encode": 0.0, "train": 0.0, **clock.laps}
    return Result(facts, model_facts(aligner), laps, report.scores, origin(aligner, facts["heads"]["seed"], report))


def reported(run: Run, corpus: Corpus) -> list[Language]:
    """Languages in a run's own result: the trained ones and those of XM3600; `polyclip eval emoji` scores every other."""
    packs = [load_language(code) for code in known_languages()]
    asked = run.languages + ([] if run.continued is None else [new for new in run.continued.new if new not in run.languages])
    others = [pack for pack in packs if pack.xm3600 and pack.code not in codes(asked)]
    return asked + [pack for pack in others if corpus.locale(pack) in corpus.reader.languages(corpus.folder)]


def codes(languages: list[Language]) -> frozenset[str]:
    """Their codes."""
    return frozenset(language.code for language in languages)


def model_facts(aligner: Aligner) -> dict[str, Any]:
    """The `model` part of a result."""
    named = ("method", "tune", "text_encoder", "vision_tower", "dim")
    return {name: getattr(aligner.recipe, name) for name in named} | aligner.counts()


@dataclass
class Clock:
    """Seconds spent between laps."""

    laps: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def lap(self, name: str) -> None:
        """Book the time since the last lap under `name`."""
        now = time.monotonic()
        self.laps[name], self.started = round(now - self.started, 2), now
