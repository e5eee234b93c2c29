"""ImageNet-1k (ILSVRC 2012 validation, Russakovsky et al. 2015) in any language that names its classes.

Layout below --data: the pictures as in benchmarks/_imagenet.py, and names from the first of: `classnames.tsv` or `classnames.json`, by synset
(benchmarks/_classnames.py); CLIP_benchmark's `<lang>_classnames.json` = {"imagenet1k": [1,000 names]} with its prompts
`<lang>_zeroshot_classification_templates.json` = {"imagenet1k": ["a photo of a {c}.", ...]}; for English alone, WordNet's lemmas.
"""

from pathlib import Path

from polyclip.errors import DataError, UnknownName
from polyclip.evaluation.benchmarks._classnames import FILES, chosen, pack_task, parsed, read_classnames
from polyclip.evaluation.benchmarks._imagenet import lemmas, partial_notes, read_val, synsets, tower_notes
from polyclip.evaluation.retrieval import Report, Request
from polyclip.evaluation.zeroshot import Task, classify, twin_notes
from polyclip.languages.normalize import visible
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import load_language
from polyclip.models.aligner import PolyCLIP

NAME = "imagenet"
SPLIT = "validation"
KEY = "imagenet1k"
NAMES, TEMPLATES = "_classnames.json", "_zeroshot_classification_templates.json"
THEIRS = {"cn": "zh", "jp": "ja"}  # CLIP_benchmark's codes that are no language's


def score(aligner: PolyCLIP, request: Request) -> Report:
    """Score the requested languages, or all whose names are there.

    Raises DataError for files that are not the official ones; `request.partial` accepts a subset of the pictures and the report says so.
    """
    if request.data is None:
        raise DataError(
            "imagenet needs --data DIR with ImageNet's validation pictures; see polyclip/evaluation/benchmarks/_imagenet.py for the layouts."
        )
    tasks, notes = tasks_of(request.data, request)
    wanted = {key for task in tasks for key in task.classes}
    gallery = read_val(request.data, wanted, partial=request.partial)
    scores = classify(aligner, gallery, tasks, NAME, SPLIT)
    notes += (
        (partial_notes(gallery, wanted) if request.partial else [])
        + tower_notes(aligner.recipe.vision_tower)
        + twin_notes(tasks)
    )
    return Report(scores, {"pictures": len(gallery.pictures), "classes": len(wanted)}, notes)


def tasks_of(data: Path, request: Request) -> tuple[list[Task], list[str]]:
    """What is to be scored, from the first kind of names that is there, and where the names are from."""
    if any((data / name).is_file() for name in FILES):
        names = read_classnames(data)
        wrong = sorted({key for named in names.values() for key in named} - set(synsets()))
        if wrong:
            raise DataError(
                f"{data}: the class names list {wrong[0]!r}, which is none of ImageNet-1k's 1,000 synsets such as n01440764."
            )
        codes = chosen(names, request.languages, str(data))
        return [pack_task(code, names[code], "pack-prompts", seen=request.seen(code)) for code in codes], []
    theirs = {code_of(path): path for path in sorted(data.glob(f"*{NAMES}"))}
    if theirs:
        codes = [language.code for language in request.languages] or list(theirs)
        absent = [code for code in codes if code not in theirs]
        if absent:
            raise DataError(f"{data} has no *{NAMES} in {', '.join(absent)}; it has {', '.join(theirs)}.")
        return [benchmark_task(theirs[code], code, seen=request.seen(code)) for code in codes], [
            "class names and prompts as CLIP_benchmark has them"
        ]
    if [language.code for language in request.languages] not in ([], ["en"]):
        raise DataError(
            f"{data} names ImageNet's classes in no language; give classnames.tsv by synset, or CLIP_benchmark's <lang>{NAMES}."
        )
    note = "English names are WordNet's lemmas, not those of CLIP: these figures cannot stand beside published ones"
    return [pack_task("en", lemmas(), "wordnet-lemmas", seen=request.seen("en"))], [note]


def code_of(path: Path) -> str:
    """Our code of the language of one of CLIP_benchmark's files.

    Raises DataError for a name that is no language's.
    """
    theirs = path.name.removesuffix(NAMES)
    try:
        return resolve_language(THEIRS.get(theirs, theirs)).code
    except UnknownName as error:
        raise DataError(f"{path}: {error}") from error


def benchmark_task(path: Path, code: str, *, seen: bool) -> Task:
    """One language as CLIP_benchmark has it.

    Raises DataError for files that are not of that kind.
    """
    templates = path.with_name(path.name.removesuffix(NAMES) + TEMPLATES)
    names = listed(path, len(synsets()))
    prompts = listed(templates, None) if templates.is_file() else load_language(code).prompts
    protocol = "clip-benchmark" if templates.is_file() else "clip-benchmark-names"
    return Task(
        language=code,
        pack=code,
        protocol=protocol,
        classes=synsets(),
        names=[(name,) for name in names],
        prompts=prompts,
        seen=seen,
    )


def listed(path: Path, count: int | None) -> list[str]:
    """The list below `imagenet1k`, of `count` texts where that is given."""
    table = parsed(path)
    found = table.get(KEY) if isinstance(table, dict) else None
    if (
        not isinstance(found, list)
        or not found
        or not all(isinstance(text, str) and visible(text) for text in found)
        or len(found) != (count or len(found))
    ):
        raise DataError(f'{path}: expected {{"{KEY}": [...]}} with {count or "some"} texts, none empty.')
    return found
