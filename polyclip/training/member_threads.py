"""Steps of a head's members in threads of their own.

Members see the same pairs and are trained each by its own loss, so that what they share is the logit scale and the norm
at which gradients are clipped. Matrices of one member are so small that several threads at one product wait for each
other; here each thread does whole members by itself, and draws the next step meanwhile.
"""

import math
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from jaxtyping import Bool, Float
from torch import Tensor

from polyclip.core import distributed
from polyclip.core.threads import open_workers
from polyclip.models.aligner import PolyCLIP
from polyclip.models.components.heads import Head
from polyclip.models.components.joint_head import JointHead
from polyclip.models.components.members import apply_dropout, embed_member, scale_for_dropout
from polyclip.models.losses import LossInputs, Positives, find_positives
from polyclip.training.grad_cache import Inputs, Objective, StepPairs
from polyclip.training.optimizer import AdamW, measure_norm, step_part

DrawStep = Callable[[int], StepPairs]


@dataclass(frozen=True)
class DrawnStep:
    """All that a step's members share, and the dropout masks of each."""

    pairs: StepPairs
    text: Float[Tensor, "caption text_width"]  # standardized features, in the format of the products
    image: Float[Tensor, "pair image_width"]
    masks: list[tuple[Bool[Tensor, "caption text_width"], Bool[Tensor, "pair image_width"]]]
    positives: Positives


