"""Token ids of one text from the pieces that can occur in it, so that 250,000 others need not be read.

A piece of a unigram vocabulary can only be chosen where it is a substring of the text. The tokenizer is that of the
library `tokenizers`, with these pieces alone; the segmentation is that of the whole vocabulary.
"""

from bisect import bisect_left
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

from polyclip.core.storage import get_cache_folder, write_atomically
from polyclip.models.e5_file import FILE_SHA256, find_pieces, find_source, make_tokenizer, read_pieces

SPECIAL = 4  # pieces, at the beginning of the vocabulary


def get_pieces_path() -> Path:
    """File of the sorted vocabulary in the cache."""
    return get_cache_folder() / "weights" / f"e5-small-pieces-{FILE_SHA256[:12]}.safetensors"


def write_pieces() -> Path:
    """Write the vocabulary sorted by its bytes, unless it is there.

    Returns:
        The file: `text` (all pieces), `ends`, `ids` and `scores`, in order.

    Raises:
        WeightsError: The package of the weights is missing.
        PolyclipError: The disk is full.

    """
    path = get_pieces_path()
    if not path.exists():
        source = find_source()
        data = source.read_bytes()
        found, _ = read_pieces(data, find_pieces(data, source))
        order = sorted(range(len(found)), key=lambda number: found[number][0].encode())
        words = [found[number][0].encode() for number in order]
        tensors: dict[str, Any] = {
            "text": np.frombuffer(b"".join(words), np.uint8),
            "ends": np.cumsum([len(word) for word in words]).astype(np.int64),
            "ids": np.array(order, np.int64),
            "scores": np.array([found[number][1] for number in order], np.float64),
        }
        with write_atomically(path, what="a sorted vocabulary") as temporary:
            save_file(tensors, temporary)
    return path


class Pieces:
    """The sorted vocabulary, looked up by binary search."""

    def __init__(self, path: Path) -> None:
        tensors = load_file(path)
        self.text, self.ends = tensors["text"].tobytes(), tensors["ends"]
        self.ids, self.scores = tensors["ids"], tensors["scores"]

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, place: int) -> bytes:
        """The piece at a place of the order."""
        return self.text[int(self.ends[place - 1]) if place else 0 : int(self.ends[place])]

    @cached_property
    def longest(self) -> int:
        """Bytes of the longest piece."""
        return int(np.diff(self.ends, prepend=0).max())

    @cached_property
    def special(self) -> list[int]:
        """Places of the special pieces, in order of their ids."""
        return [int(np.flatnonzero(self.ids == number)[0]) for number in range(SPECIAL)]

    def get(self, place: int) -> tuple[str, float]:
        """A piece and its log probability."""
        return self[place].decode(), float(self.scores[place])

    def find_within(self, words: list[str]) -> list[int]:
        """Places of all pieces that are substrings of one of some words, and of the least likely piece.

        The least likely one decides what an unknown character costs.
        """
        places = {int(self.scores.argmin())}
        for word in words:
            for start in range(len(word)):
                for end in range(start + 1, len(word) + 1):
                    wanted = word[start:end].encode()
                    if len(wanted) > self.longest:
                        break
                    place = bisect_left(self, wanted)
                    if place < len(self) and self[place] == wanted:
                        places.add(place)
                    elif place == len(self) or not self[place].startswith(wanted):
                        break  # nothing that is longer begins with it
        return sorted(places, key=lambda place: int(self.ids[place]))


def tokenize(text: str, pieces: Pieces) -> list[int]:
    """Token ids of a text, as XLM-R's whole tokenizer gives them.

    Args:
        text: With the encoder's prefix.
        pieces: The vocabulary.

    Returns:
        Ids with the special tokens at both ends.

    """
    special = [pieces.get(place) for place in pieces.special]
    plain = make_tokenizer(special)
    words = [word for word, _ in plain.pre_tokenizer.pre_tokenize_str(plain.normalizer.normalize_str(text))]
    places = [place for place in pieces.find_within(words) if pieces.ids[place] >= SPECIAL]
    ids = [int(pieces.ids[place]) for place in (*pieces.special, *places)]
    found = make_tokenizer([*special, *map(pieces.get, places)]).encode(text)
    return [ids[number] for number in found.ids]
