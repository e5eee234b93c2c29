"""Count how many parameters a method trains on two encoders, from their configurations: no weights are needed."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from polyclip.errors import DataError, UnknownName
from polyclip.models.backbone import BackboneSpec
from polyclip.models.branch import Branch, counts
from polyclip.models.config import ModelConfig
from polyclip.models.hf import explain_loading_errors
from polyclip.models.shapes import without_values


def count_parameters(recipe: ModelConfig, text_config: str, vision: str, image_size: int | None) -> dict[str, Any]:
    """Count the parameters of a model of these encoders.

    Args:
        recipe: The method and its options.
        text_config: config.json of a transformers text encoder, or its folder.
        vision: timm's name of the vision encoder.
        image_size: Edge of an image in pixels; None for the model's own.

    Returns:
        As `polyclip.models.branch.counts`.

    Raises:
        DataError: The configuration is missing or cannot be read, or the method does not fit the encoders.
        UnknownName: timm has no such model.

    """
    sides = (
        Branch("text", describe_text_encoder(text_config), recipe, 0.0),
        Branch("vision", describe_vision_encoder(vision, image_size), recipe, 0.0),
    )
    return counts(sides, [torch.nn.Parameter(torch.zeros(()))])


def describe_text_encoder(config: str) -> BackboneSpec:
    """Describe a transformers text encoder without weights and without a pooling layer.

    Raises:
        DataError: The configuration is missing.

    """
    from transformers import AutoConfig

    from polyclip.models.text.huggingface import build_empty
    from polyclip.models.text_encoder import TextEncoder, count_text_parameters

    if not Path(config).exists():
        raise DataError(f"{config} is missing; expected the config.json of a transformers text encoder, or its folder.")
    with explain_loading_errors("text encoder", config):
        settings = AutoConfig.from_pretrained(config, trust_remote_code=False)
        with without_values():
            model = build_empty(settings)
    parameters, table = count_text_parameters(model)
    build = partial(TextEncoder, model, partial(dict), settings.hidden_size, "mean")
    return BackboneSpec(
        name=config, identity="", dim=settings.hidden_size, parameters=parameters, embeddings=table, build=build
    )


def describe_vision_encoder(name: str, image_size: int | None) -> BackboneSpec:
    """Describe a timm model without weights and without its classifier.

    Raises:
        UnknownName: timm has no such model.

    """
    import timm

    from polyclip.models.vision.timm import TimmEncoder, read_preprocessing

    if not timm.is_model(name):
        raise UnknownName("timm model", name, timm.list_models())
    with without_values():
        try:
            model = timm.create_model(
                name, pretrained=False, num_classes=0, **({} if image_size is None else {"img_size": image_size})
            )
        except TypeError:  # convolutional models take any size: their parameters do not depend on it
            model = timm.create_model(name, pretrained=False, num_classes=0)
    build = partial(TimmEncoder, model, read_preprocessing(model))
    return BackboneSpec(
        name=name,
        identity="",
        dim=model.num_features,
        parameters=sum(p.numel() for p in model.parameters()),
        embeddings=0,
        build=build,
    )
