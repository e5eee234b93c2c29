"""Pictures for image processors and transforms of other libraries, decoded no larger than their resizing needs."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from PIL import Image

from polyclip.data.images import wanted
from polyclip.data.types import ImageSource


def opened(items: Sequence[ImageSource], edge: int) -> list[Image.Image]:
    """In RGB, for what resizes them to `edge` pixels; 0 where nobody knows, and then as they are."""
    with wanted(edge) if edge else nullcontext():
        return [item.open().convert("RGB") for item in items]


def edge_of_processor(processor: Any) -> int:
    """The edge to which an image processor of transformers resizes, the longer one where they differ; 0 where it does not, or in another way."""
    named = [getattr(getattr(processor, "size", None), name, None) for name in ("height", "width", "shortest_edge")]
    return max((edge for edge in named if edge), default=0) if getattr(processor, "do_resize", False) else 0


def edge_of_transform(transform: Any) -> int:
    """The same of torchvision's composed transforms, whose first step resizes."""
    size = getattr(transform.transforms[0], "size", 0)
    return size if isinstance(size, int) else max(size)
