"""Tokenization in batches of similar length; texts that a model cannot read whole are counted, not truncated."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from polyclip.translation.engine import deduplicate
from polyclip.translation.engines._direction import Direction

EMPTY = "empty text"
LONG = "text longer than the model reads"
SPECIAL = "text with one of the model's special tokens"
CUT = "translation cut at max_tokens"
BLANK = "empty translation"
BROKEN = "translation with an unknown or special token"


@dataclass(frozen=True)
class TokenBatch:
    """Token ids of one call; `places` says which text each row is."""

    places: list[int]
    rows: list[list[int]]


class DirectedTokenizer:
    """A tokenizer with a direction of translation.

    Args:
        tokenizer: A tokenizer of transformers.
        direction: From which language into which.
        limit: The most tokens of a row that the model reads.

    """

    def __init__(self, tokenizer: Any, direction: Direction, limit: int) -> None:
        self.tokenizer = tokenizer
        self.start = f"{direction.prefix} " if direction.prefix else ""
        self.limit = limit
        languages = getattr(tokenizer, "lang_token_to_id", {})  # M2M-100's are not among the special tokens
        told = {tokenizer.convert_tokens_to_ids(token) for token in direction.tokens}
        self.special = {*tokenizer.all_special_ids, *languages.values(), *told} - {tokenizer.unk_token_id}
        self.forced = tokenizer.convert_tokens_to_ids(direction.forced) if direction.forced else None
        self.frame = self.count_special(self.tokenize("a"))

    def tokenize(self, text: str) -> list[int]:
        """Token ids of a text, with language and end tokens; runs of spaces become one space."""
        found: list[int] = self.tokenizer(self.start + " ".join(text.split()), truncation=False)["input_ids"]
        return found

    def count_special(self, row: Sequence[int]) -> int:
        """Count the special tokens of a row."""
        return sum(token in self.special for token in row)

    def find_flaw(self, text: str, row: Sequence[int]) -> str:
        """The reason why a text cannot be translated; empty where it can."""
        if not text.strip():
            return EMPTY
        if len(row) > self.limit:
            return LONG
        return SPECIAL if self.count_special(row) != self.frame else ""

    def make_batches(self, texts: Sequence[str], size: int, refused: Counter[str]) -> Iterator[TokenBatch]:
        """Make batches, longest first: they need little padding, and memory runs out at once or never.

        Args:
            texts: The texts.
            size: Texts a batch.
            refused: Counts the texts that are left out, by reason.

        Yields:
            The batches.

        """
        rows = [self.tokenize(text) for text in texts]
        flaws = [self.find_flaw(text, row) for text, row in zip(texts, rows, strict=True)]
        refused.update(flaw for flaw in flaws if flaw)
        order = sorted((place for place, flaw in enumerate(flaws) if not flaw), key=lambda place: -len(rows[place]))
        for first in range(0, len(order), size):
            places = order[first : first + size]
            yield TokenBatch(places, [rows[place] for place in places])

    def decode_candidates(self, rows: Sequence[Sequence[int]], refused: Counter[str]) -> list[str]:
        """Decode the complete candidates, each once.

        Args:
            rows: Token ids of each candidate, with the forced token first if there is one.
            refused: Counts the candidates that are left out, by reason.

        Returns:
            Texts.

        """
        ends = [row.index(self.tokenizer.eos_token_id) if self.tokenizer.eos_token_id in row else None for row in rows]
        whole = [row[self.forced is not None : end] for row, end in zip(rows, ends, strict=True) if end is not None]
        decoded = [
            self.tokenizer.decode(row, clean_up_tokenization_spaces=False)
            for row in whole
            if not self.count_special(row)
        ]
        texts = [text for text in decoded if self.tokenizer.unk_token not in text]
        refused.update(
            {
                CUT: len(rows) - len(whole),
                BROKEN: len(whole) - len(texts),
                BLANK: sum(not text.strip() for text in texts),
            }
        )
        return deduplicate(texts)
