"""The gradient of a batch that is too large to be held at once, or that several processes share: exactly that of the whole batch.

Gao et al. 2021, GradCache, arXiv 2101.06983: a loss of unit vectors depends on the towers through those vectors alone. So all pairs are
embedded a few at a time without a graph, the loss of all vectors gives each vector's gradient, and each few pairs are embedded again and
pass their vectors' gradients on. Of several processes each embeds its own pairs, all see all vectors, and each takes the loss of its own rows.
"""

import math
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from polyclip.core import distributed
from polyclip.errors import RunError
from polyclip.models.losses import ROWS, Batch, Loss, members_of
from polyclip.training import fsdp

BLOCK = 256  # rows of logits held at once

Inputs = Callable[[Tensor], dict[str, Any]]  # rows -> what a side takes
Kept = Mapping[str, list[Bool[Tensor, "row width"]]]  # what dropout leaves, by side, in all rows of a step


@dataclass(frozen=True, kw_only=True)
class Objective:
    """What is made of all vectors of a step."""

    loss: Loss
    members: int = 1
    caption_loss: float = 0.0  # weight of the loss between captions and second captions
    penalty: Callable[[Tensor, Tensor], Tensor] | None = None  # (features, unit vectors) of a side


@dataclass(frozen=True)
class Vectors:
    """Of all pairs of a step: unit vectors, and what the logits are made with."""

    shown: Float[Tensor, "pair dim"]
    others: Float[Tensor, "pair dim"] | None  # second captions
    image: Float[Tensor, "pair dim"]
    scale: Float[Tensor, ""]
    bias: Float[Tensor, ""]

    def given(self) -> dict[str, Tensor]:
        """Those that there are, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class Pass:
    """A step's pairs, and how rows become what each side takes."""

    shown: Int[Tensor, " pair"]  # caption rows
    others: Int[Tensor, " pair"] | None
    pictures: Int[Tensor, " pair"]  # or caption rows again, where a teacher speaks of them
    concept: Int[Tensor, " pair"]
    text: Inputs
    image: Inputs
    seed: int

    def inputs(self, rows: Tensor, kept: "Kept") -> tuple[dict[str, Any], dict[str, Any]]:
        """Of these pairs, on both sides."""
        second = [] if self.others is None else [self.others[rows]]
        text_rows = torch.cat([rows, rows + len(self.shown)]) if second else rows
        text = self.text(torch.cat([self.shown[rows], *second])) | {"kept": [mask[text_rows] for mask in kept["text"]]}
        return text, self.image(self.pictures[rows]) | {"kept": [mask[rows] for mask in kept["vision"]]}


def backward(
    accelerator: Accelerator, model: nn.Module, step: Pass, objective: Objective, micro_batch: int | None
) -> float:
    """Add the gradient of a step to the model's parameters, holding `micro_batch` pairs at once; returns the loss.

    Where that is not finite, no gradient was added. Raises RunError for fewer pairs than processes.
    """
    size = len(step.concept)
    if size < distributed.count():
        raise RunError(
            f"A step has {size} pairs, too few for {distributed.count()} processes: start fewer, or give a larger --batch-size or corpus."
        )
    embed = partial(embedded, model, step, dropout(accelerator.unwrap_model(model), step))
    chunks = parts(size, micro_batch, even=fsdp.is_divided(model))
    whole = len(chunks) == 1  # then its graph is kept, and it is not embedded again
    with nullcontext() if whole else torch.no_grad():
        found = [embed(rows) for rows in chunks]
    value, gradients = gradients_of(gathered(found, size), step, objective)
    if not math.isfinite(value):
        return value
    done = 0
    for rows in chunks:
        own, done = slice(done, done + len(rows)), done + len(rows)
        last = rows is chunks[-1]
        with nullcontext() if last else accelerator.no_sync(model):
            surrogate = passed_on(found[0] if whole else embed(rows), gradients, own, last=last)
            accelerator.backward(distributed.count() * surrogate)  # gradients of several processes are averaged
    return value


def parts(size: int, micro_batch: int | None, *, even: bool) -> list[Int[Tensor, " pair"]]:
    """Pairs of a step that are this process' own, at most `micro_batch` at once; `even`: in as many parts as those of every other process.

    Raises RunError where that cannot be.
    """
    own, longest = torch.arange(size)[distributed.own(size)], max(distributed.lengths(size))
    held = micro_batch or longest
    if not even:
        return list(own.split(held))
    count = math.ceil(longest / held)
    if len(own) < count:
        raise RunError(
            f"Process {distributed.number()} has {len(own)} pairs of a step and another one {longest}: with --shard let --micro-batch be 2 or more."
        )
    return list(own.tensor_split(count))


