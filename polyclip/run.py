"""The pipeline on one page: `align` and `evaluate`."""

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from polyclip import checkpoint, features
from polyclip.aligner import Aligner, Recipe, Side, load, read_aligner
from polyclip.benchmarks._retrieval import Request
from polyclip.fit import Phase, fit
from polyclip.metrics import ranks, recall
from polyclip.origin import check_folder, origin, read_run, write_settings
from polyclip.packs import Corpus, Language, known_languages, load_corpus, load_language
from polyclip.pairs import Pairs, training_pairs
from polyclip.plugins import find
from polyclip.records import Result, Settings
from polyclip.report.result import write_result
from polyclip.storage import write_text

HEADS = Settings(epochs=20, batch_size=512, learning_rate=2e-3, tower_learning_rate=0.0, weight_decay=0.1, caption_loss=0.3)
NOUNS = {"text": "captions", "vision": "pictures"}
TOWERS = Settings(epochs=3, batch_size=64, learning_rate=1e-4, tower_learning_rate=1e-4, weight_decay=0.1)


@dataclass(frozen=True, kw_only=True)
class Run:
    """One alignment: everything that decides its result, and where it goes."""

    languages: list[Language]  # trained
    recipe: Recipe
    out: Path
    corpus: str = "emoji"
    name_share: float = 0.5  # how often a caption drawn for training is a name rather than a keyword
    heads: Settings = HEADS  # first phase of every method: heads on cached features
    towers: Settings = TOWERS  # second phase of the methods that train something inside a tower
    resume: bool = False


def align(run: Run) -> Result:
    """Fit one aligner and score it on held-out concepts; writes only below `run.out` and the cache folder.

    Raises RunError for a folder that holds another or an unfinished run, and whatever packs, towers and readers raise.
    """
    clock = Clock()
    settings = settings_of(run)
    check_folder(run.out, settings, resume=run.resume)
    corpus = load_corpus(run.corpus)
    train = training_pairs(corpus, run.languages, "train", run.name_share)
    held_out = training_pairs(corpus, run.languages, "validation", 1.0)
    torch.manual_seed(run.heads.seed)
    aligner = Aligner(run.recipe)
    write_settings(run.out, settings)  # everything that can be wrong in the request has been found by now
    sides = [SideData(aligner.text, train, held_out), SideData(aligner.vision, train, held_out)]
    clock.lap("encode")
    log = fit(aligner, phase("heads", run.heads, run, aligner, train, held_out, sides))
    if any(data.side.encoder is not None for data in sides):
        for data in sides:
            data.live = data.side.encoder is not None
        log += fit(aligner, phase(run.recipe.method, run.towers, run, aligner, train, held_out, sides))
    aligner.save(run.out / "aligner.safetensors")
    aligner.set_state(read_aligner(run.out / "aligner.safetensors")[1], "the saved aligner")  # what is scored is what was saved
    write_text(run.out / "log.jsonl", "".join(json.dumps(line) + "\n" for line in log), what="the training log")
    clock.lap("train")
    report = find("benchmarks", "held-out").score(aligner.eval(), Request(languages=reported(run, corpus), trained=codes(run.languages), corpus=run.corpus))
    clock.lap("evaluate")
    result = Result(read_run(run.out), model_facts(aligner), clock.laps, report.scores, origin(aligner, run.heads.seed, report))
    write_result(run.out / "result.json", result)
    checkpoint.remove(run.out)
    return result


