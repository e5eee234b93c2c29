"""The training loop for all methods: it trains whatever requires gradients, on prepared inputs."""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from polyclip.core import distributed
from polyclip.core.matmul import multiply_at_full_rate
from polyclip.core.progress import Progress
from polyclip.core.randomness import fold_seed
from polyclip.data.pairs import Pairs
from polyclip.errors import RunError
from polyclip.models.aligner import PolyCLIP
from polyclip.models.losses import Loss, LossInputs, mean_over_members
from polyclip.training import checkpoint, compute, fsdp
from polyclip.training.branch_data import Validation
from polyclip.training.collapse import check_collapse
from polyclip.training.compute import Compute
from polyclip.training.config import EarlyStopping, OptimizerConfig
from polyclip.training.divergence import explain_divergence
from polyclip.training.flops import make_flop_counter
from polyclip.training.grad_cache import Inputs, Objective, StepPairs, backward
from polyclip.training.member_threads import MemberThreads, open_member_threads
from polyclip.training.optimizer import AdamW
from polyclip.training.trackers import Observer, ignore_line


@dataclass
class Phase:
    """One training phase: its data, validation, settings and folder."""

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
    taught: bool = False  # captions' rows take the place of image rows
    penalty: Callable[[Tensor, Tensor], Tensor] | None = None  # (features, embeddings) of a branch
    compute: Compute = Compute()
    heads_only: bool = False  # no encoder runs and nothing is taught: a head's members can be trained apart
    count_flops: bool = False  # of an epoch's first step, into the log, with the epoch's processor seconds
    last: bool = False  # keep the last epoch rather than the best: where validation has more captions than training
    resumable: bool = True  # whether checkpoints are written
    stopping: EarlyStopping | None = None  # None: an epoch shows as many pairs as there are named images, and all run
    stop: int | None = None  # epochs after which training ends, of a schedule of `settings.epochs`; None: all
    judged: str = "validation"  # what `validate` measures, as the log calls it
    until: float = (
        math.inf
    )  # moment of time.monotonic() when the loop stops; the epoch that is then under way is dropped
    log: list[dict[str, Any]] = field(default_factory=list)
    observe: Observer = ignore_line  # is given each line of the log as it comes

    @property
    def batch(self) -> int:
        """Pairs a step: the batch size, or every caption of a smaller corpus."""
        return min(self.settings.batch_size, self.pairs.drawable)

    @property
    def end(self) -> int:
        """Epochs after which training ends."""
        return self.settings.epochs if self.stop is None else self.stop

    @property
    def objective(self) -> Objective:
        """How the loss of a step is computed."""
        return Objective(
            loss=self.loss, members=self.members, caption_loss=self.settings.caption_loss, penalty=self.penalty
        )

    @property
    def trains_members_apart(self) -> bool:
        """Whether a head's members may be trained in threads of their own."""
        divided = (self.compute.micro_batch or self.batch) < self.batch
        return self.heads_only and not divided and not self.count_flops

    @property
    def steps_per_epoch(self) -> int:
        """Steps of an epoch, which shows as many pairs as there are named images, unless `stopping` says otherwise."""
        if self.stopping is not None:
            return self.stopping.every
        return math.ceil(self.pairs.named / self.batch)

    def has_stalled(self, log: list[dict[str, Any]]) -> bool:
        """Whether validation has not reached a new best for as long as `stopping` waits."""
        if self.stopping is None:
            return False
        values = [line[self.judged] for line in log]
        return len(values) - 1 - values.index(max(values)) >= self.stopping.patience

    def read_spreads(self) -> dict[str, float]:
        """How far apart embeddings and scores lay when `validate` was last called; empty where it does not say."""
        return self.validate.spreads if isinstance(self.validate, Validation) else {}


def fit(aligner: PolyCLIP, phase: Phase) -> list[dict[str, Any]]:
    """Train a phase as `train_epochs` does, and return the whole log, one line for each epoch."""
    return list(train_epochs(aligner, phase))


