"""Which of a tower's own parameters a method trains."""

from torch import nn

from polyclip.errors import DataError
from polyclip.models.components.target import Site

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)


def norms(site: Site) -> list[nn.Parameter]:
    """Gain and bias of every normalisation layer: LayerNorm in transformers, BatchNorm in convolutional towers.

    BatchNorm's running statistics are no parameters: they stay frozen, since a frozen tower is in eval mode.
    Raises DataError for a tower without any.
    """
    normalising = [m for _, m in site.modules() if isinstance(m, NORMS) or type(m).__name__.endswith("RMSNorm")]
    return found([p for m in normalising for p in m.parameters(recurse=False)], "normalisation layer", site)


def biases(site: Site) -> list[nn.Parameter]:
    """Every bias: of linear maps, convolutions and norms (BitFit, Ben Zaken et al. 2022, arXiv 2106.10199).

    Raises DataError for a tower without any.
    """
    own = [
        p
        for _, m in site.modules()
        for name, p in m.named_parameters(recurse=False)
        if name == "bias" or name.endswith("_bias")
    ]
    return found(own, "bias", site)


def everything(site: Site) -> list[nn.Parameter]:
    """Every parameter that takes part in the pooled vector."""
    return site.parameters()


def found(parameters: list[nn.Parameter], what: str, site: Site) -> list[nn.Parameter]:
    """Each once.

    Raises DataError when there are none.
    """
    if not parameters:
        raise DataError(
            f"There is no {what} to train in a {site.name} ({site.kind} layers {site.layers or 'all'}). Use another method or --tune."
        )
    return list(dict.fromkeys(parameters))
