"""A text encoder that is built and probed: its properties that do not depend on a language, and checks of them."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from polyclip.evaluation.tokenizer.findings import Finding, Frame, TokenStats
from polyclip.evaluation.tokenizer.vocabulary import (
    TokenizerVocabulary,
    get_embedding_matrix,
    measure_twins,
    read_vocabulary,
)
from polyclip.evaluation.tokenizer.wire import PROBES, can_encode, check_frame, probe_frame
from polyclip.models.backbone import BackboneSpec

UNKNOWN_CONTROL = 0.2  # share of English pieces; multilingual tokenizers have none
LOST_CONTROL = 0.5  # share of English captions that come back as other text; e5-small has 0
TWINS = 0.75  # e5-small has .9996, the table of another vocabulary .5
E5 = re.compile(r"(?<![a-z0-9])e5(?![a-z0-9])")


@dataclass(frozen=True)
class ProbedEncoder:
    """A text encoder with its vocabulary, frame and embedding matrix."""

    tower: BackboneSpec
    encoder: Any
    vocabulary: TokenizerVocabulary
    frame: Frame
    table: int | None  # rows of the embedding matrix
    twins: float | None  # see `vocabulary.measure_twins`


def probe_encoder(tower: BackboneSpec) -> ProbedEncoder:
    """Build and probe a text encoder.

    Args:
        tower: The text encoder.

    Returns:
        The encoder with its vocabulary and frame.

    Raises:
        DataError: The encoder does not expose its tokenizer.

    """
    encoder = tower.build()
    vocabulary, table = read_vocabulary(encoder), get_embedding_matrix(encoder)
    alike = None if table is None else measure_twins(vocabulary, table)
    return ProbedEncoder(
        tower, encoder, vocabulary, probe_frame(encoder, vocabulary), None if table is None else len(table), alike
    )


def check_fit(probed: ProbedEncoder, tokens: Mapping[str, TokenStats], control: TokenStats | None) -> list[Finding]:
    """Check that tokenizer, embedding matrix and configuration fit together.

    Args:
        probed: The probed encoder.
        tokens: Token statistics by language.
        control: Token statistics of a language that every encoder should read: English.

    Returns:
        The defects and weaknesses found.

    """
    found = check_frame(probed.encoder, probed.vocabulary, probed.frame, probed.table)
    if probed.twins is not None and probed.twins < TWINS:
        text = (
            f"Pieces of one word (cat, Cat, cats) are not alike in its embedding matrix ({probed.twins:.2f}, "
            "expected nearly 1): "
        )
        found.append(
            Finding(
                "wrong-tokenizer",
                True,
                text + "the tokenizer numbers pieces otherwise than the model learned them, or it was never trained.",
            )
        )
    if control is not None:
        found += check_english(control)
    highest = max(part.highest_id for part in tokens.values())
    if probed.table is not None and highest >= probed.table:
        text = (
            f"Captions get ids up to {highest:,}, the embedding matrix has {probed.table:,} rows: this is another "
            "model's tokenizer."
        )
        found.append(Finding("out-of-range", True, text))
    elif not can_encode(probed.encoder, PROBES[1]):
        found.append(
            Finding(
                "does-not-run",
                True,
                f"The model fails even on {PROBES[1]!r}: its configuration does not fit its weights.",
            )
        )
    before = probed.frame.start_text.replace(" ", "")
    if E5.search(probed.tower.name.lower()) and "query:" not in before and "passage:" not in before:
        found.append(
            Finding(
                "no-prefix",
                False,
                'E5 encoders were trained with "query: " before every text: add ",prefix=query: " to the name.',
            )
        )
    return found


def check_english(control: TokenStats) -> list[Finding]:
    """Check that the tokenizer reads English; if not, the model was trained with another one."""
    found = []
    if control.unknown_tokens > UNKNOWN_CONTROL:
        text = (
            f"Even in English {100 * control.unknown_tokens:.0f} % of the pieces are unknown: this is not the "
            "tokenizer the model was trained with."
        )
        found.append(Finding("wrong-tokenizer", True, text))
    if control.lost_captions > LOST_CONTROL:
        text = (
            f"Even in English {100 * control.lost_captions:.0f} % of the captions come back from their ids as "
            "other text: these are another vocabulary's."
        )
        found.append(Finding("wrong-tokenizer", True, text))
    return found
