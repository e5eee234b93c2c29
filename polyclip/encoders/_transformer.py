"""A transformers text model with pooling: what `e5-small` and `huggingface` both build."""

from collections.abc import Callable, Sequence
from typing import Any

from jaxtyping import Float, Int
from torch import Tensor, nn

Tokenize = Callable[[Sequence[str]], dict[str, Tensor]]


class TextEncoder(nn.Module):
    """`model` frozen in eval mode; captions to one vector each.

    Pooling is the mean over real tokens ("mean", as E5 and sentence-transformers) or the first token ("cls").
    """

    def __init__(self, model: nn.Module, tokenize: Tokenize, dim: int, pooling: str) -> None:
        super().__init__()
        self.model = model
        self.tokenize = tokenize
        self.dim = dim
        self.pooling = pooling
        self.requires_grad_(False).eval()

    budget = 768  # padded tokens a batch: what one core keeps in its cache

    def costs(self, items: Sequence[str]) -> list[int]:
        """Tokens of each caption."""
        return self.tokenize(items)["attention_mask"].sum(1).tolist() if items else []

    def prepare(self, items: Sequence[str]) -> dict[str, Tensor]:
        """Token ids and mask, each of shape [caption, longest caption]."""
        return self.tokenize(items)

    def forward(self, input_ids: Int[Tensor, "caption token"], attention_mask: Int[Tensor, "caption token"]) -> Float[Tensor, "caption dim"]:
        """Pooled vectors, not normalised."""
        hidden = self.model(input_ids=input_ids, attention_mask=attention_mask).last_hidden_state
        if self.pooling == "cls":
            return hidden[:, 0]
        mask = attention_mask[..., None].to(hidden.dtype)
        return (hidden * mask).sum(1) / mask.sum(1)


def count(model: Any) -> tuple[int, int]:
    """All parameters of a transformers model, and those of its token table."""
    return sum(p.numel() for p in model.parameters()), model.get_input_embeddings().weight.numel()