def settings_of(run: Run) -> dict[str, Any]:
    """Everything that decides a run's result, as it stands in run.toml."""
    return {
        "languages": [language.code for language in run.languages],
        "corpus": run.corpus,
        "name_share": run.name_share,
        "recipe": asdict(run.recipe),
        "heads": asdict(run.heads),
        "towers": asdict(run.towers),
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


@dataclass
class SideData:
    """Training and validation items of one side: their features, computed once, or the items themselves where the tower is live.

    Also measures the head's means and deviations on the training features.
    """

    side: Side
    train_pairs: Pairs
    held_out_pairs: Pairs
    live: bool = False

    def __post_init__(self) -> None:
        self.train, self.table = self.encoded(self.train_pairs, "training")
        self.held_out, self.held_out_table = self.encoded(self.held_out_pairs, "validation")
        self.side.head.measure(self.table)

    def encoded(self, pairs: Pairs, what: str) -> tuple[Sequence[Any], torch.Tensor]:
        """Items of this side, and their features."""
        items, sections = (pairs.captions, pairs.sections[0]) if self.side.kind == "text" else (pairs.pictures, pairs.sections[1])
        return items, features.encode(self.side.tower, items, f"{what} {NOUNS[self.side.kind]}", sections)

    def inputs(self, rows: torch.Tensor) -> dict[str, torch.Tensor]:
        """What the side takes for these training rows."""
        if self.live and self.side.encoder is not None:
            prepared: dict[str, torch.Tensor] = self.side.encoder.prepare([self.train[row] for row in rows.tolist()])  # type: ignore[operator]
            return prepared
        return {"vectors": self.table[rows]}

    @torch.no_grad()
    def unit_held_out(self) -> torch.Tensor:
        """Unit vectors of the validation items as the side is now."""
        if self.live:
            return self.side.embed(self.held_out, "validation", keep=False)
        return self.side.head(self.held_out_table)


def phase(name: str, settings: Settings, run: Run, aligner: Aligner, train: Pairs, held_out: Pairs, sides: list[SideData]) -> Phase:
    """One pass of the training loop. Heads and logit scale are trained in every phase, what a method put into a live tower in the second."""
    live = any(data.live for data in sides)
    trained = [n for n, p in aligner.named_parameters() if p.requires_grad and (live or ".encoder." not in n)]
    text, vision = sides
    return Phase(name, train, text.inputs, vision.inputs, validation(aligner, held_out, sides), settings, run.out, trained, len(aligner.text.head.members))


def validation(aligner: Aligner, held_out: Pairs, sides: list[SideData]) -> Callable[[], float]:
    """Mean of text-to-image recall@1, 5 and 10 of the validation names among all validation pictures of all styles."""
    names = held_out.caption_weight > 0
    owner = torch.full((len(held_out.pictures),), -1)
    for concept, rows in enumerate(held_out.picture_rows.tolist()):
        owner[[row for row in rows if row >= 0]] = concept

    def value() -> float:
        aligner.eval()
        text, image = (data.unit_held_out() for data in sides)
        rank = ranks(text[names], image, held_out.caption_concept[names], owner)
        return sum(recall(rank, k).mean().item() for k in (1, 5, 10)) / 3

    return value


def reported(run: Run, corpus: Corpus) -> list[Language]:
    """Languages in a run's own result: the trained ones and those of XM3600; `polyclip eval emoji` scores every other."""
    packs = [load_language(code) for code in known_languages()]
    others = [pack for pack in packs if pack.xm3600 and pack.code not in codes(run.languages)]
    return run.languages + [pack for pack in others if corpus.locale(pack) in corpus.reader.languages(corpus.folder)]


def codes(languages: list[Language]) -> frozenset[str]:
    """Their codes."""
    return frozenset(language.code for language in languages)


def model_facts(aligner: Aligner) -> dict[str, Any]:
    """The `model` part of a result."""
    recipe = aligner.recipe
    return {
        "method": recipe.method,
        "tune": recipe.tune,
        "text_encoder": recipe.text_encoder,
        "vision_tower": recipe.vision_tower,
        "dim": recipe.dim,
        **aligner.counts(),
    }


@dataclass
class Clock:
    """Seconds spent between laps."""

    laps: dict[str, float] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def lap(self, name: str) -> None:
        """Book the time since the last lap under `name`."""
        now = time.monotonic()
        self.laps[name], self.started = round(now - self.started, 2), now
