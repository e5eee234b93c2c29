"""Losses: pure functions of unit vectors."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from polyclip.core.vectors import unit


@dataclass(frozen=True)
class Batch:
    """Unit vectors of a step's pairs, and what the logits are made with."""

    text: Float[Tensor, "pair dim"]
    image: Float[Tensor, "pair dim"]  # of pictures, or what a teacher says of the captions
    concept: Int[Tensor, " pair"]
    scale: Float[Tensor, ""]  # inverse temperature, > 0
    bias: Float[Tensor, ""]  # added to the logits of the sigmoid loss


def info_nce(batch: Batch) -> Float[Tensor, ""]:
    """Symmetric InfoNCE where all pairs of one concept are positives of each other (in nats, >= 0).

    For each text, minus the mean log-probability of its positives among all pictures of the batch, and the same for each
    picture; the average of both. With distinct concepts it is CLIP's loss (Radford et al. 2021, arXiv 2103.00020, fig. 3); with
    several positives, "out" of Khosla et al. 2020, arXiv 2004.11362, eq. 2.
    """
    logits = batch.scale * batch.text @ batch.image.T
    positive = same_concept(batch).to(logits.dtype)
    share = positive / positive.sum(1, keepdim=True)  # symmetric counts: a row's positives are its column's
    by_text = -(share * logits.log_softmax(1)).sum(1)
    by_image = -(share * logits.T.log_softmax(1)).sum(1)
    return (by_text.mean() + by_image.mean()) / 2


def sigmoid(batch: Batch) -> Float[Tensor, ""]:
    """Pairwise sigmoid loss: every text with every picture is a yes-or-no question of its own (in nats a text, >= 0).

    Zhai et al. 2023, SigLIP, arXiv 2303.15343, algorithm 1; pairs of one concept are yes as well.
    """
    logits = batch.scale * batch.text @ batch.image.T + batch.bias
    sign = torch.where(same_concept(batch), 1.0, -1.0)
    return -torch.nn.functional.logsigmoid(sign * logits).sum() / len(logits)


def mse(batch: Batch) -> Float[Tensor, ""]:
    """Mean squared difference between student and teacher, over rows and dimensions.

    Reimers and Gurevych 2020, arXiv 2004.09813; Carlsson et al. 2022, M-CLIP.
    """
    return (batch.text - batch.image).square().mean()


def contrastive_distillation(batch: Batch) -> Float[Tensor, ""]:
    """Cross-entropy between how near the teacher's vectors are to each other and how near the student's are to the teacher's (in nats).

    Both are softmaxes over the batch at the same temperature: soft targets where InfoNCE has 0 and 1.
    Contrastive relational distillation of Yang et al. 2023, CLIP-KD, arXiv 2307.12732, with the student's queries on the teacher's gallery.
    """
    target = (batch.scale.detach() * batch.image @ batch.image.T).softmax(1)
    return -(target * (batch.scale * batch.text @ batch.image.T).log_softmax(1)).sum(1).mean()


def same_concept(batch: Batch) -> Bool[Tensor, "pair pair"]:
    """Which pairs are positives of each other."""
    return batch.concept[:, None] == batch.concept[None, :]


Loss = Callable[[Batch], Tensor]
LOSSES: dict[str, Loss] = {
    "info-nce": info_nce,
    "sigmoid": sigmoid,
    "mse": mse,
    "contrastive-distillation": contrastive_distillation,
}
STARTS = {
    "sigmoid": (10.0, -10.0)
}  # scale and bias of the logits before the first step, where they are not CLIP's (SigLIP, section 3.2)


def info_nce_rows(batch: Batch, rows: slice) -> Float[Tensor, ""]:
    """What these texts and pictures owe to `info_nce`: summed over all rows it is the loss."""
    positive = _same_as(batch, rows).to(batch.scale.dtype)
    share = positive / positive.sum(1, keepdim=True)
    both = ((batch.text, batch.image), (batch.image, batch.text))
    owed = [-(share * (batch.scale * own[rows] @ other.T).log_softmax(1)).sum() for own, other in both]
    return (owed[0] + owed[1]) / (2 * len(batch.text))


def sigmoid_rows(batch: Batch, rows: slice) -> Float[Tensor, ""]:
    """What these texts owe to `sigmoid`."""
    logits = batch.scale * batch.text[rows] @ batch.image.T + batch.bias
    sign = torch.where(_same_as(batch, rows), 1.0, -1.0)
    return -torch.nn.functional.logsigmoid(sign * logits).sum() / len(batch.text)


def mse_rows(batch: Batch, rows: slice) -> Float[Tensor, ""]:
    """What these texts owe to `mse`."""
    return (batch.text[rows] - batch.image[rows]).square().sum() / batch.text.numel()


def contrastive_distillation_rows(batch: Batch, rows: slice) -> Float[Tensor, ""]:
    """What these texts owe to `contrastive_distillation`."""
    target = (batch.scale.detach() * batch.image[rows] @ batch.image.T).softmax(1)
    return -(target * (batch.scale * batch.text[rows] @ batch.image.T).log_softmax(1)).sum() / len(batch.text)


def _same_as(batch: Batch, rows: slice) -> Bool[Tensor, "row pair"]:
    return batch.concept[rows, None] == batch.concept[None, :]


ROWS: dict[Loss, Callable[[Batch, slice], Tensor]] = {
    info_nce: info_nce_rows,
    sigmoid: sigmoid_rows,
    mse: mse_rows,
    contrastive_distillation: contrastive_distillation_rows,
}


def mean_over_members(loss: Loss, batch: Batch, members: int) -> Float[Tensor, ""]:
    """Mean of the loss of each of `members` equal parts of the vectors: each part learns as if it were alone."""
    return torch.stack([loss(member) for member in members_of(batch, members)]).mean()


def members_of(batch: Batch, members: int) -> list[Batch]:
    """Each of `members` equal parts of the vectors, of length one again."""
    parts = zip(batch.text.chunk(members, dim=1), batch.image.chunk(members, dim=1), strict=True)
    one = partial(Batch, concept=batch.concept, scale=batch.scale, bias=batch.bias)
    return [one(unit(own), unit(other)) for own, other in parts]
