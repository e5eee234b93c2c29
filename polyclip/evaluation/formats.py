"""Results in the JSON of other projects, so that their tables and scripts read ours: CLIP_benchmark and mteb.

Keys and file names: CLIP_benchmark 1.6 (clip_benchmark/cli.py, MIT) and mteb 2.26 (mteb/results/task_result.py,
Apache-2.0). Values are what these projects call by the same name, with ties against the model, which is stricter than
either.
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
from polyclip.languages.schema import list_languages, load_language

# CLIP_benchmark names the direction by what is retrieved
SIDES = {"text_to_image": "image_retrieval", "image_to_text": "text_retrieval"}
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


def export_result(result: Result, format: str, folder: Path, model: str = "") -> list[Path]:
    """Write a result in the format of another project.

    Args:
        result: The result to write.
        format: `clip-benchmark` or `mteb`.
        folder: Where to write; files and subfolders have the names that the other project uses.
        model: Name of the model in the files; by default made of its languages and method.

    Returns:
        The paths of the files.

    Raises:
        UnknownName: The format is unknown.
        DataError: The result is partial, so that it is not comparable with published figures, or the format has no name
            for the benchmark.

    """
    if format not in FORMATS:
        raise UnknownName("format of results", format, FORMATS)
    partial = [note for note in result.origin.get("notes", []) if note.startswith("PARTIAL")]
    if partial:
        raise DataError(
            f"A partial result is not written as {format}, which cannot say that it is one ({partial[0]}). Evaluate "
            "all of the benchmark."
        )
    files = {folder / name: table for name, table in FORMATS[format](result, model or name_model(result)).items()}
    for path, table in files.items():
        write_text(
            path,
            json.dumps(table, ensure_ascii=False, indent=1, allow_nan=False) + "\n",
            what=f"the result for {format}",
        )
    return list(files)


def name_model(result: Result) -> str:
    """Build the default model name from languages and method, such as `polyclip-sw-en-head-glu`."""
    return "-".join(["polyclip", *result.run["languages"], result.model["method"]])


def to_clip_benchmark(result: Result, model: str) -> dict[str, dict[str, Any]]:
    """Convert a result to one table per language, and per protocol where CLIP_benchmark does not distinguish them."""
    tables: dict[str, dict[str, Any]] = {}
    pretrained = f"{result.model['text_encoder']}+{result.model['vision_tower']}"
    kept = select_protocol(result.scores, "first-caption")
    several = len({score.protocol for score in kept}) > 1
    for score in kept:
        metric = name_clip_benchmark_metric(score)
        if metric:
            dataset = DATASETS.get(score.benchmark, score.benchmark) + (f"-{score.protocol}" if several else "")
            task = "zeroshot_classification" if metric in CLASSIFICATION else "zeroshot_retrieval"
            name = "_".join(map(sanitize_file_name, (dataset, pretrained, model, score.language, task))) + ".json"
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


def name_clip_benchmark_metric(score: Score) -> str:
    """Return CLIP_benchmark's name of a metric; empty where it has none."""
    if score.metric.startswith("recall@") and score.direction in SIDES:
        return f"{SIDES[score.direction]}_{score.metric}"
    return score.metric if score.metric in CLASSIFICATION else ""


def to_mteb(result: Result, model: str) -> dict[str, dict[str, Any]]:
    """Convert a result to `polyclip__<model>/<revision>/<task>.json` for each direction, and the model's metadata."""
    revision = "1"
    folder = f"polyclip__{sanitize_file_name(model)}/{revision}"
    tables: dict[str, dict[str, Any]] = {}
    for score in select_protocol(result.scores, "all-captions"):
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
            entries.append({"hf_subset": score.language, "languages": get_mteb_languages(score.language)})
        entries[-1] |= get_mteb_metrics(score)
    return tables | {f"{folder}/model_meta.json": describe_mteb_model(result, model, revision)}


def get_mteb_metrics(score: Score) -> dict[str, float]:
    """Return one figure under mteb's names.

    A hit rate is also a recall only for text to image, with one positive per query.
    """
    name, _, k = score.metric.partition("@")
    if name == "recall":
        return {f"hit_rate_at_{k}": score.value} | (
            {f"recall_at_{k}": score.value} if score.direction == "text_to_image" else {}
        )
    return {f"ndcg_at_{k}": score.value, "main_score": score.value} if name == "ndcg" else {}


def get_mteb_languages(code: str) -> list[str]:
    """Return ISO 639-3 and ISO 15924 codes such as `swa-Latn`; the code itself where there is no pack."""
    if code == "no":
        return NORWEGIAN
    if code not in list_languages():
        return [code]
    pack = load_language(code)
    return [f"{pack.iso639_3}-{SCRIPTS.get(pack.script, pack.script)}"]


def describe_mteb_model(result: Result, model: str, revision: str) -> dict[str, Any]:
    """Return mteb's metadata of a model; what is unknown is null."""
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
        "name": f"polyclip/{sanitize_file_name(model)}",
        "revision": revision,
        "languages": sorted({language for code in result.run["languages"] for language in get_mteb_languages(code)}),
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


def select_protocol(scores: Sequence[Score], protocol: str) -> list[Score]:
    """Keep the scores of this protocol where the benchmark has it, else all scores."""
    return [score for score in scores if score.protocol == protocol] or list(scores)


def sanitize_file_name(text: str) -> str:
    """Replace all characters but letters, digits and `. - + = ,` by `-`, and drop leading dots."""
    return re.sub(r"[^\w.+=,-]", "-", text).lstrip(".") or "-"


FORMATS: dict[str, Callable[[Result, str], dict[str, dict[str, Any]]]] = {
    "clip-benchmark": to_clip_benchmark,
    "mteb": to_mteb,
}
