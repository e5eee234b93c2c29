"""ImageNet-1k's validation pictures (ILSVRC 2012), in the layouts they are kept in.

Below --data, in `val`, `ILSVRC/Data/CLS-LOC/val`, `ILSVRC2012_img_val` or the folder itself: one folder a synset (`n01440764/*.JPEG`), or the
50,000 files as distributed (`ILSVRC2012_val_00000001.JPEG`) with what says which picture shows what. That is, in the folder or in
`ILSVRC2012_devkit_t12/data`: `ILSVRC2012_validation_ground_truth.txt` together with `meta.mat`; or `LOC_val_solution.csv`; or `val.txt`.
"""

import csv
import re
from functools import cache
from pathlib import Path
from typing import Any

from polyclip.core.progress import Progress
from polyclip.data.images import find_pictures, picture_of
from polyclip.errors import DataError
from polyclip.evaluation.zeroshot import Gallery

ROOTS = ("val", "ILSVRC/Data/CLS-LOC/val", "ILSVRC2012_img_val", ".")
LABELS = (".", "ILSVRC2012_devkit_t12/data", "data", "ILSVRC")
PICTURES = 50  # of each class
SYNSET = re.compile(r"n\d{8}")
FLAT = re.compile(r"ILSVRC2012_val_(\d{8})")
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
HOW = "expected folders named by synset (n01440764), or ILSVRC2012_val_00000001.JPEG and so on"


@cache
def synsets() -> tuple[str, ...]:
    """The 1,000 classes in the order that every list of ImageNet-1k's class numbers means: sorted by synset (timm's copy)."""
    from timm.data import ImageNetInfo

    return tuple(ImageNetInfo("imagenet-1k").label_names())


@cache
def known_synsets() -> frozenset[str]:
    """The same, to look one up."""
    return frozenset(synsets())


def lemmas() -> dict[str, tuple[str, ...]]:
    """English names of each synset: WordNet's lemmas (timm's copy)."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    return {synset: tuple(info.label_name_to_description(synset, detailed=False).split(", ")) for synset in synsets()}


def read_val(data: Path, wanted: set[str], *, partial: bool) -> Gallery:
    """Validation pictures of the synsets `wanted`.

    Raises DataError for a folder without them, labels that are missing or do not fit, and, unless `partial`, a class that has not 50 pictures.
    """
    root, folders = root_of(data)
    paths = by_folder(root, wanted) if folders else by_label(root, data, wanted)
    counts = dict.fromkeys(wanted, 0)
    for _, synset in paths:
        counts[synset] += 1
    short = sorted(synset for synset, count in counts.items() if count != PICTURES)
    if short and not partial:
        raise DataError(
            f"{root} has {counts[short[0]]} pictures of class {short[0]}, ImageNet's validation set {PICTURES} ({len(short)} such classes); "
            "give --partial to score what is there."
        )
    if not paths:
        raise DataError(f"{root} has no picture of any of the {len(wanted)} classes asked for.")
    pictures = []
    with Progress("reading pictures", len(paths)) as progress:
        for path, _ in paths:
            pictures.append(picture_of(path))
            progress.advance(1)
    return Gallery(pictures, [synset for _, synset in paths])


def root_of(data: Path) -> tuple[Path, bool]:
    """The folder with the pictures, and whether they are in a folder for each synset."""
    if not data.is_dir():
        raise DataError(f"{data} is no folder.")
    for name in ROOTS:
        root = data / name
        if root.is_dir():
            inside = [path.name for path in root.iterdir()]
            if any(SYNSET.fullmatch(name) for name in inside):
                return root, True
            if any(FLAT.match(name) for name in inside):
                return root, False
    raise DataError(f"{data} has no validation pictures of ImageNet in {', '.join(ROOTS)}: {HOW}.")


def by_folder(root: Path, wanted: set[str]) -> list[tuple[Path, str]]:
    """Pictures and their class, from folders named by synset."""
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and SYNSET.fullmatch(path.name))
    strangers = [name for name in folders if name not in known_synsets()]
    if strangers:
        raise DataError(
            f"{root / strangers[0]} is none of ImageNet-1k's classes ({len(strangers)} such folders); expected the ILSVRC 2012 validation set."
        )
    return [(path, name) for name in folders if name in wanted for path in find_pictures(root / name)]


def by_label(root: Path, data: Path, wanted: set[str]) -> list[tuple[Path, str]]:
    """Pictures and their class, from the flat folder and the file that labels them."""
    paths = {match.group(): path for path in sorted(root.iterdir()) if (match := FLAT.match(path.name))}
    labels = labels_of(data)
    unlabelled = sorted(set(paths) - set(labels))
    if unlabelled:
        raise DataError(
            f"{root / unlabelled[0]} has no label ({len(unlabelled)} of {len(paths)} pictures); expected labels of all 50,000."
        )
    return [(path, labels[name]) for name, path in paths.items() if labels[name] in wanted]


def labels_of(data: Path) -> dict[str, str]:
    """`ILSVRC2012_val_00000001` -> synset, from the first kind of label file that is there.

    Raises DataError where there is none, or a damaged one.
    """
    places = [data / place for place in LABELS]
    readers = (("LOC_val_solution.csv", from_csv), ("val.txt", from_list), (TRUTH, from_devkit))
    for name, reader in readers:
        for place in places:
            if (place / name).is_file():
                return reader(place / name)
    raise DataError(
        f"{data} has nothing that says which picture shows what: give {TRUTH} with meta.mat, LOC_val_solution.csv, val.txt, or folders by synset."
    )


def from_csv(path: Path) -> dict[str, str]:
    """Kaggle's: `ILSVRC2012_val_00048981,n03995372 85 1 499 272 ...`."""
    with path.open(encoding="utf-8", newline="") as lines:
        return {row["ImageId"]: known(row["PredictionString"].split(" ")[0], path) for row in csv.DictReader(lines)}


