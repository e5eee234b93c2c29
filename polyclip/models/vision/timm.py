"""Any timm model: with local weights (`timm:vit_small_patch16_224,weights=FILE.safetensors`), or from the hub.

Size, interpolation, mean and deviation come from the model's own configuration (`,size=160` has a convolutional one
read smaller images); its pooled features are used, not its classifier.
"""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from polyclip.core.storage import hash_file, hash_parts, is_file
from polyclip.errors import DataError, UnknownName, WeightsError
from polyclip.models.backbone import BackboneSpec, parse_image_size, take
from polyclip.models.hf import explain_loading_errors
from polyclip.models.preprocessing import Preprocessing
from polyclip.models.shapes import without_values
from polyclip.models.trunk import Trunk, WholeModel
from polyclip.models.trunk.vision import TimmEfficientNet, TimmViT
from polyclip.models.vision._images import ImageEncoder
from polyclip.models.vocabulary.classes import Classifier, list_synsets


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """Describe a timm model without loading its weights.

    Args:
        argument: timm's name of the model.
        options: `weights` is a safetensors file; by default the hub's pretrained weights are used. `size` is the edge
            of the images in pixels, by default the model's own.

    Returns:
        Its description.

    Raises:
        UnknownName: timm has no such model.
        DataError: An option does not exist, or `size` is out of range or not to be chosen.
        WeightsError: The weights cannot be fetched or do not fit.

    """
    import timm

    chosen = take(options, {"weights": "", "size": ""}, "timm")
    weights = chosen["weights"]
    if not timm.is_model(argument):
        raise UnknownName("timm model", argument, timm.list_models())
    if weights and not is_file(Path(weights)):
        raise WeightsError(f"timm:{argument}: weights file {weights} is missing.")
    with without_values():
        model = timm.create_model(argument, pretrained=False, num_classes=0)
    own = read_preprocessing(model)
    preprocessing = own if not chosen["size"] else resize_input(model, own, chosen["size"], f"timm:{argument}")
    tag = (
        hash_file(Path(weights))
        if weights
        else str(model.pretrained_cfg.get("hf_hub_id") or model.pretrained_cfg.get("url"))
    )
    return BackboneSpec(
        name=f"timm:{argument}"
        + (f",weights={weights}" if weights else "")
        + (f",size={preprocessing.size}" if preprocessing != own else ""),
        identity=hash_parts(argument, tag, repr(preprocessing)),
        dim=model.num_features,
        parameters=sum(p.numel() for p in model.parameters()),
        embeddings=0,
        build=lambda: build(argument, weights, preprocessing),
        classifier=partial(load_classifier, argument, weights),
    )


def load_classifier(name: str, weights: str) -> Classifier | None:
    """Load the model's last linear layer, where it reads the pooled features and its classes are known.

    Known are ImageNet-1k, -12k and -22k in the variants that timm lists, recognized by the number of classes.
    """
    import timm
    from safetensors import safe_open
    from timm.data import infer_imagenet_subset

    with without_values():
        bare = timm.create_model(name, pretrained=False, num_classes=0)
    key = f"{bare.default_cfg.get('classifier', 'head')}.weight"
    if weights:
        with explain_loading_errors("vision encoder", f"timm:{name}"), safe_open(weights, "pt") as handle:
            rows = handle.get_tensor(key) if key in handle.keys() else None  # noqa: SIM118 (no mapping)
    elif bare.pretrained_cfg.get("num_classes"):
        with explain_loading_errors("vision encoder", f"timm:{name}"):
            rows = timm.create_model(name, pretrained=True).state_dict().get(key)
    else:
        rows = None
    if rows is None or rows.ndim != 2 or rows.shape[1] != bare.num_features:
        return None
    subset = infer_imagenet_subset({"num_classes": len(rows)})
    return None if subset is None else Classifier(list_synsets(subset), rows.detach().float())


def read_preprocessing(model: Any) -> Preprocessing:
    """Read the model's own preprocessing from its configuration."""
    from timm.data import resolve_model_data_config

    config = resolve_model_data_config(model)
    return Preprocessing(config["input_size"][-1], config["interpolation"], tuple(config["mean"]), tuple(config["std"]))


def resize_input(model: Any, own: Preprocessing, size: str, name: str) -> Preprocessing:
    """The model's preprocessing for images of another size.

    Raises:
        DataError: The size is out of range, or the model reads its own size alone, as those with positions do.

    """
    wanted = parse_image_size(size, name)
    if model.pretrained_cfg.get("fixed_input_size") and wanted != own.size:
        raise DataError(f"{name} reads images of {own.size} pixels alone, found size={wanted}: leave out the size.")
    return replace(own, size=wanted)


def build(name: str, weights: str, preprocessing: Preprocessing) -> "TimmEncoder":
    """Load the weights; a classifier among them is left out, anything else must fit."""
    import timm
    from safetensors.torch import load_file

    with explain_loading_errors("vision encoder", f"timm:{name}"):
        model = timm.create_model(name, pretrained=not weights, num_classes=0)
        if weights:
            classifier = f"{model.default_cfg.get('classifier', 'head')}."
            state = {key: value for key, value in load_file(weights).items() if not key.startswith(classifier)}
            model.load_state_dict(state, strict=True)
    return TimmEncoder(model, preprocessing)


class TimmEncoder(ImageEncoder):
    """Frozen timm model in eval mode; features are timm's own pooled ones."""

    def __init__(self, model: Any, preprocessing: Preprocessing) -> None:
        super().__init__(preprocessing, model.num_features)
        self.model = model
        self.trunk = choose_trunk(model)
        self.requires_grad_(False).eval()


def choose_trunk(model: Any) -> Trunk:
    """Wrap a timm model in the trunk of its family."""
    from timm.models.efficientnet import EfficientNet
    from timm.models.vision_transformer import VisionTransformer

    if type(model) is VisionTransformer:
        return TimmViT(model)
    if type(model) is EfficientNet:
        return TimmEfficientNet(model)
    return WholeModel(model, lambda inputs: {"pooled": model(inputs["pixels"])})
