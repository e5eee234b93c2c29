"""Babel-ImageNet (Geigle et al. 2023, arXiv 2306.08658): ImageNet-1k's classes that BabelNet names, by language.

Layout below --data: `babel_imagenet.json` (93 languages) or `babel_imagenet-298.json` (298, the same labels for the 93), the prompts
`nllb_dist13b_prompts.json`, all as distributed (there or in `data/`), and ImageNet's validation pictures as in benchmarks/_imagenet.py.

Protocols: `babel-prompts`, the 80 prompts of CLIP by machine translation, their mean, the pictures of the language's classes alone; the label
alone where a language has no translated prompts. `pack-prompts`: our packs' own prompts. Languages have between 31 and 1,000 classes, so that
only chance-corrected accuracy compares them. English is scored on the file's own labels: the authors' script takes CLIP's names instead.
"""

from pathlib import Path
from typing import Any

from polyclip.errors import DataError
from polyclip.evaluation.benchmarks._classnames import parsed
from polyclip.evaluation.benchmarks._imagenet import partial_notes, read_val, synsets, tower_notes
from polyclip.evaluation.retrieval import Report, Request
from polyclip.evaluation.zeroshot import Task, classify, twin_notes
from polyclip.languages.normalize import visible
from polyclip.languages.schema import NEUTRAL, Language, all_languages
from polyclip.models.aligner import PolyCLIP

NAME = "babel-imagenet"
SPLIT = "validation"
LABELS = ("babel_imagenet.json", "babel_imagenet-298.json")
PROMPTS = "nllb_dist13b_prompts.json"
OFFICIAL, OWN = "babel-prompts", "pack-prompts"
Labels = dict[str, tuple[list[str], list[str]]]  # their code -> synsets and their labels


def score(aligner: PolyCLIP, request: Request) -> Report:
    """Score the requested languages, or all that the file has.

    Raises DataError where the files are not the official ones; `request.partial` accepts a subset of the pictures and the report says so.
    """
    if request.data is None:
        raise DataError(
            f"babel-imagenet needs --data DIR with {LABELS[0]}, {PROMPTS} and ImageNet's validation pictures; see polyclip/benchmarks."
        )
    labels = read_labels(request.data)
    wanted = codes_of(labels, request.languages)
    tasks, notes = tasks_of(labels, read_prompts(request.data), wanted, request)
    classes = {key for task in tasks for key in task.classes}
    gallery = read_val(request.data, classes, partial=request.partial)
    scores = classify(aligner, gallery, tasks, NAME, SPLIT)
    notes += (partial_notes(gallery, classes) if request.partial else []) + tower_notes(aligner.recipe.vision_tower)
    return Report(
        scores,
        {"pictures": len(gallery.pictures), "classes": len(classes), "languages": len(wanted)},
        notes + twin_notes(tasks),
    )


def tasks_of(
    labels: Labels, prompts: dict[str, list[str]], wanted: dict[str, Language | None], request: Request
) -> tuple[list[Task], list[str]]:
    """Both protocols of every language, the official one's first; the second only where its prompts are others."""
    tasks: dict[str, list[Task]] = {OFFICIAL: [], OWN: []}
    bare = [key for key in wanted if key not in prompts]
    for key, pack in wanted.items():
        code = pack.code if pack else key.lower()
        classes, names = labels[key]
        kinds = {OFFICIAL: prompts.get(key, [NEUTRAL])}
        if pack and pack.prompts != kinds[OFFICIAL]:
            kinds[OWN] = pack.prompts
        for protocol, texts in kinds.items():
            tasks[protocol].append(
                Task(
                    language=code,
                    pack=pack.code if pack else "",
                    protocol=protocol,
                    classes=classes,
                    names=[(name,) for name in names],
                    prompts=texts,
                    seen=request.seen(code),
                )
            )
    return tasks[OFFICIAL] + tasks[OWN], [f"no translated prompts, the label alone: {', '.join(bare)}"] if bare else []


def find_file(data: Path, name: str) -> Path | None:
    """The file in the folder or its `data`."""
    return next((path for path in (data / name, data / "data" / name) if path.is_file()), None)


def read_labels(data: Path) -> Labels:
    """Synsets and labels by their code of the language: of the file of 93, which the file of 298 only adds to.

    Raises DataError where neither is there, and for one that is not of that form.
    """
    found = [path for name in reversed(LABELS) if (path := find_file(data, name))]
    if not found:
        raise DataError(
            f"{data} has no {' or '.join(LABELS)}; take it from https://github.com/gregor-ge/Babel-ImageNet/tree/main/data."
        )
    return {key: checked(entry, f"{path}: {key}") for path in found for key, entry in table_of(path).items()}


def table_of(path: Path) -> dict[str, Any]:
    """One JSON object.

    Raises DataError for anything else.
    """
    table = parsed(path)
    if not isinstance(table, dict) or not table:
        raise DataError(f"{path}: expected a JSON object with an entry for each language, found {str(table)[:60]}.")
    return table


def checked(entry: Any, where: str) -> tuple[list[str], list[str]]:
    """Synsets and labels of `[[class number, ...], [label, ...]]`; numbers count ImageNet-1k's sorted synsets from 0."""
    good = (
        isinstance(entry, list)
        and len(entry) == 2
        and all(isinstance(part, list) for part in entry)
        and len(entry[0]) == len(entry[1]) > 0
    )
    if not good or not all(isinstance(number, int) and 0 <= number < len(synsets()) for number in entry[0]):
        raise DataError(
            f"{where}: expected [[class numbers from 0 to 999], [as many labels]], found {str(entry)[:60]}."
        )
    if not all(isinstance(label, str) and visible(label) for label in entry[1]):
        raise DataError(f"{where}: an empty label.")
    return [synsets()[number] for number in entry[0]], list(entry[1])


def read_prompts(data: Path) -> dict[str, list[str]]:
    """Translated prompts by their code of the language.

    Raises DataError where the file is missing or not of that form.
    """
    path = find_file(data, PROMPTS)
    if path is None:
        raise DataError(
            f"{data} has no {PROMPTS}; take it from https://github.com/gregor-ge/Babel-ImageNet/tree/main/data."
        )
    table = table_of(path)
    if not all(
        isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts) for texts in table.values()
    ):
        raise DataError(f"{path}: expected a list of prompts for each language.")
    return table


def codes_of(labels: Labels, languages: list[Language]) -> dict[str, Language | None]:
    """Their codes of what is to be scored, each with our pack where there is one.

    Raises DataError for a language that the file does not have.
    """
    packs = {pack.codes.babel_imagenet: pack for pack in all_languages() if pack.codes.babel_imagenet}
    if not languages:
        return {key: packs.get(key) for key in labels}
    for language in languages:
        if language.codes.babel_imagenet not in labels:
            raise DataError(
                f"Babel-ImageNet has no labels in {language.name} ({language.code}) among the {len(labels)} languages of the file given."
            )
    return {language.codes.babel_imagenet: language for language in languages}
