"""Frozen encoders: facts that cost nothing to know, and how to build one when it is needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Float
from torch import Tensor

from polyclip.core.encode_precision import FP32
from polyclip.core.registry import SINGULAR, find, list_names
from polyclip.core.storage import is_folder
from polyclip.errors import DataError, UnknownName
from polyclip.models.trunk import State, Trunk
from polyclip.models.vocabulary.classes import Classifier


class Backbone(Protocol):
    """A tower that has been built: an `nn.Module` in eval mode. Inputs are captions or RGB pictures."""

    dim: int
    trunk: Trunk
    budget: int  # of `costs`, in a batch without gradients

    @property
    def grain(self) -> int:
        """Items a batch with gradients."""
        ...

    def costs(self, items: Sequence[Any]) -> list[int]:
        """What each item costs, in tokens or pictures."""
        ...

    def prepare(self, items: Sequence[Any]) -> State:
        """Token ids or bytes: what `__call__` takes, one row per item."""
        ...

    def start(self, inputs: State) -> State:
        """What the trunk begins with."""
        ...

    def finish(self, state: State, position: int) -> Float[Tensor, "row dim"]:
        """Pooled vectors from the hidden state at a position of the trunk (`polyclip.models.trunk`)."""
        ...

    def weigh(self, row: State) -> int:
        """What a row of a state costs, as `costs`."""
        ...

    def split(self, state: State) -> list[State]:
        """A state's rows, each without padding."""
        ...

    def join(self, rows: Sequence[State]) -> State:
        """Rows to one state again."""
        ...

    def __call__(self, **inputs: Tensor) -> Float[Tensor, "row dim"]:
        """One pooled vector per row, not normalised."""
        ...


@runtime_checkable
class FastForm(Protocol):
    """An encoder with another form of the same function that is faster without gradients."""

    def get_inference_form(self) -> Any:
        """Return that form, or the encoder itself where it may not be used."""
        ...


@runtime_checkable
class FusedForCpu(Protocol):
    """A part of an inference form that can be joined into fewer operations on a CPU."""

    def fuse_for_cpu(self, precision: str) -> None:
        """Join them, in place, with products in a format (`polyclip.core.encode_precision`)."""
        ...


@runtime_checkable
class LightBuilder(Protocol):
    """What builds an encoder, and for encoding alone builds a lighter one."""

    def build_light(self) -> Any:
        """Build it without what encoding does not need."""
        ...


@runtime_checkable
class ImageClassifier(Protocol):
    """A vision encoder that kept the classifier it was trained with."""

    def classify(self, features: Tensor) -> Tensor:
        """Class number of each image, from its features [image, dim]."""
        ...


@runtime_checkable
class UnitEncoder(Protocol):
    """An encoder that says whether its features have length 1."""

    unit: bool


@runtime_checkable
class TextModelDescriber(Protocol):
    """A module of `polyclip/models/text` whose encoders are transformers models."""

    def describe_text_model(self, argument: str, options: dict[str, str]) -> "TextModel":
        """Describe the model without its weights; arguments as those of the module's `describe`."""
        ...


@dataclass(frozen=True, kw_only=True)
class BackboneSpec:
    """A text encoder or a vision tower, by its facts.

    `identity` is the hash of weights and preprocessing: features of one encoder are never taken for another's, and
    trained parts are never put on an encoder that they were not trained on.
    """

    name: str
    identity: str
    dim: int  # length of one pooled vector
    parameters: int  # all parameters, frozen or not
    embeddings: int  # of these, the token table
    build: Callable[[], Any] = field(repr=False, compare=False)  # -> Encoder
    layers: int = 0  # how many the option `layers` can keep; 0 where there is no such option
    parts: tuple["BackboneSpec", ...] = ()  # of towers side by side: the vector is theirs, one after the other
    classifier: Callable[[], Classifier | None] | None = field(
        default=None, repr=False, compare=False
    )  # of a vision tower whose classes have names
    rounding: int = 1  # version of how its products are rounded in a coarser format: features of two are never mixed

    def name_features(self, precision: str) -> str:
        """Name the folder of its features in a format (`polyclip.core.encode_precision`) in the cache."""
        if precision == FP32:
            return self.identity[:16]
        return f"{self.identity[:16]}-{precision}" + (f"-{self.rounding}" if self.rounding > 1 else "")


