"""Results in the JSON of other projects, so that their tables and scripts read ours: CLIP_benchmark and mteb.

Keys and file names: CLIP_benchmark 1.6 (clip_benchmark/cli.py, MIT) and mteb 2.26 (mteb/results/task_result.py, Apache-2.0).
Values are what these projects call by the same name, with ties against the model, which is stricter than either.
"""

import json
import re
from collections.abc import Callable, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from polyclip.core.storage import write_text
from polyclip.errors import DataError, UnknownName
from polyclip.evaluation.results import Result, Score
from polyclip.languages.schema import known_languages, load_language

SIDES = {"text_to_image": "image_retrieval", "image_to_text": "text_retrieval"}  # CLIP_benchmark names what is found
CLASSIFICATION = ("acc1", "acc5", "mean_per_class_recall")
DATASETS = {
    "xm3600": "crossmodal3600",
    "babel-imagenet": "babel_imagenet",
    "imagenet": "imagenet1k",
}  # names there, where they differ from ours
TASKS = {"xm3600": "XM3600", "wit": "WIT", "xflickrco": "XFlickr30kCo"}  # mteb's, before T2IRetrieval and I2TRetrieval
MTEB_SIDES = {"text_to_image": "T2IRetrieval", "image_to_text": "I2TRetrieval"}
SCRIPTS = {"Kore": "Hang"}  # mteb names Korean's letters, ISO 15924 their mixture with Chinese ones
NORWEGIAN = ["nor-Latn", "nno-Latn", "nob-Latn"]


def written(result: Result, format: str, folder: Path, model: str = "") -> list[Path]:
    """Write `result` as `clip-benchmark` or `mteb` below `folder`, under the name `model`; returns the files.

    Raises UnknownName for another format, DataError for a partial result, whose figures cannot stand beside published ones, and for a
    benchmark that the format has no name for.
    """
    if format not in FORMATS:
        raise UnknownName("format of results", format, FORMATS)
    partial = [note for note in result.origin.get("notes", []) if note.startswith("PARTIAL")]
    if partial:
        raise DataError(
            f"A partial result is not written as {format}, which cannot say that it is one ({partial[0]}). Evaluate all of the benchmark."
        )
    files = {folder / name: table for name, table in FORMATS[format](result, model or name_of(result)).items()}
    for path, table in files.items():
        write_text(
            path,
            json.dumps(table, ensure_ascii=False, indent=1, allow_nan=False) + "\n",
            what=f"the result for {format}",
        )
    return list(files)


def name_of(result: Result) -> str:
    """`polyclip-sw-en-head-glu`."""
    return "-".join(["polyclip", *result.run["languages"], result.model["method"]])


def clip_benchmark(result: Result, model: str) -> dict[str, dict[str, Any]]:
    """One table a language, and a protocol where the benchmark has several that CLIP_benchmark does not tell apart."""
    tables: dict[str, dict[str, Any]] = {}
    pretrained = f"{result.model['text_encoder']}+{result.model['vision_tower']}"
    kept = chosen(result.scores, "first-caption")
    several = len({score.protocol for score in kept}) > 1
    for score in kept:
        metric = clip_benchmark_metric(score)
        if metric:
            dataset = DATASETS.get(score.benchmark, score.benchmark) + (f"-{score.protocol}" if several else "")
            task = "zeroshot_classification" if metric in CLASSIFICATION else "zeroshot_retrieval"
            name = "_".join(map(plain, (dataset, pretrained, model, score.language, task))) + ".json"
            facts = {
                "dataset": dataset,
                "model": model,
                "pretrained": pretrained,
                "task": task,
                "metrics": {},
                "language": score.language,
            }
            tables.setdefault(name, facts)["metrics"][metric] = score.value
    if not tables:
        raise DataError(
            f"The result has none of CLIP_benchmark's metrics: recall@k of a retrieval, or {', '.join(CLASSIFICATION)}."
        )
    return tables


