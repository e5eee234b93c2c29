"""Losses: pure functions of embeddings."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.autograd.function import once_differentiable

from polyclip.core.vectors import at_least_float32, normalize

# Size of logits whose exponentials, and sums and shares of them, float32 holds without a shift: e^40 is 2e17.
SMALL = 40.0
LOG2_E = math.log2(math.e)


@dataclass(frozen=True)
class Positives:
    """Which pairs of a step are positives of each other, as places in its matrix of logits and their target shares."""

    place: Int[Tensor, " positive"] | slice  # row * pairs + column; all places where others have a share of 0
    share: Float[Tensor, " positive"]  # 1 / positives of the row


@dataclass(frozen=True)
class LossInputs:
    """Embeddings (unit vectors) of a step's pairs, and the logit scale and bias."""

    text: Float[Tensor, "*member pair dim"]  # of a head's members, which are averaged, or of a whole head
    image: Float[Tensor, "*member pair dim"]  # of images, or the teacher's of the captions
    concept: Int[Tensor, " pair"]
    scale: Float[Tensor, ""]  # inverse temperature, > 0
    bias: Float[Tensor, ""]  # added to the logits of the sigmoid loss
    positives: Positives | None = None  # of these concepts, where they were found before
    products: torch.dtype | None = None  # format in which InfoNCE multiplies its gradient; None: as the embeddings


def info_nce(batch: LossInputs) -> Float[Tensor, ""]:
    """Symmetric InfoNCE where all pairs of one concept are positives of each other.

    For each text, minus the mean log-probability of its positives among all images of the batch, and the same for each
    image; the average of both. With distinct concepts it is CLIP's loss (Radford et al. 2021, arXiv 2103.00020, fig.
    3); with several positives, "out" of Khosla et al. 2020, arXiv 2004.11362, eq. 2.

    Args:
        batch: Embeddings of pairs.

    Returns:
        The loss in nats, >= 0.

    """
    positives = find_positives(batch.concept) if batch.positives is None else batch.positives
    pairs = zip(*(rows.reshape(-1, *rows.shape[-2:]) for rows in (batch.text, batch.image)), strict=True)
    # Member by member: matrices that stay in the processor's cache.
    given = batch.scale, positives, batch.products
    return torch.stack([cross_entropy(text, image, *given) for text, image in pairs]).mean()


