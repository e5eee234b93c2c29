"""What the rest of polyclip knows of a frozen tower: facts that cost nothing, and how to build it when it is really needed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from jaxtyping import Float
from torch import Tensor

from polyclip.errors import DataError, UnknownName
from polyclip.plugins import SINGULAR, find, names


class Encoder(Protocol):
    """A tower that has been built: an `nn.Module` in eval mode. Inputs are captions or RGB pictures."""

    dim: int

    def prepare(self, items: Sequence[Any]) -> dict[str, Tensor]:
        """Token ids or pixels: what `__call__` takes, one row per item."""
        ...

    def __call__(self, **inputs: Tensor) -> Float[Tensor, "row dim"]:
        """One pooled vector per row, not normalised."""
        ...


@dataclass(frozen=True, kw_only=True)
class Tower:
    """A text encoder or a vision tower, by its facts.

    `identity` is the hash of weights and preprocessing: features computed by one tower are never taken for another's, and
    trained parts are never put on a tower they were not trained on.
    """

    name: str
    identity: str
    dim: int  # length of one pooled vector
    parameters: int  # all parameters, frozen or not
    embeddings: int  # of these, the token table
    build: Callable[[], Any] = field(repr=False, compare=False)  # -> Encoder
    parts: tuple["Tower", ...] = ()  # of towers side by side: the vector is theirs, one after the other


def describe(kind: str, text: str) -> Tower:
    """Read `text` and ask the file that knows it.

    `e5-small` is a file's own name; `timm:resnet18,weights=r18.safetensors` gives a file its argument and options; owner/name and a
    folder's path go to `huggingface`. Vision towers joined by "+" stand side by side.
    Raises UnknownName when nothing of that kind has the name.
    """
    if kind == "towers" and "+" in text and "/" not in text:
        from polyclip.towers._side_by_side import describe_joined

        return describe_joined([describe(kind, part) for part in text.split("+")])
    known = names(kind)
    head, colon, rest = text.partition(":")
    if text in known:
        return find(kind, text).describe("", {})
    if colon and head in known:
        argument, *pairs = rest.split(",")
        return find(kind, head).describe(argument, options(pairs, text))
    if "/" in text or text.startswith("."):
        return find(kind, "huggingface").describe(text, {})
    raise UnknownName(SINGULAR[kind], text, known, "A hub name has its owner before it (owner/name), or is written huggingface:NAME.")


def options(pairs: list[str], text: str) -> dict[str, str]:
    """`["pooling=cls"]` to a dictionary.

    Raises DataError where a pair has no "=".
    """
    for pair in pairs:
        if "=" not in pair:
            raise DataError(f"In {text!r}: expected option=value after the comma, found {pair!r}.")
    return dict(pair.split("=", 1) for pair in pairs)


def take(given: dict[str, str], allowed: dict[str, str], where: str) -> dict[str, str]:
    """Options over their defaults.

    Raises DataError for an option that does not exist.
    """
    for key in given:
        if key not in allowed:
            raise DataError(f"{where} has no option {key!r}; it takes {', '.join(sorted(allowed)) or 'none'}.")
    return allowed | given
