"""One cell of a study: one training run and its scores, saved as one file."""

import json
import resource
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from polyclip.core.json import parse_json
from polyclip.core.registry import find
from polyclip.core.storage import read_plain_text, write_text
from polyclip.data.corpus import load_corpus
from polyclip.data.pairs import SamplingConfig
from polyclip.languages.schema import load_language
from polyclip.models.aligner import load_model
from polyclip.models.config import ModelConfig
from polyclip.pipeline import collect_model_facts
from polyclip.studies.cell_scores import NAMES, PHOTOGRAPHS, rank_names, rank_photographs
from polyclip.studies.energy import WATTS, measure_energy
from polyclip.studies.figures import Record
from polyclip.training.config import CONTINUED_HEADS, AlignConfig, EarlyStopping, OptimizerConfig
from polyclip.training.finetune import plan_continuation, read_recipe
from polyclip.training.prepare import prepare_run, save_work, train_run
from polyclip.training.shots import RANDOM, Shots

CACHED = OptimizerConfig(epochs=20, batch_size=512, learning_rate=2e-3, tower_learning_rate=0.0, weight_decay=0.1)
LIVE = OptimizerConfig(epochs=1, batch_size=64, learning_rate=1e-4, tower_learning_rate=1e-4, weight_decay=0.1)
LONGEST = 4  # maximum factor of epochs for a small share of the data
LATER = {
    "caption_loss": 0.0,
    "few": None,
    "long": None,
    "adapter": "",
    "related": (),
    "words": "",
}  # fields added later: at these values they do not change a cell's name


@dataclass(frozen=True, kw_only=True)
class ShotSpec:
    """What a cell that fine-tunes an aligned run is given, see polyclip.training.shots."""

    new: tuple[str, ...]  # languages
    count: int | None  # named images; None means all
    source: str = ""
    by: str = RANDOM
    start: str = ""  # a run folder; empty: the cell `make_starting_cell`
    identity: str = ""  # of the run's weights and of the captions, so that others make another cell
    related: tuple[str, ...] = ()  # further languages, with all their captions
    words: str = ""  # path of a pack with captions made from a word list, which are used beside


