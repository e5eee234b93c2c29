"""Hostile files: what would be waited for, fill the memory, end the process, reach outside or pretend to be another."""

import io
import json
import os
import signal
import tarfile
import tracemalloc
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import openpyxl
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from polyclip.data.corpus import load_corpus
from polyclip.data.readers import emoji
from polyclip.data.svg import MAX_DEPTH, render_svg
from polyclip.data.tables.hub import read_first_rows
from polyclip.data.tables.read import read_table
from polyclip.errors import DataError, PolyclipError, RunError, WeightsError, escape_unseen
from polyclip.evaluation.benchmarks.webdataset import read_samples
from polyclip.models.aligner import PolyCLIP
from polyclip.models.backbone import BackboneSpec
from polyclip.models.feature_files import read_file
from polyclip.models.feature_rows import CachedColumn, _offset
from polyclip.models.model_file import read_aligner
from polyclip.report.html import render_page
from polyclip.report.model_card import render_card
from polyclip.report.run_facts import read_facts
from polyclip.search._encode import read_parts
from polyclip.training import checkpoint
from polyclip.training.config import TOWERS
from tests.command import CommandResult, polyclip
from tests.evaluation.benchmarks import samples
from tests.fuzz.targets import ALIGN_TOY, LAB, build_dataset, build_index, build_run, write_lab
from tests.sharded import make_tar
from tests.sharded import write_pack as write_sharded_pack

SVG = 'xmlns="http://www.w3.org/2000/svg"'


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lab")
    write_lab(folder)
    return folder


@pytest.fixture(autouse=True)
def ten_seconds() -> Iterator[None]:
    """What hangs fails."""

    def stop(number: int, frame: object) -> None:
        raise TimeoutError("over 30 s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.alarm(30)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def refused(said: CommandResult, *words: str) -> None:
    assert said.code == 2, said
    last = said.err.strip().split("\n")[-1]
    assert last.startswith("error: ") and all(word in last for word in words), said


def put(path: Path, kind: str) -> Path:
    """Put a pipe, a device or a folder in a file's place."""
    path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    else:
        path.mkdir()
    return path


@pytest.mark.parametrize("kind", ["pipe", "device", "folder"])
@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("t.csv", "corpus new LAB/pictures HERE/t.csv --out HERE/ours"),
        ("t.xlsx", "corpus new LAB/pictures HERE/t.xlsx --out HERE/ours"),
        ("c/captions.jsonl", "eval retrieval --data HERE/c --model LAB/run --json HERE/o.json"),
        ("c/captions.jsonl", "leakage LAB/corpus/toy.toml HERE/c/captions.jsonl"),
        ("c.toml", f"{ALIGN_TOY.replace('LAB/corpus/toy.toml', 'HERE/c.toml').replace('FOLDER', 'HERE')}"),
        ("run/run.toml", "eval retrieval --data LAB/bench --model HERE/run --json HERE/o.json"),
        ("run/aligner.safetensors", "eval retrieval --data LAB/bench --model HERE/run --json HERE/o.json"),
        ("run/result.json", "report HERE/run --no-pictures"),
        ("run/README.md", "report HERE/run --no-pictures"),
        ("run/result.json", "compare HERE/run LAB/other"),
        ("index/index.json", "search mraba --index HERE/index"),
        ("index/pictures.1.parquet", "search mraba --index HERE/index"),
        ("labels.txt", "classify LAB/pictures --labels HERE/labels.txt --model LAB/run"),
        ("a.png", "search --picture HERE/a.png --images LAB/pictures --model LAB/run --html HERE/s.html"),
        ("own.tsv", "translate LAB/corpus/toy.toml --to te --with file --model HERE/own.tsv --out HERE/t"),
        ("own.index", "translate LAB/corpus/toy.toml --to te --with lexicon --model HERE/own.index --out HERE/t"),
        ("anything", "eval retrieval --data LAB/bench --model HERE/anything --json HERE/o.json"),
        ("anything", "search mraba --images HERE/anything --model LAB/run --html HERE/s.html"),
    ],
)
def test_pipes_devices_and_folders_are_refused_at_once(
    name: str, command: str, kind: str, lab: Path, tmp_path: Path
) -> None:
    if name.startswith("run"):
        build_run(lab, tmp_path)
    if name.startswith("index"):
        build_index(lab, tmp_path)
    put(tmp_path / name, kind)
    refused(polyclip(*command.replace("HERE", str(tmp_path)).replace(LAB, str(lab)).split()))


