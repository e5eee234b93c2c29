"""One cell of a study: one training run and its scores, as a file of its own."""

import json
import resource
import shutil
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from polyclip.core.registry import find
from polyclip.core.storage import write_text
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.pairs import Sample
from polyclip.evaluation.forgetting import knowledge
from polyclip.evaluation.held_out import mixed_styles, named_rows, pooled_names
from polyclip.evaluation.metrics import ranks
from polyclip.evaluation.retrieval import Request
from polyclip.languages.schema import load_language
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.branch import ModelConfig
from polyclip.pipeline import model_facts
from polyclip.studies.energy import WATTS, metered
from polyclip.training.config import GOING_ON, AlignConfig, OptimizerConfig
from polyclip.training.finetune import going_on, recipe_of
from polyclip.training.prepare import keep, prepared, trained
from polyclip.training.shots import RANDOM, Shots

CACHED = OptimizerConfig(epochs=20, batch_size=512, learning_rate=2e-3, tower_learning_rate=0.0, weight_decay=0.1)
LIVE = OptimizerConfig(epochs=1, batch_size=64, learning_rate=1e-4, tower_learning_rate=1e-4, weight_decay=0.1)
LONGEST = 4  # times as many epochs for a small share of the data, at most
LATER = {"caption_loss": 0.0, "few": None}  # fields that came later: at these values they leave a cell's name as it was


@dataclass(frozen=True, kw_only=True)
class Few:
    """What a cell that goes on from an aligned run is given, as polyclip.training.shots.Shots has it."""

    new: tuple[str, ...]  # languages
    count: int | None  # named pictures; None means all
    source: str = ""
    by: str = RANDOM
    start: str = ""  # a run folder; empty: the cell `begun`
    identity: str = ""  # of the run's weights and of the captions, so that others make another cell


@dataclass(frozen=True, kw_only=True)
class Cell:
    """Everything that decides one run's figures."""

    method: str
    rate: float  # learning rate that was tried: inside the towers, or of the heads where no tower is trained; 0 for a closed form
    seed: int
    languages: tuple[str, ...]  # trained
    asked: tuple[str, ...]  # scored besides
    tower: str
    text_encoder: str = "e5-small"
    corpus: str = "emoji"
    dim: int = 96
    epochs: int = 1  # through live towers
    share: float = 1.0
    pairs: int | None = None
    text_layers: str = ""
    vision_layers: str = ""
    caption_loss: float = 0.0
    few: Few | None = None  # where it goes on from another run

    @property
    def name(self) -> str:
        """Its file's name: readable, and another for every difference."""
        import hashlib

        facts = {key: value for key, value in asdict(self).items() if key not in LATER or value != LATER[key]}
        whole = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:10]
        return f"{self.method}-{self.rate:g}-seed{self.seed}-{whole}"


def run_of(cell: Cell, folder: Path) -> AlignConfig:
    """The run that a cell stands for. With a share of the data epochs grow, so that steps stay the same, up to LONGEST times."""
    if cell.few is not None:
        return further(cell, cell.few, folder)
    recipe = ModelConfig(
        method=cell.method,
        text_encoder=cell.text_encoder,
        vision_tower=cell.tower,
        dim=cell.dim,
        text_layers=cell.text_layers,
        vision_layers=cell.vision_layers,
    )
    inside = find("methods", cell.method).METHOD.inside
    heads = replace(CACHED, seed=cell.seed, caption_loss=cell.caption_loss, epochs=round(CACHED.epochs / cell.share))
    towers = replace(
        LIVE, seed=cell.seed, tower_learning_rate=cell.rate, epochs=round(cell.epochs * min(LONGEST, 1 / cell.share))
    )
    return AlignConfig(
        languages=[load_language(code) for code in cell.languages],
        recipe=recipe,
        out=folder,
        corpus=cell.corpus,
        sample=Sample(share=cell.share, pairs=cell.pairs),
        heads=heads if inside or not cell.rate else replace(heads, learning_rate=cell.rate),
        towers=towers,
        class_names=False,  # the paper's claims are about what pairs teach
        resume=True,
        lint=False,  # the study has looked, once for all cells
        count_flops=True,
    )


def begun(cell: Cell) -> Cell:
    """The cell that one without a run of its own goes on from: English alone, with the same seed, as `polyclip align` trains it."""
    return replace(
        cell, languages=("en",), asked=(), rate=CACHED.learning_rate, caption_loss=GOING_ON.caption_loss, few=None
    )


