"""How many parameters a method trains on a pair of towers, from their configurations: no weights are needed."""

from functools import partial
from pathlib import Path
from typing import Any

import torch

from polyclip.errors import DataError, UnknownName
from polyclip.models.backbone import BackboneSpec
from polyclip.models.branch import Branch, ModelConfig, counts
from polyclip.models.hf import loading


def count_parameters(recipe: ModelConfig, text_config: str, vision: str, image_size: int | None) -> dict[str, Any]:
    """`counts` of an aligner of these towers.

    Raises DataError for a configuration that is none, UnknownName for a model that timm does not have.
    """
    sides = (
        Branch("text", text_tower(text_config), recipe, 0.0),
        Branch("vision", vision_tower(vision, image_size), recipe, 0.0),
    )
    return counts(sides, [torch.nn.Parameter(torch.zeros(()))])


def text_tower(config: str) -> BackboneSpec:
    """A transformers text encoder without weights and without a pooling layer."""
    from transformers import AutoConfig

    from polyclip.models.text.huggingface import empty
    from polyclip.models.text_encoder import TextEncoder, count

    if not Path(config).exists():
        raise DataError(f"{config} is missing; expected the config.json of a transformers text encoder, or its folder.")
    with loading("text encoder", config):
        settings = AutoConfig.from_pretrained(config, trust_remote_code=False)
        with torch.device("meta"):
            model = empty(settings)
    parameters, table = count(model)
    build = partial(TextEncoder, model, partial(dict), settings.hidden_size, "mean")
    return BackboneSpec(
        name=config, identity="", dim=settings.hidden_size, parameters=parameters, embeddings=table, build=build
    )


def vision_tower(name: str, image_size: int | None) -> BackboneSpec:
    """A timm model without weights and without its classifier.

    Raises DataError for a model that takes no other picture size than its own.
    """
    import timm

    from polyclip.models.vision.timm import TimmTower, preprocessing_of

    if not timm.is_model(name):
        raise UnknownName("timm model", name, timm.list_models())
    with torch.device("meta"):
        try:
            model = timm.create_model(
                name, pretrained=False, num_classes=0, **({} if image_size is None else {"img_size": image_size})
            )
        except TypeError:  # convolutional models take any size: their parameters do not depend on it
            model = timm.create_model(name, pretrained=False, num_classes=0)
    build = partial(TimmTower, model, preprocessing_of(model))
    return BackboneSpec(
        name=name,
        identity="",
        dim=model.num_features,
        parameters=sum(p.numel() for p in model.parameters()),
        embeddings=0,
        build=build,
    )
