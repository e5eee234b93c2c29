"""Image preprocessing of a vision encoder as open_clip's preprocess_cfg, which immich reads too."""

from typing import Any

from PIL import Image

from polyclip.errors import RunError
from polyclip.models.preprocessing import Preprocessing


def build_preprocess_cfg(encoder: Any, name: str) -> dict[str, Any]:
    """Return size, interpolation, mean and standard deviation of a vision encoder's preprocessing.

    Args:
        encoder: A built vision encoder.
        name: Its name, for messages.

    Returns:
        The keys of open_clip's preprocess_cfg.

    Raises:
        RunError: The encoder's own processor does more than resize, crop and scale.

    """
    own = getattr(encoder, "preprocessing", None)
    if isinstance(own, Preprocessing):
        return make_cfg([own.size] * 2, own.interpolation, own.mean, own.std)
    processor: Any = getattr(encoder, "processor", None)
    size = getattr(processor, "size", None) or {}
    crop = (getattr(processor, "crop_size", None) or {}) if getattr(processor, "do_center_crop", False) else {}
    edge = size.get("shortest_edge") if hasattr(size, "get") else None
    if edge and crop.get("height") == crop.get("width") == edge:
        return make_cfg([edge, edge], name_resampling(processor), processor.image_mean, processor.image_std)
    if hasattr(size, "get") and size.get("height") and not crop:
        return make_cfg(
            [size["height"], size["width"]],
            name_resampling(processor),
            processor.image_mean,
            processor.image_std,
            "squash",
        )
    raise RunError(
        f"The preprocessing of vision encoder {name} cannot be expressed for other programs: expected one resize, "
        "optionally a crop of the same size, "
        "and a normalization. Use a timm encoder, or an efficientnet-lite."
    )


def make_cfg(size: list[int], interpolation: str, mean: Any, std: Any, mode: str = "shortest") -> dict[str, Any]:
    """Assemble the keys of preprocess_cfg."""
    return {
        "size": size,
        "mode": "RGB",
        "mean": list(mean),
        "std": list(std),
        "interpolation": interpolation,
        "resize_mode": mode,
        "fill_color": 0,
    }


def name_resampling(processor: Any) -> str:
    """Return the name of a processor's interpolation, such as "bilinear"."""
    return Image.Resampling(int(processor.resample)).name.lower()
