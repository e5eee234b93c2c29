"""What the tokenizer makes of captions: fertility, unknown pieces, bytes, truncation, and characters that do not come back."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from polyclip.data.types import Row
from polyclip.evaluation.tokenizer.findings import Frame, Lost, Tokens
from polyclip.evaluation.tokenizer.vocabulary import Rows, Vocabulary
from polyclip.evaluation.tokenizer.wire import body, rows_of, unfilled

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


def tokens_of(
    encoder: Any, vocabulary: Vocabulary, frame: Frame, rows: Sequence[Row], script: str, meter: Callable[[int], None]
) -> tuple[Tokens, Lengths]:
    """Figures over every caption of `rows`, and how many tokens each concept's name has; `relative` is filled in by `relative_to`."""
    texts = [caption for row in rows for caption in row.captions]
    fed = [unfilled(row, frame.pad if frame.side == "none" else None) for row in rows_of(encoder, texts, meter)]
    bodies = [body(row, frame) for row in fed]
    total = max(1, sum(map(len, bodies)))
    words = sum(len(text.split()) for text in texts)
    characters = sum(len("".join(text.split())) for text in texts)
    unspaced = script in UNSPACED
    tokens = Tokens(
        captions=len(texts),
        words=words,
        characters=characters,
        tokens=total,
        fertility=total / (characters if unspaced else words),
        unit="character" if unspaced else "word",
        relative=None,
        longest=max(map(len, fed)),
        highest_id=max(max(row, default=0) for row in fed),
        **not_known(vocabulary, bodies, total),
        **not_returned(vocabulary, texts, bodies, [len(row) == frame.limit for row in fed]),
    )
    starts = accumulate((len(row.captions) for row in rows), initial=0)
    return tokens, {row.concept: len(bodies[start]) for row, start in zip(rows, starts, strict=False)}


def relative_to(own: Lengths, other: Lengths) -> float | None:
    """Tokens of one language's names over those of another's, for the concepts both name; None where there are none.

    "Tokenization parity" of Petrov et al. 2023, arXiv 2305.15425, over all names at once.
    """
    common = own.keys() & other.keys()
    return (
        sum(own[concept] for concept in common) / max(1, sum(other[concept] for concept in common)) if common else None
    )


def not_known(vocabulary: Vocabulary, bodies: Rows, total: int) -> dict[str, Any]:
    """Shares of unknown pieces and of bytes."""
    unknown = vocabulary.named.get("unk", -1)
    count = sum(ids.count(unknown) for ids in bodies)
    broken = vocabulary.broken({number for ids in bodies for number in ids})
    has_bytes = vocabulary.byte_level or bool(vocabulary.single_bytes)
    return {
        "unknown_tokens": count / total,
        "unknown_captions": share([unknown in ids for ids in bodies]),
        "byte_tokens": sum(number in broken for ids in bodies for number in ids) / total if has_bytes else None,
    }


def not_returned(vocabulary: Vocabulary, texts: Sequence[str], bodies: Rows, full: Sequence[bool]) -> dict[str, Any]:
    """Captions and characters that do not come back from tokens, those of captions that were cut apart. `full`: a row has no room left."""
    back = came_back(vocabulary, texts, bodies)
    cut = [was != now and at_limit for (was, now), at_limit in zip(back, full, strict=True)]
    uncut = [(text, *pair) for text, pair, gone in zip(texts, back, cut, strict=True) if not gone]
    normal = [(text, plain(text), plain(vocabulary.normal(text))) for text in texts]
    return {
        "truncated": share(cut),
        "lost_captions": sum(was != now for _, was, now in uncut) / len(texts),
        "lost": characters_gone(uncut),
        "rewritten_captions": share([was != now for _, was, now in normal]),
        "rewritten": characters_gone(normal),
    }


def share(found: Sequence[bool]) -> float:
    """Of truths."""
    return sum(found) / len(found)


def came_back(vocabulary: Vocabulary, texts: Sequence[str], bodies: Rows) -> list[tuple[str, str]]:
    """Each caption under the tokenizer's own normalisation, and what its tokens say, both without spaces."""
    unknown = vocabulary.named.get("unk", -1)
    said = vocabulary.decode([[number for number in ids if number != unknown] for ids in bodies])
    return [
        (plain(vocabulary.normal(text)), plain(vocabulary.normal(back))) for text, back in zip(texts, said, strict=True)
    ]


def plain(text: str) -> str:
    """Composed, without spaces and the sign that stands for them in pieces."""
    return "".join(unicodedata.normalize("NFC", text).replace("\u2581", " ").split())


def characters_gone(found: Sequence[tuple[str, str, str]]) -> list[Lost]:
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
    return [Lost(character, f"U+{ord(character):04X}", count, first[character]) for character, count in top]
