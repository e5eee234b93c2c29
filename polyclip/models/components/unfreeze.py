"""Which of an encoder's own parameters a method trains."""

from torch import nn

from polyclip.errors import DataError
from polyclip.models.components.target import TargetLayers

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)


def unfreeze_norms(target: TargetLayers) -> list[nn.Parameter]:
    """Gain and bias of every normalization layer: LayerNorm in transformers, BatchNorm in convolutional encoders.

    BatchNorm's running statistics are not parameters: they stay frozen, since a frozen encoder is in eval mode.

    Args:
        target: The encoder and its layers.

    Returns:
        The parameters to train.

    Raises:
        DataError: There is no normalization layer.

    """
    normalising = [m for _, m in target.modules() if isinstance(m, NORMS) or type(m).__name__.endswith("RMSNorm")]
    return require_parameters(
        [p for m in normalising for p in m.parameters(recurse=False)], "normalisation layer", target
    )


def unfreeze_biases(target: TargetLayers) -> list[nn.Parameter]:
    """Every bias, of linear maps, convolutions and norms (BitFit, Ben Zaken et al. 2022, arXiv 2106.10199).

    Args:
        target: The encoder and its layers.

    Returns:
        The parameters to train.

    Raises:
        DataError: There is no bias.

    """
    own = [
        p
        for _, m in target.modules()
        for name, p in m.named_parameters(recurse=False)
        if name == "bias" or name.endswith("_bias")
    ]
    return require_parameters(own, "bias", target)


def unfreeze_all(target: TargetLayers) -> list[nn.Parameter]:
    """Every parameter that affects the features.

    Args:
        target: The encoder and its layers.

    Returns:
        The parameters to train.

    """
    return target.parameters()


def require_parameters(parameters: list[nn.Parameter], what: str, target: TargetLayers) -> list[nn.Parameter]:
    """Remove duplicates from the parameters to train.

    Args:
        parameters: To train.
        what: Their kind, for the error.
        target: The encoder and its layers.

    Returns:
        Each parameter once.

    Raises:
        DataError: There are none.

    """
    if not parameters:
        raise DataError(
            f"There is no {what} to train in a {target.name} ({target.kind} layers {target.layers or 'all'}). Use "
            "another method or --train-towers."
        )
    return list(dict.fromkeys(parameters))
