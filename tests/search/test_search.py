"""Search for real use: a real encoder and tower, real emoji and their Swahili names, an index that is updated,
interrupted, moved and damaged.
"""

import csv
import importlib.machinery
import json
import os
import pickle
import shutil
import signal
import struct
import sys
import types
import zlib
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from filelock import FileLock
from PIL import Image
from safetensors.torch import load_file

from polyclip.core.run_folder import write_settings
from polyclip.data.corpus import load_corpus
from polyclip.data.image_files import scan_folder
from polyclip.data.images import make_image_source, open_image
from polyclip.data.pairs import SamplingConfig
from polyclip.data.training_pairs import make_training_pairs
from polyclip.errors import DataError, PolyclipError, RunError
from polyclip.languages.schema import load_language
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.config import ModelConfig
from polyclip.models.model_identity import hash_model
from polyclip.search import _encode, _images, build
from polyclip.search._images import embed_files
from polyclip.search._matrix import make_array, multiply
from polyclip.search.classify import read_labels
from polyclip.search.clip_retrieval import check_same_model
from polyclip.search.folder import search
from polyclip.search.index import Index, update_index
from polyclip.search.query import build_hint
from polyclip.training.branch_data import encode_branch
from tests.command import CommandResult, kill_when, polyclip

EMOJI = load_corpus("emoji")
NOTO = EMOJI.reader.pictures(EMOJI.folder, "noto")
NAMES = {
    code: {row.concept: row.captions[0] for row in EMOJI.reader.read(EMOJI.folder, code, "train")}
    for code in ("en", "sw")
}
CONCEPTS = [concept for concept in NAMES["sw"] if concept in NOTO and concept in NAMES["en"]][::40][:24]
SVG = b'<?xml version="1.0"?><!DOCTYPE b [<!ENTITY a "aaaa"><!ENTITY c "&a;&a;&a;">]><svg xmlns="http://www.w3.org/2000/svg"><text>&c;</text></svg>'
EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n%%EndComments\nshowpage\n"


def header(width: int, height: int) -> bytes:
    """A PNG of this size that ends where its pixels begin."""
    chunk = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + struct.pack(">I", 13)
        + chunk
        + struct.pack(">I", zlib.crc32(chunk))
        + struct.pack(">I", 1000)
        + b"IDAT"
    )


def write_pictures(folder: Path) -> Path:
    """Half of the emoji in the folder, half below it."""
    (folder / "below").mkdir(parents=True)
    for place, concept in enumerate(CONCEPTS):
        NOTO[concept].open().save(folder / ("below" if place % 2 else ".") / f"{concept}.png")
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """e5-small and EfficientNet-Lite0, aligned in closed form on these emoji and their names: it knows them by
    heart.
    """
    folder = tmp_path_factory.mktemp("run")
    lines = [
        {"image": f"{concept}.png", "captions": {code: [NAMES[code][concept]] for code in NAMES}, "split": split}
        for place, concept in enumerate(CONCEPTS)
        for split in ("train" if place else "validation",)
    ]
    for concept in CONCEPTS:
        NOTO[concept].open().save(folder / f"{concept}.png")
    (folder / "captions.jsonl").write_text(
        "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines), "utf-8"
    )
    (folder / "mine.toml").write_text('name = "mine"\nabout = "emoji"\nreader = "jsonl"\nfolder = "."\n', "utf-8")
    corpus, languages = load_corpus(str(folder / "mine.toml")), [load_language("sw"), load_language("en")]
    aligner = PolyCLIP(ModelConfig(vision_tower="efficientnet-lite0:,size=64", method="ridge", dim=128))
    train, other = (
        make_training_pairs(corpus, languages, split, SamplingConfig()) for split in ("train", "validation")
    )
    sides = [encode_branch(side, train, other) for side in (aligner.text, aligner.vision)]
    for data in sides:
        data.measure_head()
    assert aligner.method.solve is not None
    aligner.method.solve(*sides, lambda: 0.0)
    write_settings(folder / "out", {"languages": ["sw", "en"]})
    aligner.save(folder / "out" / "aligner.safetensors")
    return folder / "out"


