"""Results as other projects write them: their own readers' keys and file names, and the values of the same name."""

import csv
import json
from argparse import Namespace
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from polyclip.core.registry import list_names
from polyclip.errors import DataError, UnknownName
from polyclip.evaluation.formats import DATASETS, FORMATS, TASKS, export_result, sanitize_file_name
from polyclip.evaluation.results import Result, Score

MODEL = {
    "method": "heads",
    "text_encoder": "e5-small",
    "vision_tower": "huggingface:own/er+x",
    "total_parameters": 9,
    "dim": 8,
}
METRICS = {
    "recall@1": 0.25,
    "recall@5": 0.5,
    "recall@10": 0.75,
    "mean_recall": 0.5,
    "mrr": 0.3,
    "ndcg@10": 0.4,
    "median_rank": 0.1,
}
SIDES = {"text_to_image": 0.0, "image_to_text": 0.01}


def score(**facts: Any) -> Score:
    common = {
        "benchmark": "xm3600",
        "split": "test",
        "seen": True,
        "low": 0.0,
        "high": 1.0,
        "queries": 3600,
        "gallery": 3600,
        "chance": 0.01,
    }
    return Score(**common | facts)


def result(
    benchmark: str = "xm3600",
    protocols: tuple[str, ...] = ("first-caption", "all-captions"),
    notes: list[str] | None = None,
) -> Result:
    scores = [
        score(
            benchmark=benchmark,
            protocol=p,
            language=code,
            direction=d,
            metric=m,
            value=v + added + (0.001 if p == protocols[-1] else 0),
        )
        for p in protocols
        for code in ("sw", "no", "ko")
        for d, added in SIDES.items()
        for m, v in METRICS.items()
    ]
    return Result({"languages": ["sw", "en"]}, MODEL, {"evaluate": 12.5}, scores, {"notes": notes or []})


@pytest.mark.filterwarnings("ignore:unclosed file:ResourceWarning")  # theirs
def test_clip_benchmark_reads_our_files(tmp_path: Path) -> None:
    pytest.importorskip("clip_benchmark")
    from clip_benchmark import cli  # a dozen packages, which the other tests do without

    files = export_result(result(), "clip-benchmark", tmp_path)
    assert [path.name for path in files] == [
        f"crossmodal3600_e5-small+huggingface-own-er+x_polyclip-sw-en-heads_{code}_zeroshot_retrieval.json"
        for code in ("sw", "no", "ko")
    ]
    cli.main_build(Namespace(files=[str(tmp_path)], output=str(tmp_path / "all.csv")))
    with (tmp_path / "all.csv").open(encoding="utf-8") as lines:
        rows = {row["language"]: row for row in csv.DictReader(lines)}
    assert set(rows) == {"sw", "no", "ko"}
    sw = rows["sw"]
    assert (sw["dataset"], sw["task"]) == ("crossmodal3600", "zeroshot_retrieval") and sw["model_fullname"].startswith(
        "polyclip-sw-en-heads e5-small"
    )
    for k, value in ((1, 0.25), (5, 0.5), (10, 0.75)):
        assert float(sw[f"image_retrieval_recall@{k}"]) == value, (
            "text to image, under the protocol of one caption an image"
        )
        assert float(sw[f"text_retrieval_recall@{k}"]) == pytest.approx(value + 0.01)


def test_protocols_of_our_own_get_a_file_each_and_no_path_escapes(tmp_path: Path) -> None:
    files = export_result(
        result("emoji", ("mixed-styles", "mixed-styles/no-flags-symbols")), "clip-benchmark", tmp_path, model="../../up"
    )
    assert len(files) == 6 and {path.parent for path in files} == {tmp_path}
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(p.name for p in files)
    assert {json.loads(p.read_text("utf-8"))["dataset"] for p in files} == {
        "emoji-mixed-styles",
        "emoji-mixed-styles/no-flags-symbols",
    }
    assert sanitize_file_name("..") == "-" and sanitize_file_name("a/b:c d") == "a-b-c-d"


def test_classification_as_clip_benchmark_names_it(tmp_path: Path) -> None:
    names = {"acc1": 0.5, "acc5": 0.9, "mean_per_class_recall": 0.45}
    scores = [
        score(benchmark="babel-imagenet", protocol="p", language="sw", direction="image_to_text", metric=m, value=v)
        for m, v in names.items()
    ]
    (path,) = export_result(replace(result(), scores=scores), "clip-benchmark", tmp_path)
    table = json.loads(path.read_text("utf-8"))
    assert (table["dataset"], table["task"], table["metrics"]) == ("babel_imagenet", "zeroshot_classification", names)


def test_mteb_layout(tmp_path: Path) -> None:
    files = export_result(result(), "mteb", tmp_path, model="mine")
    assert [path.relative_to(tmp_path).as_posix() for path in files] == [
        f"polyclip__mine/1/{name}.json" for name in ("XM3600T2IRetrieval", "XM3600I2TRetrieval", "model_meta")
    ]
    t2i, i2t, meta = (json.loads(path.read_text("utf-8")) for path in files)
    assert set(t2i) == {
        "dataset_revision",
        "task_name",
        "mteb_version",
        "evaluation_time",
        "kg_co2_emissions",
        "scores",
    }
    assert (t2i["task_name"], t2i["evaluation_time"]) == ("XM3600T2IRetrieval", 12.5)
    entries = {entry["hf_subset"]: entry for entry in t2i["scores"]["test"]}
    assert {code: entry["languages"] for code, entry in entries.items()} == {
        "sw": ["swa-Latn"],
        "no": ["nor-Latn", "nno-Latn", "nob-Latn"],
        "ko": ["kor-Hang"],
    }
    assert entries["sw"]["main_score"] == entries["sw"]["ndcg_at_10"] == pytest.approx(0.401), "all captions"
    assert entries["sw"]["recall_at_5"] == entries["sw"]["hit_rate_at_5"] == pytest.approx(0.501)
    several = i2t["scores"]["test"][0]
    assert several["hit_rate_at_1"] == pytest.approx(0.261) and "recall_at_1" not in several, (
        "several positives: a hit is not their recall"
    )
    assert (meta["name"], meta["revision"], meta["languages"]) == ("polyclip/mine", "1", ["eng-Latn", "swa-Latn"])


@pytest.mark.parametrize("format", FORMATS)
def test_a_partial_result_stands_beside_nobody(format: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="A partial result is not written"):
        export_result(result(notes=["PARTIAL: 3 of 3600 images"]), format, tmp_path)
    assert not list(tmp_path.iterdir())


def test_what_a_format_has_no_name_for(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="No format of results called 'mtab'. Did you mean 'mteb'"):
        export_result(result(), "mtab", tmp_path)
    with pytest.raises(DataError, match="mteb has no task for benchmark 'emoji'"):
        export_result(result("emoji"), "mteb", tmp_path)
    median = [found for found in result().scores if found.metric == "median_rank"]
    with pytest.raises(DataError, match="none of CLIP_benchmark's metrics"):
        export_result(replace(result(), scores=median), "clip-benchmark", tmp_path)


def test_names_there_are_of_benchmarks_that_both_have() -> None:
    clip_benchmark = pytest.importorskip("clip_benchmark")

    theirs = (Path(clip_benchmark.__file__).parent / "datasets" / "builder.py").read_text("utf-8")
    assert DATASETS.keys() | TASKS.keys() <= set(list_names("benchmarks"))
    for name in DATASETS.values():
        assert f"'{name}'" in theirs or f'"{name}"' in theirs, name
