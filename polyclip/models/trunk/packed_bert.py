"""The BERT family without padding: the tokens of all captions stand one after the other in one matrix, and attention stays inside each caption.

The same function as transformers' own layers up to the rounding of float32, for encoding only. A state is
{"hidden": [token, width], "lengths": [caption]}.
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


class Layer:
    """One post-LN layer from its tensors, by transformers' names; `epsilon` is its norms'."""

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
        """The layer's output."""
        seen = attend(linear(hidden, *self.qkv), together, self.heads)
        hidden = layer_norm(added(hidden, seen, self.mix), hidden.shape[1:], *self.mixed, self.epsilon)
        inner = self.activation(linear(hidden, *self.widen))
        return layer_norm(added(hidden, inner, self.narrow), hidden.shape[1:], *self.last, self.epsilon)


class PackedBert:
    """A trunk of such layers. `embed` takes what `prepare` gives, with padding, and gives [caption, token, width]."""

    def __init__(self, embed: Callable[[State], Tensor], layers: Sequence[Layer]) -> None:
        self.embed, self.layers = embed, layers

    def begin(self, inputs: State) -> State:
        """Embeddings of the real tokens."""
        mask = inputs["attention_mask"]
        return {"hidden": self.embed(inputs)[mask.bool()], "lengths": mask.sum(1)}

    def step(self, number: int, state: State) -> State:
        """One layer."""
        return state | {"hidden": self.layers[number](state["hidden"], runs(state["lengths"]))}

    def end(self, state: State) -> State:
        """Nothing follows."""
        return state


def packed(trunk: Bert) -> PackedBert:
    """A trunk whose layers are all `plain`, with its weights as they are now; its embeddings stay transformers' own."""
    layers: list[Any] = list(trunk.layers)
    own = [
        Layer(
            dict(layer.named_parameters()),
            layer.attention.self.num_attention_heads,
            layer.intermediate.intermediate_act_fn,
            layer.output.LayerNorm.eps,
        )
        for layer in layers
    ]
    return PackedBert(lambda inputs: trunk.begin(inputs)["hidden"], own)


def plain(layer: nn.Module) -> bool:
    """Whether a layer is its family's own and in eval mode: nothing in it was wrapped, replaced, parametrised or hooked.

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
    return known and not getattr(layer, "is_decoder", False) and all(untouched(module) for module in found.values())


def untouched(module: nn.Module) -> bool:
    """In eval mode, its forward its class's, and nothing hooked to it."""
    return not (module.training or "forward" in vars(module) or module._forward_hooks or module._forward_pre_hooks)


def runs(lengths: Tensor) -> Runs:
    """Neighbours of equal length together; sorted captions make few runs."""
    return [(len(list(same)), length) for length, same in groupby(lengths.tolist())]


def added(
    hidden: Float[Tensor, "token width"], seen: Float[Tensor, "token inner"], pair: Pair
) -> Float[Tensor, "token width"]:
    """`hidden` plus a map of `seen`, in one pass over memory less than map and sum would take."""
    weight, bias = pair
    return torch.add(hidden, bias).addmm_(seen, weight.t())


def attend(mapped: Float[Tensor, "token three_widths"], together: Runs, heads: int) -> Float[Tensor, "token width"]:
    """Each token looks at its own caption's."""
    out = []
    for part, (count, length) in zip(
        mapped.split([count * length for count, length in together]), together, strict=True
    ):
        query, key, value = part.view(count, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        out.append(scaled_dot_product_attention(query, key, value).transpose(1, 2).reshape(count * length, -1))
    return torch.cat(out)