def further(cell: Cell, few: Few, folder: Path) -> AlignConfig:
    """The run of a cell that goes on from another; what it begins with lies beside it."""
    start = Path(few.start) if few.start else folder.parent / begun(cell).name
    shots = Shots(count=few.count, by=few.by, seed=cell.seed, source=few.source)
    continued = going_on(start, [load_language(code) for code in few.new], shots)
    return AlignConfig(
        languages=continued.trained,
        recipe=recipe_of(start),
        out=folder,
        corpus=cell.corpus,
        heads=replace(GOING_ON, seed=cell.seed, learning_rate=cell.rate),
        towers=replace(LIVE, seed=cell.seed),
        continued=continued,
        resume=True,
        lint=False,
    )


def train(cell: Cell, folder: Path) -> dict[str, Any]:
    """Train a cell in a folder of its own; what it took, and validation after each epoch."""
    work = prepared(run_of(cell, folder))
    started, busy = time.monotonic(), time.process_time()
    with metered() as energy:
        log = trained(work)
    seconds, busy = time.monotonic() - started, time.process_time() - busy
    keep(work, log)
    return {
        "cell": asdict(cell),
        "validation": max(line["validation"] for line in log),
        "log": log,
        "model": model_facts(work.aligner),
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


def score(cell: Cell, folder: Path) -> dict[str, Any]:
    """Ranks of every name of the test split among one picture of each concept, by language, and what knowledge was kept."""
    aligner = load_model(folder)
    corpus = load_corpus(cell.corpus)
    request = Request(languages=[load_language(code) for code in (*cell.languages, *cell.asked)])
    rows, _ = named_rows(corpus, request)
    concepts, groups, vectors = shown(aligner, corpus, request.split)
    place = {concept: number for number, concept in enumerate(concepts)}
    found: dict[str, list[int]] = {}
    for code, pooled in pooled_names(aligner, rows).items():
        keys = torch.tensor([place[row.concept] for row in rows[code]])
        rank = dict(
            zip(
                keys.tolist(),
                ranks(aligner.text.unit(pooled), vectors, keys, torch.arange(len(concepts))).tolist(),
                strict=True,
            )
        )
        found[code] = [rank.get(number, -1) for number in range(len(concepts))]
    kept = knowledge(aligner, corpus, rows, frozenset(cell.languages), request.split)
    return {"groups": groups, "ranks": found, "knowledge": [asdict(line) for line in kept]}


def shown(aligner: PolyCLIP, corpus: Corpus, split: str) -> tuple[list[str], list[str], torch.Tensor]:
    """One picture of every concept, in a style chosen by hash (the headline protocol): concepts, their groups, unit vectors."""
    concepts = corpus.reader.split_concepts(corpus.folder, split)
    drawn = {style: corpus.reader.pictures(corpus.folder, style) for style in corpus.reader.styles(corpus.folder)}
    styles = mixed_styles(
        {style: [concept for concept in concepts if concept in found] for style, found in drawn.items()}
    )
    pictures = [drawn[style][concept] for concept, style in styles.items()]
    return (
        list(styles),
        [concepts[concept].group for concept in styles],
        aligner.vision.embed(pictures, f"{split} pictures (mixed styles)", keep=True),
    )


def work_on(cell: Cell, folder: Path, scored: bool, threads: int) -> None:
    """Train a cell unless that was done, score it where asked; each step ends with a whole file. Runs in a process of its own."""
    torch.set_num_threads(threads)
    path = folder / "cells" / f"{cell.name}.json"
    place = folder / "runs" / cell.name
    record = read(path)
    if record is None:
        record = train(cell, place)
        write(path, record)
    if scored and "ranks" not in record:
        if not (
            place / "aligner.safetensors"
        ).exists():  # its weights were cleared away: train again, the same seed gives the same
            train(cell, place)
        write(path, record | score(cell, place))
        shutil.rmtree(place)


def read(path: Path) -> dict[str, Any] | None:
    """A cell's record, or None where it has not been run."""
    return json.loads(path.read_text("utf-8")) if path.exists() else None


def write(path: Path, record: dict[str, Any]) -> None:
    """Whole or not at all."""
    write_text(path, json.dumps(record, ensure_ascii=False, allow_nan=False), what="a cell of the study")
