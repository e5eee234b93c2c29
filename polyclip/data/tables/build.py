"""A table and a folder of images, put together: the lines of captions.jsonl, what was understood, and what is wrong."""

import itertools
import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from polyclip.core.storage import hash_file
from polyclip.data.caption_checks import Suspicion, check_captions
from polyclip.data.splits import SPLITS, assign_split
from polyclip.data.tables.columns import NOT_CAPTION, Columns, explain_formulas
from polyclip.data.tables.find_files import HOW, ImageFolder
from polyclip.data.tables.table import Table
from polyclip.errors import DataError
from polyclip.languages.normalize import is_visible

SPLIT_NAMES = {
    **{name: "train" for name in ("train", "training", "restval")},
    **{name: "validation" for name in ("validation", "valid", "val", "dev", "development")},
    **{name: "test" for name in ("test", "testing")},
}
Caption = tuple[str, str, str]  # language, image, text


@dataclass(slots=True, kw_only=True)
class Draft:
    """A corpus before it is written.

    Attributes:
        source: The table or folder it was made of.
        images: The folder of the images.
        about: What the source was understood as.
        columns: Name, use and example of each column.
        rows: How many rows were read.
        unused: How many of them were not used, by reason.
        captions: Captions by language and image.
        splits: Split by image, where the table names it.
        groups: Image that stands for an image with the same bytes.
        missing: Names of images that were not found, with the row.
        suspicions: What looks wrong.

    """

    source: Path
    images: Path
    about: str = ""
    columns: list[tuple[str, str, str]] = field(default_factory=list)
    rows: int = 0
    unused: Counter[str] = field(default_factory=Counter)
    captions: dict[str, dict[str, list[str]]] = field(default_factory=dict)
    splits: dict[str, str] = field(default_factory=dict)
    groups: dict[str, str] = field(default_factory=dict)
    missing: dict[str, int] = field(default_factory=dict)
    suspicions: list[Suspicion] = field(default_factory=list)

    @property
    def found(self) -> list[str]:
        """Images that have a caption, in the table's order."""
        return list(dict.fromkeys(itertools.chain.from_iterable(self.captions.values())))

    def count_splits(self) -> dict[str, int]:
        """Count the images of each split."""
        counts = Counter(self.splits.get(one) or assign_split(self.groups.get(one, one)) for one in self.found)
        return {split: counts[split] for split in SPLITS}

    def format_lines(self) -> str:
        """The text of captions.jsonl."""
        lines = []
        for image in self.found:
            entry: dict[str, Any] = {
                "image": image,
                "captions": {code: own[image] for code, own in self.captions.items() if image in own},
            }
            entry |= {"split": self.splits[image]} if image in self.splits else {}
            entry |= {"group": self.groups[image]} if image in self.groups else {}
            lines.append(json.dumps(entry, ensure_ascii=False))
        return "\n".join(lines) + "\n"


def draft_table(table: Table, columns: Columns, images: Path) -> Draft:
    """Put a table and a folder of images together, and check images and captions; see `match_table`."""
    draft, names = match_table(table, columns, images)
    finish(draft, names)
    return draft


def match_table(table: Table, columns: Columns, images: Path) -> tuple[Draft, Counter[str]]:
    """Put a table and a folder of images together.

    Args:
        table: The table.
        columns: Its columns.
        images: Folder in which the images are looked up.

    Returns:
        The draft, unchecked, and by how many names the table calls each image.

    Raises:
        DataError: No image of the table is in the folder, no caption is left, or a split is none.

    """
    draft = Draft(source=table.path, images=images, about=table.about, rows=len(table.rows))
    draft.columns = describe_columns(table, columns)
    draft.suspicions = [Suspicion("table", note) for note in table.notes]
    folder, known = ImageFolder(images), dict[str, str | None]()
    odd, seen = list[str](), set[Caption]()
    if not any(row[columns.image] for row in table.rows):
        raise DataError(
            f"{table.path}: column {table.header[columns.image]!r} is empty; expected names of images."
            f"{explain_formulas(table)}"
        )
    for number, row in zip(table.numbers, table.rows, strict=True):
        name = row[columns.image]
        if name not in known:
            known[name] = folder.find(name) if name else None
        image = known[name]
        if image is None:
            draft.missing.setdefault(name, number)
            draft.unused["whose image was not found" if name else "without an image"] += 1
            continue
        if why := add_captions(draft, columns, (number, row, image), odd, seen):
            draft.unused[why] += 1
        if columns.split is not None and row[columns.split]:
            add_split(draft, image, row[columns.split], f"{table.path}:{number}")
    check_found(draft, table.header[columns.image], folder, odd)
    return draft, Counter(found for found in known.values() if found)


def add_captions(
    draft: Draft, columns: Columns, where: tuple[int, tuple[str, ...], str], odd: list[str], seen: set[Caption]
) -> str:
    """Add the captions of a row; numbers and dates are put aside. Returns why it has none to add, else nothing."""
    (number, row, image), before, repeated = where, len(seen), False
    for code, places in columns.captions.items():
        for place in places:
            text = row[place]
            if text and (NOT_CAPTION.fullmatch(text) or not is_visible(text)):
                odd.append(f"{text[:40]!r} in row {number}")
            elif (code, image, text) in seen:
                repeated = True
            elif text:
                draft.captions.setdefault(code, {}).setdefault(image, []).append(text)
                seen.add((code, image, text))
    return "" if len(seen) > before else "that repeat another" if repeated else "without a caption"


