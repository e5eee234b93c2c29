"""Images of an index that are the same one: identical files, and other sizes or qualities of it."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path

from polyclip.data.image_hash import hash_images
from polyclip.data.images import open_image
from polyclip.data.types import ImageSource
from polyclip.errors import PolyclipError
from polyclip.search._format import Entry
from polyclip.search.duplicates import KINDS, DisjointSets, find_same_images

COMPARED = 50_000  # images, at most, that are compared by looks; of more, only identical files are found


def group_alike(root: Path, entries: Sequence[Entry]) -> tuple[list[list[int]], list[str]]:
    """Group the rows of an index that show the same image.

    Args:
        root: Folder of the images.
        entries: The rows; those whose content is not known stand alone.

    Returns:
        Rows of each group of two or more, and a sentence where images could not be compared by looks.

    """
    groups, first = DisjointSets(len(entries)), dict[str, int]()
    for row, entry in enumerate(entries):
        if entry.key:
            groups.join(first.setdefault(entry.key, row), row, KINDS.index("identical"))
    problems: list[str] = []
    if len(entries) <= COMPARED:
        images = [
            ImageSource(str(row), entries[row].key, partial(open_image, root / entries[row].path))
            for row in first.values()
        ]
        try:
            found = hash_images(images, "images by looks")
            rows = [int(image.name) for image in found.images]
            own = DisjointSets(len(rows))
            for one, other in find_same_images(found, own):
                own.join(one, other, KINDS.index("same picture"))
                groups.join(rows[one], rows[other], KINDS.index("same picture"))
        except PolyclipError as error:
            problems.append(f"other sizes of images: they are not folded ({error})")
    return [rows for _, rows in groups.list_groups()], problems
