"""Immutable values that corpora consist of: images and captions."""

from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image that is decoded when it is opened.

    Attributes:
        name: What error messages call it.
        key: Hash of its bytes and of how they are decoded; the key of the feature cache.
        open: Decode it to RGB; raises DataError where it cannot be read.

    """

    name: str
    key: str
    open: Callable[[], Image.Image] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Row:
    """The captions of one image in one language.

    Attributes:
        concept: Identifies the image.
        group: What must stay in one split.
        category: For reports; may be empty.
        language: The corpus' own name of the language.
        captions: The first is the name, the others are keywords or further captions.
        provenance: Who wrote them: `human`, or `engine-model@revision`.

    """

    concept: str
    group: str
    category: str
    language: str
    captions: tuple[str, ...]  # the first is the name, the rest are keywords or further captions
    provenance: str = "human"  # who wrote them: human, or engine-model@revision
