"""One view of a tokenizer of any library: its pieces, special ids, normalization, and decoding."""

import re
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from types import FunctionType
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyclip.core.vectors import normalize
from polyclip.errors import DataError

Rows = list[list[int]]
ROLES = ("unk", "pad", "bos", "eos", "cls", "sep")
SPELLED = {
    "unk": ("<unk>", "[UNK]"),
    "pad": ("<pad>", "[PAD]"),
    "bos": ("<s>",),
    "eos": ("</s>",),
    "cls": ("[CLS]",),
    "sep": ("[SEP]",),
}
BYTE = re.compile(r"<0x[0-9A-F]{2}>")
BYTE_ALPHABET = "".join(map(chr, range(256, 324)))  # how byte-level BPE spells the bytes that cannot be printed
WORD = re.compile(r"[A-Za-z]{4}")
FEWEST_TWINS = 50
MOST_TWINS = 2000


@dataclass(frozen=True)
class TokenizerVocabulary:
    """A tokenizer's pieces, special ids and functions.

    Attributes:
        pieces: Id by piece.
        named: Id by role, for those of ROLES that it has.
        decode: Text of each row of ids without special ids.
        normal: The tokenizer's own normalization of a text.
        byte_level: Whether it is a byte-level BPE.

    """

    pieces: dict[str, int]
    named: dict[str, int]  # those of ROLES that it has -> id
    decode: Callable[[Rows], list[str]]
    normal: Callable[[str], str]  # its own normalisation
    byte_level: bool

    @cached_property
    def single_bytes(self) -> frozenset[int]:
        """Ids of <0x00> to <0xFF>; empty where the tokenizer has no byte fallback."""
        found = frozenset(number for piece, number in self.pieces.items() if BYTE.fullmatch(piece))
        return found if len(found) == 256 else frozenset()

    def find_partial(self, ids: set[int]) -> set[int]:
        """Find those of `ids` that are a byte, or in byte-level BPE a piece that is not a whole character."""
        if not self.byte_level:
            return ids & self.single_bytes
        listed = sorted(ids)
        return {
            number
            for number, text in zip(listed, self.decode([[number] for number in listed]), strict=True)
            if "\ufffd" in text
        }


def read_vocabulary(encoder: Any) -> TokenizerVocabulary:
    """Read the vocabulary of a text encoder's tokenizer; DataError where it cannot be found."""
    tokenizer = find_tokenizer(encoder)
    of_transformers = hasattr(tokenizer, "all_special_ids")
    backend = getattr(tokenizer, "backend_tokenizer", None) if of_transformers else tokenizer
    if of_transformers:
        named = {role: number for role in ROLES if (number := getattr(tokenizer, f"{role}_token_id", None)) is not None}
    else:
        named = {
            role: number
            for role in ROLES
            for text in SPELLED[role]
            if (number := tokenizer.token_to_id(text)) is not None
        }

    def decode(rows: Rows) -> list[str]:
        """Text of each row."""
        if backend is None:
            return [tokenizer.decode(row, skip_special_tokens=False) for row in rows]
        return list(backend.decode_batch(rows, skip_special_tokens=False))

    normalizer = getattr(backend, "normalizer", None)
    bare: Callable[[str], str] = str if backend is not None else lambda text: unicodedata.normalize("NFKC", text)
    normal = normalizer.normalize_str if normalizer is not None else bare
    return TokenizerVocabulary(
        dict(tokenizer.get_vocab()), named, decode, normal, "ByteLevel" in repr(getattr(backend, "decoder", ""))
    )


def find_tokenizer(encoder: Any) -> Any:
    """Find the `tokenizers` or `transformers` tokenizer of an encoder: its attribute, or one that `tokenize` uses."""
    found = getattr(encoder, "tokenizer", None) or next(
        find_captured_tokenizers(getattr(encoder, "tokenize", None)), None
    )
    if found is None:
        raise DataError(
            f"The encoder {type(encoder).__name__} does not show its tokenizer: give it an attribute 'tokenizer'."
        )
    return found


def find_captured_tokenizers(function: object) -> Iterator[Any]:
    """Yield tokenizers among the variables that a function captures, and those of the functions among them."""
    cells = (function.__closure__ or ()) if isinstance(function, FunctionType) else ()
    for cell in cells:
        content = cell.cell_contents
        if hasattr(content, "get_vocab"):
            yield content
        else:
            yield from find_captured_tokenizers(content)


def get_embedding_matrix(encoder: Any) -> Float[Tensor, "piece width"] | None:
    """Return the encoder's token embeddings: the largest of its embedding matrices; None where it has none."""
    tables = [module.weight for module in encoder.modules() if isinstance(module, nn.Embedding)]
    return max(tables, key=lambda table: table.numel()).detach() if tables else None


def measure_twins(vocabulary: TokenizerVocabulary, table: Float[Tensor, "piece width"]) -> float | None:
    """Measure how often the embedding matrix has similar rows for forms of one word (cat and Cat, dog and dogs).

    A trained matrix gives nearly 1; one of another vocabulary, in another order, or not trained gives 0.5.

    Args:
        vocabulary: The tokenizer's vocabulary.
        table: The embedding matrix.

    Returns:
        Share of such pairs that are more similar than random pairs, in [0, 1]; None with fewer than FEWEST_TWINS pairs.

    """
    pieces = vocabulary.pieces
    pairs = [
        (number, pieces[other])
        for piece, number in pieces.items()
        if WORD.search(piece)
        for other in {piece.lower(), f"{piece}s"} - {piece}
        if other in pieces and max(number, pieces[other]) < len(table)
    ]
    if len(pairs) < FEWEST_TWINS:
        return None
    chosen = sorted(pairs)[:: max(1, len(pairs) // MOST_TWINS)]
    left, right = (normalize(table[torch.tensor(side)].float()) for side in zip(*chosen, strict=True))
    own, other = (left * right).sum(1), (left * right.roll(len(chosen) // 2, 0)).sum(1)
    return float((own > other).double().mean())
