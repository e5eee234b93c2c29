"""multilingual-e5-small for one text in numpy: the function of `polyclip.models.text.e5_small`, from the same file."""

from collections.abc import Mapping
from math import erf
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
from safetensors import safe_open

from polyclip.models.e5_file import CONFIG, DIM, EMBEDDINGS, LAYERS

HEADS = int(str(CONFIG["num_attention_heads"]))
EPSILON = float(str(CONFIG["layer_norm_eps"]))
Array = Any  # np.ndarray of float32; its shape is in the docstring
NO_ADAPTER: Mapping[str, Array] = MappingProxyType({})
_erf = np.frompyfunc(erf, 1, 1)


class AdaptedWeights:
    """Tensors of a file by name, those of a text adapter in their place."""

    def __init__(self, handle: Any, adapter: Mapping[str, Array]) -> None:
        self.handle, self.adapter = handle, adapter
        self.get_slice = handle.get_slice

    def get_tensor(self, name: str) -> Array:
        """Read one tensor, or take the adapter's."""
        return self.adapter[name] if name in self.adapter else self.handle.get_tensor(name)


def encode(path: Path, ids: list[int], adapter: Mapping[str, Array] = NO_ADAPTER) -> Array:
    """Features of one text.

    Args:
        path: The converted weights; of the token table only the text's rows are read.
        ids: Its tokens.
        adapter: Vectors of a text adapter by name.

    Returns:
        Mean over the tokens [dim], not normalized.

    """
    with safe_open(path, "numpy") as handle:
        weights = AdaptedWeights(handle, adapter)
        hidden = embed(weights, ids)
        for number in range(LAYERS):
            hidden = apply_layer(weights, f"encoder.layer.{number}.", hidden)
    return hidden.mean(0)


def embed(weights: Any, ids: list[int]) -> Array:
    """Sum of token, position and type embeddings, with LayerNorm: [token, dim]."""
    word, place, kind, gain, bias = EMBEDDINGS.values()
    table, places = weights.get_slice(word), weights.get_slice(place)
    rows = np.concatenate([table[number : number + 1] for number in ids])
    return normalize(rows + places[: len(ids)] + weights.get_slice(kind)[0:1], weights, (gain, bias))


def apply_layer(weights: Any, name: str, hidden: Array) -> Array:
    """One post-LN layer on [token, dim]."""

    def multiply(part: str, rows: Array) -> Array:
        return rows @ weights.get_tensor(f"{name}{part}.weight").T + weights.get_tensor(f"{name}{part}.bias")

    def settle(part: str, rows: Array) -> Array:
        return normalize(rows, weights, (f"{name}{part}.LayerNorm.weight", f"{name}{part}.LayerNorm.bias"))

    query, key, value = (split_heads(multiply(f"attention.self.{part}", hidden)) for part in ("query", "key", "value"))
    scores = query @ key.transpose(0, 2, 1) * (DIM // HEADS) ** -0.5
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    seen = (shares / shares.sum(-1, keepdims=True)) @ value
    mixed = multiply("attention.output.dense", seen.transpose(1, 0, 2).reshape(len(hidden), DIM))
    hidden = settle("attention.output", hidden + mixed)
    inner = gelu(multiply("intermediate.dense", hidden))
    return settle("output", hidden + multiply("output.dense", inner))


def split_heads(rows: Array) -> Array:
    """[token, dim] to [head, token, dim of a head]."""
    return rows.reshape(len(rows), HEADS, -1).transpose(1, 0, 2)


def gelu(values: Array) -> Array:
    """GELU by the error function, as torch's default."""
    return (values * 0.5 * (1 + _erf(values * 2**-0.5).astype(np.float32))).astype(np.float32)


def normalize(rows: Array, weights: Any, names: tuple[str, str]) -> Array:
    """LayerNorm of each row."""
    centred = rows - rows.mean(-1, keepdims=True)
    deviation = np.sqrt((centred**2).mean(-1, keepdims=True) + EPSILON)
    return centred / deviation * weights.get_tensor(names[0]) + weights.get_tensor(names[1])
