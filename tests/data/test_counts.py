"""Rows in = rows used + rows named as bad: every reader, at every boundary of its batches."""

import io
import json
from pathlib import Path

import pyarrow as pa
import pytest
from PIL import Image
from pyarrow.parquet import write_table

from polyclip.core.registry import list_names
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.readers import datasets as datasets_reader
from polyclip.data.shards import columns, index
from polyclip.data.shards.scan import format_ignored, read_catalogue
from polyclip.errors import DataError
from tests import sharded

SPLITS = ("train", "validation", "test")
EXTRA = 'captions = { sw = "sw" }\nmax_bad = "100%"'


def png(number: int) -> bytes:
    """An image of which there is no second one."""
    out = io.BytesIO()
    Image.new("RGB", (1, 1), (number % 256, number // 256, 7)).save(out, "PNG")
    return out.getvalue()


def boundaries(*sizes: int) -> list[int]:
    """One row, and every size, twice and ten times each, one less and one more."""
    return sorted({1, *(size * times + apart for size in sizes for times in (1, 2, 10) for apart in (-1, 0, 1))})


def used(corpus: Corpus) -> list[str]:
    """The captions that the reader gives, over all splits."""
    reader = corpus.reader
    return sorted(c for split in SPLITS for row in reader.read(corpus.folder, "sw", split) for c in row.captions)


def write(kind: str, folder: Path, count: int, bad: set[int]) -> Path:
    """`count` rows, those of `bad` with an image that cannot be read."""
    data = [b"no image" if number in bad else png(number) for number in range(count)]
    if kind == "webdataset":
        members = [
            member
            for number in range(count)
            for member in (
                (f"v1.{number:05}.png", data[number]),
                (f"v1.{number:05}.sw.txt", f"picha {number}".encode()),
            )
        ]
        (folder / "a.tar").write_bytes(sharded.make_tar(members))
        return sharded.write_pack(folder, kind, "a.tar", 'max_bad = "100%"')
    (folder / "d").mkdir(exist_ok=True)
    image = pa.array([{"bytes": found, "path": None} for found in data])
    table = pa.table({"image": image, "sw": [f"picha {number}" for number in range(count)]})
    write_table(table, folder / "d" / "train-0.parquet", row_group_size=50)
    return sharded.write_pack(folder, kind, "d/train-0.parquet" if kind == "parquet" else "d", EXTRA)


def test_every_reader_has_a_counting_test() -> None:
    assert set(list_names("readers")) == {"webdataset", "parquet", "datasets", "jsonl", "emoji", "translated"}


@pytest.mark.parametrize("kind", ["webdataset", "parquet", "datasets"])
def test_shards_lose_no_row(kind: str, tmp_path: Path, own_cache: Path) -> None:
    sizes = {"webdataset": (index.WINDOW,), "parquet": (columns.BATCH, 50), "datasets": (datasets_reader.BATCH,)}[kind]
    for count in boundaries(*sizes):
        (tmp_path / str(count)).mkdir()
        bad = {0, count - 1, count // 2} if count > 3 else set()
        corpus = load_corpus(str(write(kind, tmp_path / str(count), count, bad)))
        found = read_catalogue(corpus.folder)
        assert (found.rows, found.bad) == (count, len(bad)), count
        assert used(corpus) == sorted(f"picha {number}" for number in range(count) if number not in bad)


@pytest.mark.parametrize("count", [1, 2, 255, 256, 257])
def test_lines_lose_no_row(count: int, tmp_path: Path) -> None:
    lines = []
    for number in range(count):
        (tmp_path / f"{number}.png").write_bytes(png(number))
        lines.append(
            json.dumps({"image": f"{number}.png", "captions": {"sw": [f"picha\u2028 {number}"]}}, ensure_ascii=False)
        )
    (tmp_path / "captions.jsonl").write_text("\n".join(lines), "utf-8")
    (tmp_path / "c.toml").write_text('name="c"\nabout="x"\nreader="jsonl"\nfolder="."\n', "utf-8")
    assert used(load_corpus(str(tmp_path / "c.toml"))) == sorted(f"picha\u2028 {number}" for number in range(count))


def test_the_starter_corpus_loses_no_row() -> None:
    corpus = load_corpus("emoji")
    lines = (corpus.folder / "concepts.tsv").read_text("utf-8").strip("\n").split("\n")[1:]
    assert sum(len(corpus.reader.split_concepts(corpus.folder, split)) for split in SPLITS) == len(lines)
    named = corpus.reader.read_captions(corpus.folder, "sw")
    concepts = {line.split("\t")[0] for line in lines}
    rows = [row for split in SPLITS for row in corpus.reader.read(corpus.folder, "sw", split)]
    assert len(rows) == len(named.keys() & concepts) > 1000


def tar_corpus(folder: Path, members: list[tuple[str, bytes]], extra: str = "") -> Corpus:
    (folder / "a.tar").write_bytes(sharded.make_tar(members))
    return load_corpus(str(sharded.write_pack(folder, "webdataset", "a.tar", f'max_bad = "100%"\n{extra}')))


def test_names_with_points_belong_to_their_image(tmp_path: Path, own_cache: Path) -> None:
    members = [
        ("v1.2.a.png", png(1)),
        ("v1.2.a.txt", b"moja"),
        ("b.jpg.png", png(2)),
        ("b.jpg.sw.txt", b"mbili"),
        ("c.png", png(3)),
        ("c.mask.png", png(4)),
        ("c.json", b'{"captions": {"sw": ["tatu"]}}'),
        ("dir.x/d.PNG", png(5)),
        ("dir.x/d.json", b'{"caption": "nne"}'),
        ("e.alone.sw.txt", b"tano"),
        ("._c.png", b"x"),
        ("__MACOSX/._d.PNG", b"x"),
        ("README", b"x"),
        ("f.pickle", b"x"),
    ]
    corpus = tar_corpus(tmp_path, members, 'language = "sw"')
    found = read_catalogue(corpus.folder)
    assert used(corpus) == ["mbili", "moja", "nne", "tatu"]
    assert (found.rows, found.bad) == (5, 1) and "e.alone" in found.first[0]
    assert found.ignored == {".mask.png": 1, ".pickle": 1, "hidden": 2, "without suffix": 1}


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_marks_and_ends_of_lines_are_no_part_of_a_caption(
    tmp_path: Path, own_cache: Path, mark: bytes, end: bytes
) -> None:
    lines, table = mark + b"paka" + end + b"mbwa" + end, mark + b'{"captions": {"sw": ["simba"]}}'
    assert used(
        tar_corpus(tmp_path, [("a.png", png(1)), ("a.sw.txt", lines), ("b.png", png(2)), ("b.json", table)])
    ) == [
        "mbwa",
        "paka",
        "simba",
    ]


def test_plain_captions_stand_beside_others(tmp_path: Path, own_cache: Path) -> None:
    members = [("a.png", png(1)), ("a.txt", b"paka"), ("a.en.txt", b"cat"), ("b.png", png(2)), ("b.txt", b"mbwa")]
    members += [("b.json", b'{"captions": {"en": ["dog"]}}')]
    corpus = tar_corpus(tmp_path, members, 'language = "sw"')
    assert used(corpus) == ["mbwa", "paka"]
    rows = [row for split in SPLITS for row in corpus.reader.read(corpus.folder, "en", split)]
    assert sorted(row.captions for row in rows) == [("cat",), ("dog",)]


def test_members_that_are_not_utf8_and_half_an_emoji_are_named(tmp_path: Path, own_cache: Path) -> None:
    members = [
        ("caf\udce9.png", png(1)),
        ("caf\udce9.sw.txt", b"kahawa"),
        ("half.png", png(2)),
        ("half.json", b'{"captions": {"sw": ["paka \\ud83d"]}}'),
    ]
    corpus = tar_corpus(tmp_path, members)
    found = read_catalogue(corpus.folder)
    assert used(corpus) == ["kahawa"] and (found.rows, found.bad) == (2, 1)
    assert "half: " in found.first[0] and "surrogate" in found.first[0]
    source = next(iter(corpus.reader.pictures(corpus.folder, "pictures").values()))
    assert r"caf\xe9" in source.name


def test_the_line_of_what_is_not_read_does_not_grow() -> None:
    said = format_ignored({f".{number:03}": number + 1 for number in range(500)})
    assert len(said) < 200 and "other kinds" in said
    assert format_ignored({".pkl": 2, ".cls": 1}) == "1 .cls, 2 .pkl"


def test_half_an_emoji_in_a_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "captions.jsonl").write_text('{"image": "a.png", "captions": {"sw": ["paka \\ud83d"]}}\n', "utf-8")
    (tmp_path / "c.toml").write_text('name="c"\nabout="x"\nreader="jsonl"\nfolder="."\n', "utf-8")
    with pytest.raises(DataError, match=r"captions\.jsonl:1: .*surrogate"):
        used(load_corpus(str(tmp_path / "c.toml")))