@dataclass(frozen=True, kw_only=True)
class LongSpec:
    """How a cell is trained until its validation score rises no more."""

    fresh: bool  # encoders are trained with heads as they are initialized; else heads are trained first
    steps: int  # at most
    batch: int
    every: int  # steps from one validation to the next
    patience: int  # validations without a new best
    head_rate: float  # learning rate of the heads while encoders are trained
    views: int = 1  # of each image


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Everything that determines the results of one training run; its fields are stored and hashed, so their names are
    fixed.
    """

    method: str
    # learning rate tried: inside the encoders, or of the heads where no encoder is trained; 0 for closed forms
    rate: float
    seed: int
    languages: tuple[str, ...]  # trained
    asked: tuple[str, ...]  # also scored
    tower: str
    text_encoder: str = "e5-small"
    adapter: str = ""  # beginning of the hash of the text encoder's adapter, so that another one makes another cell
    corpus: str = "emoji"
    dim: int = 96
    epochs: int = 1  # through trained encoders
    share: float = 1.0
    pairs: int | None = None
    text_layers: str = ""
    vision_layers: str = ""
    caption_loss: float = 0.0
    few: ShotSpec | None = None  # where it fine-tunes another run
    long: LongSpec | None = None

    @property
    def name(self) -> str:
        """Readable file name that differs for every difference between cells."""
        import hashlib

        facts = drop_later(asdict(self))
        facts |= {"few": drop_later(facts["few"])} if "few" in facts else {}
        whole = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]
        return f"{self.method}-{self.rate:g}-seed{self.seed}-{whole}"


def drop_later(facts: dict[str, Any]) -> dict[str, Any]:
    """Leave out fields added later that have their default."""
    return {key: value for key, value in facts.items() if key not in LATER or value != LATER[key]}


def build_config(cell: Cell, folder: Path) -> AlignConfig:
    """Build the run configuration of a cell.

    With a share of the data, epochs grow up to LONGEST times, so that the number of steps stays the same.

    Args:
        cell: The cell.
        folder: Run folder.

    Returns:
        The configuration that `polyclip.training` runs.

    """
    if cell.few is not None:
        return build_finetune_config(cell, cell.few, folder)
    if cell.long is not None:
        return build_long_config(replace(cell, long=None), cell.long, folder)
    recipe = ModelConfig(
        method=cell.method,
        text_encoder=cell.text_encoder,
        vision_tower=cell.tower,
        dim=cell.dim,
        text_layers=cell.text_layers,
        vision_layers=cell.vision_layers,
    )
    inside = find("methods", cell.method).METHOD.trains_towers
    heads = replace(CACHED, seed=cell.seed, caption_loss=cell.caption_loss, epochs=round(CACHED.epochs / cell.share))
    towers = replace(
        LIVE, seed=cell.seed, tower_learning_rate=cell.rate, epochs=round(cell.epochs * min(LONGEST, 1 / cell.share))
    )
    return AlignConfig(
        languages=[load_language(code) for code in cell.languages],
        recipe=recipe,
        out=folder,
        corpus=cell.corpus,
        sample=SamplingConfig(share=cell.share, pairs=cell.pairs),
        heads=heads if inside or not cell.rate else replace(heads, learning_rate=cell.rate),
        towers=towers,
        class_names=False,  # the paper's claims are about training on pairs
        resume=True,
        lint=False,  # the study has checked once for all cells
        count_flops=True,
    )


def build_long_config(cell: Cell, long: LongSpec, folder: Path) -> AlignConfig:
    """Build the configuration of a cell whose last phase runs until validation rises no more."""
    run = build_config(cell, folder)
    inside = find("methods", cell.method).METHOD.trains_towers
    last = {"epochs": long.steps // long.every, "batch_size": long.batch}
    if inside:
        heads = replace(run.heads, epochs=0) if long.fresh else run.heads
        towers = replace(run.towers, learning_rate=long.head_rate, **last)
    else:
        heads, towers = replace(run.heads, **last), run.towers
    return replace(
        run,
        sample=replace(run.sample, views=long.views),
        heads=heads,
        towers=towers,
        stopping=EarlyStopping(every=long.every, patience=long.patience),
    )


def make_starting_cell(cell: Cell) -> Cell:
    """Return the cell that a fine-tuning cell starts from: English only, with the same seed, as `polyclip align` trains
    it.
    """
    return replace(
        cell,
        languages=("en",),
        asked=(),
        rate=CACHED.learning_rate,
        caption_loss=CONTINUED_HEADS.caption_loss,
        few=None,
    )


def build_finetune_config(cell: Cell, few: ShotSpec, folder: Path) -> AlignConfig:
    """Build the configuration of a cell that fine-tunes another run; the starting run lies beside it."""
    start = Path(few.start) if few.start else folder.parent / make_starting_cell(cell).name
    shots = Shots(count=few.count, by=few.by, seed=cell.seed, source=few.source, related=few.related, words=few.words)
    continued = plan_continuation(start, [load_language(code) for code in few.new], shots)
    return AlignConfig(
        languages=continued.trained,
        recipe=read_recipe(start),
        out=folder,
        corpus=cell.corpus,
        heads=replace(CONTINUED_HEADS, seed=cell.seed, learning_rate=cell.rate),
        towers=replace(LIVE, seed=cell.seed),
        continued=continued,
        resume=True,
        lint=False,
    )


def train(cell: Cell, folder: Path) -> dict[str, Any]:
    """Train a cell in its own folder; returns its cost and the validation score after each epoch.

    Args:
        cell: The cell.
        folder: Run folder.

    Returns:
        The cell's record, without test scores.

    """
    work = prepare_run(build_config(cell, folder))
    started, busy = time.monotonic(), time.process_time()
    with measure_energy() as energy:
        log = train_run(work)
    seconds, busy = time.monotonic() - started, time.process_time() - busy
    save_work(work, log)
    return {
        "cell": asdict(cell),
        "validation": max(line["validation"] for line in log),
        "log": log,
        "model": collect_model_facts(work.aligner),
        "seconds": seconds,
        "processor_seconds": busy,
        "joules": energy.joules,
        "energy": "measured by codecarbon"
        if energy.measured
        else f"no measurement: processor seconds at an assumed {WATTS:g} W",
        "threads": torch.get_num_threads(),
        "flops": sum(line.get("flops", 0) for line in log),
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024),
    }


def score(cell: Cell, folder: Path, parts: Sequence[str], photographs: Path | None) -> dict[str, Any]:
    """Score a cell.

    Args:
        cell: The cell.
        folder: Run folder of the trained cell.
        parts: Of `list_scores`.
        photographs: Folder of Tux Paint's stamps, where photographs are scored.

    Returns:
        For `ranks` what `rank_names` returns, and under `photographs` what `rank_photographs` returns.

    """
    aligner, codes = load_model(folder), (*cell.languages, *cell.asked)
    found: dict[str, Any] = {}
    if NAMES in parts:
        found |= rank_names(aligner, load_corpus(cell.corpus), cell.languages, codes)
    if PHOTOGRAPHS in parts and photographs is not None:
        found[PHOTOGRAPHS] = rank_photographs(aligner, photographs, codes)
    return found


def list_scores(record: Record, scored: bool, photographs: Path | None) -> list[str]:
    """List the scores that are asked for and that a cell's record lacks."""
    asked = [NAMES, *([PHOTOGRAPHS] if photographs is not None else [])] if scored else []
    return [part for part in asked if part not in record]


def run_cell(cell: Cell, folder: Path, scored: bool, threads: int, photographs: Path | None = None) -> None:
    """Train a cell unless that was done, and score it where requested; every step ends with a complete file.

    Args:
        cell: The cell.
        folder: Folder of the study.
        scored: Whether test scores are needed.
        threads: Number of torch threads.
        photographs: Folder of Tux Paint's stamps, where photographs are scored too.

    """
    torch.set_num_threads(threads)
    path = folder / "cells" / f"{cell.name}.json"
    place = folder / "runs" / cell.name
    record = read_record(path)
    if record is None:
        record = train(cell, place)
        write_record(path, record)
    if missing := list_scores(record, scored, photographs):
        if not (
            place / "aligner.safetensors"
        ).exists():  # its weights were deleted: train again, which gives the same with the same seed
            train(cell, place)
        write_record(path, record | score(cell, place, missing, photographs))
        shutil.rmtree(place)


def read_record(path: Path) -> dict[str, Any] | None:
    """Read a cell's record; None where it has not been run."""
    return parse_json(read_plain_text(path)) if path.exists() else None


def write_record(path: Path, record: dict[str, Any]) -> None:
    """Write a cell's record atomically."""
    write_text(path, json.dumps(record, ensure_ascii=False, allow_nan=False), what="a cell of the study")
