"""The pipeline on one page: `align` and `evaluate`."""

import json
import math
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from polyclip import checkpoint, distributed
from polyclip.aligner import Aligner, load, read_aligner
from polyclip.benchmarks._held_out import named_rows
from polyclip.benchmarks._retrieval import Request
from polyclip.components.closed_form import anchor_rows
from polyclip.compute import Compute, check
from polyclip.continued import Continued, changes, facts_of
from polyclip.errors import DataError
from polyclip.fit import Phase, fit
from polyclip.knowledge import knowledge
from polyclip.leakage import told, unseen
from polyclip.losses import LOSSES
from polyclip.method import Method
from polyclip.normalise import normalised
from polyclip.origin import check_folder, origin, read_run, write_settings
from polyclip.packs import Corpus, Language, known_languages, load_corpus, load_language
from polyclip.pairs import NAMES, Chosen, Pairs, Sample, training_pairs
from polyclip.plugins import find
from polyclip.records import Result, Settings
from polyclip.report.card import write_card
from polyclip.report.result import write_result
from polyclip.shots import chosen, listed
from polyclip.side import Recipe
from polyclip.sides import SideData, validation
from polyclip.storage import cache_folder, digest, write_text
from polyclip.teacher import Taught, Teacher, teacher_of
from polyclip.tower import describe
from polyclip.track import Observer, silent, tracking

