"""ImageNet-1k (ILSVRC 2012 validation, Russakovsky et al. 2015) in any language that names its classes.

Layout below --data: the images as in benchmarks/_imagenet.py, and names from the first of: `classnames.tsv` or
`classnames.json`, by synset (benchmarks/_classnames.py); CLIP_benchmark's `<lang>_classnames.json` = {"imagenet1k":
[1,000 names]} with its prompts `<lang>_zeroshot_classification_templates.json` = {"imagenet1k": ["a photo of a {c}.",
...]}; for English only, WordNet's lemmas.
"""

from pathlib import Path

from polyclip.errors import DataError, UnknownName
from polyclip.evaluation.benchmarks._classnames import FILES, load_json, make_pack_task, read_classnames, select_codes
from polyclip.evaluation.benchmarks._imagenet import (
    describe_partial,
    describe_pretraining,
    list_synsets,
    load_lemmas,
    read_val,
)
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.evaluation.zeroshot import Task, classify, describe_same_named
from polyclip.languages.normalize import is_visible
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import load_language
from polyclip.models.aligner import PolyCLIP

NAME = "imagenet"
SPLIT = "validation"
KEY = "imagenet1k"
NAMES, TEMPLATES = "_classnames.json", "_zeroshot_classification_templates.json"
THEIRS = {"cn": "zh", "jp": "ja"}  # CLIP_benchmark's codes that are no language's


def score(aligner: PolyCLIP, request: Request) -> BenchmarkReport:
    """Score the requested languages, or all that have class names.

    Args:
        aligner: The model to score.
        request: Folder and languages.

    Returns:
        Accuracy scores of every language, counts and notes.

    Raises:
        DataError: The files differ from the official ones; `request.partial` accepts a part of the images.

    """
    if request.data is None:
        raise DataError(
            "imagenet requires --data DIR with ImageNet's validation images: DIR/n01440764/*.JPEG, or "
            "DIR/ILSVRC2012_img_val with ILSVRC2012_devkit_t12 beside it."
        )
    tasks, notes = make_tasks(request.data, request)
    wanted = {key for task in tasks for key in task.classes}
    gallery = read_val(request.data, wanted, partial=request.partial)
    scores = classify(aligner, gallery, tasks, NAME, SPLIT)
    notes += (
        (describe_partial(gallery, wanted) if request.partial else [])
        + describe_pretraining(aligner.config.vision_tower)
        + describe_same_named(tasks)
    )
    return BenchmarkReport(scores, {"pictures": len(gallery.images), "classes": len(wanted)}, notes)


def make_tasks(data: Path, request: Request) -> tuple[list[Task], list[str]]:
    """Build the tasks from the first kind of names that is there, and a note on where the names are from."""
    if any((data / name).is_file() for name in FILES):
        names = read_classnames(data)
        wrong = sorted({key for named in names.values() for key in named} - set(list_synsets()))
        if wrong:
            raise DataError(
                f"{data}: the class names list {wrong[0]!r}, which is none of ImageNet-1k's 1,000 synsets such as "
                "n01440764."
            )
        codes = select_codes(names, request.languages, str(data))
        return [make_pack_task(code, names[code], "pack-prompts", seen=request.is_seen(code)) for code in codes], []
    theirs = {parse_code(path): path for path in sorted(data.glob(f"*{NAMES}"))}
    if theirs:
        codes = [language.code for language in request.languages] or list(theirs)
        absent = [code for code in codes if code not in theirs]
        if absent:
            raise DataError(f"{data} has no *{NAMES} in {', '.join(absent)}; it has {', '.join(theirs)}.")
        return [make_benchmark_task(theirs[code], code, seen=request.is_seen(code)) for code in codes], [
            "class names and prompts as CLIP_benchmark has them"
        ]
    if [language.code for language in request.languages] not in ([], ["en"]):
        raise DataError(
            f"{data} names ImageNet's classes in no language; give classnames.tsv by synset, or CLIP_benchmark's "
            f"<lang>{NAMES}."
        )
    note = "English names are WordNet's lemmas, not those of CLIP: these figures are not comparable with published ones"
    return [make_pack_task("en", load_lemmas(), "wordnet-lemmas", seen=request.is_seen("en"))], [note]


def parse_code(path: Path) -> str:
    """Return polyclip's code of the language of a CLIP_benchmark file; DataError if its name has no language."""
    theirs = path.name.removesuffix(NAMES)
    try:
        return resolve_language(THEIRS.get(theirs, theirs)).code
    except UnknownName as error:
        raise DataError(f"{path}: {error}") from error


def make_benchmark_task(path: Path, code: str, *, seen: bool) -> Task:
    """Build the task of one language from CLIP_benchmark's files; DataError if they are malformed."""
    templates = path.with_name(path.name.removesuffix(NAMES) + TEMPLATES)
    names = read_list(path, len(list_synsets()))
    prompts = read_list(templates, None) if templates.is_file() else load_language(code).prompts
    protocol = "clip-benchmark" if templates.is_file() else "clip-benchmark-names"
    return Task(
        language=code,
        pack=code,
        protocol=protocol,
        classes=list_synsets(),
        names=[(name,) for name in names],
        prompts=prompts,
        seen=seen,
    )


def read_list(path: Path, count: int | None) -> list[str]:
    """Read the list below `imagenet1k`, of `count` texts if given."""
    table = load_json(path)
    found = table.get(KEY) if isinstance(table, dict) else None
    if (
        not isinstance(found, list)
        or not found
        or not all(isinstance(text, str) and is_visible(text) for text in found)
        or len(found) != (count or len(found))
    ):
        raise DataError(f'{path}: expected {{"{KEY}": [...]}} with {count or "some"} texts, none empty.')
    return found
