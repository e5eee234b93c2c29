"""The one training loop. It knows no method by name: it trains what requires gradients, on prepared inputs."""

import math
import time
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from polyclip.core import distributed
from polyclip.core.progress import Progress
from polyclip.data.pairs import Pairs
from polyclip.errors import RunError
from polyclip.models.aligner import PolyCLIP
from polyclip.models.losses import Batch, Loss, mean_over_members
from polyclip.training import checkpoint, compute, fsdp
from polyclip.training.compute import Compute
from polyclip.training.config import OptimizerConfig
from polyclip.training.grad_cache import Inputs, Objective, Pass, backward
from polyclip.training.trackers import Observer, silent


@dataclass
class Phase:
    """One pass of the loop: what it reads, how good it is, where it keeps its state."""

    name: str
    pairs: Pairs
    text: Inputs
    image: Inputs
    validate: Callable[[], float]  # higher is better, in [0, 1]
    settings: OptimizerConfig
    folder: Path
    trained: list[str]  # names of parameters
    loss: Loss
    members: int = 1  # of the heads
    taught: bool = False  # the captions' own rows are asked for in place of pictures
    penalty: Callable[[Tensor, Tensor], Tensor] | None = None  # (features, unit vectors) of a side
    compute: Compute = Compute()
    count_flops: bool = False  # of the first step, into the log
    last: bool = False  # keep the last epoch rather than the best: where validation has more captions than training
    until: float = (
        math.inf
    )  # moment of time.monotonic() when the loop stops; the epoch that is then under way is dropped
    log: list[dict[str, Any]] = field(default_factory=list)
    observe: Observer = silent  # is given each line of the log as it comes

    @property
    def batch(self) -> int:
        """Pairs a step: what the settings say, or every caption of a smaller corpus."""
        return min(self.settings.batch_size, self.pairs.drawable)

    @property
    def objective(self) -> Objective:
        """What a step is judged by."""
        return Objective(
            loss=self.loss, members=self.members, caption_loss=self.settings.caption_loss, penalty=self.penalty
        )

    @property
    def steps_per_epoch(self) -> int:
        """One epoch shows as many pairs as there are named pictures."""
        return math.ceil(self.pairs.named / self.batch)


def fit(aligner: PolyCLIP, phase: Phase) -> list[dict[str, Any]]:
    """Train, validate before the first and after each epoch, leave the best epoch's weights in `aligner`, the last one's where
    the phase says so; returns the log.

    At `phase.until` it stops with the epochs it has.

    State is kept in `phase.folder` after each epoch: a run that was killed goes on from there and ends with the same weights, bit
    for bit on a CPU, because each step's pairs and dropout depend on the seed and the step's number alone.
    Raises RunError when the loss is not finite.
    """
    settings = phase.settings
    total = settings.epochs * phase.steps_per_epoch
    accelerator = compute.accelerator(phase.compute)
    fixed = frozenset(name for name, parameter in aligner.named_parameters() if parameter.requires_grad) - set(
        phase.trained
    )
    state, moments = checkpoint.read(phase.folder, phase.name, settings, aligner, fixed)
    model, optimizer = trainable(accelerator, aligner, phase)
    checkpoint.restore(optimizer, moments)
    peaks = [group["lr"] for group in optimizer.param_groups]
    judge = partial(compute.judged, accelerator, model, aligner, phase.trained, phase.validate)
    with Progress(f"training {phase.name}", total * phase.batch) as progress, distributed.lost():
        progress.advance(state.epoch * phase.steps_per_epoch * phase.batch)
        if not state.log:  # a phase that only makes things worse ends where it began
            state.record({"phase": phase.name, "epoch": 0, "validation": judge()}, aligner, phase.last)
            phase.observe(state.log[-1])
        for epoch in range(state.epoch, settings.epochs):
            started = time.monotonic()
            losses, flops = steps_of(epoch, accelerator, model, optimizer, phase, peaks, progress)
            if len(losses) < phase.steps_per_epoch:
                break
            value = judge()
            progress.note = f"loss {sum(losses) / len(losses):.3f}, validation recall {value:.3f}"
            line = {
                "phase": phase.name,
                "epoch": epoch + 1,
                "batch": phase.batch,
                "loss": sum(losses) / len(losses),
                "validation": value,
            }
            line |= {"scale": aligner.scale().item(), "seconds": time.monotonic() - started}
            line |= {"flops": flops * phase.steps_per_epoch} if phase.count_flops else {}
            state.record(line, aligner, phase.last)
            phase.observe(line)
            checkpoint.write(phase.folder, phase.name, settings, aligner, optimizer, state)
    compute.release(accelerator, model, aligner)
    aligner.set_state(checkpoint.moving(aligner, frozenset(state.best)) | state.best, "the best epoch")
    return state.log


