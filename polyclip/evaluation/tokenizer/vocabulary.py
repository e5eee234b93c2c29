"""One view of a tokenizer, whichever library it is from: its pieces, its special ids, its normalisation, and text from ids."""

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
    """A tokenizer's facts; `decode` is given rows without special ids."""

    pieces: dict[str, int]
    named: dict[str, int]  # those of ROLES that it has -> id
    decode: Callable[[Rows], list[str]]
    normal: Callable[[str], str]  # its own normalisation
    byte_level: bool

    @cached_property
    def single_bytes(self) -> frozenset[int]:
        """Ids of <0x00> to <0xFF>; empty where the tokenizer does not fall back to bytes."""
        found = frozenset(number for piece, number in self.pieces.items() if BYTE.fullmatch(piece))
        return found if len(found) == 256 else frozenset()

    def find_partial(self, ids: set[int]) -> set[int]:
        """Those of `ids` that are a byte, or in byte-level BPE a piece that is no whole character."""
        if not self.byte_level:
            return ids & self.single_bytes
        listed = sorted(ids)
        return {
            number
            for number, text in zip(listed, self.decode([[number] for number in listed]), strict=True)
            if "\ufffd" in text
        }


def read_vocabulary(encoder: Any) -> TokenizerVocabulary:
    """What the encoder reads with.

    Raises DataError where its tokenizer cannot be found.
    """
    tokenizer = find_tokenizer(encoder)
    backend = getattr(tokenizer, "backend_tokenizer", None) if hasattr(tokenizer, "all_special_ids") else tokenizer
    if hasattr(tokenizer, "all_special_ids"):
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
    """The tokenizer of `tokenizers` or `transformers` that an encoder reads with: its attribute, else what its `tokenize` holds."""
    found = getattr(encoder, "tokenizer", None) or next(find_captured_tokenizers(getattr(encoder, "tokenize", None)), None)
    if found is None:
        raise DataError(
            f"The encoder {type(encoder).__name__} does not show its tokenizer: give it an attribute 'tokenizer'."
        )
    return found


def find_captured_tokenizers(function: object) -> Iterator[Any]:
    """Tokenizers among the variables a function was made with, and those of the functions among them."""
    cells = (getattr(function, "__closure__", None) or ()) if isinstance(function, FunctionType) else ()
    for cell in cells:
        content = cell.cell_contents
        if hasattr(content, "get_vocab"):
            yield content
        else:
            yield from find_captured_tokenizers(content)


def get_embedding_matrix(encoder: Any) -> Float[Tensor, "piece width"] | None:
    """The encoder's embedding matrix: the largest of its embeddings; None where it has none."""
    tables = [module.weight for module in encoder.modules() if isinstance(module, nn.Embedding)]
    return max(tables, key=lambda table: table.numel()).detach() if tables else None


def measure_twins(vocabulary: TokenizerVocabulary, table: Float[Tensor, "piece width"]) -> float | None:
    """How well the embedding matrix knows that two pieces are one word (cat and Cat, dog and dogs): in [0, 1].

    The share of such pairs whose vectors are nearer than those of a pair put together at random. A trained table gives nearly 1,
    the table of another vocabulary, one in another order, or one never trained 0.5. None with fewer than FEWEST_TWINS pairs.
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
