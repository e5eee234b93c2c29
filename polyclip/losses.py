"""Losses: pure functions of unit vectors."""

import torch
from jaxtyping import Float, Int
from torch import Tensor


def info_nce(text: Float[Tensor, "pair dim"], image: Float[Tensor, "pair dim"], concept: Int[Tensor, " pair"], scale: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Symmetric InfoNCE where all pairs of one concept are positives of each other (in nats, >= 0).

    For each text, minus the mean log-probability of its positives among all pictures of the batch, and the same for each
    picture; the average of both. With distinct concepts it is CLIP's loss (Radford et al. 2021, arXiv 2103.00020, fig. 3); with
    several positives, "out" of Khosla et al. 2020, arXiv 2004.11362, eq. 2. `scale` is the inverse temperature, > 0.
    """
    logits = scale * text @ image.T
    positive = (concept[:, None] == concept[None, :]).to(logits.dtype)
    share = positive / positive.sum(1, keepdim=True)  # symmetric counts: a row's positives are its column's
    by_text = -(share * logits.log_softmax(1)).sum(1)
    by_image = -(share * logits.T.log_softmax(1)).sum(1)
    return (by_text.mean() + by_image.mean()) / 2


def mean_over_members(
    text: Float[Tensor, "pair all"], image: Float[Tensor, "pair all"], concept: Int[Tensor, " pair"], scale: Float[Tensor, ""], members: int
) -> Float[Tensor, ""]:
    """Mean of the InfoNCE of each of `members` equal parts of the vectors: each part learns as if it were alone."""
    parts = zip(text.chunk(members, dim=1), image.chunk(members, dim=1), strict=True)
    return torch.stack([info_nce(unit(own), unit(other), concept, scale) for own, other in parts]).mean()


def unit(vectors: Float[Tensor, "row dim"]) -> Float[Tensor, "row dim"]:
    """Rows of length 1; a zero row stays zero and so never wins a search."""
    return torch.nn.functional.normalize(vectors, dim=1)
