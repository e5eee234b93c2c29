"""Frozen values that corpora give: images and captions."""

from collections.abc import Callable
from dataclasses import dataclass, field

from PIL import Image


@dataclass(frozen=True, slots=True)
class ImageSource:
    """A picture that is decoded when it is asked for. `key` is the hash of its bytes and of how they are drawn."""

    name: str
    key: str
    open: Callable[[], Image.Image] = field(repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Row:
    """One picture's captions in one language. `concept` names the picture, `group` what must stay on one side of a split."""

    concept: str
    group: str
    category: str
    language: str
    captions: tuple[str, ...]  # the first is the name, the rest are keywords or further captions
    provenance: str = "human"  # who wrote them: human, or engine-model@revision
