"""Texts as rows of token ids, in batches of similar length; what a model cannot read whole is counted, not cut."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from polyclip.translation.engine import distinct
from polyclip.translation.engines._direction import Direction

EMPTY = "empty text"
LONG = "text longer than the model reads"
SPECIAL = "text with one of the model's special tokens"
CUT = "translation cut at max_tokens"
BLANK = "empty translation"
BROKEN = "translation with an unknown or special token"


@dataclass(frozen=True)
class Batch:
    """Rows of one call; `places` says which text each is."""

    places: list[int]
    rows: list[list[int]]


class Reading:
    """A tokenizer that was told the direction. `limit` is the longest row the model reads, in tokens."""

    def __init__(self, tokenizer: Any, direction: Direction, limit: int) -> None:
        self.tokenizer = tokenizer
        self.start = f"{direction.prefix} " if direction.prefix else ""
        self.limit = limit
        languages = getattr(tokenizer, "lang_token_to_id", {})  # M2M-100's are not among the special tokens
        told = {tokenizer.convert_tokens_to_ids(token) for token in direction.tokens}
        self.special = {*tokenizer.all_special_ids, *languages.values(), *told} - {tokenizer.unk_token_id}
        self.forced = tokenizer.convert_tokens_to_ids(direction.forced) if direction.forced else None
        self.frame = self.specials(self.ids("a"))

    def ids(self, text: str) -> list[int]:
        """Token ids with language and end tokens; runs of spaces are one space."""
        found: list[int] = self.tokenizer(self.start + " ".join(text.split()), truncation=False)["input_ids"]
        return found

    def specials(self, row: Sequence[int]) -> int:
        """How many tokens of a row are not text."""
        return sum(token in self.special for token in row)

    def flaw(self, text: str, row: Sequence[int]) -> str:
        """Why a text cannot be translated; empty where it can."""
        if not text.strip():
            return EMPTY
        if len(row) > self.limit:
            return LONG
        return SPECIAL if self.specials(row) != self.frame else ""

    def batches(self, texts: Sequence[str], size: int, refused: Counter[str]) -> Iterator[Batch]:
        """Longest first, so that a batch needs little padding and memory runs out at once or never."""
        rows = [self.ids(text) for text in texts]
        flaws = [self.flaw(text, row) for text, row in zip(texts, rows, strict=True)]
        refused.update(flaw for flaw in flaws if flaw)
        order = sorted((place for place, flaw in enumerate(flaws) if not flaw), key=lambda place: -len(rows[place]))
        for first in range(0, len(order), size):
            places = order[first : first + size]
            yield Batch(places, [rows[place] for place in places])

    def translations(self, rows: Sequence[Sequence[int]], refused: Counter[str]) -> list[str]:
        """Texts of the candidates that are whole, each once. Rows begin with the forced token, if there is one."""
        ends = [row.index(self.tokenizer.eos_token_id) if self.tokenizer.eos_token_id in row else None for row in rows]
        whole = [row[self.forced is not None : end] for row, end in zip(rows, ends, strict=True) if end is not None]
        decoded = [
            self.tokenizer.decode(row, clean_up_tokenization_spaces=False) for row in whole if not self.specials(row)
        ]
        texts = [text for text in decoded if self.tokenizer.unk_token not in text]
        refused.update(
            {
                CUT: len(rows) - len(whole),
                BROKEN: len(whole) - len(texts),
                BLANK: sum(not text.strip() for text in texts),
            }
        )
        return distinct(texts)
