"""Token statistics of captions: fertility, unknown pieces, bytes, truncation, and characters that are lost."""

import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any

from polyclip.data.types import Row
from polyclip.evaluation.tokenizer.findings import Frame, LostCharacter, TokenStats
from polyclip.evaluation.tokenizer.vocabulary import Rows, TokenizerVocabulary
from polyclip.evaluation.tokenizer.wire import strip_filler, strip_frame, tokenize

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
    encoder: Any,
    vocabulary: TokenizerVocabulary,
    frame: Frame,
    rows: Sequence[Row],
    script: str,
    meter: Callable[[int], None],
) -> tuple[TokenStats, Lengths]:
    """Measure the tokens of every caption.

    Args:
        encoder: The text encoder, built.
        vocabulary: Its vocabulary.
        frame: What it adds around captions.
        rows: Rows of one language.
        script: Script of the language, ISO 15924.
        meter: Called with the number of captions done, for the progress bar.

    Returns:
        Token statistics, with `relative` still None, and the number of tokens of each concept's name.

    """
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
    """Tokens of one language's names divided by those of another's, over the concepts that both name.

    "Tokenization parity" of Petrov et al. 2023, arXiv 2305.15425, over all names at once.

    Args:
        own: Tokens of each concept's name.
        other: The same in the other language.

    Returns:
        The ratio; None where no concept is named in both.

    """
    common = own.keys() & other.keys()
    return (
        sum(own[concept] for concept in common) / max(1, sum(other[concept] for concept in common)) if common else None
    )


def measure_unknown(vocabulary: TokenizerVocabulary, bodies: Rows, total: int) -> dict[str, Any]:
    """Measure the shares of unknown pieces and of bytes."""
    unknown = vocabulary.named.get("unk", -1)
    count = sum(ids.count(unknown) for ids in bodies)
    broken = vocabulary.find_partial({number for ids in bodies for number in ids})
    has_bytes = vocabulary.byte_level or bool(vocabulary.single_bytes)
    return {
        "unknown_tokens": count / total,
        "unknown_captions": compute_share([unknown in ids for ids in bodies]),
        "byte_tokens": sum(number in broken for ids in bodies for number in ids) / total if has_bytes else None,
    }


def measure_losses(
    vocabulary: TokenizerVocabulary, texts: Sequence[str], bodies: Rows, full: Sequence[bool]
) -> dict[str, Any]:
    """Measure what is lost when captions are tokenized and decoded; truncated captions are counted apart.

    Args:
        vocabulary: The vocabulary.
        texts: The captions.
        bodies: Token ids of each caption, without the frame.
        full: Whether each row has the maximum length.

    Returns:
        Fields of TokenStats.

    """
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
    """Fraction of values that are True, in [0, 1]."""
    return sum(found) / len(found)


def decode_back(vocabulary: TokenizerVocabulary, texts: Sequence[str], bodies: Rows) -> list[tuple[str, str]]:
    """Return each caption after the tokenizer's own normalization, and decoded from its tokens, both without spaces."""
    unknown = vocabulary.named.get("unk", -1)
    said = vocabulary.decode([[number for number in ids if number != unknown] for ids in bodies])
    return [
        (strip_spaces(vocabulary.normal(text)), strip_spaces(vocabulary.normal(back)))
        for text, back in zip(texts, said, strict=True)
    ]


def strip_spaces(text: str) -> str:
    """Compose characters (NFC), and remove spaces and the sign for a space in pieces."""
    return "".join(unicodedata.normalize("NFC", text).replace("\u2581", " ").split())


def find_lost_characters(found: Sequence[tuple[str, str, str]]) -> list[LostCharacter]:
    """Find the characters that are lost, most frequent first, from (caption, text before, text after)."""
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
