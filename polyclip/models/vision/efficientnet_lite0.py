"""EfficientNet-Lite0, embedded."""

from polyclip.models.backbone import BackboneSpec
from polyclip.models.vision._efficientnet_lite import describe_lite


def describe(argument: str, options: dict[str, str]) -> BackboneSpec:
    """See `_efficientnet_lite.describe_lite`."""
    return describe_lite(0, argument, options)
