"""Which of a tower's own parameters a method trains."""

from torch import nn

NORMS = (nn.LayerNorm, nn.GroupNorm, nn.modules.batchnorm._BatchNorm)


def norms(tower: nn.Module) -> list[nn.Parameter]:
    """Gain and bias of every normalisation layer: LayerNorm in transformers, BatchNorm in convolutional towers.

    BatchNorm's running statistics are no parameters: they stay frozen, since a frozen tower is in eval mode.
    """
    own = [p for m in tower.modules() if isinstance(m, NORMS) or type(m).__name__.endswith("RMSNorm") for p in m.parameters(recurse=False)]
    return list(dict.fromkeys(own))


def everything(tower: nn.Module) -> list[nn.Parameter]:
    """Every parameter that takes part in the pooled vector; an ImageNet classifier does not."""
    aside = {id(p) for p in getattr(tower, "classifier", nn.Identity()).parameters()}
    return [p for p in tower.parameters() if id(p) not in aside]
