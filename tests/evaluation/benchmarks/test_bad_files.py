"""What is wrong with a benchmark's files is said in one sentence that names file and line, and nothing is scored."""

import gzip
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from pyarrow import parquet

from polyclip.errors import DataError, PolyclipError, UnknownName
from polyclip.evaluation.benchmarks import multi30k, retrieval, webdataset, wit, xflickrco, xm3600, xtd10, xtd200
from polyclip.evaluation.benchmarks._files import read_lines
from polyclip.evaluation.captioned import drop_blank_captions
from polyclip.evaluation.hub_files import fetch, parse_hub_copy
from polyclip.evaluation.retrieval import Request
from polyclip.languages.schema import load_language
from tests.evaluation.benchmarks import samples

Change = Callable[[Path], object]


def request(folder: Path, *languages: str, partial: bool = True, split: str = "test") -> Request:
    return Request(data=folder, languages=[load_language(code) for code in languages], partial=partial, split=split)


def edit(path: Path, number: int, text: str) -> None:
    """Put another line in the place of one, counted from 1."""
    found = path.read_text("utf-8").split("\n")
    found[number - 1] = text
    path.write_text("\n".join(found), "utf-8", newline="")


def entry(path: Path, number: int, change: Callable[[dict], object]) -> None:
    """Change one JSON line."""
    value = json.loads(path.read_text("utf-8").split("\n")[number - 1])
    change(value)
    edit(path, number, json.dumps(value, ensure_ascii=False))


def jsonl(change: Callable[[dict], object], number: int = 2) -> Change:
    return lambda folder: entry(folder / "captions.jsonl", number, change)


def refused(module: ModuleType, asked: Request, *words: str) -> None:
    with pytest.raises(PolyclipError) as caught:
        module.read(asked)
    said = str(caught.value)
    assert "\n" not in said and said.endswith(".")
    for word in words:
        assert word in said, (word, said)


@pytest.mark.parametrize(
    ("change", "partial", "words"),
    [
        (jsonl(lambda e: e.pop("quz")), False, ["captions.jsonl:2", "no captions in quz", "--partial"]),
        (jsonl(lambda e: e.update(qu=e.pop("quz"))), True, ["captions.jsonl:2", "'qu'", "spells it quz"]),
        (
            jsonl(lambda e: e.update({"image/key": f"{0:016x}"})),
            True,
            ["captions.jsonl:2", "already on an earlier line"],
        ),
        (jsonl(lambda e: e.update({"image/key": "../secret"})), True, ["captions.jsonl:2", "letters, digits, _ and -"]),
        (jsonl(lambda e: e["te"].update(caption="text")), True, ["captions.jsonl:2", "te.caption", "expected a list"]),
        (lambda f: edit(f / "captions.jsonl", 3, "{"), True, ["captions.jsonl:3", "not JSON"]),
        (
            lambda f: (f / "captions.jsonl").write_bytes((f / "captions.jsonl").read_bytes() + b"\n\xff"),
            True,
            ["captions.jsonl:7", "not UTF-8"],
        ),
        (
            lambda f: (f / "images" / f"{1:016x}.jpg").unlink(),
            False,
            ["captions.jsonl:2", f"{1:016x}.jpg", "images.tgz", "--partial"],
        ),
        (lambda f: None, False, ["has 6 images, the official file 3600"]),
        (lambda f: (f / "captions.jsonl").unlink(), True, ["captions.jsonl is missing", "captions.zip"]),
    ],
)
def test_xm3600(change: Change, partial: bool, words: list[str], tmp_path: Path) -> None:
    change(samples.xm3600(tmp_path))
    refused(xm3600, request(tmp_path, partial=partial), *words)


def test_parts_of_xm3600_say_what_they_lack(tmp_path: Path) -> None:
    folder = samples.xm3600(tmp_path)
    (folder / "images" / f"{1:016x}.jpg").unlink()
    jsonl(lambda e: e.pop("te"), 3)(folder)
    table = xm3600.read(request(folder))
    assert table.missing == ["5 of 3600 images"] and len(table.captions["te"]) == 8 and len(table.captions["sw"]) == 10
    refused(xm3600, request(folder, "yo"), "XM3600 language", "'yo'")