def from_list(path: Path) -> dict[str, str]:
    """Caffe's: `ILSVRC2012_val_00000001.JPEG 65`, the number counts sorted synsets; or a synset instead of the number."""
    pairs = [line.split() for line in path.read_text("utf-8").split("\n") if line.strip()]
    if not all(len(pair) == 2 for pair in pairs):
        raise DataError(f"{path}: expected a picture and its class on each line, separated by a space.")
    return {
        Path(name).stem: known(synsets()[int(label)] if label.isdecimal() and int(label) < 1000 else label, path)
        for name, label in pairs
    }


def from_devkit(path: Path) -> dict[str, str]:
    """The development kit's: line n is the ILSVRC2012_ID, 1 to 1000, of picture n. That order is the kit's own, not that of sorted synsets."""
    meta = path.with_name("meta.mat")
    if not meta.is_file():
        raise DataError(
            f"{path} numbers classes in an order of its own, which only meta.mat of the same development kit tells: put it into {meta.parent}."
        )
    synset = synset_of_id(meta)
    ids = path.read_text("utf-8").split()
    wrong = [number for number in ids if not number.isdecimal() or int(number) not in synset]
    if wrong:
        raise DataError(f"{path}: found {wrong[0][:20]!r}, expected numbers from 1 to 1000.")
    return {f"ILSVRC2012_val_{row:08d}": synset[int(number)] for row, number in enumerate(ids, 1)}


def synset_of_id(meta: Path) -> dict[int, str]:
    """ILSVRC2012_ID -> synset, of the 1,000 classes."""
    from scipy.io import loadmat

    try:
        table: Any = loadmat(meta, squeeze_me=True)["synsets"]
        found = {
            int(number): str(synset)
            for number, synset in zip(table["ILSVRC2012_ID"], table["WNID"], strict=True)
            if int(number) <= 1000
        }
    except (ValueError, KeyError, TypeError, OSError, IndexError) as error:
        raise DataError(
            f"{meta} is not the development kit's table of synsets ({type(error).__name__}: {error})."
        ) from error
    return {number: known(synset, meta) for number, synset in found.items()}


def known(synset: str, path: Path) -> str:
    """The synset, if it is one of ImageNet-1k.

    Raises DataError otherwise.
    """
    if synset not in known_synsets():
        raise DataError(f"{path}: {synset[:20]!r} is none of ImageNet-1k's 1,000 classes.")
    return synset


def partial_notes(gallery: Gallery, wanted: set[str]) -> list[str]:
    """What a partial evaluation must say about itself."""
    absent = len(wanted - set(gallery.classes))
    said = f"PARTIAL: {len(gallery.pictures)} of {PICTURES * len(wanted)} pictures; these figures cannot stand beside published ones"
    return [f"{said}; {absent} classes have no picture and are only in the way" if absent else said]


def tower_notes(vision_tower: str) -> list[str]:
    """Whether the vision tower was trained on these very classes, as far as its name tells."""
    trained = any(word in vision_tower for word in ("efficientnet-lite", "in1k", "imagenet"))
    return (
        [f"vision tower {vision_tower} was trained to tell ImageNet-1k's classes apart: only the words are new to it"]
        if trained
        else []
    )
