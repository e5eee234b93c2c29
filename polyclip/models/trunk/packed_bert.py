"""The BERT family without padding: the tokens of all captions are rows of one matrix, and attention stays inside each
caption.

The same function as transformers' own layers up to the rounding of float32, for encoding only. A state is {"hidden":
[token, width], "lengths": [caption]}.
"""

from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear, scaled_dot_product_attention

from polyclip.models.trunk import State
from polyclip.models.trunk.text import Bert

FAMILIES = {f"transformers.models.{name}.modeling_{name}" for name in ("bert", "roberta", "xlm_roberta")}
QKV = ("attention.self.query", "attention.self.key", "attention.self.value")
LINEAR = {*QKV, "attention.output.dense", "intermediate.dense", "output.dense"}
NORMS = {"attention.output.LayerNorm", "output.LayerNorm"}
Runs = Sequence[tuple[int, int]]  # how many captions, of how many tokens each
Pair = tuple[Tensor, Tensor]  # weight and bias


class PackedLayer:
    """One post-LN layer on packed tokens, from its tensors under transformers' names.

    Args:
        state: Tensors of the layer.
        heads: Attention heads.
        activation: Of the feed-forward block.
        epsilon: Of its norms.

    """

    @torch.inference_mode()
    def __init__(
        self, state: Mapping[str, Tensor], heads: int, activation: Callable[[Tensor], Tensor], epsilon: float
    ) -> None:
        def pair(path: str) -> Pair:
            return state[f"{path}.weight"], state[f"{path}.bias"]

        self.heads, self.activation, self.epsilon = heads, activation, epsilon
        self.qkv = torch.cat([pair(path)[0] for path in QKV]), torch.cat([pair(path)[1] for path in QKV])
        self.mix, self.mixed = pair("attention.output.dense"), pair("attention.output.LayerNorm")
        self.widen, self.narrow, self.last = pair("intermediate.dense"), pair("output.dense"), pair("output.LayerNorm")

    def __call__(self, hidden: Float[Tensor, "token width"], together: Runs) -> Float[Tensor, "token width"]:
        """Apply the layer to all tokens."""
        seen = attend(linear(hidden, *self.qkv), together, self.heads)
        hidden = layer_norm(add_linear(hidden, seen, self.mix), hidden.shape[1:], *self.mixed, self.epsilon)
        inner = self.activation(linear(hidden, *self.widen))
        return layer_norm(add_linear(hidden, inner, self.narrow), hidden.shape[1:], *self.last, self.epsilon)


class PackedBert:
    """A trunk of packed layers.

    Args:
        embed: Maps the output of `prepare`, with padding, to token embeddings [caption, token, width].
        layers: The layers.

    """

    def __init__(self, embed: Callable[[State], Tensor], layers: Sequence[PackedLayer]) -> None:
        self.embed, self.layers = embed, layers

    def begin(self, inputs: State) -> State:
        """Embeddings of the real tokens, packed."""
        mask = inputs["attention_mask"]
        return {"hidden": self.embed(inputs)[mask.bool()], "lengths": mask.sum(1)}

    def step(self, number: int, state: State) -> State:
        """Apply one layer to all captions."""
        return state | {"hidden": self.layers[number](state["hidden"], group_lengths(state["lengths"]))}

    def end(self, state: State) -> State:
        """No-op: this architecture has no final LayerNorm."""
        return state


def pack_trunk(trunk: Bert) -> PackedBert:
    """Pack a trunk whose layers all pass `is_plain`, with its weights as they are; its embeddings stay transformers'
    own.
    """
    layers: list[Any] = list(trunk.layers)
    own = [
        PackedLayer(
            dict(layer.named_parameters()),
            layer.attention.self.num_attention_heads,
            layer.intermediate.intermediate_act_fn,
            layer.output.LayerNorm.eps,
        )
        for layer in layers
    ]
    return PackedBert(lambda inputs: trunk.begin(inputs)["hidden"], own)


def is_plain(layer: nn.Module) -> bool:
    """Whether a layer is its family's own and in eval mode: nothing in it is wrapped, replaced, parametrized or hooked.

    Only then may it run in another way than by its own `forward`.
    """
    found = dict(layer.named_modules())
    kinds = {path: nn.Linear for path in LINEAR} | {path: nn.LayerNorm for path in NORMS}
    if any(type(found.get(path)) is not kind for path, kind in kinds.items()):
        return False
    others = [module for path, module in found.items() if path not in kinds]
    known = all(
        type(module) is nn.Dropout or type(module).__module__ in FAMILIES | {"transformers.activations"}
        for module in others
    )
    return known and not getattr(layer, "is_decoder", False) and all(is_untouched(module) for module in found.values())


def is_untouched(module: nn.Module) -> bool:
    """Whether a module is in eval mode, has its class's own forward, and has no hooks."""
    return not (module.training or "forward" in vars(module) or module._forward_hooks or module._forward_pre_hooks)


def group_lengths(lengths: Tensor) -> Runs:
    """Group neighbouring captions of equal length; sorted captions make few groups."""
    return [(len(list(same)), length) for length, same in groupby(lengths.tolist())]


def add_linear(
    hidden: Float[Tensor, "token width"], seen: Float[Tensor, "token inner"], pair: Pair
) -> Float[Tensor, "token width"]:
    """Add a linear map of `seen` to `hidden`, with one pass over memory less than map and sum would take."""
    weight, bias = pair
    return torch.add(hidden, bias).addmm_(seen, weight.t())


def attend(mapped: Float[Tensor, "token three_widths"], together: Runs, heads: int) -> Float[Tensor, "token width"]:
    """Multi-head self-attention inside each caption."""
    out = []
    for part, (count, length) in zip(
        mapped.split([count * length for count, length in together]), together, strict=True
    ):
        query, key, value = part.view(count, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        out.append(scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(count * length, -1))
    return torch.cat(out)