class MemberThreads:
    """Adds the gradient of a step, member by member.

    Args:
        aligner: The model; its heads have as many members as the objective says.
        objective: How the loss of a step is computed.
        draw: Number of a step to its pairs.
        optimizer: Of all trained parameters.
        precision: Format of the heads' products.
        pool: Threads that do one member each at a time.

    """

    def __init__(
        self,
        aligner: PolyCLIP,
        objective: Objective,
        draw: DrawStep,
        optimizer: AdamW,
        precision: torch.dtype,
        pool: ThreadPoolExecutor,
    ) -> None:
        self.aligner, self.objective, self.draw, self.precision = aligner, objective, draw, precision
        self.pool = pool
        self.heads: Any = (aligner.text.head, aligner.vision.head)
        members = zip(*(head.members for head in self.heads), strict=True)
        self.parts = optimizer.split([[*text.parameters(), *image.parameters()] for text, image in members])
        self.tables: list[Tensor] | None = None
        self.ahead: dict[int, Future[DrawnStep]] = {}

    @torch.no_grad()
    def read_tables(self, inputs: tuple[Inputs, Inputs], sizes: tuple[int, int]) -> None:
        """Standardize all captions' and images' features once, rather than those of each step.

        Args:
            inputs: Rows to the inputs of each branch.
            sizes: Rows of each branch.

        """
        self.tables = [
            self.scale(head, of(torch.arange(size))["vectors"])
            for head, of, size in zip(self.heads, inputs, sizes, strict=True)
        ]

    def scale(self, head: Any, features: Float[Tensor, "row width"]) -> Float[Tensor, "row width"]:
        """Features as dropout takes them, in the format of the products."""
        with self.products():
            return scale_for_dropout(head.standardize(features), head.members)

    def take(self, number: int) -> DrawnStep:
        """The step of this number, drawn ahead or now."""
        ready = self.ahead.pop(number, None)
        return self.prepare(number) if ready is None else ready.result()

    @torch.no_grad()
    def prepare(self, number: int) -> DrawnStep:
        """Draw a step's pairs and dropout, and read its features."""
        pairs = self.draw(number)
        generator = torch.Generator().manual_seed(pairs.seed)
        captions = pairs.shown if pairs.others is None else torch.cat([pairs.shown, pairs.others])
        rows = (captions, pairs.images)
        masks = [head.draw_masks(len(own), generator) for head, own in zip(self.heads, rows, strict=True)]
        if self.tables is None:
            given = (pairs.text(captions), pairs.image(pairs.images))
            text, image = (self.scale(head, of["vectors"]) for head, of in zip(self.heads, given, strict=True))
        else:
            text, image = (table.index_select(0, own) for table, own in zip(self.tables, rows, strict=True))
        return DrawnStep(pairs, text, image, list(zip(*masks, strict=True)), find_positives(pairs.concept))

    def backward(self, step: DrawnStep, following: int) -> float:
        """Add the gradient of a step; return the loss.

        Args:
            step: As `take` returned it.
            following: Number of the step to draw meanwhile.

        """
        scale, bias = self.aligner.scale(), self.aligner.logit_bias
        shared = (scale.detach(), bias.detach())
        tasks = [self.pool.submit(self.run_member, step, member, shared) for member in range(self.objective.members)]
        self.ahead = {following: self.pool.submit(self.prepare, following)}
        found = [task.result() for task in tasks]
        for number, value in enumerate((scale, bias)):
            if value.requires_grad:
                (value * torch.stack([gradients[number] for _, gradients in found]).sum()).backward()
        return sum(loss for loss, _ in found)

    def run_member(
        self, step: DrawnStep, member: int, shared: tuple[Tensor, Tensor]
    ) -> tuple[float, list[Float[Tensor, ""]]]:
        """Add the gradient of one member.

        Args:
            step: The step.
            member: Number of the member.
            shared: Logit scale and bias.

        Returns:
            Its part of the loss, and the gradients of scale and bias.

        """
        inputs = zip(
            (head.members[member] for head in self.heads), (step.text, step.image), step.masks[member], strict=True
        )
        with self.products():
            text, image = (embed_member(part, apply_dropout(rows, kept)) for part, rows, kept in inputs)
        scale, bias = (value.clone().requires_grad_() for value in shared)
        size, loss = len(image), self.objective.loss
        concept, positives = step.pairs.concept, step.positives
        batch = LossInputs(text[:size], image, concept, scale, bias, positives, products=self.precision)
        total = loss(batch)
        if step.pairs.others is not None:
            total = total + self.objective.caption_loss * loss(replace(batch, image=text[size:]))
        total = total / self.objective.members
        total.backward()
        return total.item(), [torch.zeros(()) if value.grad is None else value.grad for value in (scale, bias)]

    def update(self, limit: float) -> None:
        """Clip all gradients to a norm of `limit`, and step: each thread changes whole members.

        Where one thread does it for all, the others wait.
        """
        norm = math.hypot(*self.pool.map(measure_norm, self.parts))
        divisor = torch.tensor(max(1.0, (norm + 1e-6) / limit))  # as torch.nn.utils.clip_grad_norm_
        for _ in self.pool.map(partial(step_part, divisor=divisor), self.parts):
            pass

    def products(self) -> torch.autocast:
        """The format of products within the block."""
        return torch.autocast("cpu", self.precision, enabled=self.precision != torch.float32)


@contextmanager
def open_member_threads(
    accelerator: Accelerator, aligner: PolyCLIP, objective: Objective, draw: DrawStep, optimizer: AdamW
) -> Iterator[MemberThreads | None]:
    """Threads for the members of both heads, as many as torch uses; None where members cannot be trained apart.

    Args:
        accelerator: Of this process.
        aligner: The model.
        objective: How the loss of a step is computed.
        draw: Number of a step to its pairs.
        optimizer: Of all trained parameters.

    """
    heads = (aligner.text.head, aligner.vision.head)
    apart = objective.members > 1 and objective.penalty is None and accelerator.device.type == "cpu"
    apart = apart and all(
        isinstance(head, Head | JointHead) and len(head.members) == objective.members for head in heads
    )
    if not apart or distributed.get_world_size() > 1:
        yield None
        return
    precision = torch.bfloat16 if accelerator.mixed_precision == "bf16" else torch.float32
    with open_workers(objective.members) as pool:
        yield MemberThreads(aligner, objective, draw, optimizer, precision, pool)