def clip_benchmark_metric(score: Score) -> str:
    """Its name there; empty where it has none."""
    if score.metric.startswith("recall@") and score.direction in SIDES:
        return f"{SIDES[score.direction]}_{score.metric}"
    return score.metric if score.metric in CLASSIFICATION else ""


def mteb(result: Result, model: str) -> dict[str, dict[str, Any]]:
    """`polyclip__<model>/<revision>/<task>.json` for each direction, all languages in it, and the model's own file."""
    revision = "1"
    folder = f"polyclip__{plain(model)}/{revision}"
    tables: dict[str, dict[str, Any]] = {}
    for score in chosen(result.scores, "all-captions"):
        if score.benchmark not in TASKS:
            raise DataError(
                f"mteb has no task for benchmark {score.benchmark!r}; it has for {', '.join(sorted(TASKS))}."
            )
        task = TASKS[score.benchmark] + MTEB_SIDES[score.direction]
        facts: dict[str, Any] = {
            "dataset_revision": f"official files, read by polyclip {version('polyclip')}",
            "task_name": task,
            "mteb_version": None,  # it was not mteb that scored
            "evaluation_time": result.seconds["evaluate"],
            "kg_co2_emissions": None,
            "scores": {score.split: []},
        }
        entries = tables.setdefault(f"{folder}/{task}.json", facts)["scores"][score.split]
        if not entries or entries[-1]["hf_subset"] != score.language:
            entries.append({"hf_subset": score.language, "languages": mteb_languages(score.language)})
        entries[-1] |= mteb_metrics(score)
    return tables | {f"{folder}/model_meta.json": meta(result, model, revision)}


def mteb_metrics(score: Score) -> dict[str, float]:
    """One figure under its names there. A hit is a recall only where a query has one positive, so only from text to image."""
    name, _, k = score.metric.partition("@")
    if name == "recall":
        return {f"hit_rate_at_{k}": score.value} | (
            {f"recall_at_{k}": score.value} if score.direction == "text_to_image" else {}
        )
    return {f"ndcg_at_{k}": score.value, "main_score": score.value} if name == "ndcg" else {}


def mteb_languages(code: str) -> list[str]:
    """`swa-Latn`: ISO 639-3 and ISO 15924; by its own code where no pack stands for it."""
    if code == "no":
        return NORWEGIAN
    if code not in known_languages():
        return [code]
    pack = load_language(code)
    return [f"{pack.iso639_3}-{SCRIPTS.get(pack.script, pack.script)}"]


def meta(result: Result, model: str, revision: str) -> dict[str, Any]:
    """mteb's facts of a model; what we do not know is null."""
    unknown = (
        "release_date",
        "memory_usage_mb",
        "license",
        "public_training_code",
        "public_training_data",
        "similarity_fn_name",
        "training_datasets",
    )
    known = {
        "name": f"polyclip/{plain(model)}",
        "revision": revision,
        "languages": sorted({language for code in result.run["languages"] for language in mteb_languages(code)}),
        "n_parameters": result.model["total_parameters"],
        "max_tokens": None,
        "embed_dim": result.model["dim"],
        "open_weights": True,
        "framework": ["PyTorch"],
        "use_instructions": False,
        "loader": None,
        "reference": None,
        "modalities": ["text", "image"],
    }
    return known | dict.fromkeys(unknown)


def chosen(scores: Sequence[Score], protocol: str) -> list[Score]:
    """The scores of that protocol where the benchmark has it, else all."""
    return [score for score in scores if score.protocol == protocol] or list(scores)


def plain(text: str) -> str:
    """A part of a file name: letters, digits and `. - + = ,`; anything else becomes `-`, and there are no leading dots."""
    return re.sub(r"[^\w.+=,-]", "-", text).lstrip(".") or "-"


FORMATS: dict[str, Callable[[Result, str], dict[str, dict[str, Any]]]] = {
    "clip-benchmark": clip_benchmark,
    "mteb": mteb,
}
