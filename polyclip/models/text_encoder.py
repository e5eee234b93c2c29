"""A transformers text model with pooling: what `e5-small` and `huggingface` both build."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from polyclip.models.packed_encoder import BUDGET, PackedEncoder
from polyclip.models.trunk import State, Trunk, Whole, above
from polyclip.models.trunk.packed_bert import packed, plain
from polyclip.models.trunk.text import M2M, Bert

Tokenize = Callable[[Sequence[str]], dict[str, Tensor]]
OWN = {"forward", "start", "finish", "mean"}  # methods that stand in the object itself once someone exchanged them


@dataclass(frozen=True)
class Words:
    """How captions become tokens, for those who write it down for another library."""

    tokenizer: Any  # of `tokenizers`
    prefix: str  # before every caption
    limit: int  # tokens, the special ones among them
    special: dict[str, str]  # such as {"pad_token": "<pad>"}


class TextEncoder(nn.Module):
    """`model` frozen in eval mode; captions to one vector each.

    Pooling is the mean over real tokens ("mean", as E5 and sentence-transformers) or the first token ("cls").
    """

    budget = BUDGET
    grain = 32  # captions a batch in training: sorted by length, they need little padding

    def __init__(self, model: nn.Module, tokenize: Tokenize, dim: int, pooling: str) -> None:
        super().__init__()
        self.model = model
        self.tokenize = tokenize
        self.dim = dim
        self.pooling = pooling
        self.words: Words | None = None  # where there is more to it, or no fast tokenizer
        self.trunk = trunk_of(model)
        self.requires_grad_(False).eval()

    def costs(self, items: Sequence[str]) -> list[int]:
        """Tokens of each caption."""
        return self.tokenize(items)["attention_mask"].sum(1).tolist() if items else []

    def prepare(self, items: Sequence[str]) -> State:
        """Token ids and mask, each of shape [caption, longest caption]."""
        return self.tokenize(items)

    def start(self, inputs: State) -> State:
        """Token ids as they are."""
        return inputs

    def forward(self, **inputs: Tensor) -> Float[Tensor, "caption dim"]:
        """Pooled vectors, not normalised."""
        return self.finish(inputs, 0)

    def finish(self, state: State, position: int) -> Float[Tensor, "caption dim"]:
        """Pooled vectors from the state at `position` of the trunk."""
        state = above(self.trunk, state, position)
        return state["hidden"][:, 0] if self.pooling == "cls" else self.mean(state)

    def mean(self, state: State) -> Float[Tensor, "caption dim"]:
        """Mean over real tokens."""
        mask = state["mask"][..., None].to(state["hidden"].dtype)
        return (state["hidden"] * mask).sum(1) / mask.sum(1)

    def weigh(self, row: State) -> int:
        """Tokens of a caption's state."""
        return len(row["hidden"])

    def split(self, state: State) -> list[State]:
        """One state a caption, without padding."""
        lengths = state["mask"].sum(1).tolist()
        return [{"hidden": row[:length]} for row, length in zip(state["hidden"], lengths, strict=True)]

    def join(self, rows: Sequence[State]) -> State:
        """The states of several captions, padded."""
        hidden = [row["hidden"] for row in rows]
        return {
            "hidden": pad_sequence(hidden, batch_first=True),
            "mask": pad_sequence([h.new_ones(len(h)).long() for h in hidden], batch_first=True),
        }

    def folded(self) -> "TextEncoder | PackedEncoder":
        """Without padding, for encoding only, where every layer is its family's own; else as it is, so that nothing put in is passed over."""
        if (
            OWN & vars(self).keys()
            or not isinstance(self.trunk, Bert)
            or not all(map(plain, self.trunk.layers))
            or not self.starts_at_first()
        ):
            return self
        return PackedEncoder(self.prepare, packed(self.trunk), self.dim, self.pooling)

    def starts_at_first(self) -> bool:
        """Whether the vector is one that padding cannot move: a mean, or the first token where the tokenizer fills up on the right."""
        return self.pooling == "mean" or bool(self.prepare(["a", "a b c d e f g h"])["attention_mask"][:, 0].all())


def trunk_of(model: Any) -> Trunk:
    """The family a transformers text model belongs to."""
    if (
        hasattr(model, "embeddings")
        and hasattr(getattr(model, "encoder", None), "layer")
        and hasattr(model.encoder.layer[0], "attention")
    ):
        return Bert(model)
    if hasattr(model, "embed_tokens") and hasattr(model, "embed_positions") and hasattr(model, "layer_norm"):
        return M2M(model)
    return Whole(model, lambda inputs: {"hidden": model(**inputs).last_hidden_state, "mask": inputs["attention_mask"]})


def count(model: Any) -> tuple[int, int]:
    """All parameters of a transformers model, and those of its token table."""
    return sum(p.numel() for p in model.parameters()), model.get_input_embeddings().weight.numel()
