"""ImageNet-1k's validation images (ILSVRC 2012), in the layouts in which they are distributed.

Below --data, in `val`, `ILSVRC/Data/CLS-LOC/val`, `ILSVRC2012_img_val` or the folder itself: one folder per synset
(`n01440764/*.JPEG`), or the 50,000 files as distributed (`ILSVRC2012_val_00000001.JPEG`) with a file of labels. The
labels are, in the folder or in `ILSVRC2012_devkit_t12/data`: `ILSVRC2012_validation_ground_truth.txt` together with
`meta.mat`; or `LOC_val_solution.csv`; or `val.txt`.
"""

import csv
import re
from functools import cache
from pathlib import Path
from typing import Any

from polyclip.core.progress import Progress
from polyclip.core.storage import read_plain_text
from polyclip.data.image_files import find_images
from polyclip.data.images import make_image_source
from polyclip.errors import DataError
from polyclip.evaluation.zeroshot import LabeledImages
from polyclip.models.vocabulary import classes

ROOTS = ("val", "ILSVRC/Data/CLS-LOC/val", "ILSVRC2012_img_val", ".")
LABELS = (".", "ILSVRC2012_devkit_t12/data", "data", "ILSVRC")
IMAGES_PER_CLASS = 50  # of each class
SYNSET = re.compile(r"n\d{8}")
FLAT = re.compile(r"ILSVRC2012_val_(\d{8})")
TRUTH = "ILSVRC2012_validation_ground_truth.txt"
HOW = "expected folders named by synset (n01440764), or ILSVRC2012_val_00000001.JPEG and so on"


@cache
def list_synsets() -> tuple[str, ...]:
    """List the 1,000 classes in the order of ImageNet-1k's class numbers: sorted by synset."""
    return tuple(classes.list_synsets("imagenet-1k"))


@cache
def load_synset_set() -> frozenset[str]:
    """Return the 1,000 synsets as a set, for look-up."""
    return frozenset(list_synsets())


def load_lemmas() -> dict[str, tuple[str, ...]]:
    """Return the English names of each synset: WordNet's lemmas (timm's copy)."""
    from timm.data import ImageNetInfo

    info = ImageNetInfo("imagenet-1k")
    return {
        synset: tuple(info.label_name_to_description(synset, detailed=False).split(", ")) for synset in list_synsets()
    }


def read_val(data: Path, wanted: set[str], *, partial: bool) -> LabeledImages:
    """Read the validation images of some synsets.

    Args:
        data: Folder with the images and labels.
        wanted: Synsets to read.
        partial: Accept classes with fewer than 50 images.

    Returns:
        Images with their synsets.

    Raises:
        DataError: There are no images, labels are missing or do not fit, or, unless `partial`, a class does not have 50
            images.

    """
    root, folders = find_root(data)
    paths = list_by_folder(root, wanted) if folders else list_by_label(root, data, wanted)
    counts = dict.fromkeys(wanted, 0)
    for _, synset in paths:
        counts[synset] += 1
    short = sorted(synset for synset, count in counts.items() if count != IMAGES_PER_CLASS)
    if short and not partial:
        raise DataError(
            f"{root} has {counts[short[0]]} images of class {short[0]}, ImageNet's validation set {IMAGES_PER_CLASS} "
            f"({len(short)} such classes); "
            "give --partial to score what is there."
        )
    if not paths:
        raise DataError(f"{root} has no image of any of the {len(wanted)} requested classes.")
    images = []
    with Progress("reading images", len(paths)) as progress:
        for path, _ in paths:
            images.append(make_image_source(path))
            progress.advance(1)
    return LabeledImages(images, [synset for _, synset in paths])


def find_root(data: Path) -> tuple[Path, bool]:
    """Find the folder with the images, and whether it has a folder for each synset."""
    if not data.is_dir():
        raise DataError(f"{data} is not a folder.")
    for name in ROOTS:
        root = data / name
        if root.is_dir():
            inside = [path.name for path in root.iterdir()]
            if any(SYNSET.fullmatch(name) for name in inside):
                return root, True
            if any(FLAT.match(name) for name in inside):
                return root, False
    raise DataError(f"{data} has no validation images of ImageNet in {', '.join(ROOTS)}: {HOW}.")


def list_by_folder(root: Path, wanted: set[str]) -> list[tuple[Path, str]]:
    """List images and their class, from folders named by synset."""
    folders = sorted(path.name for path in root.iterdir() if path.is_dir() and SYNSET.fullmatch(path.name))
    strangers = [name for name in folders if name not in load_synset_set()]
    if strangers:
        raise DataError(
            f"{root / strangers[0]} is none of ImageNet-1k's classes ({len(strangers)} such folders); expected the "
            "ILSVRC 2012 validation set."
        )
    return [(path, name) for name in folders if name in wanted for path in find_images(root / name)]


