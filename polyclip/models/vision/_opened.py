"""Images for image processors and transforms of other libraries, decoded no larger than their resizing needs."""

from collections.abc import Sequence
from contextlib import nullcontext
from typing import Any

from PIL import Image

from polyclip.data.images import decode_for_edge
from polyclip.data.types import ImageSource


def open_images(items: Sequence[ImageSource], edge: int) -> list[Image.Image]:
    """Decode images to RGB for a transform that resizes to `edge` pixels; 0 decodes at full size."""
    with decode_for_edge(edge) if edge else nullcontext():
        return [item.open().convert("RGB") for item in items]


def get_processor_edge(processor: Any) -> int:
    """Edge to which a transformers image processor resizes, the longer of two; 0 where it is not known."""
    named = [getattr(getattr(processor, "size", None), name, None) for name in ("height", "width", "shortest_edge")]
    return max((edge for edge in named if edge), default=0) if getattr(processor, "do_resize", False) else 0


def get_transform_edge(transform: Any) -> int:
    """Edge to which torchvision's composed transforms resize in their first step."""
    size = getattr(transform.transforms[0], "size", 0)
    return size if isinstance(size, int) else max(size)
