"""What is really fed to the model: rows of ids, special tokens around captions, truncation and padding."""

from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import Any

import torch

from polyclip.evaluation.tokenizer.findings import Finding, Frame
from polyclip.evaluation.tokenizer.vocabulary import Rows, TokenizerVocabulary

PROBES = ("a", "dog", "7", "yes we can", "? !", "Zebra")  # what these have in common is the frame around every caption
LONG = 4096  # words of the longest probe: more than any encoder of captions reads
BATCH = 256  # captions in a call of the tokenizer


def tokenize(encoder: Any, texts: Sequence[str], meter: Callable[[int], None] = lambda _: None) -> Rows:
    """Tokenize captions as the encoder does, and remove the padding."""
    found: Rows = []
    for start in range(0, len(texts), BATCH):
        batch = texts[start : start + BATCH]
        inputs = encoder.prepare(batch)
        masks = inputs["attention_mask"].bool()
        found += [ids[mask].tolist() for ids, mask in zip(inputs["input_ids"], masks, strict=True)]
        meter(len(batch))
    return found


def probe_frame(encoder: Any, vocabulary: TokenizerVocabulary) -> Frame:
    """Probe what the encoder adds around captions: with short texts, a very long one, and both in a batch."""
    filler = probe_filler(encoder, vocabulary)
    rows = [strip_filler(row, filler) for row in tokenize(encoder, PROBES)]
    unknown = vocabulary.named.get("unk")
    start = find_common_prefix(rows, unknown)
    end = find_common_prefix([row[len(start) :][::-1] for row in rows], unknown)[::-1]
    longest = len(tokenize(encoder, [make_long_text()])[0])
    pad, side = probe_padding(encoder)
    start_text, end_text = vocabulary.decode([start, end])
    return Frame(
        start=tuple(start),
        end=tuple(end),
        start_text=start_text,
        end_text=end_text,
        limit=longest if longest < LONG else None,
        pad=filler if pad is None else pad,
        side=side,
    )


def make_long_text() -> str:
    """Return a text of LONG words."""
    return " ".join(["dog"] * LONG)


def find_common_prefix(rows: Rows, unknown: int | None) -> list[int]:
    """Find the ids that all rows begin with; an unknown piece ends it."""
    alike = takewhile(lambda ids: len(set(ids)) == 1 and ids[0] != unknown, zip(*rows, strict=False))
    return [ids[0] for ids in alike]


def probe_padding(encoder: Any) -> tuple[int | None, str]:
    """Return the id that pads the shorter of two captions, and on which side."""
    inputs = encoder.prepare(["a", "yes we can go"])
    mask = inputs["attention_mask"][0].bool()
    if mask.all():
        return None, "none"
    return int(inputs["input_ids"][0][~mask][0]), "right" if bool(mask[0]) else "left"


def probe_filler(encoder: Any, vocabulary: TokenizerVocabulary) -> int | None:
    """Return the pad id of an encoder that attends to its own padding (SigLIP); None for any other."""
    pad = vocabulary.named.get("pad")
    short, longer = tokenize(encoder, PROBES[:1])[0], tokenize(encoder, ["yes we can go"])[0]
    return pad if len(short) == len(longer) and short[-2:] == [pad, pad] else None


def strip_filler(row: list[int], filler: int | None) -> list[int]:
    """Remove trailing pad ids, where these are read as text."""
    while filler is not None and row and row[-1] == filler:
        row = row[:-1]
    return row


def strip_frame(row: list[int], frame: Frame) -> list[int]:
    """Remove what the encoder adds around the caption, from a row without padding."""
    ends = bool(frame.end) and tuple(row[-len(frame.end) :]) == frame.end
    return row[len(frame.start) : len(row) - len(frame.end) if ends else len(row)]


def check_frame(encoder: Any, vocabulary: TokenizerVocabulary, frame: Frame, table: int | None) -> list[Finding]:
    """Check truncation, special tokens and special ids."""
    return [
        *check_truncation(encoder, frame),
        *check_special_tokens(encoder, vocabulary, frame),
        *check_special_ids(vocabulary, frame, table),
    ]


def check_truncation(encoder: Any, frame: Frame) -> list[Finding]:
    """Check that special tokens survive truncation, and that the model can read its longest row."""
    row = tokenize(encoder, [make_long_text()])[0]
    found = []
    if frame.end and tuple(row[-len(frame.end) :]) != frame.end:
        text = (
            f"Captions of more than {len(row)} tokens lose their end, {frame.end_text}: the tokenizer must cut "
            "first and add it then."
        )
        found.append(Finding("lost-specials", True, text))
    if tuple(row[: len(frame.start)]) != frame.start:
        found.append(
            Finding(
                "lost-specials",
                True,
                f"Captions of more than {len(row)} tokens lose what stands before them, {frame.start_text}.",
            )
        )
    if can_encode(encoder, PROBES[1]) and not can_encode(encoder, make_long_text()):
        length = (
            f"{len(row):,} tokens, its longest row"
            if frame.limit
            else f"{len(row):,} tokens, and its tokenizer cuts nothing"
        )
        found.append(
            Finding("too-long", True, f"The model fails on {length}: set model_max_length to the positions it has.")
        )
    return found


def can_encode(encoder: Any, text: str) -> bool:
    """Whether the encoder can encode the text: a position or an id beyond its embeddings is an error of torch."""
    try:
        with torch.inference_mode():
            encoder(**encoder.prepare([text]))
    except (IndexError, RuntimeError):
        return False
    return True


def check_special_tokens(encoder: Any, vocabulary: TokenizerVocabulary, frame: Frame) -> list[Finding]:
    """Check that an encoder of BERT's kind gets the special tokens that it was trained with."""
    from polyclip.models.trunk.text import Bert

    found = []
    pairs = (("first", frame.start, ("cls", "bos")), ("last", frame.end, ("sep", "eos")))
    for place, around, roles in pairs:
        known = {vocabulary.named[role] for role in roles if role in vocabulary.named}
        if known and not known & set(around) and isinstance(encoder.trunk, Bert):
            text = f"Its tokenizer adds no {place} token, although the model was trained with one."
            found.append(Finding("lost-specials", True, text))
    return found


def check_special_ids(vocabulary: TokenizerVocabulary, frame: Frame, table: int | None) -> list[Finding]:
    """Check that the special ids and the padding are sound."""
    named, found = vocabulary.named, []
    for role, number in named.items():
        if table is not None and not 0 <= number < table:
            found.append(
                Finding(
                    "out-of-range",
                    True,
                    f"The {role} id {number} is beyond the encoder's embedding matrix of {table:,} rows.",
                )
            )
    if frame.side == "left":
        text = "Rows are padded on the left: polyclip pools and truncates rows that are padded on the right."
        found.append(Finding("left-padding", False, text))
    if frame.pad is not None and frame.pad != named.get("pad", frame.pad):
        text = f"Rows are padded with id {frame.pad}, the tokenizer's pad id is {named['pad']}."
        found.append(Finding("other-pad", False, text))
    unknown = named.get("unk")
    if (
        unknown is not None
        and not vocabulary.byte_level
        and unknown in {number for role, number in named.items() if role != "unk"}
    ):
        found.append(Finding("shared-unknown", False, f"Unknown pieces share id {unknown} with another special token."))
    return found
