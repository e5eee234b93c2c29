"""Images of your own in one folder per class, with class names in any language.

Layout below --data: `<class>/*.jpg`, or `<split>/<class>/*.jpg` with the split given with --split (`val` is also found
as validation), and the class names in `classnames.tsv` or `classnames.json` (benchmarks/_classnames.py). Protocol
`pack-prompts`: the names in the prompts of each language's pack. A language that names only some classes is scored on
those.
"""

from pathlib import Path

from polyclip.core.progress import Progress
from polyclip.data.image_files import holds_images, is_hidden, iterate_files, scan_folder
from polyclip.data.images import SUFFIXES, make_image_source
from polyclip.errors import DataError
from polyclip.evaluation.benchmarks._classnames import Names, make_pack_task, read_classnames, select_codes
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.evaluation.zeroshot import LabeledImages, classify, describe_same_named
from polyclip.models.aligner import PolyCLIP

NAME = "imagefolder"
PROTOCOL = "pack-prompts"
FEW = 5  # reasons why files are left out that are told
DEFAULT_SPLIT = "test"
SAME = {"validation": ("validation", "val"), "test": ("test",), "train": ("train",)}


def score(aligner: PolyCLIP, request: Request) -> BenchmarkReport:
    """Score the requested languages, or all that have class names.

    Args:
        aligner: The model to score.
        request: Folder, split and languages.

    Returns:
        Accuracy scores of every language, counts and notes.

    Raises:
        DataError: Class names and folders do not match; with `request.partial` a named class may lack images.

    """
    if request.data is None:
        raise DataError(
            "imagefolder requires --data DIR with a folder of images for each class (DIR/dog/1.jpg) and their names in "
            "DIR/classnames.tsv: a header 'class<TAB>sw<TAB>en', then a line for each folder."
        )
    names = read_classnames(request.data)
    codes = select_codes(names, request.languages, str(request.data))
    root, split = find_root(request.data, request.split)
    gallery, absent, left_out = read_folders(root, names, partial=request.partial)
    tasks = [make_pack_task(code, names[code], PROTOCOL, seen=request.is_seen(code)) for code in codes]
    scores = classify(aligner, gallery, tasks, NAME, split)
    notes = [f"PARTIAL: no images of {', '.join(absent)}"] if absent else []
    few = [f"{code} {len(names[code])}" for code in codes if len(names[code]) < len(list_classes(names))]
    notes += (
        [f"languages that name only some of the {len(list_classes(names))} classes: {', '.join(few)}"] if few else []
    )
    notes += left_out[:FEW] + ([f"and {len(left_out) - FEW:,} more reasons"] if len(left_out) > FEW else [])
    counts = {
        "pictures": len(gallery.images),
        "classes": len(list_classes(names)),
        "names": sum(len(n) for code in codes for n in names[code].values()),
    }
    return BenchmarkReport(scores, counts, notes + describe_same_named(tasks))


def list_classes(names: Names) -> list[str]:
    """List the classes that any language names, sorted."""
    return sorted({key for named in names.values() for key in named})


def find_root(data: Path, split: str) -> tuple[Path, str]:
    """Find the folder of class folders.

    Args:
        data: Folder given with --data.
        split: Requested split.

    Returns:
        The folder, and the name of the split in the scores: `all` where the folder has no splits.

    Raises:
        DataError: The split is missing.

    """
    for name in SAME.get(split, (split,)):
        if (data / name).is_dir():
            return data / name, split
    others = [name for names in SAME.values() for name in names if (data / name).is_dir()]
    if others or split != DEFAULT_SPLIT:
        raise DataError(
            f"{data} has no folder {split!r}; it has {', '.join(others) or 'no folder of a split: omit --split'}."
        )
    return data, "all"


def read_folders(root: Path, names: Names, *, partial: bool) -> tuple[LabeledImages, list[str], list[str]]:
    """Read images with their class.

    Args:
        root: Folder of class folders.
        names: Class names by language.
        partial: Accept named classes without images.

    Returns:
        Images with their classes, the classes without images, and a sentence for each reason why files are left out.

    Raises:
        DataError: A folder with images has no name in any language, or, unless `partial`, a named class has no images.

    """
    wanted = list_classes(names)
    strangers = [
        path.name
        for path in sorted(root.iterdir())
        if path.is_dir() and path.name not in wanted and not is_hidden(path.name) and has_images(path)
    ]
    if strangers:
        raise DataError(
            f"{root / strangers[0]} has images, but no language names it ({len(strangers)} such folders); add its "
            "line to the class names."
        )
    absent = [key for key in wanted if not is_class_folder(root, key) or not has_images(root / key)]
    if absent and not partial:
        raise DataError(
            f"{root} has no images in a folder {absent[0]!r}, which the class names list ({len(absent)} such "
            "classes); see --partial."
        )
    scans = {key: scan_folder(root / key, option="") for key in wanted if key not in absent}
    paths = [(path, key) for key, (found, _) in scans.items() for path in found]
    left_out = [sentence for _, skipped in scans.values() for sentence in skipped]
    hidden = [path for path in sorted(root.iterdir()) if holds_images(path)]
    left_out += [f"hidden folder with images (not searched): {path}" for path in hidden]
    images = []
    with Progress("reading images", len(paths)) as progress:
        for path, _ in paths:
            images.append(make_image_source(path))
            progress.advance(1)
    return LabeledImages(images, [key for _, key in paths]), absent, left_out


def is_class_folder(root: Path, key: str) -> bool:
    """Whether a class is the name of a folder directly in `root`, unlike `../photos`."""
    return Path(key).name == key and (root / key).is_dir()


def has_images(folder: Path) -> bool:
    """Whether any file below, outside hidden folders, has the suffix of an image."""
    return any(path.suffix.lower() in SUFFIXES for path in iterate_files(folder))
