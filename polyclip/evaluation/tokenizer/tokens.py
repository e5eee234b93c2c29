"""What the tokenizer makes of captions: fertility, unknown pieces, bytes, truncation, and characters that do not come back."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from polyclip.data.types import Row
from polyclip.evaluation.tokenizer.findings import Frame, LostCharacter, TokenStats
from polyclip.evaluation.tokenizer.vocabulary import Rows, TokenizerVocabulary
from polyclip.evaluation.tokenizer.wire import strip_frame, tokenize, strip_filler

UNSPACED = {
    "Hans",
    "Hant",
    "Hani",
    "Jpan",
    "Thai",
    "Laoo",
    "Khmr",
    "Mymr",
    "Tibt",
}  # scripts that write no spaces between words
SHOWN = 5  # lost characters
Lengths = dict[str, int]  # concept -> tokens of its name


def measure_tokens(
    encoder: Any, vocabulary: TokenizerVocabulary, frame: Frame, rows: Sequence[Row], script: str, meter: Callable[[int], None]
) -> tuple[TokenStats, Lengths]:
    """Figures over every caption of `rows`, and how many tokens each concept's name has; `relative` is filled in by `compute_parity`."""
    texts = [caption for row in rows for caption in row.captions]
    fed = [strip_filler(row, frame.pad if frame.side == "none" else None) for row in tokenize(encoder, texts, meter)]
    bodies = [strip_frame(row, frame) for row in fed]
    total = max(1, sum(map(len, bodies)))
    words = sum(len(text.split()) for text in texts)
    characters = sum(len("".join(text.split())) for text in texts)
    unspaced = script in UNSPACED
    tokens = TokenStats(
        captions=len(texts),
        words=words,
        characters=characters,
        tokens=total,
        fertility=total / (characters if unspaced else words),
        unit="character" if unspaced else "word",
        relative=None,
        longest=max(map(len, fed)),
        highest_id=max(max(row, default=0) for row in fed),
        **measure_unknown(vocabulary, bodies, total),
        **measure_losses(vocabulary, texts, bodies, [len(row) == frame.limit for row in fed]),
    )
    starts = accumulate((len(row.captions) for row in rows), initial=0)
    return tokens, {row.concept: len(bodies[start]) for row, start in zip(rows, starts, strict=False)}


def compute_parity(own: Lengths, other: Lengths) -> float | None:
    """Tokens of one language's names over those of another's, for the concepts both name; None where there are none.

    "Tokenization parity" of Petrov et al. 2023, arXiv 2305.15425, over all names at once.
    """
    common = own.keys() & other.keys()
    return (
        sum(own[concept] for concept in common) / max(1, sum(other[concept] for concept in common)) if common else None
    )


def measure_unknown(vocabulary: TokenizerVocabulary, bodies: Rows, total: int) -> dict[str, Any]:
    """Shares of unknown pieces and of bytes."""
    unknown = vocabulary.named.get("unk", -1)
    count = sum(ids.count(unknown) for ids in bodies)
    broken = vocabulary.find_partial({number for ids in bodies for number in ids})
    has_bytes = vocabulary.byte_level or bool(vocabulary.single_bytes)
    return {
        "unknown_tokens": count / total,
        "unknown_captions": compute_share([unknown in ids for ids in bodies]),
        "byte_tokens": sum(number in broken for ids in bodies for number in ids) / total if has_bytes else None,
    }


def measure_losses(vocabulary: TokenizerVocabulary, texts: Sequence[str], bodies: Rows, full: Sequence[bool]) -> dict[str, Any]:
    """Captions and characters that do not come back from tokens, those of captions that were cut apart. `full`: a row has no room left."""
    back = decode_back(vocabulary, texts, bodies)
    cut = [was != now and at_limit for (was, now), at_limit in zip(back, full, strict=True)]
    uncut = [(text, *pair) for text, pair, gone in zip(texts, back, cut, strict=True) if not gone]
    normal = [(text, strip_spaces(text), strip_spaces(vocabulary.normal(text))) for text in texts]
    return {
        "truncated": compute_share(cut),
        "lost_captions": sum(was != now for _, was, now in uncut) / len(texts),
        "lost": find_lost_characters(uncut),
        "rewritten_captions": compute_share([was != now for _, was, now in normal]),
        "rewritten": find_lost_characters(normal),
    }


def compute_share(found: Sequence[bool]) -> float:
    """Of truths."""
    return sum(found) / len(found)


def decode_back(vocabulary: TokenizerVocabulary, texts: Sequence[str], bodies: Rows) -> list[tuple[str, str]]:
    """Each caption under the tokenizer's own normalisation, and what its tokens say, both without spaces."""
    unknown = vocabulary.named.get("unk", -1)
    said = vocabulary.decode([[number for number in ids if number != unknown] for ids in bodies])
    return [
        (strip_spaces(vocabulary.normal(text)), strip_spaces(vocabulary.normal(back))) for text, back in zip(texts, said, strict=True)
    ]


def strip_spaces(text: str) -> str:
    """Composed, without spaces and the sign that stands for them in pieces."""
    return "".join(unicodedata.normalize("NFC", text).replace("\u2581", " ").split())


def find_lost_characters(found: Sequence[tuple[str, str, str]]) -> list[LostCharacter]:
    """Of (caption, what was, what is): the characters that were and are not, most frequent first."""
    times: Counter[str] = Counter()
    first: dict[str, str] = {}
    for text, was, now in found:
        if was != now:
            gone = Counter(was) - Counter(now)
            times += gone
            for character in gone:
                first.setdefault(character, text)
    top = sorted(times.items(), key=lambda pair: (-pair[1], pair[0]))[:SHOWN]
    return [LostCharacter(character, f"U+{ord(character):04X}", count, first[character]) for character, count in top]