def list_by_label(root: Path, data: Path, wanted: set[str]) -> list[tuple[Path, str]]:
    """List images and their class, from the flat folder and the file of labels."""
    paths = {match.group(): path for path in sorted(root.iterdir()) if (match := FLAT.match(path.name))}
    labels = read_labels(data)
    unlabelled = sorted(set(paths) - set(labels))
    if unlabelled:
        raise DataError(
            f"{root / unlabelled[0]} has no label ({len(unlabelled)} of {len(paths)} images); expected labels of all "
            "50,000."
        )
    return [(path, labels[name]) for name, path in paths.items() if labels[name] in wanted]


def read_labels(data: Path) -> dict[str, str]:
    """Read the labels from the first kind of label file that is there.

    Args:
        data: Folder with the images and labels.

    Returns:
        Synset by image name, such as `ILSVRC2012_val_00000001`.

    Raises:
        DataError: There is no label file, or it is damaged.

    """
    places = [data / place for place in LABELS]
    readers = (("LOC_val_solution.csv", read_csv_labels), ("val.txt", read_list_labels), (TRUTH, read_devkit_labels))
    for name, reader in readers:
        for place in places:
            if (place / name).is_file():
                return reader(place / name)
    raise DataError(
        f"{data} has nothing that says which image shows what: give {TRUTH} with meta.mat, LOC_val_solution.csv, "
        "val.txt, or folders by synset."
    )


def read_csv_labels(path: Path) -> dict[str, str]:
    """Read Kaggle's labels: `ILSVRC2012_val_00048981,n03995372 85 1 499 272 ...`."""
    with path.open(encoding="utf-8", newline="") as lines:
        return {
            row["ImageId"]: check_synset(row["PredictionString"].split(" ")[0], path) for row in csv.DictReader(lines)
        }


def read_list_labels(path: Path) -> dict[str, str]:
    """Read Caffe's labels: `ILSVRC2012_val_00000001.JPEG 65`.

    The number counts sorted synsets, or is a synset itself.
    """
    pairs = [line.split() for line in read_plain_text(path).split("\n") if line.strip()]
    if not all(len(pair) == 2 for pair in pairs):
        raise DataError(f"{path}: expected an image and its class on each line, separated by a space.")
    return {
        Path(name).stem: check_synset(
            list_synsets()[int(label)] if label.isdecimal() and int(label) < 1000 else label, path
        )
        for name, label in pairs
    }


def read_devkit_labels(path: Path) -> dict[str, str]:
    """Read the development kit's labels: line n is the ILSVRC2012_ID, 1 to 1000, of image n.

    The IDs are in the kit's own order, not in that of sorted synsets.
    """
    meta = path.with_name("meta.mat")
    if not meta.is_file():
        raise DataError(
            f"{path} numbers classes in an order of its own, which only meta.mat of the same development kit tells: "
            f"put it into {meta.parent}."
        )
    synset = read_synset_ids(meta)
    ids = read_plain_text(path).split()
    wrong = [number for number in ids if not number.isdecimal() or int(number) not in synset]
    if wrong:
        raise DataError(f"{path}: found {wrong[0][:20]!r}, expected numbers from 1 to 1000.")
    return {f"ILSVRC2012_val_{row:08d}": synset[int(number)] for row, number in enumerate(ids, 1)}


def read_synset_ids(meta: Path) -> dict[int, str]:
    """Read the synset of each ILSVRC2012_ID of the 1,000 classes from meta.mat."""
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
    return {number: check_synset(synset, meta) for number, synset in found.items()}


def check_synset(synset: str, path: Path) -> str:
    """Check that a synset is one of ImageNet-1k's and return it; DataError otherwise."""
    if synset not in load_synset_set():
        raise DataError(f"{path}: {synset[:20]!r} is none of ImageNet-1k's 1,000 classes.")
    return synset


def describe_partial(gallery: LabeledImages, wanted: set[str]) -> list[str]:
    """Return the note of a partial evaluation."""
    absent = len(wanted - set(gallery.classes))
    said = (
        f"PARTIAL: {len(gallery.images)} of {IMAGES_PER_CLASS * len(wanted)} images; these figures cannot stand "
        "beside published ones"
    )
    return [f"{said}; {absent} classes have no image and are only in the way" if absent else said]


def describe_pretraining(vision_tower: str) -> list[str]:
    """Return a note if the vision encoder's name says that it was trained on these classes."""
    trained = any(word in vision_tower for word in ("efficientnet-lite", "in1k", "imagenet"))
    return (
        [f"vision encoder {vision_tower} was trained on ImageNet-1k's classes: only the class names are new"]
        if trained
        else []
    )