def add_split(draft: Draft, image: str, said: str, where: str) -> None:
    """Note the split of an image; DataError where it is none, or another than before."""
    split = SPLIT_NAMES.get(said.lower())
    if split is None:
        raise DataError(f"{where}: split is {said!r}, expected train, validation or test.")
    if draft.splits.setdefault(image, split) != split:
        raise DataError(f"{where}: image {image} is in {split} here and in {draft.splits[image]} above; write one.")


def check_found(draft: Draft, column: str, folder: ImageFolder, odd: list[str]) -> None:
    """Say what of the table was not used; DataError where nothing is left."""
    names = list(draft.missing)
    if not draft.captions and names and len(names) >= len({*draft.splits, *names}):
        raise DataError(
            f"{draft.source}: none of the {len(names)} images in column {column!r} is in {draft.images}, such as "
            f"{', '.join(map(repr, names[:2]))}. Give the folder of the images, or --image-column."
        )
    if not draft.captions:
        raise DataError(f"{draft.source}: no caption is left; expected text in the columns of captions.")
    doubtful = set(folder.ambiguous) | folder.unread
    gone = [name for name in names if name and name not in doubtful]
    said = {
        "missing-images": (gone, "image(s) are missing", "copy them into the folder, or mend their names"),
        "ambiguous-images": (sorted(folder.ambiguous), "name(s) fit several images", "write the folder too"),
        "unread-images": (sorted(folder.unread), "image(s) are of a kind that is not read", "save them as JPEG or PNG"),
    }
    for kind, (found, what, advice) in said.items():
        if found:
            shown = ", ".join(f"{name!r} (row {draft.missing[name]})" for name in found[:3])
            draft.suspicions.append(
                Suspicion(kind, f"{len(found)} {what}, their captions are left out: {shown}; {advice}.")
            )
    if "" in draft.missing:
        draft.suspicions.append(
            Suspicion(
                "no-image",
                f"{draft.unused['without an image']} row(s) have no image and are left out, the first is row "
                f"{draft.missing['']}.",
            )
        )
    for how, count in folder.how.items():
        draft.suspicions.append(Suspicion("other-names", f"{count} name(s) of images {HOW[how]}; found all the same."))
    if odd:
        draft.suspicions.append(
            Suspicion(
                "not-captions", f"{len(odd)} cell(s) of captions are numbers or dates, left out: {', '.join(odd[:3])}."
            )
        )


def finish(draft: Draft, names: Mapping[str, int]) -> None:
    """Look for double images, and check the captions."""
    twice = sorted(image for image, count in names.items() if count > 1)
    if twice:
        draft.suspicions.append(
            Suspicion("double-names", f"{len(twice)} image(s) are named in several ways, such as {twice[0]}.")
        )
    copies = find_copies(draft.images, draft.found)
    apart = [(one, first) for one, first in copies.items() if draft.splits.get(one) != draft.splits.get(first)]
    draft.groups = {image: first for image, first in copies.items() if (image, first) not in apart}
    draft.groups |= {first: first for first in draft.groups.values()}
    for kind, pairs, what in (
        ("double-images", list(draft.groups.items()), "they stay in one split"),
        ("split-overlap", apart, "the table puts them in different splits: write one"),
    ):
        pairs = [(image, first) for image, first in pairs if image != first]
        if pairs:
            sentence = f"{len(pairs)} image(s) are copies of another, such as {pairs[0][0]} of {pairs[0][1]}; {what}."
            draft.suspicions.append(Suspicion(kind, sentence, defect=kind == "split-overlap"))
    draft.suspicions += check_captions(draft.captions)
    draft.suspicions.sort(key=lambda one: not one.defect)


def find_copies(folder: Path, images: Iterable[str]) -> dict[str, str]:
    """The first image with the same bytes, by image; only files of equal size are read."""
    sizes: dict[int, list[str]] = {}
    for image in images:
        sizes.setdefault((folder / image).stat().st_size, []).append(image)
    copies: dict[str, str] = {}
    for same in sizes.values():
        first: dict[str, str] = {}
        for image in same if len(same) > 1 else ():
            leader = first.setdefault(hash_file(folder / image), image)
            if leader != image:
                copies[image] = leader
    return copies


def describe_columns(table: Table, columns: Columns) -> list[tuple[str, str, str]]:
    """Name, use and first cell of every column; of captions the first that is one, where there is any."""
    uses = {columns.image: "image", columns.split: "split"}
    uses |= {place: code for code, places in columns.captions.items() for place in places}
    found = []
    for place, name in enumerate(table.header):
        cells = [row[place] for row in table.rows if row[place]]
        texts = (cell for cell in cells if not NOT_CAPTION.fullmatch(cell))
        first = "".join(cells[:1])
        found.append(
            (name, uses.get(place, ""), first if uses.get(place) in ("image", "split") else next(texts, first))
        )
    return found