def find_positives(concept: Int[Tensor, " pair"]) -> Positives:
    """Find which pairs have the same concept."""
    same = concept[:, None] == concept[None, :]
    count = same.sum(1)  # of a row's positives, which are as many as its column's
    if concept.device.type != "cpu":  # there the place of each is not known without waiting
        return Positives(slice(None), (same / count[:, None]).view(-1))
    place = same.view(-1).nonzero()[:, 0]
    return Positives(place, 1 / count.double()[place // len(concept)])


def cross_entropy(
    text: Float[Tensor, "pair dim"],
    image: Float[Tensor, "pair dim"],
    scale: Float[Tensor, ""],
    positives: Positives,
    products: torch.dtype | None = None,
) -> Float[Tensor, ""]:
    """Mean cross-entropy of scaled similarities along both axes, in nats.

    Args:
        text: Embeddings of texts.
        image: Of images.
        scale: Of their products.
        positives: Places that count as right.
        products: Format in which the gradient is multiplied; None: that of the logits.

    """
    return CrossEntropyBothWays.apply(text, image, scale, positives, products)


class CrossEntropyBothWays(torch.autograd.Function):
    """Mean cross-entropy of logits [pair, pair] along both axes with the same positives.

    The gradient of the logits is made with the loss, in one matrix; autograd keeps and reads a dozen, which took longer
    than the products.
    """

    @staticmethod
    def forward(
        ctx: Any, text: Tensor, image: Tensor, scale: Tensor, positives: Positives, products: torch.dtype | None
    ) -> Tensor:
        """Compute the loss, and the gradient of the logits for `backward`."""
        # On a GPU the largest is not known without waiting.
        at_once = text.device.type == "cpu" and find_largest(text, image, scale) < SMALL
        factor = scale * LOG2_E if at_once else scale
        logits = at_least_float32((factor * text) @ image.T)
        total, gradient = (sum_at_once if at_once else sum_each_way)(logits, positives)
        ctx.save_for_backward(text, image, scale, gradient.to(products or gradient.dtype))
        return total * (0.5 / len(text))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, outer: Tensor) -> tuple[Tensor, Tensor | None, Tensor, None, None]:
        """Multiply the gradient of the logits out."""
        text, image, scale, gradient = ctx.saved_tensors
        weight = outer * (0.5 / len(text))
        of_text = (gradient @ image.to(gradient.dtype)).to(text.dtype)
        of_image = None
        if ctx.needs_input_grad[1]:
            of_image = (gradient.T @ text.to(gradient.dtype)).to(image.dtype).mul_(weight * scale)
        of_scale = weight * (of_text * text).sum().to(scale.dtype)
        return of_text.mul_(weight * scale), of_image, of_scale, None, None


def find_largest(text: Float[Tensor, "pair dim"], image: Float[Tensor, "pair dim"], scale: Float[Tensor, ""]) -> float:
    """No logit is larger."""
    return float(scale * text.norm(dim=1).max() * image.norm(dim=1).max())


def sum_at_once(bits: Tensor, positives: Positives) -> tuple[Tensor, Tensor]:
    """Cross-entropy along both axes, summed, and the logits' gradient, from one exponential of each.

    Args:
        bits: Logits divided by ln 2, [pair, pair], none larger than `SMALL` / ln 2; overwritten. To take a power of 2
            is four times as fast as to take one of e.
        positives: Their positives.

    """
    share = positives.share.to(bits.dtype)
    of_positives = bits.view(-1)[positives.place].double() @ positives.share
    size = bits.exp2_()
    down, across = size.sum(-2, keepdim=True), size.sum(-1, keepdim=True)
    total = (down.double().log2().sum() + across.double().log2().sum() - 2 * of_positives) / LOG2_E
    gradient = size.mul_(1 / down + 1 / across)
    gradient.view(-1)[positives.place] -= 2 * share
    return total.to(bits.dtype), gradient


def sum_each_way(logits: Tensor, positives: Positives) -> tuple[Tensor, Tensor]:
    """The same of logits, however large: each axis from its own largest one."""
    share = positives.share.to(logits.dtype)
    total, gradient = -2 * (logits.view(-1)[positives.place] @ share), torch.zeros_like(logits)
    for axis in (-1, -2):
        below = logits - logits.amax(axis, keepdim=True)
        total = total + logits.amax(axis).sum()
        size = below.exp_().sum(axis, keepdim=True)
        total = total + size.log().sum()
        gradient = below.mul_(1 / size).add_(gradient)
    gradient.view(-1)[positives.place] -= 2 * share
    return total, gradient


def sigmoid(batch: LossInputs) -> Float[Tensor, ""]:
    """Pairwise sigmoid loss: each pair of a text and an image is a binary classification.

    Zhai et al. 2023, SigLIP, arXiv 2303.15343, algorithm 1; pairs of one concept are positives as well.

    Args:
        batch: Embeddings of pairs.

    Returns:
        The loss in nats a text, >= 0.

    """
    logits = batch.scale * batch.text @ batch.image.mT + batch.bias
    sign = torch.where(match_concepts(batch), 1.0, -1.0)
    return -torch.nn.functional.logsigmoid(sign * logits).sum(-1).mean()


def mse(batch: LossInputs) -> Float[Tensor, ""]:
    """Mean squared difference between student and teacher embeddings, over rows and dimensions.

    Reimers and Gurevych 2020, arXiv 2004.09813; Carlsson et al. 2022, M-CLIP.

    Args:
        batch: The student's embeddings as `text`, the teacher's as `image`.

    Returns:
        The loss, >= 0.

    """
    return (batch.text - batch.image).square().mean()


def contrastive_distillation(batch: LossInputs) -> Float[Tensor, ""]:
    """Cross-entropy between the teacher's similarities within the batch and the student's similarities to the teacher.

    Both are softmaxes over the batch at the same temperature: soft targets where InfoNCE has 0 and 1. Contrastive
    relational distillation of Yang et al. 2023, CLIP-KD, arXiv 2307.12732, with the student's queries on the teacher's
    gallery.

    Args:
        batch: The student's embeddings as `text`, the teacher's as `image`.

    Returns:
        The loss in nats, >= 0.

    """
    target = (batch.scale.detach() * batch.image @ batch.image.mT).softmax(-1)
    return -(target * (batch.scale * batch.text @ batch.image.mT).log_softmax(-1)).sum(-1).mean()


def match_concepts(batch: LossInputs) -> Bool[Tensor, "pair pair"]:
    """Which pairs are positives of each other."""
    return batch.concept[:, None] == batch.concept[None, :]


Loss = Callable[[LossInputs], Tensor]
LOSSES: dict[str, Loss] = {
    "info-nce": info_nce,
    "sigmoid": sigmoid,
    "mse": mse,
    "contrastive-distillation": contrastive_distillation,
}
STARTS = {
    "sigmoid": (10.0, -10.0)
}  # scale and bias of the logits before the first step, where they are not CLIP's (SigLIP, section 3.2)


def info_nce_rows(batch: LossInputs, rows: slice) -> Float[Tensor, ""]:
    """Part of `info_nce` from these texts and images; summed over all rows it is the loss."""
    positive = _same_as(batch, rows).to(batch.scale.dtype)
    share = positive / positive.sum(1, keepdim=True)
    both = ((batch.text, batch.image), (batch.image, batch.text))
    owed = [-(share * (batch.scale * own[rows] @ other.T).log_softmax(1)).sum() for own, other in both]
    return (owed[0] + owed[1]) / (2 * len(batch.text))


def sigmoid_rows(batch: LossInputs, rows: slice) -> Float[Tensor, ""]:
    """Part of `sigmoid` from these texts."""
    logits = batch.scale * batch.text[rows] @ batch.image.T + batch.bias
    sign = torch.where(_same_as(batch, rows), 1.0, -1.0)
    return -torch.nn.functional.logsigmoid(sign * logits).sum() / len(batch.text)


def mse_rows(batch: LossInputs, rows: slice) -> Float[Tensor, ""]:
    """Part of `mse` from these texts."""
    return (batch.text[rows] - batch.image[rows]).square().sum() / batch.text.numel()


def contrastive_distillation_rows(batch: LossInputs, rows: slice) -> Float[Tensor, ""]:
    """Part of `contrastive_distillation` from these texts."""
    target = (batch.scale.detach() * batch.image[rows] @ batch.image.T).softmax(1)
    return -(target * (batch.scale * batch.text[rows] @ batch.image.T).log_softmax(1)).sum() / len(batch.text)


def _same_as(batch: LossInputs, rows: slice) -> Bool[Tensor, "row pair"]:
    return batch.concept[rows, None] == batch.concept[None, :]


ROWS: dict[Loss, Callable[[LossInputs, slice], Tensor]] = {
    info_nce: info_nce_rows,
    sigmoid: sigmoid_rows,
    mse: mse_rows,
    contrastive_distillation: contrastive_distillation_rows,
}


def mean_over_members(loss: Loss, batch: LossInputs, members: int) -> Float[Tensor, ""]:
    """Mean loss over the members of a head, each computed on its own part of the embeddings.

    Args:
        loss: One of LOSSES.
        batch: Embeddings of pairs, the members' parts concatenated, each of the same length as a vector.
        members: Number of parts.

    Returns:
        The mean loss.

    """
    parts = (batch.text, batch.image)
    text, image = (rows.unflatten(1, (members, -1)).transpose(0, 1) * members**0.5 for rows in parts)
    return loss(replace(batch, text=text, image=image))


def split_members(batch: LossInputs, members: int) -> list[LossInputs]:
    """Split the embeddings into `members` equal parts, each normalized again."""
    parts = zip(batch.text.chunk(members, dim=1), batch.image.chunk(members, dim=1), strict=True)
    one = partial(LossInputs, concept=batch.concept, scale=batch.scale, bias=batch.bias)
    return [one(normalize(own), normalize(other)) for own, other in parts]