def trainable(accelerator: Accelerator, aligner: PolyCLIP, phase: Phase) -> tuple[nn.Module, Any]:
    """What the steps of a phase are taken with: the model and its optimizer."""
    model = compute.prepare(accelerator, aligner, phase.trained, phase.compute.shard)
    inner = accelerator.unwrap_model(model)
    each = (
        False if fsdp.is_divided(inner) else None
    )  # one parameter at a time: divided and whole ones cannot be stacked
    optimizer = torch.optim.AdamW(
        parameter_groups(inner, phase.settings, phase.trained), betas=(0.9, 0.98), eps=1e-6, foreach=each
    )
    return model, accelerator.prepare_optimizer(optimizer)


def steps_of(
    epoch: int,
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: Any,
    phase: Phase,
    peaks: list[float],
    progress: Progress,
) -> tuple[list[float], int]:
    """The steps of one epoch, fewer where time is up: the loss of each, and the floating-point operations of the first where they are counted."""
    losses: list[float] = []
    counter = FlopCounterMode(display=False)
    total = phase.settings.epochs * phase.steps_per_epoch
    for number in range(epoch * phase.steps_per_epoch, (epoch + 1) * phase.steps_per_epoch):
        if time.monotonic() > phase.until:
            break
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * schedule(number, total, phase.settings.warm_up)
        with counter if phase.count_flops and not losses else nullcontext():
            losses.append(step(accelerator, model, optimizer, phase, number))
        progress.advance(phase.batch)
    return losses, counter.get_total_flops()


def step(accelerator: Accelerator, model: nn.Module, optimizer: Any, phase: Phase, number: int) -> float:
    """One update; returns the loss."""
    seed = phase.settings.seed * 1_000_003 + number
    torch.manual_seed(seed)  # dropout of this step
    caption, picture, concept = phase.pairs.sample(phase.batch, seed)
    model.train()
    optimizer.zero_grad()
    others = phase.pairs.others(concept, seed) if phase.settings.caption_loss else None
    shown = Pass(
        shown=caption,
        others=others,
        pictures=caption if phase.taught else picture,
        concept=concept,
        text=partial(moved, phase.text, accelerator.device),
        image=partial(moved, phase.image, accelerator.device),
        seed=seed,
    )
    divided = distributed.count() > 1 or (phase.compute.micro_batch or phase.batch) < phase.batch
    loss = (
        backward(accelerator, model, shown, phase.objective, phase.compute.micro_batch)
        if divided
        else whole(accelerator, model, shown, phase.objective)
    )
    if not math.isfinite(loss):
        raise RunError(
            f"The loss is {loss} at step {number} of {phase.name}: lower the learning rate, or look for damaged features."
        )
    compute.settle(accelerator, model, phase.settings.clip)
    optimizer.step()
    return loss


def whole(accelerator: Accelerator, model: nn.Module, shown: Pass, objective: Objective) -> float:
    """Add the gradient of a step that is held at once; returns the loss. Where that is not finite, no gradient was added."""
    captions = shown.shown if shown.others is None else torch.cat([shown.shown, shown.others])
    text_inputs, image_inputs = shown.text(captions), shown.image(shown.pictures)
    text, image, scale, bias = model(text_inputs, image_inputs)
    concept, size = shown.concept.to(text.device), len(shown.concept)
    first, second = text[:size], text[size:]
    loss = mean_over_members(objective.loss, Batch(first, image, concept, scale, bias), objective.members)
    if shown.others is not None:
        loss = loss + objective.caption_loss * mean_over_members(
            objective.loss, Batch(first, second, concept, scale, bias), objective.members
        )
    if objective.penalty is not None:
        loss = (
            loss
            + objective.penalty(text_inputs["vectors"][:size], first)
            + objective.penalty(image_inputs["vectors"], image)
        )
    if loss.isfinite():
        accelerator.backward(loss)
    return loss.item()


def moved(inputs: Inputs, device: torch.device, rows: Tensor) -> dict[str, Any]:
    """What a side takes for these rows, on the device."""
    return {
        name: value.to(device)
        if isinstance(value, Tensor)
        else [{n: t.to(device) for n, t in state.items()} for state in value]
        for name, value in inputs(rows).items()
    }


def schedule(number: int, total: int, warm_up: float) -> float:
    """Share of the highest learning rate at step `number`: linear warm-up, then cosine to zero."""
    warm = max(1, round(warm_up * total))
    if number < warm:
        return (number + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (number - warm) / max(1, total - warm)))


def parameter_groups(aligner: nn.Module, settings: OptimizerConfig, trained: list[str]) -> list[dict[str, Any]]:
    """Heads and towers at their own rates; weight decay on matrices only, never on gains, biases or the logit scale."""
    wanted = set(trained)
    groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
    for name, parameter in aligner.named_parameters():
        if name in wanted:
            groups.setdefault((".encoder." in name, parameter.ndim > 1), []).append(parameter)
    return [
        {
            "params": parameters,
            "lr": settings.tower_learning_rate if in_tower else settings.learning_rate,
            "weight_decay": settings.weight_decay if matrix else 0.0,
        }
        for (in_tower, matrix), parameters in groups.items()
    ]
