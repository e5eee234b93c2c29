"""The exact gradient of a batch that is too large for memory, or that several processes share.

GradCache (Gao et al. 2021, arXiv 2101.06983): a loss depends on the encoders through the embeddings alone. So all pairs
are embedded in micro-batches without a graph (step 1), the loss of all embeddings gives each embedding's gradient (step
2), and each micro-batch is embedded again and backpropagates its embeddings' gradients (step 3). Of several processes
each embeds its own pairs, all gather all embeddings, and each computes the loss of its own rows.
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
from polyclip.models.losses import ROWS, Loss, LossInputs, split_members
from polyclip.training import fsdp

BLOCK = 256  # rows of logits held at once

Inputs = Callable[[Tensor], dict[str, Any]]  # rows -> inputs of a branch
DropoutMasks = Mapping[
    str, list[Bool[Tensor, "row width"]]
]  # values that dropout keeps, by branch, in all rows of a step


@dataclass(frozen=True, kw_only=True)
class Objective:
    """How the loss of a step is computed from its embeddings."""

    loss: Loss
    members: int = 1
    caption_loss: float = 0.0  # weight of the loss between captions and second captions
    penalty: Callable[[Tensor, Tensor], Tensor] | None = None  # (features, embeddings) of a branch


@dataclass(frozen=True)
class StepEmbeddings:
    """Embeddings of all pairs of a step, and the logit scale and bias."""

    shown: Float[Tensor, "pair dim"]
    others: Float[Tensor, "pair dim"] | None  # second captions
    image: Float[Tensor, "pair dim"]
    scale: Float[Tensor, ""]
    bias: Float[Tensor, ""]

    def as_dict(self) -> dict[str, Tensor]:
        """The tensors that exist, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class StepPairs:
    """A step's pairs, and how rows become the inputs of each branch."""

    shown: Int[Tensor, " pair"]  # caption rows
    others: Int[Tensor, " pair"] | None
    images: Int[Tensor, " pair"]  # image rows, or caption rows again for a teacher
    concept: Int[Tensor, " pair"]
    text: Inputs
    image: Inputs
    seed: int

    def make_inputs(self, rows: Tensor, kept: "DropoutMasks") -> tuple[dict[str, Any], dict[str, Any]]:
        """Inputs of both branches for these pairs."""
        second = [] if self.others is None else [self.others[rows]]
        text_rows = torch.cat([rows, rows + len(self.shown)]) if second else rows
        text = self.text(torch.cat([self.shown[rows], *second])) | {"kept": [mask[text_rows] for mask in kept["text"]]}
        return text, self.image(self.images[rows]) | {"kept": [mask[rows] for mask in kept["vision"]]}


def backward(
    accelerator: Accelerator, model: nn.Module, step: StepPairs, objective: Objective, micro_batch: int | None
) -> float:
    """Add the gradient of a step to the model's parameters, holding `micro_batch` pairs at once.

    If the loss is not finite, no gradient is added.

    Args:
        accelerator: Of this process.
        model: As `polyclip.training.compute.prepare_model` returns it.
        step: Pairs of the step.
        objective: How the loss is computed.
        micro_batch: Pairs held at once; None for all of this process's own.

    Returns:
        The loss of the whole step.

    Raises:
        RunError: There are fewer pairs than processes.

    """
    size = len(step.concept)
    if size < distributed.get_world_size():
        raise RunError(
            f"A step has {size} pairs, too few for {distributed.get_world_size()} processes: start fewer, or give a "
            "larger --batch-size or corpus."
        )
    embed = partial(embed_pairs, model, step, draw_dropout(accelerator.unwrap_model(model), step))
    chunks = split_pairs(size, micro_batch, even=fsdp.is_sharded(model))
    whole = len(chunks) == 1  # then its graph is kept, and it is not embedded again
    with nullcontext() if whole else torch.no_grad():
        found = [embed(rows) for rows in chunks]
    value, gradients = compute_gradients(gather_embeddings(found, size), step, objective)
    if not math.isfinite(value):
        return value
    done = 0
    for rows in chunks:
        own, done = slice(done, done + len(rows)), done + len(rows)
        last = rows is chunks[-1]
        with nullcontext() if last else accelerator.no_sync(model):
            surrogate = compute_surrogate_loss(found[0] if whole else embed(rows), gradients, own, last=last)
            accelerator.backward(
                distributed.get_world_size() * surrogate
            )  # gradients of several processes are averaged
    return value


def split_pairs(size: int, micro_batch: int | None, *, even: bool) -> list[Int[Tensor, " pair"]]:
    """Split this process's own pairs of a step into micro-batches.

    Args:
        size: Pairs of the step.
        micro_batch: Pairs held at once; None for all of this process's own.
        even: Whether every process needs as many micro-batches as the others, which sharded encoders require.

    Returns:
        Numbers of the pairs of each micro-batch.

    Raises:
        RunError: This process has too few pairs for as many micro-batches as another one.

    """
    own, longest = torch.arange(size)[distributed.get_own_rows(size)], max(distributed.count_own_rows(size))
    held = micro_batch or longest
    if not even:
        return list(own.split(held))
    count = math.ceil(longest / held)
    if len(own) < count:
        raise RunError(
            f"Process {distributed.get_rank()} has {len(own)} pairs of a step and another one {longest}: with "
            "--shard let --micro-batch be 2 or more."
        )
    return list(own.tensor_split(count))