def train_epochs(aligner: PolyCLIP, phase: Phase) -> Iterator[dict[str, Any]]:
    """Train a phase, epoch by epoch: validate before the first and after each epoch, and keep the best epoch's weights.

    A checkpoint is written to `phase.folder` after the first epoch, the last one, and each that ends five seconds after
    the one before. A run that was killed continues from there and ends with
    the same weights, bit for bit on a CPU, because each step's pairs and dropout depend on the seed and the step's
    number alone. At `phase.until` training stops with the epochs it has.

    Args:
        aligner: The model; receives the weights of the best epoch, or of the last one if the phase says so.
        phase: What is trained, on what, and for how long.

    Yields:
        The log, one line for each epoch, while the model has the weights of that epoch.

    Raises:
        RunError: The loss is not finite, embeddings collapsed, or the checkpoint does not fit.

    """
    accelerator = compute.create_accelerator(phase.compute)
    fixed = frozenset(name for name, parameter in aligner.named_parameters() if parameter.requires_grad) - set(
        phase.trained
    )
    state, moments = checkpoint.read(phase.folder, phase.name, phase.settings, aligner, fixed)
    model, optimizer = prepare_training(accelerator, aligner, phase)
    checkpoint.restore(optimizer, moments)
    peaks = [group["lr"] for group in optimizer.param_groups]
    judge = partial(compute.run_validation, accelerator, model, aligner, phase.trained, phase.validate)
    size = phase.steps_per_epoch * phase.batch
    with (
        open_step(accelerator, aligner, model, optimizer, phase) as step,
        Progress(f"training {phase.name}", phase.settings.epochs * size) as progress,
        distributed.explain_lost_process(),
    ):
        progress.advance(state.epoch * size)
        yield from state.log
        if not state.log:  # a phase that does not improve validation ends where it began
            record_line({"epoch": 0, phase.judged: judge()}, state, aligner, phase)
            yield state.log[-1]
        for epoch in takewhile(lambda _: not phase.has_stalled(state.log), range(state.epoch, phase.end)):
            started, busy = time.monotonic(), time.process_time()
            losses, flops = run_epoch(epoch, step, optimizer, phase, peaks, progress)
            if len(losses) < phase.steps_per_epoch:
                break
            value = judge()
            progress.note = f"loss {sum(losses) / len(losses):.3f}, {phase.judged} recall {value:.3f}"
            line = {"epoch": epoch + 1, "batch": phase.batch, "loss": sum(losses) / len(losses), phase.judged: value}
            cost = {"flops": flops * phase.steps_per_epoch, "processor_seconds": time.process_time() - busy}
            line |= {"scale": aligner.scale().item(), "seconds": time.monotonic() - started}
            record_line(line | cost if phase.count_flops else line, state, aligner, phase)
            if phase.resumable and checkpoint.is_due(state, phase.end):
                checkpoint.write(phase.folder, phase.name, phase.settings, aligner, optimizer, state)
            yield state.log[-1]
    compute.release_model(accelerator, model, aligner)
    aligner.set_state(checkpoint.select_changing(aligner, frozenset(state.best)) | state.best, "the best epoch")


@contextmanager
def open_step(
    accelerator: Accelerator, aligner: PolyCLIP, model: nn.Module, optimizer: Any, phase: Phase
) -> Iterator[Callable[[int], float]]:
    """What makes the optimizer step of a number, with threads for the members of the heads where they train apart."""
    step = partial(run_step, accelerator, model, optimizer, phase)
    if not phase.trains_members_apart:
        yield step
        return
    draw, pairs = partial(draw_pairs, accelerator, phase), phase.pairs
    with open_member_threads(accelerator, aligner, phase.objective, draw, optimizer.optimizer) as members:
        if members is None:
            yield step
            return
        if pairs.strata is None:  # else features stay on disk
            members.read_tables((phase.text, phase.image), (len(pairs.captions), len(pairs.images)))
        yield partial(step, members=members)


def record_line(line: dict[str, Any], state: checkpoint.TrainingState, aligner: PolyCLIP, phase: Phase) -> None:
    """Add a line and its spreads to the log, with the weights if they are the best so far, and pass it on.

    Raises:
        RunError: The embeddings collapsed.

    """
    line = {"phase": phase.name, **line} | phase.read_spreads()
    check_collapse(line, [*state.log, line][0], phase.settings)
    state.record(line, aligner, phase.last)
    phase.observe(line)


def prepare_training(accelerator: Accelerator, aligner: PolyCLIP, phase: Phase) -> tuple[nn.Module, Any]:
    """Prepare the model and its optimizer for the steps of a phase."""
    model = compute.prepare_model(accelerator, aligner, phase.trained, phase.compute.shard)
    inner = compute.unwrap_model(accelerator, model)
    groups = group_parameters(inner, phase.settings, phase.trained)
    # All parameters in one pass; of divided and whole ones, which cannot be stacked, one at a time.
    how = {"foreach": False} if fsdp.is_sharded(inner) else {"fused": True}
    optimizer = AdamW(groups, betas=(0.9, 0.98), eps=1e-6, **how)
    return model, accelerator.prepare_optimizer(optimizer)


