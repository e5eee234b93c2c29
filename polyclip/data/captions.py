"""Normalization of a corpus' captions as they enter the pipeline."""

from collections.abc import Sequence
from dataclasses import replace

from polyclip.data.types import Row
from polyclip.errors import DataError
from polyclip.languages.normalize import is_visible, normalize_text
from polyclip.languages.schema import Language


def normalize_captions(rows: Sequence[Row], language: Language | None) -> list[Row]:
    """Normalize all captions of rows by the pack of their language.

    Args:
        rows: Rows of one language.
        language: Its pack; None applies NFC only.

    Returns:
        The rows with normalized captions.

    Raises:
        DataError: A caption has no visible character.
        UnknownName: The pack names an unknown step.
        PackError: The pack names `moses` without codes.moses.

    """
    for row in rows:
        for caption in row.captions:
            if not is_visible(caption):
                raise DataError(
                    f"Empty caption for {row.concept!r} ({row.language}): it contains only invisible characters, "
                    f"{ascii(caption)}. Fix or remove it."
                )
    return [replace(row, captions=tuple(normalize_text(caption, language) for caption in row.captions)) for row in rows]
