"""Any transformers text encoder, by hub name or local folder: XLM-R, multilingual E5, LaBSE, mBERT, NLLB's encoder.

Options: `pooling` (mean or cls), `prefix` (such as "query: "), `revision`. Safetensors only, no remote code.
"""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import Tensor

from polyclip.errors import DataError, WeightsError
from polyclip.models.backbone import BackboneSpec, TextModel, take
from polyclip.models.hf import check_sizes, check_weights_size, compute_identity, explain_loading_errors
from polyclip.models.modules import find_module
from polyclip.models.shapes import build_without_memory

DEFAULTS = {"pooling": "mean", "prefix": "", "revision": "main"}
MAX_TOKENS = 512


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """Describe the encoder; its configuration is read, its weights are not.

    Args:
        argument: Hub name or folder.
        options: `pooling`, `prefix`, `revision`.

    Returns:
        Its description.

    Raises:
        DataError: An option or a pooling does not exist.
        WeightsError: The model cannot be found or is not a text encoder.

    """
    from polyclip.models.text_encoder import count_text_parameters

    chosen = take(options, DEFAULTS, "huggingface")
    if chosen["pooling"] not in ("mean", "cls"):
        raise DataError(f"pooling is {chosen['pooling']!r}, expected mean or cls.")
    config = read_config(argument, chosen["revision"])
    with explain_loading_errors("text encoder", argument):
        model = build_without_memory(partial(build_empty, config))
        parameters, embeddings = count_text_parameters(model)
        check_weights_size(Path(argument), parameters)
    given = "".join(f",{key}={value}" for key, value in chosen.items() if value != DEFAULTS[key])
    return BackboneSpec(
        name=f"huggingface:{argument}{given}",
        identity=compute_identity(
            argument,
            chosen["revision"],
            f"{chosen['pooling']} pooling, prefix {chosen['prefix']!r}, {MAX_TOKENS} tokens",
        ),
        dim=config.hidden_size,
        parameters=parameters,
        embeddings=embeddings,
        build=lambda: build(argument, chosen),
    )


def describe_text_model(argument: str, options: dict[str, str]) -> TextModel:
    """Describe the model from its configuration, as `polyclip.models.backbone.describe_text_model`."""
    chosen = take(options, DEFAULTS, "huggingface")
    config = read_config(argument, chosen["revision"])
    return TextModel(
        type=config.model_type,
        pooling=chosen["pooling"],
        activation=str(getattr(config, "hidden_act", getattr(config, "activation_function", ""))),
        alone=not config.is_encoder_decoder,
    )


def read_config(name: str, revision: str) -> Any:
    """Read the configuration of a text model."""
    from transformers import AutoConfig

    with explain_loading_errors("text encoder", name):
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
        check_sizes(config)
        return config


def build_empty(config: Any) -> Any:
    """Build the encoder of a configuration without weights and without a pooling layer.

    Of an encoder-decoder such as NLLB it is the encoder alone.
    """
    from transformers import AutoModel

    model = AutoModel.from_config(config)
    return extract_encoder(model)


def extract_encoder(model: Any) -> Any:
    """Take what reads text: the whole model, or the encoder of an encoder-decoder."""
    if model.config.is_encoder_decoder:
        return model.get_encoder()
    if find_module(model, "pooler") is not None:
        model.pooler = None
    return model


def build(name: str, chosen: dict[str, str]) -> Any:
    """Load weights and tokenizer."""
    from transformers import AutoModel, AutoTokenizer

    from polyclip.models.text_encoder import TextEncoder, TokenizerSpec

    with explain_loading_errors("text encoder", name):
        kept = {"revision": chosen["revision"], "trust_remote_code": False}
        tokenizer = AutoTokenizer.from_pretrained(name, **kept)
        model = extract_encoder(
            AutoModel.from_pretrained(name, use_safetensors=True, **kept)
        ).float()  # whatever precision it is kept in
        tokenizer.padding_side = "right"
        if tokenizer.pad_token is None:
            raise WeightsError(f"The tokenizer of {name} has no pad_token, which batches of captions require.")
        limit = max(1, min(MAX_TOKENS, tokenizer.model_max_length))

    def tokenize(texts: Sequence[str]) -> dict[str, Tensor]:
        """Ids padded to the longest caption of the batch, and their mask."""
        rows = [chosen["prefix"] + text for text in texts]
        tokens = tokenizer(rows, padding=True, truncation=True, max_length=limit, return_tensors="pt")
        return {"input_ids": tokens["input_ids"], "attention_mask": tokens["attention_mask"]}

    encoder = TextEncoder(model, tokenize, model.config.hidden_size, chosen["pooling"])
    if getattr(tokenizer, "is_fast", False):
        special = {name: str(token) for name, token in tokenizer.special_tokens_map.items() if isinstance(token, str)}
        encoder.tokenizer_spec = TokenizerSpec(tokenizer.backend_tokenizer, chosen["prefix"], limit, special)
    return encoder