def run_epoch(
    epoch: int,
    step: Callable[[int], float],
    optimizer: Any,
    phase: Phase,
    peaks: list[float],
    progress: Progress,
) -> tuple[list[float], int]:
    """Run the steps of one epoch, fewer where time is up.

    Args:
        epoch: Number of the epoch, from 0.
        step: Makes the optimizer step of a number; returns its loss.
        optimizer: As `prepare_training` returns it.
        phase: The training phase.
        peaks: Highest learning rate of each parameter group.
        progress: The progress bar.

    Returns:
        The loss of each step, and the floating-point operations of the first one if they are counted.

    """
    losses: list[float] = []
    counter = make_flop_counter()
    total = phase.settings.epochs * phase.steps_per_epoch
    for number in range(epoch * phase.steps_per_epoch, (epoch + 1) * phase.steps_per_epoch):
        if time.monotonic() > phase.until:
            break
        for group, peak in zip(optimizer.param_groups, peaks, strict=True):
            group["lr"] = peak * get_rate_factor(number, total, phase.settings.warm_up)
        with counter if phase.count_flops and not losses else nullcontext():
            losses.append(step(number))
        progress.advance(phase.batch)
    return losses, counter.get_total_flops()


@multiply_at_full_rate()
def run_step(
    accelerator: Accelerator,
    model: nn.Module,
    optimizer: Any,
    phase: Phase,
    number: int,
    members: MemberThreads | None = None,
) -> float:
    """Make one optimizer step; return the loss.

    Raises:
        RunError: The loss is not finite; the message names rows of the step.

    """
    model.train()
    optimizer.zero_grad()
    if members is not None:
        drawn = members.take(number)
        shown, loss = drawn.pairs, members.backward(drawn, number + 1)
    else:
        shown = draw_pairs(accelerator, phase, number)
        torch.manual_seed(shown.seed)  # dropout of this step
        divided = distributed.get_world_size() > 1 or (phase.compute.micro_batch or phase.batch) < phase.batch
        loss = (
            backward(accelerator, model, shown, phase.objective, phase.compute.micro_batch)
            if divided
            else backward_whole(accelerator, model, shown, phase.objective)
        )
    if not math.isfinite(loss):
        why = explain_divergence(model, phase.pairs, shown, taught=phase.taught)
        raise RunError(f"The loss is {loss} at step {number} of {phase.name}. {why}")
    if members is not None:
        members.update(phase.settings.clip)
    else:
        compute.clip_gradients(accelerator, model, phase.settings.clip)
        optimizer.step()
    return loss


def draw_pairs(accelerator: Accelerator, phase: Phase, number: int) -> StepPairs:
    """Draw the pairs of a step, which depend on the phase's seed and the step's number alone."""
    seed = fold_seed(phase.settings.seed) * 1_000_003 + number
    caption, image, concept = phase.pairs.sample(phase.batch, seed)
    return StepPairs(
        shown=caption,
        others=phase.pairs.sample_other_captions(concept, seed) if phase.settings.caption_loss else None,
        images=caption if phase.taught else image,
        concept=concept,
        text=partial(move_inputs, phase.text, accelerator.device),
        image=partial(move_inputs, phase.image, accelerator.device),
        seed=seed,
    )


def backward_whole(accelerator: Accelerator, model: nn.Module, shown: StepPairs, objective: Objective) -> float:
    """Add the gradient of a step without micro-batches; return the loss. If it is not finite, no gradient is added."""
    captions = shown.shown if shown.others is None else torch.cat([shown.shown, shown.others])
    text_inputs, image_inputs = shown.text(captions), shown.image(shown.images)
    text, image, scale, bias = model(text_inputs, image_inputs)
    concept, size = shown.concept.to(text.device), len(shown.concept)
    first, second = text[:size], text[size:]
    loss = mean_over_members(objective.loss, LossInputs(first, image, concept, scale, bias), objective.members)
    if shown.others is not None:
        loss = loss + objective.caption_loss * mean_over_members(
            objective.loss, LossInputs(first, second, concept, scale, bias), objective.members
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


def move_inputs(inputs: Inputs, device: torch.device, rows: Tensor) -> dict[str, Any]:
    """Inputs of a branch for these rows, on the device."""
    return {
        name: value.to(device)
        if isinstance(value, Tensor)
        else [{n: t.to(device) for n, t in state.items()} for state in value]
        for name, value in inputs(rows).items()
    }


def get_rate_factor(number: int, total: int, warm_up: float) -> float:
    """Factor of the highest learning rate at step `number`: linear warm-up, then cosine to zero."""
    warm = max(1, round(warm_up * total))
    if number < warm:
        return (number + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (number - warm) / max(1, total - warm)))


def group_parameters(aligner: nn.Module, settings: OptimizerConfig, trained: list[str]) -> list[dict[str, Any]]:
    """Parameter groups with the learning rates of heads and encoders; weight decay on matrices only.

    Gains, biases and the logit scale have no weight decay.
    """
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
