"""Steps of a head's members in threads of their own.

Members see the same pairs and are trained each by its own loss, so that what they share is the logit scale and the norm
at which gradients are clipped. Matrices of one member are so small that several threads at one product wait for each
other; here each thread does whole members by itself, and draws the next step meanwhile.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from accelerate import Accelerator
from jaxtyping import Float
from torch import Tensor

from polyclip.core import distributed
from polyclip.core.threads import open_workers
from polyclip.models.aligner import PolyCLIP
from polyclip.models.components.heads import Head
from polyclip.models.components.joint_head import JointHead
from polyclip.models.components.members import apply_dropout, embed_member, embed_narrow_member
from polyclip.models.losses import LossInputs, Positives, find_positives
from polyclip.training.grad_cache import Inputs, Objective, StepPairs

DrawStep = Callable[[int], StepPairs]


@dataclass(frozen=True)
class Seen:
    """What the members of one head see in a step.

    Attributes:
        rows: Features as the head scales them for dropout. Of heads whose members see some of the features, those of
            each part of the step, transposed.
        kept: Of each member the dropout mask, or the places of the features that it sees of each part.

    """

    rows: Float[Tensor, "row width"] | list[Float[Tensor, "width _"]]
    kept: list[Any]

    def embed(self, head: Any, number: int) -> Float[Tensor, "row dim"]:
        """Embed the rows by the member of this number."""
        member, kept = head.members[number], self.kept[number]
        if isinstance(self.rows, list):
            return embed_narrow_member(member, self.rows, kept)
        return embed_member(member, apply_dropout(self.rows, kept))


@dataclass(frozen=True)
class DrawnStep:
    """All that a step's members share, and what each of them sees."""

    pairs: StepPairs
    text: Seen
    image: Seen
    positives: Positives


class MemberThreads:
    """Adds the gradient of a step, member by member.

    Args:
        aligner: The model; its heads have as many members as the objective says.
        objective: How the loss of a step is computed.
        draw: Number of a step to its pairs.
        precision: Format of the heads' products.
        pool: Threads that do one member each at a time.

    """

    def __init__(
        self, aligner: PolyCLIP, objective: Objective, draw: DrawStep, precision: torch.dtype, pool: ThreadPoolExecutor
    ) -> None:
        self.aligner, self.objective, self.draw, self.precision = aligner, objective, draw, precision
        self.pool = pool
        self.heads: Any = (aligner.text.head, aligner.vision.head)
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
        """Features as the head scales them for dropout, in the format of the products."""
        with self.products():
            return head.scale_for_dropout(head.standardize(features))

    def take(self, number: int) -> DrawnStep:
        """The step of this number, drawn ahead or now."""
        ready = self.ahead.pop(number, None)
        return self.prepare(number) if ready is None else ready.result()

    @torch.no_grad()
    def prepare(self, number: int) -> DrawnStep:
        """Draw a step's pairs and dropout, and read its features."""
        pairs = self.draw(number)
        generator = torch.Generator().manual_seed(pairs.seed)
        second = [] if pairs.others is None else [pairs.others]
        parts: tuple[list[Tensor], list[Tensor]] = ([pairs.shown, *second], [pairs.images])
        text, image = (self.draw_seen(side, own, pairs, generator) for side, own in enumerate(parts))
        return DrawnStep(pairs, text, image, find_positives(pairs.concept))

    def draw_seen(self, side: int, parts: list[Tensor], pairs: StepPairs, generator: torch.Generator) -> Seen:
        """Read the features of a step's parts for one head, and draw what its members see of them.

        Args:
            side: 0 for text, 1 for images.
            parts: Rows of each part.
            pairs: The step's pairs, which read features that are no table.
            generator: Draws what members see.

        """
        head, own, sizes = self.heads[side], torch.cat(parts), [len(part) for part in parts]
        if self.tables is None:
            rows = self.scale(head, (pairs.text, pairs.image)[side](own)["vectors"])
        else:
            rows = self.tables[side].index_select(0, own)
        if isinstance(head, JointHead) and head.is_narrow:
            return Seen([part.T.contiguous() for part in rows.split(sizes)], head.draw_features(len(sizes), generator))
        return Seen(rows, head.draw_masks(sizes, generator))

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
        with self.products():
            text, image = step.text.embed(self.heads[0], member), step.image.embed(self.heads[1], member)
        scale, bias = (value.clone().requires_grad_() for value in shared)
        size, loss = len(image), self.objective.loss
        batch = partial(LossInputs, concept=step.pairs.concept, scale=scale, bias=bias, positives=step.positives)
        total = loss(batch(text[:size], image))
        if step.pairs.others is not None:
            total = total + self.objective.caption_loss * loss(batch(text[:size], text[size:]))
        total = total / self.objective.members
        total.backward()
        return total.item(), [torch.zeros(()) if value.grad is None else value.grad for value in (scale, bias)]

    def products(self) -> torch.autocast:
        """The format of products within the block."""
        return torch.autocast("cpu", self.precision, enabled=self.precision != torch.float32)


@contextmanager
def open_member_threads(
    accelerator: Accelerator, aligner: PolyCLIP, objective: Objective, draw: DrawStep
) -> Iterator[MemberThreads | None]:
    """Threads for the members of both heads, as many as torch uses; None where members cannot be trained apart.

    Args:
        accelerator: Of this process.
        aligner: The model.
        objective: How the loss of a step is computed.
        draw: Number of a step to its pairs.

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
        yield MemberThreads(aligner, objective, draw, precision, pool)
