"""polyclip's own training as a contender, step by step: heads, and methods inside the text encoder."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from polyclip.data.types import ImageSource
from polyclip.languages.resolve import resolve_language
from polyclip.models.config import ModelConfig
from polyclip.models.e5_file import PREFIX
from polyclip.training import compute
from polyclip.training.config import HEADS, TOWERS, AlignConfig
from polyclip.training.loop import get_rate_factor, prepare_training, run_step
from polyclip.training.prepare import make_phase, prepare_run
from speed._trial import TRAINED, Material, Trial, build_judge, make_sample, name_tower
from speed._worker import Spent, Turn, measure_spending


def build_config(settings: dict[str, Any], **recipe: str) -> AlignConfig:
    """Build a run on the starter corpus with a frozen vision encoder."""
    made = ModelConfig(vision_tower=name_tower(settings), tune="text", **recipe)  # type: ignore[arg-type]
    languages = [resolve_language(code) for code in TRAINED]
    return AlignConfig(
        languages=languages,
        recipe=made,
        out=Path(mkdtemp(dir=settings["work"])),
        sample=make_sample(settings),
        class_names=False,
    )


def encode(settings: dict[str, Any], turn: Turn) -> None:
    """Time what polyclip computes once: training and validation captions and images through the frozen encoders."""
    run = build_config(settings, method="heads")
    turn()
    with measure_spending(Spent()) as spent:
        prepare_run(run)
    turn(**spent.to_json())


def train(settings: dict[str, Any], turn: Turn) -> None:
    """Train `settings["recipe"]`; cached features are loaded, and layers below a cut are computed before the timing
    starts.
    """
    run = build_config(settings, **settings["recipe"])
    started = time.monotonic()
    work = prepare_run(run)
    counts = work.aligner.counts()
    for data in work.sides:
        data.attach_backbone()
    ready_after = time.monotonic() - started
    live = any(data.live for data in work.sides)
    chosen = replace(
        TOWERS if live else HEADS, batch_size=settings["batch"], caption_loss=0.0, learning_rate=settings["head_rate"]
    )
    ready = make_phase("benchmark", chosen, work)
    accelerator = compute.create_accelerator(ready.compute)
    model, optimizer = prepare_training(accelerator, work.aligner, ready)
    peaks = [group["lr"] for group in optimizer.param_groups]
    trial = Trial(settings, turn, make_judge(settings, work.aligner), setup=ready_after, **counts)
    for number in range(settings["steps"] + 1):
        trial.begin(number)
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * get_rate_factor(number, settings["steps"] + 1, chosen.warm_up)
        run_step(accelerator, model, optimizer, ready, number)
        trial.end(number)


def make_judge(settings: dict[str, Any], aligner: Any) -> Callable[[], float]:
    """Make the validation function of polyclip's model."""
    from PIL import Image

    material = Material.read(settings)
    names = [name.removeprefix(PREFIX) for name in material.names]
    images = [
        ImageSource(str(n), f"validation {n}", partial(Image.fromarray, array))
        for n, array in enumerate(material.judged.numpy())
    ]
    return build_judge(
        aligner,
        material,
        lambda: aligner.vision.encode_features(
            images, "validation images", keep=False
        ),  # the encoder is frozen: only its head changes
        lambda seen: (aligner.text.embed(names, "validation captions", keep=False), aligner.vision.unit(seen)),
    )