def test_a_pipe_among_images_is_named_and_the_others_are_read(lab: Path, tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), "red").save(tmp_path / "a.png")
    put(tmp_path / "b.png", "pipe")
    put(tmp_path / "c.png", "device")
    said = polyclip("dedupe", tmp_path)
    assert said.code == 0 and "1 images" in said.out, said
    assert "pipes or devices, not files, the first: " in said.out and "b.png" in said.out
    assert "links that lead out of" in said.out and "c.png" in said.out


def test_a_pipe_in_the_place_of_a_shard_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "0.tar")
    os.mkfifo(tmp_path / "noto.tar")
    with pytest.raises(DataError, match="it is a pipe or device"):
        read_samples(tmp_path / "0.tar")
    with pytest.raises(DataError, match="it is a pipe or device"):
        emoji.pictures(tmp_path, "noto")


def test_a_pipe_in_the_place_of_tensors_is_not_waited_for(tmp_path: Path) -> None:
    """Of what an interrupted run, an interrupted indexing, the cache and a model keep."""
    path = checkpoint.get_path(tmp_path, "heads")
    os.mkfifo(path)
    for kind, reading in (
        (RunError, lambda: checkpoint.read(tmp_path, "heads", TOWERS, PolyCLIP.__new__(PolyCLIP), frozenset())),
        (DataError, lambda: list(read_parts(tmp_path, "x"))),
        (WeightsError, lambda: read_file(path)),
        (WeightsError, lambda: read_aligner(path)),
    ):
        with pytest.raises(kind, match="it is a pipe or device"):
            reading()


def test_a_pipe_in_the_place_of_a_data_set_is_not_waited_for(lab: Path, tmp_path: Path) -> None:
    build_dataset(lab, tmp_path)
    put(tmp_path / "d" / "data-00000-of-00001.arrow", "pipe")
    with pytest.raises(DataError, match="it is a pipe or device"):
        _ = load_corpus(str(tmp_path / "sharded.toml")).languages
    with pytest.raises(DataError, match="it is a pipe or device"):
        read_first_rows(tmp_path / "d", "train", "")


@pytest.mark.parametrize("kind", [tarfile.LNKTYPE, tarfile.SYMTYPE, tarfile.CHRTYPE, tarfile.BLKTYPE, tarfile.FIFOTYPE])
@pytest.mark.parametrize("target", ["/etc/passwd", "../x", "a.png"])
def test_links_and_devices_in_archives(kind: bytes, target: str, lab: Path, tmp_path: Path) -> None:
    out = io.BytesIO(make_tar([("a.png", samples.picture(1)), ("a.sw.txt", b"paka")]))
    with tarfile.open(fileobj=out, mode="a") as archive:
        info = tarfile.TarInfo("b.png")
        info.type, info.linkname = kind, target
        archive.addfile(info)
    (tmp_path / "test").mkdir()
    (tmp_path / "test" / "0.tar").write_bytes(out.getvalue())
    said = polyclip("eval", "webdataset", "--data", tmp_path, "--model", lab / "run", "--lang", "sw")
    refused(said, "'b.png' is not a plain file")
    (tmp_path / "0.tar").write_bytes(out.getvalue())
    pack = write_sharded_pack(tmp_path, "webdataset", "0.tar")
    command = (
        ALIGN_TOY.replace("LAB/corpus/toy.toml", str(pack)).replace("FOLDER", str(tmp_path)).replace(LAB, str(lab))
    )
    refused(polyclip(*command.split()), "'b.png' is not a plain file")


