"""The BERT family without padding: the tokens of all captions are rows of one matrix, and attention stays inside each
caption.

The same function as transformers' own layers up to the rounding of float32, for encoding only. A state is {"hidden":
[token, width], "lengths": [caption]}.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from polyclip.core.encode_precision import FP32
from polyclip.models.products import make_product
from polyclip.models.trunk import State
from polyclip.models.trunk.packed_attention import attend_within_captions
from polyclip.models.trunk.text import Bert

FAMILIES = {f"transformers.models.{name}.modeling_{name}" for name in ("bert", "roberta", "xlm_roberta")}
QKV = ("attention.self.query", "attention.self.key", "attention.self.value")
LINEAR = {*QKV, "attention.output.dense", "intermediate.dense", "output.dense"}
NORMS = {"attention.output.LayerNorm", "output.LayerNorm"}
Pair = tuple[Tensor, Tensor]  # weight and bias


class PackedLayer:
    """One post-LN layer on packed tokens, from its tensors under transformers' names.

    Args:
        state: Tensors of the layer.
        heads: Attention heads.
        activation: Of the feed-forward block.
        epsilon: Of its norms.
        precision: Of its four matrix products.

    """

    @torch.inference_mode()
    def __init__(
        self,
        state: Mapping[str, Tensor],
        heads: int,
        activation: Callable[[Tensor], Tensor],
        epsilon: float,
        precision: str = FP32,
    ) -> None:
        def pair(path: str) -> Pair:
            return state[f"{path}.weight"], state[f"{path}.bias"]

        self.state, self.heads, self.activation, self.epsilon = state, heads, activation, epsilon
        qkv = torch.cat([pair(path)[0] for path in QKV]), torch.cat([pair(path)[1] for path in QKV])
        self.qkv, self.mix = make_product(*qkv, precision), make_product(*pair("attention.output.dense"), precision)
        self.widen = make_product(*pair("intermediate.dense"), precision)
        self.narrow = make_product(*pair("output.dense"), precision)
        self.mixed, self.last = pair("attention.output.LayerNorm"), pair("output.LayerNorm")

    def __call__(
        self, hidden: Float[Tensor, "token width"], lengths: Int[Tensor, " caption"]
    ) -> Float[Tensor, "token width"]:
        """Apply the layer to all tokens; attention, norms and sums are float32 in any precision."""
        seen = attend_within_captions(self.qkv(hidden), lengths, self.heads)
        hidden = layer_norm(self.mix.add_to(hidden, seen), hidden.shape[1:], *self.mixed, self.epsilon)
        inner = self.activation(self.widen(hidden))
        return layer_norm(self.narrow.add_to(hidden, inner), hidden.shape[1:], *self.last, self.epsilon)

    def in_precision(self, precision: str) -> "PackedLayer":
        """The same layer with its matrix products in another format."""
        return PackedLayer(self.state, self.heads, self.activation, self.epsilon, precision)


class PackedBert:
    """A trunk of packed layers.

    Args:
        embed: Maps the output of `prepare`, with padding, to token embeddings [caption, token, width].
        layers: The layers.

    """

    def __init__(self, embed: Callable[[State], Tensor], layers: Sequence[PackedLayer]) -> None:
        self.embed, self.layers = embed, layers

    def in_precision(self, precision: str) -> "PackedBert":
        """The same trunk with its matrix products in another format."""
        return PackedBert(self.embed, [layer.in_precision(precision) for layer in self.layers])

    def begin(self, inputs: State) -> State:
        """Embeddings of the real tokens, packed."""
        mask = inputs["attention_mask"]
        return {"hidden": self.embed(inputs)[mask.bool()], "lengths": mask.sum(1)}

    def step(self, number: int, state: State) -> State:
        """Apply one layer to all captions."""
        return state | {"hidden": self.layers[number](state["hidden"], state["lengths"])}

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