def draw_dropout(aligner: Any, step: StepPairs) -> DropoutMasks:
    """Draw dropout masks for the whole step, in the same order as without micro-batches, so that no division changes
    them.
    """
    captions = len(step.concept) * (1 if step.others is None else 2)
    sides = ((aligner.text, captions), (aligner.vision, len(step.concept)))
    return {side.kind: side.head.draw_masks(rows) for side, rows in sides}


def embed_pairs(model: nn.Module, step: StepPairs, kept: DropoutMasks, rows: Tensor) -> StepEmbeddings:
    """Embed some pairs; whatever else is random in an encoder is the same each time."""
    torch.manual_seed(step.seed + int(rows[0]))
    text, image, scale, bias = model(*step.make_inputs(rows, kept))
    return StepEmbeddings(text[: len(rows)], None if step.others is None else text[len(rows) :], image, scale, bias)


def gather_embeddings(found: list[StepEmbeddings], size: int) -> StepEmbeddings:
    """Gather the embeddings of all processes' pairs, as leaves of a new graph."""
    lengths = distributed.count_own_rows(size)
    parts: dict[str, Any] = {
        "shown": [each.shown for each in found],
        "others": [each.others for each in found],
        "image": [each.image for each in found],
    }
    rows: dict[str, Any] = {
        n: None if own[0] is None else distributed.gather_rows(torch.cat(own), lengths).detach().requires_grad_()
        for n, own in parts.items()
    }
    return StepEmbeddings(
        **rows, scale=found[0].scale.detach().requires_grad_(), bias=found[0].bias.detach().requires_grad_()
    )


def compute_gradients(
    vectors: StepEmbeddings, step: StepPairs, objective: Objective
) -> tuple[float, dict[str, Tensor]]:
    """Compute the loss of all pairs and its gradients.

    Args:
        vectors: Embeddings of all pairs.
        step: Pairs of the step.
        objective: How the loss is computed.

    Returns:
        The loss, and its gradients w.r.t. this process's own embeddings, and this process's part of those w.r.t. scale
        and bias.

    """
    size = len(step.concept)
    mine, given = distributed.get_own_rows(size), vectors.as_dict()
    part = compute_loss(vectors, step, objective, mine)
    found = torch.autograd.grad(part, list(given.values()), allow_unused=True)
    gradients = {
        name: torch.zeros_like(of) if value is None else value
        for (name, of), value in zip(given.items(), found, strict=True)
    }
    for name in [
        name for name in gradients if name not in ("scale", "bias")
    ]:  # in one order everywhere, which a set has not
        gradients[name] = distributed.sum_over_processes(gradients[name])[mine]
    return distributed.sum_over_processes(part.detach()).item(), gradients


def compute_loss(vectors: StepEmbeddings, step: StepPairs, objective: Objective, rows: slice) -> Float[Tensor, ""]:
    """Part of the loss from these rows; the penalty, which has no rows, is divided equally among processes."""
    concept = step.concept.to(vectors.shown.device)
    targets = [(1.0, vectors.image)] + ([] if vectors.others is None else [(objective.caption_loss, vectors.others)])
    total = vectors.scale.new_zeros(())
    for weight, other in targets:
        for member in split_members(
            LossInputs(vectors.shown, other, concept, vectors.scale, vectors.bias), objective.members
        ):
            total = total + weight / objective.members * compute_in_blocks(objective.loss, member, rows)
    if objective.penalty is not None:
        for side, own, of in ((step.text, vectors.shown, step.shown), (step.image, vectors.image, step.images)):
            total = total + objective.penalty(side(of)["vectors"], own) / distributed.get_world_size()
    return total


def compute_in_blocks(loss: Loss, batch: LossInputs, rows: slice, block: int = BLOCK) -> Float[Tensor, ""]:
    """Part of a loss from `rows`, with at most `block` rows of logits in memory, in the backward pass too."""
    part = ROWS[loss]
    first, end, _ = rows.indices(len(batch.concept))
    total = batch.scale.new_zeros(())
    for start in range(first, end, block):
        own = slice(start, min(start + block, end))
        total = total + checkpoint(part, batch, own, use_reentrant=False, preserve_rng_state=False)
    return total


def compute_surrogate_loss(
    vectors: StepEmbeddings, gradients: dict[str, Tensor], rows: slice, *, last: bool
) -> Float[Tensor, ""]:
    """Surrogate loss whose gradient w.r.t. these embeddings equals the cached gradient (GradCache, step 3).

    The gradients of scale and bias are added once, with the `last` micro-batch.
    """
    total = vectors.scale.new_zeros(())
    for name, value in vectors.as_dict().items():
        if name in ("scale", "bias"):
            total = total + value * gradients[name] if last else total
        else:
            total = total + (value * gradients[name][rows]).sum()
    return total