@dataclass(frozen=True, kw_only=True)
class TextModel:
    """What other libraries need to know of a transformers text encoder, from its configuration alone."""

    type: str  # transformers' model_type
    pooling: str  # mean or cls
    activation: str  # of its feed-forward blocks
    alone: bool = True  # not the half of an encoder-decoder


def describe_text_model(text: str) -> TextModel | None:
    """Describe the transformers model that a text encoder is; no weights are read.

    Args:
        text: As in `describe`.

    Returns:
        Its description; None for an encoder that is no plain transformers model.

    Raises:
        UnknownName: There is no such text encoder.
        WeightsError: Its configuration cannot be found.

    """
    name, argument, given = parse_spec("encoders", text)
    module = find("encoders", name)
    return module.describe_text_model(argument, given) if isinstance(module, TextModelDescriber) else None


def describe(kind: str, text: str) -> BackboneSpec:
    """Read `text` and ask the file that knows it.

    Args:
        kind: `encoders` for text encoders, `towers` for vision encoders.
        text: A file's own name (`e5-small`); a name with argument and options
            (`timm:resnet18,weights=r18.safetensors`); owner/name or a folder, which go to `huggingface`; vision
            encoders joined by "+".

    Returns:
        The encoder's facts.

    Raises:
        UnknownName: Nothing of that kind has the name.

    """
    name, argument, given = parse_spec(kind, text)
    return find(kind, name).describe(argument, given)


def parse_spec(kind: str, text: str) -> tuple[str, str, dict[str, str]]:
    """Split what names an encoder, as `describe` reads it.

    Args:
        kind: `encoders` or `towers`.
        text: As in `describe`.

    Returns:
        The name of the file that knows it, its argument, and its options.

    Raises:
        UnknownName: Nothing of that kind has the name.

    """
    if kind == "towers" and "+" in text and "/" not in text:
        return "side-by-side", text, {}
    known = list_names(kind)
    head, colon, rest = text.partition(":")
    if text in known:
        return text, "", {}
    if colon and head.replace("_", "-") in known:
        argument, *pairs = rest.split(",")
        return head, argument, options(pairs, text)
    if "/" in text or text.startswith(".") or is_folder(Path(text)):
        return "huggingface", text, {}
    raise UnknownName(
        SINGULAR[kind], text, known, "A hub name has its owner before it (owner/name), or is written huggingface:NAME."
    )


def with_layers(kind: str, text: str, number: int) -> str:
    """The same tower up to its layer `number`, counted from 1; 0 leaves it as it is."""
    if number == 0:
        return text
    separator = "," if ":" in text else ":,"
    return (
        f"{text}{separator}layers={number}"
        if text in list_names(kind) or ":" in text
        else f"huggingface:{text},layers={number}"
    )


def parse_layer_count(text: str, count: int, name: str) -> int:
    """Value of the option `layers`.

    Raises DataError for anything but a number from 1 to `count`.
    """
    if not text.isdecimal() or not 1 <= int(text) <= count:
        raise DataError(f"{name}: layers is {text!r}, expected how many of its {count} layers are kept, from 1 on.")
    return int(text)


def options(pairs: list[str], text: str) -> dict[str, str]:
    """`["pooling=cls"]` to a dictionary.

    Raises DataError where a pair has no "=".
    """
    for pair in pairs:
        if "=" not in pair:
            raise DataError(f"In {text!r}: expected option=value after the comma, found {pair!r}.")
    return dict(pair.split("=", 1) for pair in pairs)


def parse_image_size(text: str, name: str) -> int:
    """Value of the option `size`: edge of an image in pixels.

    Raises DataError for anything but a multiple of 4 between 64 and 512.
    """
    if not text.isdecimal() or int(text) % 4 or not 64 <= int(text) <= 512:
        raise DataError(f"{name}: size is {text!r}, expected pixels: a multiple of 4 between 64 and 512.")
    return int(text)


def take(given: dict[str, str], allowed: dict[str, str], where: str) -> dict[str, str]:
    """Options over their defaults.

    Raises DataError for an option that does not exist.
    """
    for key in given:
        if key not in allowed:
            raise DataError(f"{where} has no option {key!r}; it takes {', '.join(sorted(allowed)) or 'none'}.")
    return allowed | given
