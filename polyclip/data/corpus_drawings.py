"""Drawings of a corpus, made by other processes before the check for leakage asks for them."""

from polyclip.data.drawings import draw_ahead
from polyclip.data.image_hash import list_unhashed
from polyclip.data.joined import list_parts
from polyclip.data.opened import OpenedCorpus
from polyclip.data.reader import DrawingReader


def draw_unhashed(corpus: OpenedCorpus) -> None:
    """Let other processes draw, while this one imports libraries and builds encoders, what will be hashed.

    Test images come first, as they do in a run.

    Args:
        corpus: One corpus, or several as one; those without drawings are not read.

    Raises:
        PolyclipError: The corpus or the cache of image hashes cannot be read.

    """
    for part in list_parts(corpus):
        if isinstance(part.reader, DrawingReader):
            tested = part.reader.split_concepts(part.folder, "test")
            found = part.reader.drawings(part.folder)
            draw_ahead(list_unhashed([found[one] for one in sorted(found, key=lambda one: one not in tested)]))
