"""polyclip's own training, step by step, as a contender: heads, and methods inside the text tower, from the very first step."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from polyclip.data.types import ImageSource
from polyclip.languages.resolve import resolve_language
from polyclip.models.branch import ModelConfig
from polyclip.models.text.e5_small import PREFIX
from polyclip.training import compute
from polyclip.training.config import HEADS, TOWERS, AlignConfig
from polyclip.training.loop import schedule, step, trainable
from polyclip.training.prepare import phase, prepared
from speed._trial import TRAINED, Material, Trial, judge_of, sample_of, tower_name
from speed._worker import Spent, Turn, spending


def run_of(settings: dict[str, Any], **recipe: str) -> AlignConfig:
    """A run on the starter corpus whose image tower stays locked."""
    made = ModelConfig(vision_tower=tower_name(settings), tune="text", **recipe)  # type: ignore[arg-type]
    languages = [resolve_language(code) for code in TRAINED]
    return AlignConfig(
        languages=languages,
        recipe=made,
        out=Path(mkdtemp(dir=settings["work"])),
        sample=sample_of(settings),
        class_names=False,
    )


def encode(settings: dict[str, Any], turn: Turn) -> None:
    """Time of what polyclip computes once: every training and validation caption and picture of the corpus through the frozen towers."""
    run = run_of(settings, method="heads")
    turn()
    with spending(Spent()) as spent:
        prepared(run)
    turn(**spent.record())


def train(settings: dict[str, Any], turn: Turn) -> None:
    """Steps of `settings["recipe"]`; what was kept by `encode` is read, what lies below a cut inside the tower is computed before the clock starts."""
    run = run_of(settings, **settings["recipe"])
    started = time.monotonic()
    work = prepared(run)
    counts = work.aligner.counts()
    for data in work.sides:
        data.go_live()
    ready_after = time.monotonic() - started
    live = any(data.live for data in work.sides)
    chosen = replace(
        TOWERS if live else HEADS, batch_size=settings["batch"], caption_loss=0.0, learning_rate=settings["head_rate"]
    )
    ready = phase("benchmark", chosen, work)
    accelerator = compute.accelerator(ready.compute)
    model, optimizer = trainable(accelerator, work.aligner, ready)
    peaks = [group["lr"] for group in optimizer.param_groups]
    trial = Trial(settings, turn, judged(settings, work.aligner), setup=ready_after, **counts)
    for number in range(settings["steps"] + 1):
        trial.begin(number)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * schedule(number, settings["steps"] + 1, chosen.warm_up)
        step(accelerator, model, optimizer, ready, number)
        trial.end(number)


def judged(settings: dict[str, Any], aligner: Any) -> Callable[[], float]:
    """Its judge."""
    from PIL import Image

    material = Material.read(settings)
    names = [name.removeprefix(PREFIX) for name in material.names]
    pictures = [
        ImageSource(str(n), f"validation {n}", partial(Image.fromarray, array))
        for n, array in enumerate(material.judged.numpy())
    ]
    return judge_of(
        aligner,
        material,
        lambda: aligner.vision.pooled(
            pictures, "validation pictures", keep=False
        ),  # the tower is locked: only its head changes
        lambda seen: (aligner.text.embed(names, "validation captions", keep=False), aligner.vision.unit(seen)),
    )