@pytest.fixture(scope="module")
def other_run(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another model with the same towers."""
    folder = tmp_path_factory.mktemp("other")
    aligner = load_model(run)
    with torch.no_grad():
        for parameter in aligner.vision.head.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
    aligner.save(folder / "aligner.safetensors")
    return folder


@pytest.fixture(scope="module")
def ready(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of pictures with its index inside; tests that change it work on a copy."""
    images = write_pictures(tmp_path_factory.mktemp("ready") / "pictures")
    said = polyclip("index", images, "--model", run)
    assert said.code == 0 and f"{len(CONCEPTS)} images: {len(CONCEPTS)} encoded" in said.out, said
    return images


@pytest.fixture(scope="module")
def queries(run: Path) -> torch.Tensor:
    """Vectors of the Swahili names, in the order of the concepts: the encoder is built once for several tests."""
    return load_model(run).encode_text([NAMES["sw"][concept] for concept in CONCEPTS], "sw")


@pytest.fixture
def mine(ready: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(ready, tmp_path / "mine"))


def one_sentence(said: CommandResult, *words: str) -> None:
    lines = said.err.strip().splitlines()
    assert said.code == 2 and len(lines) == 1 and lines[0].startswith("error: "), said
    for word in words:
        assert word in lines[0], (word, lines[0])


def hits(folder: Path, embeddings: torch.Tensor, top: int = 5) -> list[list[tuple[str, float]]]:
    found = Index.open(folder)
    return [
        [(hit.path.relative_to(found.root).as_posix(), round(hit.similarity, 5)) for hit in row]
        for row in found.search_embeddings(embeddings, top)
    ]


def test_swahili_names_find_their_emoji_and_the_index_answers_as_the_folder_does(
    ready: Path, run: Path, queries: torch.Tensor, tmp_path: Path
) -> None:
    opened = Index.open(ready)
    assert opened.root == ready.resolve() and len(opened) == len(CONCEPTS) and not opened.approximate
    best = [found[0].path.stem for found in opened.search_embeddings(queries[1:], 1)]
    assert sum(a == b for a, b in zip(best, CONCEPTS[1:], strict=True)) > 0.8 * len(best)
    name = NAMES["sw"][CONCEPTS[1]]
    said = json.loads(polyclip("search", name, "--index", ready, "--json", "--top", 5).out)
    slow = search(name, ready, run, 5)
    assert [hit["path"] for hit in said["hits"]] == [str(hit.path.resolve()) for hit in slow.hits]
    assert [hit["similarity"] for hit in said["hits"]] == pytest.approx([hit.similarity for hit in slow.hits], abs=1e-5)
    assert (said["language"], said["hint"], said["searched"], said["recall_at_10"]) == ("sw", "", len(CONCEPTS), None)
    sure = opened.confidence(name, "sw")
    assert sure is not None and slow.confidence is not None and said["level"] == sure.level == "high"
    assert said["confidence"] == pytest.approx(sure.confidence) == pytest.approx(slow.confidence.confidence, abs=1e-4)
    shown = polyclip("search", name, "--index", ready)
    assert f"confidence in the first image: high ({100 * sure.confidence:.0f} %)" in shown.out
    sheet = tmp_path / "found.html"
    image = polyclip(
        "search",
        "--picture",
        opened.root / opened.paths[7],
        "--index",
        ready / ".polyclip-index",
        "--top",
        3,
        "--html",
        sheet,
    )
    assert image.code == 0 and image.out.split("1.000")[1].split()[0] == opened.paths[7]
    assert sheet.read_text("utf-8").count("data:image/webp") == 3 and "confidence" not in image.out


def test_only_new_and_changed_pictures_are_encoded(
    mine: Path, run: Path, queries: torch.Tensor, tmp_path: Path
) -> None:
    out = mine / ".polyclip-index"
    first, second, third, fourth = (mine / path for path in Index.open(mine).paths[:4])
    generation = Index.open(mine).manifest.generation
    assert update_index(mine, run, out).encoded == 0 and Index.open(mine).manifest.generation == generation
    first.unlink()
    shutil.copy(third, second)  # other bytes under an old name, known from another file
    third.rename(mine / "moved.png")
    NOTO[CONCEPTS[0]].open().rotate(90).save(mine / "new.png")
    os.utime(fourth, (1, 1))  # the same bytes at another time
    changes = update_index(mine, run, out)
    assert (changes.encoded, changes.added, changes.removed, changes.problems) == (1, 4, 2, [])
    fresh = update_index(mine, run, tmp_path / "fresh").index
    assert sorted(fresh.paths) == sorted(changes.index.paths) and len(fresh) == len(CONCEPTS)
    assert [sorted(row) for row in hits(mine, queries, 24)] == [
        sorted(row) for row in hits(tmp_path / "fresh", queries, 24)
    ]
    assert {path.name for path in out.iterdir()} == {"index.json", "lock", *changes.index.manifest.bytes}


def test_another_model_on_the_same_tower_indexes_without_decoding_or_encoding(
    ready: Path, other_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = load_model(other_run).vision.embed(
        [make_image_source(path) for path in scan_folder(ready)[0]], "images", keep=False
    )

    def refuse(*given: object) -> None:
        raise AssertionError("an image was encoded again")

    monkeypatch.setattr(_images, "encode_items", refuse)
    changes = update_index(ready, other_run, tmp_path / "other")
    assert changes.encoded == len(CONCEPTS)
    torch.testing.assert_close(changes.index.embeddings, right, atol=1e-5, rtol=0)
    NOTO[CONCEPTS[0]].open().rotate(45).save(ready.parent / "new.png")
    new = tmp_path / "new"
    new.mkdir()
    shutil.copy(ready.parent / "new.png", new)
    with pytest.raises(AssertionError, match="encoded again"):
        update_index(new, other_run, tmp_path / "unknown")


def test_an_interrupted_index_goes_on(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    images = write_pictures(tmp_path / "pictures")
    monkeypatch.setattr(_encode, "BATCH", 8)
    keep, calls = _encode.IndexEncoder.encode_batch, []

    def third_time(self: object, *given: object) -> dict[str, str]:
        calls.append(given)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return keep(self, *given)  # type: ignore[arg-type]

    monkeypatch.setattr(_encode.IndexEncoder, "encode_batch", third_time)
    said = polyclip("index", images, "--model", run)
    assert said.code == 130 and "What was encoded so far is kept" in said.err
    one_sentence(polyclip("search", "paka", "--index", images), "is not an index", "polyclip index")
    changes = update_index(images, run, images / ".polyclip-index")
    assert changes.encoded == len(CONCEPTS) - 16 and len(changes.index) == len(CONCEPTS)
    assert not (images / ".polyclip-index" / "parts").exists()


def test_a_killed_index_goes_on_where_it_was(run: Path, tmp_path: Path) -> None:
    images = tmp_path / "pictures"
    images.mkdir()
    for concept in CONCEPTS:
        drawn = NOTO[concept].open().resize((64, 64))
        for angle in range(0, 360, 30):
            drawn.rotate(angle, fillcolor="white").save(images / f"{concept}-{angle}.png")
    parts = images / ".polyclip-index" / "parts"
    code, _ = kill_when(lambda: any(parts.glob("*.safetensors")), ["index", images, "--model", run], signal.SIGKILL)
    assert code == -signal.SIGKILL and not (images / ".polyclip-index" / "index.json").exists(), (
        "it was killed too late to prove anything"
    )
    changes = update_index(images, run, images / ".polyclip-index")
    assert (
        len(changes.index) == 12 * len(CONCEPTS)
        and changes.encoded <= len(changes.index) - _encode.BATCH
        and not parts.exists()
    )
    whole = update_index(images, run, tmp_path / "whole").index
    found, fresh = (dict(zip(made.paths, made.embeddings, strict=True)) for made in (changes.index, whole))
    assert all((found[path] - fresh[path]).abs().max() < 1e-5 for path in fresh) and found.keys() == fresh.keys()


def test_an_index_that_cannot_be_used_says_why(mine: Path, run: Path, other_run: Path, tmp_path: Path) -> None:
    out = mine / ".polyclip-index"
    one_sentence(
        polyclip("search", "paka", "--index", mine, "--model", other_run), "made by another model", str(other_run)
    )
    one_sentence(polyclip("index", mine, "--model", other_run), "made by another model", "--out")
    with FileLock(out / "lock"):
        one_sentence(polyclip("index", mine, "--model", run), "Another process is writing", "--out")
    one_sentence(polyclip("search", "paka", "--index", tmp_path), "is not an index")
    one_sentence(polyclip("search", "paka"), "--index DIR", "--images DIR")
    one_sentence(polyclip("index", mine, "--model", run, "--out", mine), "is not an index", "empty or new folder")
    moved = tmp_path / "elsewhere"
    shutil.copytree(out, tmp_path / "apart")
    manifest = json.loads((tmp_path / "apart" / "index.json").read_text("utf-8"))
    manifest["root"] = str(mine)
    (tmp_path / "apart" / "index.json").write_text(json.dumps(manifest), "utf-8")
    mine.rename(moved)
    one_sentence(polyclip("search", "paka", "--index", tmp_path / "apart"), "is not a folder any more", "--images DIR")
    (tmp_path / "empty").mkdir()
    one_sentence(
        polyclip("search", "paka", "--index", tmp_path / "apart", "--images", tmp_path / "empty"),
        "none of the images",
        "--images",
    )
    found = Index.open(tmp_path / "apart", moved)
    assert found.search_embeddings(found.embeddings[:1], 1)[0][0].path == moved / found.paths[0]
    assert Index.open(moved).root == moved  # an index inside its pictures moves with them
    one_sentence(polyclip("index", tmp_path / "empty", "--model", run), "has no image")


@pytest.mark.parametrize("kind", ["vectors", "pictures"])
def test_a_truncated_index_is_named(mine: Path, kind: str) -> None:
    path = next((mine / ".polyclip-index").glob(f"{kind}.*"))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    one_sentence(polyclip("search", "paka", "--index", mine), path.name, "cut short")
    path.write_bytes(b"x" * len(whole))
    one_sentence(polyclip("search", "paka", "--index", mine), path.name, "is damaged")
    path.unlink()
    one_sentence(polyclip("search", "paka", "--index", mine), path.name, "is missing")
    (path.parent / "index.json").write_text("{}")
    one_sentence(polyclip("search", "paka", "--index", mine), "index.json", "damaged")


@pytest.mark.parametrize("name", ["8:15 asubuhi.png", "picha\\paka.png", "a\nb.png", "a:b/c.png"])
def test_odd_names_are_indexed_and_found_again(name: str, mine: Path, run: Path) -> None:
    (mine / name).parent.mkdir(exist_ok=True)
    Image.new("RGB", (32, 32), "teal").save(mine / name, "PNG")
    (mine / "caf\udce9.png").write_bytes((mine / name).read_bytes())
    said = polyclip("index", mine, "--model", run)
    assert said.code == 0 and r"caf\xe9.png: the name is not UTF-8" in said.out
    assert name in Index.open(mine).paths


def test_an_index_never_leads_out_of_its_folder(mine: Path) -> None:
    out = mine / ".polyclip-index"
    path = next(out.glob("pictures.*"))
    for bad in (
        "",
        "..",
        "a/..",
        "../secret.png",
        "/etc/passwd",
        "a/../../b.png",
        "C:\\b.png",
        "C:/b.png",
        "\\\\host\\share\\b.png",
    ):
        table = pq.read_table(path)
        names = pa.array([bad, *table["path"].to_pylist()[1:]])
        pq.write_table(table.set_column(0, "path", names), path)
        manifest = json.loads((out / "index.json").read_text("utf-8"))
        manifest["bytes"][path.name] = path.stat().st_size
        (out / "index.json").write_text(json.dumps(manifest), "utf-8")
        with pytest.raises(DataError, match="not inside the folder of images"):
            Index.open(mine)
    manifest["bytes"]["../../x"] = 1
    (out / "index.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(DataError, match="not a file of an index"):
        Index.open(mine)


def test_what_is_no_picture_is_skipped_and_named(run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "pictures"
    folder.mkdir()
    NOTO[CONCEPTS[0]].open().save(folder / "good.png")
    bad = {
        "zero.png": b"",
        "huge.png": header(30000, 30000),
        "large.png": header(10000, 9000),
        "bomb.svg": SVG,
        "svg.png": SVG,
    }
    bad |= {
        "letter.jpg": b"Dear all",
        "ghost.png": EPS,
        "half.png": (folder / "good.png").read_bytes()[:300],
        "twin.png": b"Dear all",
    }
    for name, data in bad.items():
        (folder / name).write_bytes(data)
    (folder / "good.txt").write_text("a caption")
    said = polyclip("index", folder, "--model", run)
    told = {
        line.partition(": ")[0].rpartition("/")[2]: line
        for line in said.out.splitlines()
        if line.startswith("skipped ")
    }
    assert said.code == 0 and set(told) == set(bad), said
    words = {
        "zero.png": "0 bytes",
        "huge.png": "too large",
        "large.png": "pixels",
        "bomb.svg": "image/svg+xml is not read",
        "svg.png": "an SVG",
    }
    words |= {
        "letter.jpg": "not a readable image",
        "twin.png": "not a readable image",
        "ghost.png": "not a readable image",
        "half.png": "damaged or truncated",
    }
    assert {name for name, word in words.items() if word not in told[name]} == set()
    assert "1 images: 1 encoded" in said.out and f"{len(bad)} skipped" in said.out
    assert (
        len(scan_folder(folder)[0]) == len(bad)
        and len(embed_files(load_model(run), scan_folder(folder)[0], "images")[0]) == 1
    )
    (folder / "good.png").unlink()
    one_sentence(
        polyclip("index", folder, "--model", run, "--out", tmp_path / "none"), "None of the 8 images", "can be read"
    )


def names(found: list[list[tuple[str, float]]]) -> list[list[str]]:
    return [[name for name, _ in row] for row in found]


def test_many_pictures_are_searched_through_a_graph_whose_recall_is_stored(
    mine: Path, run: Path, queries: torch.Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = hits(mine, queries)
    monkeypatch.setattr(build, "EXACT", 12)
    monkeypatch.setattr(build, "QUERIES", 30)
    NOTO[CONCEPTS[0]].open().rotate(90).save(mine / "new.png")
    said = polyclip("index", mine, "--model", run)
    assert said.code == 0 and "recall@10" in said.out, said
    found = Index.open(mine)
    assert (
        found.approximate
        and found.manifest.graph is not None
        and set(found.manifest.graph.recall_at_10) == {"pictures", "texts"}
    )
    assert found.manifest.graph.queries["texts"] == 30 and min(found.manifest.graph.recall_at_10.values()) > 0.9
    (mine / "new.png").unlink()
    recomputed = update_index(mine, run, mine / ".polyclip-index").index  # a row is taken out of the graph
    assert recomputed.approximate and names(hits(mine, queries)) == names(exact)
    assert json.loads(polyclip("search", "paka", "--index", mine, "--json").out)["recall_at_10"] > 0.9
    graph = next((mine / ".polyclip-index").glob("graph.*"))
    graph.write_bytes(b"x" * graph.stat().st_size)
    one_sentence(polyclip("search", "paka", "--index", mine), graph.name, "is damaged")


def test_queries_that_cannot_be_answered(ready: Path, run: Path, tmp_path: Path) -> None:
    found = Index.open(ready)
    with pytest.raises(DataError, match="embeddings of length"):
        found.search_embeddings(torch.ones(1, 3), 1)
    with pytest.raises(DataError, match="not finite"):
        found.search_embeddings(torch.full((1, found.manifest.dim), float("nan")), 1)
    assert len(found.search_embeddings(found.embeddings[:2], 99)[1]) == len(CONCEPTS)
    (tmp_path / "no.png").write_bytes(b"Dear all")
    one_sentence(
        polyclip("search", "--index", ready, "--picture", tmp_path / "no.png"), "no.png", "not a readable image"
    )
    one_sentence(polyclip("search", "--index", ready, "--picture", tmp_path / "gone.png"), "gone.png", "cannot be read")
    one_sentence(polyclip("search", "paka", "--index", ready, "--picture", tmp_path / "no.png"), "cannot be combined")
    one_sentence(polyclip("search", " ", "--index", ready), "is empty")
    one_sentence(polyclip("search", "paka", "--index", ready, "--lang", "klingon"), "'klingon'")


def test_a_language_never_trained_is_answered_with_a_hint(ready: Path) -> None:
    said = polyclip("search", "ologbo dudu", "--index", ready, "--lang", "yo")
    assert (
        said.code == 0
        and "Yoruba (yo) is an unseen language: the model was trained on Swahili (sw), English (en)" in said.out
    )
    trained = ["sw", "en"]
    assert (
        build_hint("paka mweusi amelala kwenye kochi", "", trained)
        == build_hint("a black cat sleeps on the sofa", "", trained)
        == ""
    )
    assert (
        build_hint("Chat noir", "", trained)
        == build_hint("42", "", trained)
        == build_hint("paka", "sw", trained)
        == build_hint("кот", "", [])
        == ""
    )
    assert "looks like French (fr)" in build_hint("un chat noir dort sur le canapé de la maison", "", trained)
    assert "No trained language uses the query's script" in build_hint("चूहा", "", trained)


def test_pictures_are_labelled_in_any_language(ready: Path, run: Path, other_run: Path, tmp_path: Path) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("\ufeff" + "".join(f"{NAMES['sw'][c]}\t{NAMES['en'][c]}\n\n" for c in CONCEPTS[1:9]), "utf-8")
    said = polyclip("classify", ready, "--labels", labels, "--csv", tmp_path / "found.csv")
    assert (
        said.code == 0
        and "It is not the probability" in said.out
        and "ridge has no trained temperature" in " ".join(said.out.split())
    )
    assert max(map(len, said.out.splitlines()[:20])) <= 80
    rows = list(csv.DictReader((tmp_path / "found.csv").read_text("utf-8").splitlines()))
    assert len(rows) == len(CONCEPTS) and all(float(row["share"]) >= float(row["second_share"]) for row in rows)
    own = {f"{concept}.png": NAMES["sw"][concept] for concept in CONCEPTS[1:9]}
    right = [row["label"] == own[Path(row["picture"]).name] for row in rows if Path(row["picture"]).name in own]
    assert sum(right) >= 7
    plain = tmp_path / "plain"
    plain.mkdir()
    shutil.copy(ready / rows[0]["picture"], plain / "a.png")
    facts = json.loads(
        polyclip("classify", plain, "--labels", labels, "--model", run, "--json", "--lang", "swahili").out
    )
    assert (facts["language"], facts["pictures"][0]["label"]) == ("sw", rows[0]["label"])
    assert facts["pictures"][0]["similarity"] == pytest.approx(float(rows[0]["similarity"]), abs=1e-4)
    one_sentence(polyclip("classify", plain, "--labels", labels), "has no index", "--model RUN")
    one_sentence(polyclip("classify", ready, "--labels", labels, "--model", other_run), "made by another model")
    for text, word in (("paka\n", "expected two or more"), ("a\na\n", "already on an earlier line")):
        labels.write_text(text, "utf-8")
        one_sentence(polyclip("classify", ready, "--labels", labels), word)
    labels.write_bytes(b"caf\xe9\nth\xe9\n")
    one_sentence(polyclip("classify", ready, "--labels", labels), "is not UTF-8")
    with pytest.raises(DataError, match=r"gone\.txt cannot be read"):
        read_labels(tmp_path / "gone.txt")


def test_duplicates_are_grouped_and_left_alone(run: Path, tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "pictures")
    first, second, third = (
        open_image(folder / f"{concept}.png") for concept in (CONCEPTS[0], CONCEPTS[2], CONCEPTS[4])
    )
    shutil.copy(folder / f"{CONCEPTS[0]}.png", folder / "copy.png")
    second.resize((400, 400)).save(folder / "larger.png")
    third.rotate(4, fillcolor="white").save(folder / "turned.png")
    (folder / "zero.png").write_bytes(b"")
    assert first.size == second.size
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    found = json.loads(polyclip("dedupe", folder, "--json").out)
    groups = {(group["kind"], frozenset(group["pictures"])) for group in found["groups"]}
    assert ("identical", frozenset({f"{CONCEPTS[0]}.png", "copy.png"})) in groups
    assert ("same picture", frozenset({f"{CONCEPTS[2]}.png", "larger.png"})) in groups
    assert not any("turned.png" in members for _, members in groups) and "zero.png" in found["skipped"][0]
    a, b = load_model(run).encode_image([third, open_image(folder / "turned.png")])
    least = float(a @ b) - 1e-4
    with_model = json.loads(polyclip("dedupe", folder, "--model", run, "--threshold", least, "--json").out)
    (turned,) = [group for group in with_model["groups"] if "turned.png" in group["pictures"]]
    assert turned["kind"] == "similar" and f"{CONCEPTS[4]}.png" in turned["pictures"] and turned["similarity"] >= least
    said = polyclip("dedupe", folder)
    assert said.code == 0 and "nothing was deleted" in said.out and "larger.png" in said.out
    one_sentence(polyclip("dedupe", folder, "--threshold", 0.9), "--model RUN")
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_embeddings_of_another_length_are_refused_whatever_polyclip_json_says(run: Path, tmp_path: Path) -> None:
    (tmp_path / "polyclip.json").write_text(json.dumps({"aligner": hash_model(run / "aligner.safetensors")}))
    with pytest.raises(DataError, match="its embeddings have length 3, those of"):
        check_same_model(tmp_path, run, load_model(run), [], torch.ones(1, 3))


def test_clip_retrievals_layout_is_written_and_read(mine: Path, run: Path, other_run: Path, tmp_path: Path) -> None:
    there, back = tmp_path / "layout", tmp_path / "back"
    for path in scan_folder(mine)[0]:
        path.with_suffix(".txt").write_text(NAMES["sw"][path.stem] + "\n", "utf-8")
    said = polyclip("index", mine, "--model", run, "--to-clip-retrieval", there, "--lang", "sw")
    assert said.code == 0 and "captions too" in said.out, said
    table = pq.read_table(there / "metadata" / "metadata_0.parquet").to_pydict()
    images, texts = (np.load(there / name / f"{name}_0.npy", allow_pickle=False) for name in ("img_emb", "text_emb"))
    assert images.shape == texts.shape == (len(CONCEPTS), Index.open(mine).manifest.dim) and set(table) == {
        "image_path",
        "caption",
    }
    assert np.allclose(texts, load_model(run).encode_text(table["caption"], "sw").numpy(), atol=1e-5)
    said = polyclip("index", mine, "--model", run, "--out", back, "--from-clip-retrieval", there)
    assert said.code == 0 and "as polyclip.json says" in said.out, said
    for read, written in zip(hits(back, torch.from_numpy(texts)), hits(mine, torch.from_numpy(texts)), strict=True):
        assert [name for name, _ in read] == [name for name, _ in written]
        assert [score for _, score in read] == pytest.approx([score for _, score in written], abs=2e-5)
    assert update_index(mine, run, back).encoded == 0
    one_sentence(
        polyclip("index", mine, "--model", other_run, "--out", tmp_path / "no", "--from-clip-retrieval", there),
        "another model",
    )
    (there / "polyclip.json").unlink()  # from here on as other tools write it: in half precision, in two parts
    for name, array in (("img_emb", images), ("text_emb", texts)):
        for part, rows in enumerate((slice(0, 10), slice(10, None))):
            np.save(there / name / f"{name}_{part}.npy", array[rows].astype(np.float16))
    for part, rows in enumerate((slice(0, 10), slice(10, None))):
        pq.write_table(
            pa.table({key: values[rows] for key, values in table.items()}),
            there / "metadata" / f"metadata_{part}.parquet",
        )
    said = polyclip("index", mine, "--model", run, "--out", tmp_path / "half", "--from-clip-retrieval", there)
    assert said.code == 0 and "encoded again" in said.out, said
    assert torch.allclose(Index.open(tmp_path / "half").embeddings, Index.open(mine).embeddings, atol=1e-3)
    one_sentence(
        polyclip("index", mine, "--model", other_run, "--out", tmp_path / "no", "--from-clip-retrieval", there),
        "another model",
        "encoded again",
    )
    one_sentence(
        polyclip(
            "index", tmp_path, "--model", run, "--out", tmp_path / "no", "--from-clip-retrieval", tmp_path / "half"
        ),
        "no img_emb",
    )
    (tmp_path / "apart").mkdir()
    one_sentence(
        polyclip("index", tmp_path / "apart", "--model", run, "--out", tmp_path / "no", "--from-clip-retrieval", there),
        "is not below",
    )
    np.save(there / "img_emb" / "img_emb_1.npy", images[:3])
    one_sentence(
        polyclip("index", mine, "--model", run, "--out", tmp_path / "no", "--from-clip-retrieval", there),
        "belong together",
    )
    (there / "img_emb" / "img_emb_1.npy").write_bytes(pickle.dumps([1]))
    one_sentence(
        polyclip("index", mine, "--model", run, "--out", tmp_path / "no", "--from-clip-retrieval", there),
        "not a plain array",
    )
    assert not (tmp_path / "no" / "index.json").exists()


def test_a_run_that_is_gone(ready: Path, run: Path, tmp_path: Path) -> None:
    assert load_file(next((ready / ".polyclip-index").glob("vectors.*")))["vectors"].dtype == torch.float32
    with pytest.raises(RunError, match="'polyclip search --model RUN' takes the run's new folder"):
        Index.open(ready, model=tmp_path)
    copy = Path(shutil.copytree(run, tmp_path / "copy"))
    assert Index.open(ready, model=copy).model == copy
    with pytest.raises(PolyclipError, match=r"holds 'mine\.txt'|is no index"):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine.txt").write_text("mine")
        update_index(ready, run, tmp_path / "out")


@pytest.mark.parametrize("others", [(7,), (7, 3)])
def test_products_are_the_same_with_and_without_torch(others: tuple[int, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = np.random.default_rng(0)
    rows, other = (numbers.normal(size=shape).astype(np.float32) for shape in ((5, 7), others))
    with_torch = multiply(rows, other)
    half = types.ModuleType("torch")
    half.__spec__ = importlib.machinery.ModuleSpec("torch", None)
    half.__spec__._initializing = True  # type: ignore[attr-defined]
    for absent in (None, half):  # never imported, and being imported by another thread
        monkeypatch.setitem(sys.modules, "torch", absent)
        assert np.allclose(with_torch, multiply(rows, make_array(other)), atol=1e-6)
    assert with_torch.shape == (5, *others[1:])


def test_queries_of_any_memory_are_searched(ready: Path) -> None:
    """Read-only, upside down and of float64: torch shares no memory with such arrays."""
    index = Index.open(ready)
    query = np.array(index.matrix[:2], np.float64)
    wanted = index.search_embeddings(query, 3)
    query.flags.writeable = False
    assert index.search_embeddings(query, 3) == wanted
    assert index.search_embeddings(np.array(query[::-1])[::-1], 3) == wanted
    assert index.search_embeddings(torch.from_numpy(query.copy()), 3) == wanted
