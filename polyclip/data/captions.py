"""Captions of a corpus as they enter the pipeline."""

from collections.abc import Sequence
from dataclasses import replace

from polyclip.data.types import Row
from polyclip.errors import DataError
from polyclip.languages.normalize import normalise, visible
from polyclip.languages.schema import Language


def normalised(rows: Sequence[Row], language: Language | None) -> list[Row]:
    """Rows as they enter the pipeline, one caption for each.

    Raises DataError for a caption with nothing visible in it, and what `steps_of` raises.
    """
    for row in rows:
        for caption in row.captions:
            if not visible(caption):
                raise DataError(
                    f"A caption of {row.concept!r} in {row.language!r} has nothing to see in it: {ascii(caption)}. Write one, or take it out."
                )
    return [replace(row, captions=tuple(normalise(caption, language) for caption in row.captions)) for row in rows]
