"""Pictures of one's own in one folder a class, named in the language's own words.

Layout below --data: `<class>/*.jpg`, or `<split>/<class>/*.jpg` with the split that --split names (`val` stands for validation), and the
classes' names in `classnames.tsv` or `classnames.json` (benchmarks/_classnames.py). Protocol `pack-prompts`: the names in the prompts of each
language's pack. Where a language names only some classes, it is scored on those and their pictures.
"""

from pathlib import Path

from polyclip.core.progress import Progress
from polyclip.data.images import SUFFIXES, find_pictures, picture_of
from polyclip.errors import DataError
from polyclip.evaluation.benchmarks._classnames import Names, chosen, pack_task, read_classnames
from polyclip.evaluation.retrieval import Report, Request
from polyclip.evaluation.zeroshot import Gallery, classify, twin_notes
from polyclip.models.aligner import PolyCLIP

NAME = "imagefolder"
PROTOCOL = "pack-prompts"
DEFAULT_SPLIT = "test"
SAME = {"validation": ("validation", "val"), "test": ("test",), "train": ("train",)}


def score(aligner: PolyCLIP, request: Request) -> Report:
    """Score the requested languages, or all that the class names are given in.

    Raises DataError for class names and folders that do not match; with `request.partial` a named class may be without pictures.
    """
    if request.data is None:
        raise DataError(
            "imagefolder needs --data DIR with a folder of pictures for each class and classnames.tsv; see polyclip/evaluation/benchmarks/imagefolder.py."
        )
    names = read_classnames(request.data)
    codes = chosen(names, request.languages, str(request.data))
    root, split = root_of(request.data, request.split)
    gallery, absent = read_folders(root, names, partial=request.partial)
    tasks = [pack_task(code, names[code], PROTOCOL, seen=request.seen(code)) for code in codes]
    scores = classify(aligner, gallery, tasks, NAME, split)
    notes = [f"PARTIAL: no pictures of {', '.join(absent)}"] if absent else []
    few = [f"{code} {len(names[code])}" for code in codes if len(names[code]) < len(every_class(names))]
    notes += (
        [f"languages that name only some of the {len(every_class(names))} classes: {', '.join(few)}"] if few else []
    )
    counts = {
        "pictures": len(gallery.pictures),
        "classes": len(every_class(names)),
        "names": sum(len(n) for code in codes for n in names[code].values()),
    }
    return Report(scores, counts, notes + twin_notes(tasks))


def every_class(names: Names) -> list[str]:
    """Classes that any language names, sorted."""
    return sorted({key for named in names.values() for key in named})


def root_of(data: Path, split: str) -> tuple[Path, str]:
    """The folder of class folders, and what the split is called in the scores: `all` where the folder has no splits.

    Raises DataError for a split that is not there.
    """
    for name in SAME.get(split, (split,)):
        if (data / name).is_dir():
            return data / name, split
    others = [name for names in SAME.values() for name in names if (data / name).is_dir()]
    if others or split != DEFAULT_SPLIT:
        raise DataError(
            f"{data} has no folder {split!r}; it has {', '.join(others) or 'no folder of a split, so leave --split out'}."
        )
    return data, "all"


def read_folders(root: Path, names: Names, *, partial: bool) -> tuple[Gallery, list[str]]:
    """Pictures with their class, and the classes that have none.

    Raises DataError for a folder with pictures that no language names, and for a named class without pictures unless `partial`.
    """
    wanted = every_class(names)
    strangers = [
        path.name for path in sorted(root.iterdir()) if path.is_dir() and path.name not in wanted and has_pictures(path)
    ]
    if strangers:
        raise DataError(
            f"{root / strangers[0]} has pictures, but no language names it ({len(strangers)} such folders); add its line to the class names."
        )
    absent = [key for key in wanted if not inside(root, key) or not has_pictures(root / key)]
    if absent and not partial:
        raise DataError(
            f"{root} has no pictures in a folder {absent[0]!r}, which the class names list ({len(absent)} such classes); see --partial."
        )
    paths = [(path, key) for key in wanted if key not in absent for path in find_pictures(root / key)]
    pictures = []
    with Progress("reading pictures", len(paths)) as progress:
        for path, _ in paths:
            pictures.append(picture_of(path))
            progress.advance(1)
    return Gallery(pictures, [key for _, key in paths]), absent


def inside(root: Path, key: str) -> bool:
    """Whether a class is the name of a folder directly in `root`: a name such as `../photos` is none."""
    return Path(key).name == key and (root / key).is_dir()


def has_pictures(folder: Path) -> bool:
    """Whether anything below looks like a picture."""
    return any(path.suffix.lower() in SUFFIXES for path in folder.rglob("*"))