def test_xm3600_with_a_further_language_and_keys_of_ones_own(tmp_path: Path) -> None:
    folder = samples.xm3600(tmp_path)
    (folder / "images" / f"{0:016x}.jpg").rename(folder / "images" / "IMG_2024-05.jpg")
    jsonl(lambda e: e.update({"image/key": "IMG_2024-05"}), 1)(folder)
    for line in (1, 2, 3):
        jsonl(lambda e: e.update(yor_Latn={"caption": ["aja dudu", "ologbo"]}), line)(folder)
    table = xm3600.read(request(folder))
    assert len(table.captions["yo"]) == 6 and table.captions["yo"][0] == ("IMG_2024-05.jpg", "aja dudu")
    assert "not of the official 36 languages: yo (6 captions)" in table.notes
    assert len(xm3600.read(request(folder, "yo")).captions["yo"]) == 6
    jsonl(lambda e: e.update(zzz={"caption": ["x"]}), 4)(folder)
    refused(xm3600, request(folder), "captions.jsonl:4", "'zzz'", "further language")


@pytest.mark.parametrize(
    ("change", "languages", "words"),
    [
        (
            lambda f: (f / "STAIR" / "test_1kcaptions_jp.txt").rename(f / "STAIR" / "test_1kcaptions_ja.txt"),
            [],
            ["'ja'", "calls Japanese jp", "rename"],
        ),
        (lambda f: (f / "MIC" / "test_1kcaptions_sw.txt").write_text("x"), [], ["'sw'", "has no Swahili"]),
        (
            lambda f: (f / "XTD10" / "test_1kcaptions_ko.txt").write_text("one\ntwo\n"),
            ["ko"],
            ["test_1kcaptions_ko.txt has 2 lines", "names.txt has 1000"],
        ),
        (
            lambda f: edit(f / "XTD10" / "test_image_names.txt", 3, samples.coco(1)[0]),
            ["ko"],
            ["test_image_names.txt:3", "already on line 1"],
        ),
        (
            lambda f: edit(f / "XTD10" / "test_image_names.txt", 3, ""),
            ["ko"],
            ["test_image_names.txt:3", "not the name of an image"],
        ),
        (lambda f: (f / "XTD10" / "test_1kcaptions_ko.txt").unlink(), [], ["no captions in ko", "--lang", "--partial"]),
        (
            lambda f: (f / "images" / samples.coco(2)[1]).unlink(),
            ["ko"],
            ["test_image_names.txt:2", samples.coco(2)[1], "train2014/", "--partial"],
        ),
        (lambda f: (f / "XTD10" / "test_image_names.txt").unlink(), ["ko"], ["has no XTD10/test_image_names.txt"]),
    ],
)
def test_xtd10(
    change: Change, languages: list[str], words: list[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("xtd")
    for path in (whole := whole_xtd10(tmp_path_factory)).rglob("*"):
        target = folder / path.relative_to(whole)
        if path.is_dir():
            target.mkdir(exist_ok=True)
        elif path.suffix == ".jpg":
            os.link(path, target)
        else:
            target.write_bytes(path.read_bytes())
    change(folder)
    refused(xtd10, request(folder, *languages, partial=False), *words)


def whole_xtd10(factory: pytest.TempPathFactory) -> Path:
    """The whole sample, written once."""
    folder = factory.getbasetemp() / "whole-xtd10"
    return folder if folder.is_dir() else samples.xtd10(folder)


def test_lines_are_split_at_line_feeds_alone(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("\ufeffone\u2028still one\r\ntwo\u0085still\x0btwo\n\nfour".encode())
    assert read_lines(tmp_path / "a.txt") == ["one\u2028still one", "two\u0085still\x0btwo", "", "four"]
    (tmp_path / "b.gz").write_bytes(gzip.compress(b"x" * 1000)[:-12])
    with pytest.raises(DataError, match="b.gz cannot be read"):
        read_lines(tmp_path / "b.gz")


def test_sets_of_flores_codes(tmp_path: Path) -> None:
    folder = samples.flores(tmp_path, "test_image_names.txt", 5, 3)
    refused(xtd200, request(folder, partial=False), "captions in 3 languages, the official folder in 201")
    (folder / "sw.txt").write_text("x")
    refused(xtd200, request(folder), "sw.txt", "not a Flores-200 code, which calls it swh_Latn")
    (folder / "sw.txt").unlink()
    refused(xtd200, request(folder, "te"), "No language in", "'te'", "Known: ")
    assert xtd200.read(request(folder)).missing == ["5 of 1000 images", "3 of 201 languages"]


def test_multi30k(tmp_path: Path) -> None:
    folder = samples.multi30k(tmp_path, "task2/test_2016", 4)
    (folder / "data" / "task2" / "raw" / "test_2016.3.de.gz").unlink()
    refused(
        multi30k,
        request(folder, split="task2/test_2016"),
        "has 4 of the 5 files test_2016.1.de.gz to test_2016.5.de.gz",
    )
    (folder / "data" / "task1" / "tok").mkdir(parents=True)
    refused(multi30k, request(folder), "task1/raw is missing", "lower-cased tokens")
    refused(multi30k, request(folder, split="test_2019"), "split of multi30k", "'test_2019'", "test_2017_flickr")


def test_xflickrco_and_wit(tmp_path: Path) -> None:
    folder = samples.xflickrco(tmp_path / "x", 4)
    refused(xflickrco, request(folder, "ja", partial=False), "4 images in ja, the official file 2000")
    entry(folder / "annotations" / "ja" / "test.jsonl", 2, lambda e: e.update(img_path="3000.jpg"))
    refused(xflickrco, request(folder, "ja"), "test.jsonl:2", "already on line 1")
    folder = samples.wit(tmp_path / "w")
    refused(wit, request(folder, "ar", partial=False), "6 images in ar, the official test 792")
    refused(wit, request(folder, partial=False), "no captions in bg, da, el")
    refused(
        wit,
        request(samples.wit_tables(tmp_path / "t"), partial=False),
        "links to images".replace("links", "link"),
        "--partial",
    )
    samples.write(tmp_path / "t" / "images.tsv", ["https://a/1.jpg\tmine/1.jpg", "https://a/2.jpg\t../x.jpg"])
    refused(wit, request(tmp_path / "t"), "images.tsv:2", "an image file below")


def test_parquet(tmp_path: Path) -> None:
    folder = samples.xm3600_parquet(tmp_path)
    first = folder / "data" / "sw-00000-of-00002.parquet"
    whole = first.read_bytes()
    first.write_bytes(whole[: len(whole) // 2])
    refused(xm3600, request(folder), "sw-00000-of-00002.parquet", "download it again")
    first.write_bytes(whole)
    table = parquet.read_table(first)
    parquet.write_table(table.drop(["captions"]), first)
    refused(xm3600, request(folder), "sw-00000-of-00002.parquet", "no column 'captions'")
    first.unlink()
    refused(xm3600, request(folder), "1 of the 2 parquet files of 'sw'")


@pytest.mark.parametrize(
    ("number", "change", "words"),
    [
        (2, lambda e: e.update(image="../1.jpg"), ["captions.jsonl:2", "a path inside"]),
        (2, lambda e: e.update(image="9.jpg"), ["captions.jsonl:2", "9.jpg is missing"]),
        (2, lambda e: e.update(image="0.jpg"), ["captions.jsonl:2", "already on an earlier line"]),
        (2, lambda e: e.update(caption="x"), ["captions.jsonl:2", "at most"]),
        (3, lambda e: e["captions"].update(sw=["mbwa"]), ["captions.jsonl:3", "'swh_Latn' and 'sw' both mean sw"]),
        (3, lambda e: e["captions"].update(qqq=["x"]), ["captions.jsonl:3", "'qqq'"]),
    ],
)
def test_ones_own_file(number: int, change: Callable[[dict], object], words: list[str], tmp_path: Path) -> None:
    folder = samples.retrieval(tmp_path)
    entry(folder / "captions.jsonl", number, change)
    refused(retrieval, request(folder), *words)


def archive(path: Path, *members: tuple[str, bytes]) -> None:
    with tarfile.open(path, "w") as tar:
        for name, data in members:
            samples.member(tar, name, data)


def link(path: Path) -> None:
    with tarfile.open(path, "w") as tar:
        info = tarfile.TarInfo("a.png")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(info)


@pytest.mark.parametrize(
    ("write", "words"),
    [
        (lambda path: archive(path, ("../a.png", samples.picture(1)), ("../a.txt", b"x")), ["'../a.png'", "leads out"]),
        (lambda path: archive(path, ("/a.png", samples.picture(1))), ["'/a.png'", "leads out"]),
        (link, ["'a.png'", "not a plain file"]),
        (lambda path: archive(path, ("a.png", samples.picture(1))), ["sample a", "no captions"]),
        (lambda path: archive(path, ("a.txt", b"x")), ["sample a", "0 images"]),
        (
            lambda path: archive(path, ("a.txt", b"x" * 1_000_001), ("a.png", samples.picture(1))),
            ["a.txt has 1,000,001 bytes"],
        ),
        (lambda path: archive(path, ("a.txt", b"\xff"), ("a.png", samples.picture(1))), ["sample a", "not UTF-8"]),
        (lambda path: path.write_bytes(b"no tar" * 200), ["damaged or not a tar file"]),
        (lambda path: path.write_bytes(path.read_bytes()[:2300]), ["damaged or not a tar file", "too early"]),
        (lambda path: path.write_bytes(path.read_bytes()[:2048]), ["damaged or not a tar file", "too early"]),
    ],
)
def test_shards(write: Change, words: list[str], tmp_path: Path) -> None:
    folder = samples.webdataset(tmp_path)
    write(folder / "test" / "0.tar")
    refused(webdataset, request(folder, "sw"), "0.tar", *words)


def test_shards_that_are_missing_or_speak_no_language(tmp_path: Path) -> None:
    folder = samples.webdataset(tmp_path)
    refused(webdataset, request(folder), "sample s0000000", "--lang")
    (folder / "test" / "1.tar").unlink()
    refused(webdataset, request(folder, "sw", partial=False), "has 1 shards, nshards.txt says 2")
    (folder / "dataset_type.txt").write_text("classification")
    refused(webdataset, request(folder, "sw"), "dataset_type.txt", "'classification'")


def test_blank_captions_are_dropped_and_counted(tmp_path: Path) -> None:
    table = drop_blank_captions(wit.read(request(samples.wit(tmp_path))))
    assert len(table.captions["ar"]) == 7 and table.notes[-1] == "1 blank caption(s) dropped: ar 1"
    assert len(table.galleries["ar"]) == 6  # the image stays


def test_the_hubs_copies_are_pinned(tmp_path: Path) -> None:
    assert parse_hub_copy("xm3600", "hub").revision == "8d3e5665526c55a5855cd6ddfbaba2032bc7cee4"
    assert parse_hub_copy("xm3600", "hub:mteb/xm3600").revision == "536cd45bbfe53de9b08c0483bb4a76a4bd3673fa"
    assert parse_hub_copy("xm3600", f"hub:me/mine@{'a' * 40}").repository == "me/mine"
    for text, words in (("hub:me/mine", "not known"), ("hub:me/mine@main", "is main"), ("hub:mine", "write hub")):
        with pytest.raises(PolyclipError, match=words):
            parse_hub_copy("xm3600", text)
    with pytest.raises(PolyclipError, match="no known copy"):
        parse_hub_copy("xtd10", "hub")
    with pytest.raises(UnknownName):
        parse_hub_copy("xm36000", "hub")
    with pytest.raises(
        DataError, match=r"Cannot fetch floschne/xm3600 at 8d3e5665526c from the hub .*HF_HUB_OFFLINE unset.*--data\."
    ):
        fetch("xm3600", "hub", [load_language("sw")])