@pytest.mark.parametrize(
    ("svg", "said"),
    [
        (f'<svg {SVG} width="1" height="100000"/>', "one edge may be at most 256"),
        (f'<svg {SVG} width="1px" height="256in"/>', "one edge may be at most 256"),
        (f'<svg {SVG} viewBox="0 0 1 99999"/>', "one edge may be at most 256"),
        (f'<svg {SVG} width="9" height="9">{"<g>" * 100_000}{"</g>" * 100_000}</svg>', f"more than {MAX_DEPTH} deep"),
        (f'<svg {SVG} width="nan" height="-5"/>', "invalid size"),
        ('<!DOCTYPE s [<!ENTITY a "&b;"><!ENTITY b "&a;">]><svg>&a;</svg>', "recursive entity"),
        ("", "no element found"),
        ("\x00", "not XML"),
    ],
)
def test_drawings_that_would_end_the_process(svg: str, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        render_svg(svg, 256)


def test_drawings_fetch_and_run_nothing(tmp_path: Path) -> None:
    Image.new("RGB", (9, 9), "red").save(tmp_path / "secret.png")
    link = f'xmlns:xlink="http://www.w3.org/1999/xlink" xlink:href="file://{tmp_path}/secret.png"'
    drawn = render_svg(f'<svg {SVG} width="9" height="9"><image {link} width="9" height="9"/></svg>', 9)
    assert drawn.getpixel((4, 4)) == (255, 255, 255)
    entity = f'<!DOCTYPE s [<!ENTITY x SYSTEM "file://{tmp_path}/secret.png">]>'
    with pytest.raises(ValueError, match="undefined entity|entity"):
        render_svg(f'{entity}<svg {SVG} width="9" height="9"><text>&x;</text></svg>', 9)
    shape = '<rect width="9" height="9" fill="#00f"/>'
    drawn = render_svg(f'<svg {SVG} width="9" height="9"><script>while(1);</script>{shape}</svg>', 9)
    assert drawn.getpixel((4, 4)) == (0, 0, 255)
    assert render_svg(f'<svg {SVG} viewBox="0 0 2 1" width="100%">{shape}</svg>', 8).size == (8, 4)


def test_workbooks_that_unpack_to_gigabytes(tmp_path: Path) -> None:
    book = openpyxl.Workbook()
    book.active.append(["image", "sw"])
    book.save(tmp_path / "a.xlsx")
    with zipfile.ZipFile(tmp_path / "a.xlsx", "a", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("xl/bomb.xml", "w") as part:
            for _ in range(100):
                part.write(bytes(1 << 20))
    tracemalloc.start()
    with pytest.raises(DataError, match=r"a\.xlsx unpacks to 1\d\d,\d\d\d,\d\d\d bytes"):
        read_table(tmp_path / "a.xlsx")
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_names_and_captions_are_shown_as_what_they_are(lab: Path, tmp_path: Path) -> None:
    """A name that ends in `gnp.exe` behind a change of direction, one that clears the screen, one of two lines."""
    for name in ("a\u202egpj.png", "b\x1b[2J.png", "c\nd.png", "e\u2066.png"):
        Image.new("RGB", (9, 9), "red").save(tmp_path / name)
    sheet = tmp_path / "s.html"
    said = polyclip("search", "mraba \u202eabc", "--images", tmp_path, "--model", lab / "run", "--html", sheet)
    assert said.code == 0, said
    page = sheet.read_text("utf-8")
    for shown in (r"a\u202egpj.png", r"b\x1b[2J.png", r"c\nd.png", r"e\u2066.png"):
        assert shown in said.out.replace("\n", "").replace(" ", "") and shown in page
    assert r"mraba \u202eabc" in page
    assert not {"\u202e", "\x1b", "\u2066"} & set(said.out + page)
    labels = tmp_path / "labels.txt"
    labels.write_text("mraba\u202e\nduara\n", "utf-8")
    said = polyclip("classify", tmp_path, "--labels", labels, "--model", lab / "run")
    assert said.code == 0 and not {"\u202e", "\x1b", "\u2066"} & set(said.out), said


def test_messages_are_one_line_and_short() -> None:
    assert str(PolyclipError("a\nb\x1b[2J\u202e\u2028\ud800\n")) == r"a\nb\x1b[2J\u202e\u2028\ud800"
    assert len(str(DataError("x" * 10**6))) == 2_000
    assert escape_unseen("Māori می‌خواهم 🏳️‍🌈 \u200f") == "Māori می‌خواهم 🏳️‍🌈 \u200f"


@pytest.mark.parametrize("change", ["nan", "rows", "offset", "type", "header"])
def test_mapped_features_are_checked(change: str, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    rows = torch.arange(12, dtype=torch.float32).reshape(4, 3)
    rows[2, 1] = float("nan") if change == "nan" else rows[2, 1]
    save_file({"vectors": rows.double() if change == "type" else rows}, path)
    data = path.read_bytes()
    size = int.from_bytes(data[:8], "little")
    if change in ("rows", "offset", "header"):
        header = json.loads(data[8 : 8 + size])
        header["vectors"] |= {"rows": {"shape": [5, 3]}, "offset": {"data_offsets": [4, 48]}, "header": {}}[change]
        text = json.dumps(header).encode()
        path.write_bytes((10**9 if change == "header" else len(text)).to_bytes(8, "little") + text + data[8 + size :])
    tower = BackboneSpec(name="toy", identity="toy", dim=3, parameters=0, embeddings=0, build=lambda: None)
    if change != "nan":
        with pytest.raises(WeightsError, match=r"a\.safetensors is damaged"):
            _offset(path, tower)
        return
    column = CachedColumn([path], np.array([0]), np.arange(4, dtype=np.int16), np.array([_offset(path, tower)]), 3)
    out = np.empty((2, 3), np.float32)
    column.read_into(out, np.array([0, 1]))
    assert out.tolist() == [[0, 1, 2], [3, 4, 5]]
    with pytest.raises(WeightsError, match=r"a\.safetensors holds features that are not finite"):
        column.read_into(out, np.array([1, 2]))


def places(value: object, found: list[tuple[object, object]]) -> list[tuple[object, object]]:
    """Every key of every table, and the first two items of every list."""
    items = value.items() if isinstance(value, dict) else list(enumerate(value))[:2] if isinstance(value, list) else ()
    for key, part in items:
        found.append((value, key))
        places(part, found)
    return found


@pytest.mark.parametrize("name", ["result.json", "log.jsonl"])
def test_no_value_of_a_result_is_trusted(name: str, lab: Path, tmp_path: Path) -> None:
    """Every value in turn is left out, or has another type: a report, or one of polyclip's errors."""
    build_run(lab, tmp_path)
    path = tmp_path / "run" / name
    whole = path.read_text("utf-8").split("\n")[1] if name == "log.jsonl" else path.read_text("utf-8")
    count, refusals = len(places(json.loads(whole), [])), 0
    assert count > (3 if name == "log.jsonl" else 60)
    for number in range(count):
        for other in ("leave out", (None, [], {}, "x", -1, 1e400, True)[number % 7], {"x": None}):
            table = json.loads(whole)
            holder, key = places(table, [])[number]
            if str(key).startswith("languages/"):  # the hashes of 130 packs
                continue
            if other == "leave out":
                del holder[key]  # type: ignore[attr-defined]
            else:
                holder[key] = other  # type: ignore[index]
            path.write_text(json.dumps(table), "utf-8")
            try:
                facts = read_facts(tmp_path / "run")
                assert len(render_page(facts, None)) > 1_000 and len(render_card(facts)) > 1_000
            except PolyclipError as error:
                refusals += 1
                assert str(path) in str(error) or "No " in str(error), error
    assert refusals > (3 if name == "log.jsonl" else 200)


def test_keys_of_a_later_version_are_left_out(lab: Path, tmp_path: Path) -> None:
    """Every object of result.json and knowledge.json has a key that this version does not know."""
    build_run(lab, tmp_path)
    folder = tmp_path / "run"
    kept = {"part": "text", "question": "x", "before": 0.5, "after": 0.4, "change": -0.1, "low": -0.2, "high": 0.0}
    (folder / "knowledge.json").write_text(json.dumps({"knowledge": [kept | {"queries": 9}]}), "utf-8")
    wanted = read_facts(folder)
    for name in ("result.json", "knowledge.json"):
        table = json.loads((folder / name).read_text("utf-8"))
        for holder in {id(holder): holder for holder, _ in places(table, [])}.values():
            if isinstance(holder, dict):
                holder |= {"of a later version": next(iter(holder.values()))}
        (folder / name).write_text(json.dumps(table), "utf-8")
    found = read_facts(folder)
    assert found.scores == wanted.scores and found.knowledge == wanted.knowledge != []
    assert len(render_page(found, None)) > 1_000 and len(render_card(found)) > 1_000
