"""Babel-ImageNet (Geigle et al. 2023, arXiv 2306.08658): ImageNet-1k's classes that BabelNet names, by language.

Layout below --data: `babel_imagenet.json` (93 languages) or `babel_imagenet-298.json` (298, the same labels for the
93), the prompts `nllb_dist13b_prompts.json`, all as distributed (there or in `data/`), and ImageNet's validation images
as in benchmarks/_imagenet.py.

Protocols: `babel-prompts`, the mean over the 80 prompts of CLIP in machine translation, on the images of the language's
classes; the label alone where a language has no translated prompts. `pack-prompts`: the prompts of the language packs.
Languages have between 31 and 1,000 classes, so that only chance-corrected accuracy is comparable between them. English
is scored on the file's own labels; the authors' script uses CLIP's names instead.
"""

from pathlib import Path
from typing import Any

from polyclip.errors import DataError
from polyclip.evaluation.benchmarks._classnames import load_json
from polyclip.evaluation.benchmarks._imagenet import describe_partial, describe_pretraining, list_synsets, read_val
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.evaluation.zeroshot import Task, classify, describe_same_named
from polyclip.languages.normalize import is_visible
from polyclip.languages.schema import NEUTRAL, Language, load_languages
from polyclip.models.aligner import PolyCLIP

NAME = "babel-imagenet"
SPLIT = "validation"
LABELS = ("babel_imagenet.json", "babel_imagenet-298.json")
PROMPTS = "nllb_dist13b_prompts.json"
OFFICIAL, OWN = "babel-prompts", "pack-prompts"
Labels = dict[str, tuple[list[str], list[str]]]  # their code -> synsets and their labels


def score(aligner: PolyCLIP, request: Request) -> BenchmarkReport:
    """Score the requested languages, or all that the file has.

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
            f"babel-imagenet requires --data DIR with {LABELS[0]}, {PROMPTS} and ImageNet's validation images "
            "(DIR/n01440764/*.JPEG)."
        )
    labels = read_labels(request.data)
    wanted = select_codes(labels, request.languages)
    tasks, notes = make_tasks(labels, read_prompts(request.data), wanted, request)
    classes = {key for task in tasks for key in task.classes}
    gallery = read_val(request.data, classes, partial=request.partial)
    scores = classify(aligner, gallery, tasks, NAME, SPLIT)
    notes += (describe_partial(gallery, classes) if request.partial else []) + describe_pretraining(
        aligner.config.vision_tower
    )
    return BenchmarkReport(
        scores,
        {"pictures": len(gallery.images), "classes": len(classes), "languages": len(wanted)},
        notes + describe_same_named(tasks),
    )


def make_tasks(
    labels: Labels, prompts: dict[str, list[str]], wanted: dict[str, Language | None], request: Request
) -> tuple[list[Task], list[str]]:
    """Build the tasks of every language, the official protocol first; the second only where its prompts differ."""
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
                    seen=request.is_seen(code),
                )
            )
    return tasks[OFFICIAL] + tasks[OWN], [f"no translated prompts, the label alone: {', '.join(bare)}"] if bare else []


def find_file(data: Path, name: str) -> Path | None:
    """Find a file in the folder or in its `data`."""
    return next((path for path in (data / name, data / "data" / name) if path.is_file()), None)


def read_labels(data: Path) -> Labels:
    """Read synsets and labels by Babel-ImageNet's language code; the file of 298 languages only adds to that of 93.

    Args:
        data: Folder with the files.

    Returns:
        Synsets and labels by language code.

    Raises:
        DataError: Neither file is there, or one is malformed.

    """
    found = [path for name in reversed(LABELS) if (path := find_file(data, name))]
    if not found:
        raise DataError(
            f"{data} has no {' or '.join(LABELS)}; take it from "
            "https://github.com/gregor-ge/Babel-ImageNet/tree/main/data."
        )
    return {key: parse_labels(entry, f"{path}: {key}") for path in found for key, entry in read_object(path).items()}


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; DataError for anything else."""
    table = load_json(path)
    if not isinstance(table, dict) or not table:
        raise DataError(f"{path}: expected a JSON object with an entry for each language, found {str(table)[:60]}.")
    return table


def parse_labels(entry: Any, where: str) -> tuple[list[str], list[str]]:
    """Parse `[[class number, ...], [label, ...]]` to synsets and labels; numbers count the sorted synsets from 0."""
    good = (
        isinstance(entry, list)
        and len(entry) == 2
        and all(isinstance(part, list) for part in entry)
        and len(entry[0]) == len(entry[1]) > 0
    )
    if not good or not all(isinstance(number, int) and 0 <= number < len(list_synsets()) for number in entry[0]):
        raise DataError(
            f"{where}: expected [[class numbers from 0 to 999], [as many labels]], found {str(entry)[:60]}."
        )
    if not all(isinstance(label, str) and is_visible(label) for label in entry[1]):
        raise DataError(f"{where}: an empty label.")
    return [list_synsets()[number] for number in entry[0]], list(entry[1])


def read_prompts(data: Path) -> dict[str, list[str]]:
    """Read the translated prompts by Babel-ImageNet's language code.

    DataError where the file is missing or malformed.
    """
    path = find_file(data, PROMPTS)
    if path is None:
        raise DataError(
            f"{data} has no {PROMPTS}; take it from https://github.com/gregor-ge/Babel-ImageNet/tree/main/data."
        )
    table = read_object(path)
    if not all(
        isinstance(texts, list) and texts and all(isinstance(text, str) for text in texts) for texts in table.values()
    ):
        raise DataError(f"{path}: expected a list of prompts for each language.")
    return table


def select_codes(labels: Labels, languages: list[Language]) -> dict[str, Language | None]:
    """Select the languages to score by Babel-ImageNet's code, each with its pack where there is one.

    Args:
        labels: Synsets and labels by language code.
        languages: Requested languages; empty means all.

    Returns:
        Pack, or None, by Babel-ImageNet's code.

    Raises:
        DataError: The file does not have a requested language.

    """
    packs = {pack.codes.babel_imagenet: pack for pack in load_languages() if pack.codes.babel_imagenet}
    if not languages:
        return {key: packs.get(key) for key in labels}
    for language in languages:
        if language.codes.babel_imagenet not in labels:
            raise DataError(
                f"Babel-ImageNet has no labels in {language.name} ({language.code}) among the {len(labels)} languages "
                "of the file given."
            )
    return {language.codes.babel_imagenet: language for language in languages}
