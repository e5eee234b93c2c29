"""How a vision tower reads pictures, in the words of open_clip's preprocess_cfg, which immich reads too."""

from typing import Any

from PIL import Image

from polyclip.errors import RunError
from polyclip.models.preprocessing import Preprocessing


def preprocess_cfg(encoder: Any, name: str) -> dict[str, Any]:
    """Size, interpolation, mean and deviation.

    Raises RunError for a tower whose own processor does more than resize, crop and scale.
    """
    own = getattr(encoder, "preprocessing", None)
    if isinstance(own, Preprocessing):
        return cfg([own.size] * 2, own.interpolation, own.mean, own.std)
    processor: Any = getattr(encoder, "processor", None)
    size = getattr(processor, "size", None) or {}
    crop = (getattr(processor, "crop_size", None) or {}) if getattr(processor, "do_center_crop", False) else {}
    edge = size.get("shortest_edge") if hasattr(size, "get") else None
    if edge and crop.get("height") == crop.get("width") == edge:
        return cfg([edge, edge], resampling(processor), processor.image_mean, processor.image_std)
    if hasattr(size, "get") and size.get("height") and not crop:
        return cfg(
            [size["height"], size["width"]], resampling(processor), processor.image_mean, processor.image_std, "squash"
        )
    raise RunError(
        f"The way vision tower {name} reads pictures cannot be written down for other programs: expected one resize, perhaps a crop of the same size, "
        "and a scaling. Use a timm tower, or an efficientnet-lite."
    )


def cfg(size: list[int], interpolation: str, mean: Any, std: Any, mode: str = "shortest") -> dict[str, Any]:
    """The table."""
    facts = {
        "size": size,
        "mode": "RGB",
        "mean": list(mean),
        "std": list(std),
        "interpolation": interpolation,
        "resize_mode": mode,
        "fill_color": 0,
    }
    return facts


def resampling(processor: Any) -> str:
    """bilinear, bicubic ..."""
    return Image.Resampling(int(processor.resample)).name.lower()
