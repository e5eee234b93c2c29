"""Several vision encoders read the same image; their features are concatenated."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from PIL import Image
from torch import nn

from polyclip.core.storage import hash_parts
from polyclip.core.vectors import normalize
from polyclip.data.types import ImageSource
from polyclip.errors import DataError
from polyclip.models import backbone
from polyclip.models.backbone import BackboneSpec, FastForm, take
from polyclip.models.trunk import State, WholeModel
from polyclip.models.vision._images import ImageEncoder
from polyclip.models.vocabulary.classes import Classifier


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """Describe an encoder made of several, such as `a+b`; its features are as long as theirs together.

    Args:
        argument: Vision encoders joined by "+".
        options: None exist.

    Returns:
        Its description.

    Raises:
        DataError: `argument` is empty, or an option was given.

    """
    take(options, {}, "side-by-side")
    if not argument:
        raise DataError(
            "side-by-side joins vision encoders and was given none; write them with a + between them: "
            "efficientnet-lite0+efficientnet-lite1."
        )
    encoders = [backbone.describe("towers", part) for part in argument.split("+")]
    return BackboneSpec(
        name="+".join(encoder.name for encoder in encoders),
        identity=hash_parts(*(encoder.identity for encoder in encoders)),
        dim=sum(encoder.dim for encoder in encoders),
        parameters=sum(encoder.parameters for encoder in encoders),
        embeddings=0,
        build=lambda: SideBySide([encoder.build() for encoder in encoders]),
        parts=tuple(encoders),
        rounding=max(encoder.rounding for encoder in encoders),
        classifier=partial(join_classifiers, encoders),
    )


def join_classifiers(encoders: Sequence[BackboneSpec]) -> Classifier | None:
    """Join the classifiers' rows of encoders with the same classes; zeros for encoders that have none or others."""
    found = [None if encoder.classifier is None else encoder.classifier() for encoder in encoders]
    first = next((one for one in found if one is not None), None)
    if first is None:
        return None
    blank = [torch.zeros(len(first.rows), encoder.dim) for encoder in encoders]
    fits = [
        one is not None and list(one.labels) == list(first.labels) and len(one.rows) == len(first.rows) for one in found
    ]
    rows = [
        normalize(one.rows) if fit and one is not None else zeros
        for one, fit, zeros in zip(found, fits, blank, strict=True)
    ]
    return Classifier(first.labels, torch.cat(rows, dim=1))


class SideBySide(ImageEncoder):
    """Frozen vision encoders in eval mode whose features are concatenated."""

    def __init__(self, encoders: Sequence[Any]) -> None:
        nn.Module.__init__(self)
        self.towers = nn.ModuleList(encoders)
        self.dim = sum(encoder.dim for encoder in encoders)
        self.budget = min(encoder.budget for encoder in encoders)
        self.trunk = WholeModel(self.towers, self.concatenate)

    def prepare(self, items: Sequence[ImageSource]) -> State:
        """Inputs of each encoder, with its number; an image is decoded once."""
        opened = [replace(item, open=partial(return_image, item.open())) for item in items]
        encoders: list[Any] = list(self.towers)
        return {
            f"{number} {name}": tensor
            for number, encoder in enumerate(encoders)
            for name, tensor in encoder.prepare(opened).items()
        }

    def start(self, inputs: State) -> State:
        """Return the inputs as they are: each encoder prepares its own."""
        return inputs

    def concatenate(self, inputs: State) -> State:
        """Features of all encoders, concatenated."""
        encoders: list[Any] = list(self.towers)
        own = [
            {name.partition(" ")[2]: t for name, t in inputs.items() if name.startswith(f"{number} ")}
            for number in range(len(encoders))
        ]
        return {"pooled": torch.cat([encoder(**given) for encoder, given in zip(encoders, own, strict=True)], dim=1)}

    def get_inference_form(self) -> "SideBySide":
        """The same with each encoder in its fastest form for encoding."""
        encoders: list[Any] = list(self.towers)
        return SideBySide(
            [encoder.get_inference_form() if isinstance(encoder, FastForm) else encoder for encoder in encoders]
        )


def return_image(image: Image.Image) -> Image.Image:
    """Return an image that is decoded already."""
    return image
