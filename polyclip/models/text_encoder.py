"""A transformers text model with pooling, as `e5-small` and `huggingface` build it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from polyclip.core.panics import is_panic
from polyclip.errors import WeightsError, shorten
from polyclip.models.modules import find_module
from polyclip.models.packed_encoder import BUDGET, PackedEncoder
from polyclip.models.trunk import State, Trunk, WholeModel, run_above
from polyclip.models.trunk.blocks import run_in_blocks
from polyclip.models.trunk.packed_bert import is_plain, pack_trunk
from polyclip.models.trunk.text import M2M, Bert

Tokenize = Callable[[Sequence[str]], dict[str, Tensor]]
PADDED_GRAIN, PACKED_GRAIN = 32, 256
OWN = {"forward", "start", "finish", "mean"}  # methods that stand in the object itself once someone exchanged them


@dataclass(frozen=True)
class TokenizerSpec:
    """How captions become tokens, for exports to other libraries."""

    tokenizer: Any  # of `tokenizers`
    prefix: str  # before every caption
    limit: int  # tokens, the special ones among them
    special: dict[str, str]  # such as {"pad_token": "<pad>"}


LONGEST = 50_000  # characters of a caption: no encoder reads more than 8,192 tokens, and tokenizers read all of it


def cut(captions: Sequence[str]) -> list[str]:
    """Captions up to their character `LONGEST`: tokenizing one of 10 MB would take seconds, each time."""
    return [caption[:LONGEST] for caption in captions]


class TextEncoder(nn.Module):
    """Frozen text encoder in eval mode: captions to features.

    Args:
        model: A transformers model.
        tokenize: Captions to `input_ids` and `attention_mask`.
        dim: Length of the features.
        pooling: "mean" over real tokens, as E5 and sentence-transformers, or "cls" for the first token.

    """

    budget = BUDGET

    def __init__(self, model: nn.Module, tokenize: Tokenize, dim: int, pooling: str) -> None:
        super().__init__()
        self.model = model
        self.tokenize = tokenize
        self.dim = dim
        self.pooling = pooling
        self.tokenizer_spec: TokenizerSpec | None = None  # where there is more to it, or no fast tokenizer
        self.trunk = choose_trunk(model)
        self.requires_grad_(False).eval()

    @property
    def grain(self) -> int:
        """Captions a batch in training: those that stand side by side in blocks, or are sorted by length and padded."""
        packed = self.treats_tokens_alike and next(self.parameters()).device.type == "cpu"
        return PACKED_GRAIN if packed else PADDED_GRAIN

    @property
    def treats_tokens_alike(self) -> bool:
        """Whether captions may stand side by side: layers are known, and nobody exchanged what is done with them."""
        return isinstance(self.trunk, Bert | M2M) and not OWN & vars(self).keys()

    def costs(self, items: Sequence[str]) -> list[int]:
        """Number of tokens of each caption."""
        return self.read_tokens(items)["attention_mask"].sum(1).tolist() if items else []

    def prepare(self, items: Sequence[str]) -> State:
        """Token ids and mask of a batch, each [caption, longest caption].

        Raises:
            WeightsError: As `read_tokens` does.

        """
        return self.read_tokens(items)

    def read_tokens(self, items: Sequence[str]) -> State:
        """Token ids and mask, each [caption, longest caption].

        Raises:
            WeightsError: The tokenizer is damaged, so that it cannot read a caption.

        """
        try:
            return self.tokenize(cut(items))
        except BaseException as error:
            if not (is_panic(error) or type(error) is Exception):  # the two kinds that tokenizers raise
                raise
            raise WeightsError(
                f"The text encoder's tokenizer cannot read a caption ({shorten(str(error), 200)}): its file is "
                "damaged; restore it from its source."
            ) from error

    def start(self, inputs: State) -> State:
        """Return the token ids as they are."""
        return inputs

    def forward(self, **inputs: Tensor) -> Float[Tensor, "caption dim"]:
        """Features of captions, not normalized."""
        return self.finish(inputs, 0)

    def finish(self, state: State, position: int) -> Float[Tensor, "caption dim"]:
        """Features from the hidden states at `position` of the trunk."""
        if self.treats_tokens_alike:
            state, position = (self.trunk.begin(state), 1) if position == 0 else (state, position)
            state = run_in_blocks(self.trunk, state, position)
        else:
            state = run_above(self.trunk, state, position)
        return state["hidden"][:, 0] if self.pooling == "cls" else self.mean(state)

    def mean(self, state: State) -> Float[Tensor, "caption dim"]:
        """Mean over real tokens."""
        mask = state["mask"][..., None].to(state["hidden"].dtype)
        return (state["hidden"] * mask).sum(1) / mask.sum(1)

    def weigh(self, row: State) -> int:
        """Number of tokens of a caption's state."""
        return len(row["hidden"])

    def split(self, state: State) -> list[State]:
        """Split a batch into one state a caption, without padding."""
        lengths = state["mask"].sum(1).tolist()
        return [{"hidden": row[:length]} for row, length in zip(state["hidden"], lengths, strict=True)]

    def join(self, rows: Sequence[State]) -> State:
        """Batch the states of several captions, padded."""
        hidden = [row["hidden"] for row in rows]
        return {
            "hidden": pad_sequence(hidden, batch_first=True),
            "mask": pad_sequence([h.new_ones(len(h)).long() for h in hidden], batch_first=True),
        }

    def get_inference_form(self) -> "TextEncoder | PackedEncoder":
        """The same function without padding, for encoding only.

        Returns:
            A packed encoder where every layer is its family's own, on a CPU; else this encoder, so that no added
            component is skipped.

        """
        if (
            next(self.parameters()).device.type != "cpu"  # a GPU gains nothing from it
            or OWN & vars(self).keys()
            or not isinstance(self.trunk, Bert)
            or not all(map(is_plain, self.trunk.layers))
            or not self.starts_at_first()
        ):
            return self
        return PackedEncoder(self.prepare, pack_trunk(self.trunk), self.dim, self.pooling)

    def starts_at_first(self) -> bool:
        """Whether padding cannot change the features: mean pooling, or the first token with padding on the right."""
        return self.pooling == "mean" or bool(self.prepare(["a", "a b c d e f g h"])["attention_mask"][:, 0].all())


def choose_trunk(model: Any) -> Trunk:
    """Wrap a transformers text model in the trunk of its family."""
    if all(find_module(model, path) is not None for path in ("embeddings", "encoder.layer.0.attention")):
        return Bert(model)
    if all(find_module(model, path) is not None for path in ("embed_tokens", "embed_positions", "layer_norm")):
        return M2M(model)
    return WholeModel(
        model, lambda inputs: {"hidden": model(**inputs).last_hidden_state, "mask": inputs["attention_mask"]}
    )


def count_text_parameters(model: Any) -> tuple[int, int]:
    """Count all parameters of a transformers model, and those of its embedding matrix."""
    return sum(p.numel() for p in model.parameters()), model.get_input_embeddings().weight.numel()
