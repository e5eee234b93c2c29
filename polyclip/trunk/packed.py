"""The BERT family without padding: the tokens of all captions stand one after the other in one matrix, and attention stays inside each caption.

The same function as transformers' own layers up to the rounding of float32, for encoding only. A state is
{"hidden": [token, width], "lengths": [caption]}.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from polyclip.trunk import State
from polyclip.trunk.text import Bert

FAMILIES = {f"transformers.models.{name}.modeling_{name}" for name in ("bert", "roberta", "xlm_roberta")}
QKV = ("attention.self.query", "attention.self.key", "attention.self.value")
LINEAR = {*QKV, "attention.output.dense", "intermediate.dense", "output.dense"}
NORMS = {"attention.output.LayerNorm", "output.LayerNorm"}
Runs = Sequence[tuple[int, int]]  # how many captions, of how many tokens each


class PackedBert:
    """A `Bert` trunk whose layers are all `plain`; its weights as they are now."""

    kind = "tokens"
    final_norm = None

    @torch.inference_mode()
    def __init__(self, padded: Bert) -> None:
        self.padded, self.model = padded, padded.model
        self.width, self.heads, self.inner = padded.width, padded.heads, padded.inner
        self.projections = [projection(layer) for layer in padded.layers]

    @property
    def layers(self) -> Any:
        """ModuleList."""
        return self.padded.layers

    @property
    def opening(self) -> list[nn.Parameter]:
        """Token, position and type tables, and their norm."""
        return self.padded.opening

    def begin(self, inputs: State) -> State:
        """Embeddings of the real tokens."""
        mask = inputs["attention_mask"]
        return {"hidden": self.padded.begin(inputs)["hidden"][mask.bool()], "lengths": mask.sum(1)}

    def step(self, number: int, state: State) -> State:
        """One layer: transformers' own but for attention."""
        layer, hidden = self.layers[number], state["hidden"]
        mixed = attend(linear(hidden, *self.projections[number]), runs(state["lengths"]), layer.attention.self)
        hidden = layer.attention.output(mixed, hidden)
        return state | {"hidden": layer.output(layer.intermediate(hidden), hidden)}

    def end(self, state: State) -> State:
        """Nothing follows."""
        return state


def plain(layer: nn.Module) -> bool:
    """Whether a layer is its family's own and in eval mode: nothing in it was wrapped, replaced, parametrised or hooked.

    Only then may it run in another way than by its own `forward`.
    """
    found = dict(layer.named_modules())
    kinds = {path: nn.Linear for path in LINEAR} | {path: nn.LayerNorm for path in NORMS}
    if any(type(found.get(path)) is not kind for path, kind in kinds.items()):
        return False
    others = [module for path, module in found.items() if path not in kinds]
    known = all(type(module) is nn.Dropout or type(module).__module__ in FAMILIES | {"transformers.activations"} for module in others)
    return known and not getattr(layer, "is_decoder", False) and all(untouched(module) for module in found.values())


def untouched(module: nn.Module) -> bool:
    """In eval mode, its forward its class's, and nothing hooked to it."""
    return not (module.training or "forward" in vars(module) or module._forward_hooks or module._forward_pre_hooks)


def projection(layer: nn.Module) -> tuple[Tensor, Tensor]:
    """Weight and bias of one map to queries, keys and values."""
    parts: list[Any] = [layer.get_submodule(path) for path in QKV]
    return torch.cat([part.weight for part in parts]), torch.cat([part.bias for part in parts])


def runs(lengths: Tensor) -> Runs:
    """Neighbours of equal length together; sorted captions make few runs."""
    return [(len(list(same)), length) for length, same in groupby(lengths.tolist())]


def attend(mapped: Float[Tensor, "token three_widths"], together: Runs, attention: Any) -> Float[Tensor, "token width"]:
    """Each token looks at its own caption's."""
    heads, out = attention.num_attention_heads, []
    for part, (count, length) in zip(mapped.split([count * length for count, length in together]), together, strict=True):
        query, key, value = part.view(count, length, 3, heads, -1).permute(2, 0, 3, 1, 4)
        seen = scaled_dot_product_attention(query, key, value, scale=attention.scaling)
        out.append(seen.transpose(1, 2).reshape(count * length, -1))
    return torch.cat(out)
