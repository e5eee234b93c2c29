"""Annotation files: COCO's captions, Karpathy's splits, JSON lines of imagefolder and of polyclip itself."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from polyclip.core.json import JSONDecodeError, parse_json
from polyclip.data.tables.table import Table
from polyclip.errors import DataError

Record = dict[str, Any]


def parse_annotations(path: Path, text: str, encoding: str) -> Table:
    """Parse a JSON or JSON lines file of captions.

    Args:
        path: The file.
        text: Its text.
        encoding: What its encoding is called.

    Returns:
        A table with a row for each caption.

    Raises:
        DataError: It is not JSON, or none of the layouts that are known.

    """
    about, records, notes = parse_records(path, text)
    header: dict[str, None] = {}
    rows, numbers = [], []
    for number, record in enumerate(records, 1):
        flat = flatten_record(record)
        header |= dict.fromkeys(flat)
        for place in range(max((len(cells) for cells in flat.values()), default=0)):
            rows.append({name: cells[place] for name, cells in flat.items() if len(cells) > place})
            rows[-1] |= {name: cells[0] for name, cells in flat.items() if len(cells) == 1 and name in IMAGES}
            numbers.append(number)
    if not rows:
        raise DataError(f"{path} has no captions in it.")
    cells = [tuple(row.get(name, "") for name in header) for row in rows]
    return Table(
        path=path, about=f"{about}, {encoding}", header=tuple(header), rows=cells, numbers=numbers, notes=notes
    )


IMAGES = ("image", "file_name", "filename", "filepath", "path", "split")  # repeated for every caption of an entry


def parse_records(path: Path, text: str) -> tuple[str, list[Record], tuple[str, ...]]:
    """Parse the layout of the file: its name, one object for each image or caption, and what looked wrong."""
    try:
        whole = parse_json(text)
    except JSONDecodeError as error:
        first, _, rest = text.strip().partition("\n")
        if not rest.strip() or not first.strip().endswith("}"):
            raise DataError(f"{path}:{error.lineno}: not JSON ({error.msg}).") from error
        return "JSON lines", list(parse_lines(path, text)), ()
    if isinstance(whole, dict) and isinstance(whole.get("images"), list):
        if isinstance(whole.get("annotations"), list):
            return "COCO captions", *read_coco(path, whole)
        return "captions with Karpathy's splits", list(read_karpathy(path, whole)), ()
    records = whole if isinstance(whole, list) else [whole]
    if not all(isinstance(record, dict) for record in records):
        raise DataError(f"{path}: expected COCO's captions or a list of objects with image and caption.")
    return "JSON", records, ()


def parse_lines(path: Path, text: str) -> Iterator[Record]:
    """Parse one object a line."""
    for number, line in enumerate(text.splitlines(), 1):
        try:
            record = parse_json(line) if line.strip() else {}
        except JSONDecodeError as error:
            raise DataError(f"{path}:{number}: not JSON ({error.msg}).") from error
        if not isinstance(record, dict):
            raise DataError(f"{path}:{number}: expected an object such as {{...}}, found {line[:40]!r}.")
        yield record


def read_coco(path: Path, whole: Record) -> tuple[list[Record], tuple[str, ...]]:
    """Read COCO's captions: images by id, and annotations that name one; an entry that lacks something is a bad row."""
    expected = "expected COCO's captions, images with id and file_name and annotations with image_id and caption"
    images = [one for one in whole["images"] if isinstance(one, dict)]
    names = {str(image["id"]): str(image["file_name"]) for image in images if {"id", "file_name"} <= image.keys()}
    annotations = [one if isinstance(one, dict) else {} for one in whole["annotations"]]
    for key, entries in (("file_name", images), ("caption", annotations)):
        if not any(key in entry for entry in entries):
            raise DataError(f"{path}: {expected}; every entry lacks {key!r}. Instances and keypoints have no captions.")
    records, lost = [], []
    for number, annotation in enumerate(annotations, 1):
        named = str(annotation.get("image_id"))
        if named not in names:
            lost.append(f"{named} (annotation {number})")
        records.append({"image": names.get(named, ""), "caption": annotation.get("caption", "")})
    note = f"{len(lost)} annotation(s) name no image that the file lists: image_id {', '.join(lost[:3])}."
    return records, (note,) if lost else ()


def read_karpathy(path: Path, whole: Record) -> Iterator[Record]:
    """Read `dataset_coco.json` and `dataset_flickr30k.json`: sentences and split of every image."""
    images = [one if isinstance(one, dict) else {} for one in whole["images"]]
    for key in ("filename", "sentences"):
        if not any(image.get(key) for image in images):
            raise DataError(f"{path}: expected images with filename and sentences; every entry lacks {key!r}.")
    for image in images:
        name, sentences = image.get("filename", ""), image.get("sentences")
        listed = sentences if isinstance(sentences, list) else []
        said = [one["raw"] for one in listed if isinstance(one, dict) and "raw" in one]
        where = f"{image['filepath']}/{name}" if image.get("filepath") and name else name
        yield {"image": where, "caption": said, "split": str(image.get("split", "")).replace("restval", "train")}


def flatten_record(record: Record) -> dict[str, list[str]]:
    """The texts of an entry by column; captions by language become a column each, a list several rows."""
    flat: dict[str, list[str]] = {}
    for name, value in record.items():
        inner = value.items() if isinstance(value, dict) else ((None, value),)
        for key, cell in inner:
            cells = cell if isinstance(cell, list) else [cell]
            texts = [str(text).strip() for text in cells if isinstance(text, str | int | float)]
            if texts:
                flat[str(key) if key is not None else name] = texts
    return flat