HEADS = Settings(epochs=20, batch_size=512, learning_rate=2e-3, tower_learning_rate=0.0, weight_decay=0.1, caption_loss=0.3)
GOING_ON = Settings(epochs=20, batch_size=512, learning_rate=1e-3, tower_learning_rate=0.0, weight_decay=0.1, caption_loss=0.3)  # see docs/fewshot.md
TOWERS = Settings(epochs=3, batch_size=64, learning_rate=1e-4, tower_learning_rate=1e-4, weight_decay=0.1)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One alignment: everything that decides its result, and where it goes."""

    languages: list[Language]  # trained
    recipe: Recipe
    out: Path
    corpus: str = "emoji"
    sample: Sample = Sample()
    heads: Settings = HEADS  # first phase of every method: heads on cached features
    towers: Settings = TOWERS  # second phase of the methods that train something inside a tower
    continued: Continued | None = None  # where it begins, unless with new heads
    compute: Compute = Compute()
    advice: dict[str, Any] = field(default_factory=dict)  # what the languages' own packs decided, for run.toml
    resume: bool = False
    count_flops: bool = False  # of a training step, into the log
    lint: bool = True  # whether to look first if the test split shares something with what is trained on
    allow_leakage: str = ""  # why it may
    until: float = math.inf  # moment of time.monotonic() when training stops and keeps its best epoch
    track: tuple[str, ...] = ()  # trackers beside log.jsonl: tensorboard, wandb, trackio

    @property
    def drawn(self) -> list[Language]:
        """What captions are drawn from in training: a run that goes on may leave out what it knows already."""
        return self.languages if self.continued is None else self.continued.drawn


def align(run: Run) -> Result:
    """Fit one aligner and score it on held-out concepts; writes only below `run.out` and the cache folder.

    Raises RunError for a folder that holds another or an unfinished run, DataError where the test split is not unseen, and whatever
    packs, towers and readers raise.
    """
    clock = Clock()
    work = prepared(run)
    clock.lap("encode")
    with tracking(run.track, run.out, settings_of(run)) as observe:
        keep(work, trained(replace(work, observe=observe)))
    clock.lap("train")
    return scored(run, work.aligner, clock, work.leaked)


@dataclass(frozen=True)
class Work:
    """A run that is ready to be trained."""

    run: Run
    aligner: Aligner
    sides: list[SideData]  # text, vision
    teacher: Teacher | None
    leaked: dict[str, Any] | None  # see polyclip/leakage.py; None where nobody looked
    observe: Observer = silent  # of the log's lines


def prepared(run: Run) -> Work:
    """Check the request and its folder, build the aligner, encode training and validation items. The test split is read by the leakage lint alone."""
    check(run.compute)
    settings = settings_of(run)
    check_folder(run.out, settings, resume=run.resume)
    distributed.wait()  # all have looked before the first one writes
    train, held_out, picked = pairs_of(run)
    teacher = teacher_of(method_of(run), run.recipe.teacher)
    torch.manual_seed(run.heads.seed)
    begun = None if run.continued is None else load(run.continued.start)
    aligner = begun or Aligner(settled(run.recipe, train, teacher))
    state = {name: tensor.clone() for name, tensor in aligner.state().items()}
    leaked = unseen(load_corpus(run.corpus), run.languages, run.allow_leakage) if run.lint else None
    if distributed.first():
        write_settings(run.out, settings | run.advice)  # everything that can be wrong in the request has been found by now
    if distributed.first() and picked is not None:
        write_text(run.out / "shots.jsonl", listed(picked), what="the captions that were chosen")
    sides = [SideData(aligner.text, train, held_out), SideData(aligner.vision, train, held_out)]
    if begun is not None:
        aligner.set_state(state, "the run that goes on")  # with its own means and deviations
    elif teacher is not None:
        teacher.hand_over(aligner.vision.head)
    return Work(run, aligner, sides, teacher, leaked)


def pairs_of(run: Run) -> tuple[Pairs, Pairs, Chosen | None]:
    """Training and validation pairs; of a run that goes on, the shots of new languages beside all of the others, and which they are."""
    corpus, continued = load_corpus(run.corpus), run.continued
    picked = None
    if continued is not None and continued.shots.count != 0:
        picked = chosen(corpus, continued.new, continued.shots, run.sample, describe("towers", run.recipe.vision_tower))
    return training_pairs(corpus, run.drawn, "train", run.sample, picked), training_pairs(corpus, run.drawn, "validation", NAMES), picked


def keep(work: Work, log: list[dict[str, Any]]) -> None:
    """Write weights and log into the run folder; what is scored afterwards is what was saved."""
    path = work.run.out / "aligner.safetensors"
    if distributed.first():
        work.aligner.save(path)
        write_text(work.run.out / "log.jsonl", "".join(json.dumps(line) + "\n" for line in log), what="the training log")
    distributed.wait_for(path)
    work.aligner.set_state(read_aligner(path)[1], "the saved aligner")


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


def settled(recipe: Recipe, train: Pairs, teacher: Teacher | None) -> Recipe:
    """The recipe with what the method finds out by itself: layers, anchors, or what its teacher is made of."""
    method: Method = find("methods", recipe.method).METHOD
    if teacher is not None:
        recipe = teacher.recipe(recipe)
    if method.relative:
        recipe = replace(recipe, anchors=len(anchor_rows(train)[0]))
    return method.choose(recipe, train) if method.choose is not None else recipe


def trained(work: Work) -> list[dict[str, Any]]:
    """Train or solve the heads on cached features, then, where the method puts something into a tower, both together; returns the log."""
    run, aligner, sides = work.run, work.aligner, work.sides
    value = validation(aligner, sides[0].held_out_pairs, sides)
    if aligner.method.solve is not None:
        started = time.monotonic()
        with torch.no_grad():
            chosen = aligner.method.solve(sides[0], sides[1], value)
        line = {"phase": "solve", "epoch": 0, "validation": value(), "chosen": chosen, "seconds": time.monotonic() - started}
        work.observe(line)
        return [line]
    live = any(data.side.encoder is not None for data in sides)
    if run.continued is not None and run.continued.shots.count == 0:
        return [{"phase": "heads", "epoch": 0, "validation": value()}]  # the run that it goes on from, as it is
    log = [] if live and run.continued is not None else fit(aligner, phase("heads", run.heads, work))
    if live and time.monotonic() < run.until:
        for data in sides:
            data.go_live()
        log += fit(aligner, phase(run.recipe.method, run.towers, work))
        for data in sides:
            data.rest()
    return log


def phase(name: str, settings: Settings, work: Work) -> Phase:
    """One pass of the training loop. Heads and logit scale are trained in every phase, what a method put into a live tower in the second."""
    run, aligner, teacher = work.run, work.aligner, work.teacher
    text, vision = work.sides
    train = text.train_pairs
    live = text.live or vision.live
    image: Any = vision if teacher is None else Taught(teacher, train, [language.code for language in run.drawn], english_names(run, train))
    if teacher is not None:
        settings = replace(settings, caption_loss=0.0)  # the teacher's vectors are the only target
    return Phase(
        name=name,
        pairs=train,
        text=text.inputs,
        image=image.inputs,
        validate=validation(aligner, text.held_out_pairs, work.sides),
        settings=settings,
        folder=run.out,
        trained=[n for n, p in aligner.named_parameters() if p.requires_grad and (live or ".encoder." not in n)],
        loss=LOSSES[aligner.loss],
        members=aligner.method.members,
        taught=teacher is not None,
        penalty=None if live else aligner.method.penalty,
        count_flops=run.count_flops,
        last=run.continued is not None,
        until=run.until,
        compute=run.compute if live or not aligner.method.inside else replace(run.compute, micro_batch=None),
        observe=work.observe,
    )


def english_names(run: Run, train: Pairs) -> list[str]:
    """The English name of every training concept, in their order.

    Raises DataError where the corpus has none.
    """
    corpus, en = load_corpus(run.corpus), load_language("en")
    named = {row.concept: row.captions[0] for row in normalised(corpus.reader.read(corpus.folder, corpus.locale(en), "train"), en)}
    missing = [concept for concept in train.concepts if concept not in named]
    if missing:
        raise DataError(f"Corpus {run.corpus!r} has no English name of {len(missing)} concepts, the first is {missing[0]!r}; a taught method needs them all.")
    return [named[concept] for concept in train.concepts]


def method_of(run: Run) -> Method:
    """What the run trains."""
    method: Method = find("methods", run.recipe.method).METHOD
    return method


def settings_of(run: Run) -> dict[str, Any]:
    """Everything that decides a run's result, as it stands in run.toml."""
    return {
        "languages": [language.code for language in run.languages],
        "corpus": run.corpus,
        "sample": {key: value for key, value in asdict(run.sample).items() if value is not None},  # TOML has no null
        "recipe": asdict(run.recipe),
        "heads": asdict(run.heads),
        "towers": asdict(run.towers),
        **({} if run.continued is None else {"continued": facts_of(run.continued)}),
        **({} if run.compute.precision == "fp32" else {"precision": run.compute.precision}),
    }


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
