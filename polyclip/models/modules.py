"""Modules inside the models of other libraries, which differ by family and version."""

from typing import Any, Protocol, runtime_checkable

from torch import nn


@runtime_checkable
class TokenModel(Protocol):
    """A model that shows its embedding matrix, as those of transformers do."""

    def get_input_embeddings(self) -> Any:
        """The module that turns token ids into vectors."""
        ...


def find_module(root: nn.Module, path: str) -> Any:
    """Find a module inside another one.

    Args:
        root: Where the path starts.
        path: Names joined by ".", such as `encoder.layer.0.attention`.

    Returns:
        The module; None where there is no such module.

    """
    try:
        return root.get_submodule(path)
    except AttributeError:
        return None