def dropout(aligner: Any, step: Pass) -> Kept:
    """Drawn for the whole step, in the order in which it is drawn where a step is held at once: it depends on no division."""
    captions = len(step.concept) * (1 if step.others is None else 2)
    sides = ((aligner.text, captions), (aligner.vision, len(step.concept)))
    return {side.kind: side.head.draw(rows) if hasattr(side.head, "draw") else [] for side, rows in sides}


def embedded(model: nn.Module, step: Pass, kept: Kept, rows: Tensor) -> Vectors:
    """Vectors of some pairs; whatever else is drawn at random in a tower is the same each time."""
    torch.manual_seed(step.seed + int(rows[0]))
    text, image, scale, bias = model(*step.inputs(rows, kept))
    return Vectors(text[: len(rows)], None if step.others is None else text[len(rows) :], image, scale, bias)


def gathered(found: list[Vectors], size: int) -> Vectors:
    """The vectors of all processes' pairs, as leaves of a new graph."""
    lengths = distributed.lengths(size)
    parts = {name: [getattr(each, name) for each in found] for name in ("shown", "others", "image")}
    rows: dict[str, Any] = {
        n: None if own[0] is None else distributed.joined(torch.cat(own), lengths).detach().requires_grad_()
        for n, own in parts.items()
    }
    return Vectors(**rows, scale=found[0].scale.detach().requires_grad_(), bias=found[0].bias.detach().requires_grad_())


def gradients_of(vectors: Vectors, step: Pass, objective: Objective) -> tuple[float, dict[str, Tensor]]:
    """The loss of all pairs; its gradients with respect to this process' own vectors, and this process' part of those of scale and bias."""
    size = len(step.concept)
    mine, given = distributed.own(size), vectors.given()
    part = loss_of(vectors, step, objective, mine)
    found = torch.autograd.grad(part, list(given.values()), allow_unused=True)
    gradients = {
        name: torch.zeros_like(of) if value is None else value
        for (name, of), value in zip(given.items(), found, strict=True)
    }
    for name in [
        name for name in gradients if name not in ("scale", "bias")
    ]:  # in one order everywhere, which a set has not
        gradients[name] = distributed.summed(gradients[name])[mine]
    return distributed.summed(part.detach()).item(), gradients


def loss_of(vectors: Vectors, step: Pass, objective: Objective, rows: slice) -> Float[Tensor, ""]:
    """What these rows owe to the loss; the penalty, which has no rows, is shared by all processes."""
    concept = step.concept.to(vectors.shown.device)
    targets = [(1.0, vectors.image)] + ([] if vectors.others is None else [(objective.caption_loss, vectors.others)])
    total = vectors.scale.new_zeros(())
    for weight, other in targets:
        for member in members_of(Batch(vectors.shown, other, concept, vectors.scale, vectors.bias), objective.members):
            total = total + weight / objective.members * in_blocks(objective.loss, member, rows)
    if objective.penalty is not None:
        for side, own, of in ((step.text, vectors.shown, step.shown), (step.image, vectors.image, step.pictures)):
            total = total + objective.penalty(side(of)["vectors"], own) / distributed.count()
    return total


def in_blocks(loss: Loss, batch: Batch, rows: slice, block: int = BLOCK) -> Float[Tensor, ""]:
    """What `rows` owe to a loss, with at most `block` rows of logits in memory, backwards too."""
    part = ROWS[loss]
    first, end, _ = rows.indices(len(batch.concept))
    total = batch.scale.new_zeros(())
    for start in range(first, end, block):
        own = slice(start, min(start + block, end))
        total = total + checkpoint(part, batch, own, use_reentrant=False, preserve_rng_state=False)
    return total


def passed_on(vectors: Vectors, gradients: dict[str, Tensor], rows: slice, *, last: bool) -> Float[Tensor, ""]:
    """A number whose gradient is the loss' by these vectors, and once, at the `last`, by scale and bias."""
    total = vectors.scale.new_zeros(())
    for name, value in vectors.given().items():
        if name in ("scale", "bias"):
            total = total + value * gradients[name] if last else total
        else:
            total = total + (value * gradients[name][rows]).sum()
    return total
