"""Corpora in shards: every format gives the same rows, bad samples are named and bounded, a kill loses nothing."""

import io
import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
import zlib
from collections import Counter
from pathlib import Path

import fsspec
import numpy as np
import pytest
import torch
from PIL import Image

from polyclip.core.progress import show_messages
from polyclip.core.storage import get_cache_folder
from polyclip.data.captions import normalize_captions
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.pairs import Pairs, SamplingConfig
from polyclip.data.shards.filesystem import expand_pattern, local, locate_shards, resolve_beside
from polyclip.data.shards.index import read_index
from polyclip.data.shards.order import Strata, permute
from polyclip.data.shards.scan import read_catalogue
from polyclip.data.training_pairs import make_training_pairs
from polyclip.errors import DataError, PackError, PolyclipError
from polyclip.languages.resolve import resolve_language
from polyclip.models import feature_cache, feature_files, feature_rows
from polyclip.models.backbone import describe
from tests import sharded
from tests.sharded import Item
from tests.toy import write_text_encoder

SPLITS = ("train", "validation", "test")


@pytest.fixture(scope="module")
def items() -> list[Item]:
    return sharded.load_items(48)


@pytest.fixture(scope="module")
def corpus(items: list[Item], tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    return load_corpus(str(sharded.write_tars(tmp_path_factory.mktemp("tars"), items, 3)))


@pytest.fixture(scope="module")
def pairs(corpus: Corpus) -> Pairs:
    return make_training_pairs(
        corpus, [resolve_language("sw"), resolve_language("en")], "train", SamplingConfig(views=2)
    )


def everything(corpus: Corpus) -> dict[tuple[str, str], set[tuple[str, ...]]]:
    """Captions as (split, language) -> sets of captions."""
    reader = corpus.reader
    return {
        (s, code): {row.captions for row in reader.read(corpus.folder, code, s)}
        for s in SPLITS
        for code in reader.languages(corpus.folder)
    }


def test_every_format_and_file_system_gives_what_was_written(items: list[Item], corpus: Corpus, tmp_path: Path) -> None:
    written = {code: {tuple(dict.fromkeys(captions[code])) for _, _, captions in items} for code in sharded.LANGUAGES}
    found = everything(corpus)
    assert {code: set().union(*(found[split, code] for split in SPLITS)) for code in sharded.LANGUAGES} == written
    concepts = [set(corpus.reader.split_concepts(corpus.folder, split)) for split in SPLITS]
    assert sum(map(len, concepts)) == len(set().union(*concepts)) == len(items) and all(concepts)
    fsspec.filesystem("memory").pipe(
        {f"/b/{number:02}.tar": data for number, data in enumerate(sharded.make_tars(items, 2))}
    )
    (tmp_path / "parts").mkdir()
    sharded.write_parquet(tmp_path / "parts" / "train-0.parquet", items[:20])
    sharded.write_parquet(tmp_path / "parts" / "train-1.parquet", items[20:])
    columns = 'captions = { en = "caption_en", sw = "caption_sw" }'
    for name, reader, files, extra in (
        ("memory", "webdataset", "memory://b/{00..01}.tar", ""),
        ("file", "webdataset", f"file://{corpus.path.parent}/*.tar", ""),
        ("parquet", "parquet", "../parts/*.parquet", columns),
        ("datasets", "datasets", "../parts", columns),
    ):
        (tmp_path / name).mkdir()
        other = load_corpus(str(sharded.write_pack(tmp_path / name, reader, files, extra)))
        assert everything(other) == found, name
        drawn, again = (c.reader.pictures(c.folder, "pictures") for c in (corpus, other))
        key = min(concepts[0])
        assert drawn[key].key == again[key].key and drawn[key].open().tobytes() == again[key].open().tobytes()


def test_plain_captions_speak_the_language_that_the_pack_names(items: list[Item], tmp_path: Path) -> None:
    members = [(f"{key}.webp", picture) for key, picture, _ in items[:6]] + [
        (f"{key}.txt", f"{key} moja\n\n{key} mbili".encode()) for key, _, _ in items[:6]
    ]
    (tmp_path / "a.tar").write_bytes(sharded.make_tar(members))
    reading = load_corpus(str(sharded.write_pack(tmp_path, "webdataset", "a.tar", 'language = "swh_Latn"')))
    assert reading.reader.languages(reading.folder) == ["sw"]
    rows = [row for split in SPLITS for row in reading.reader.read(reading.folder, "sw", split)]
    assert {row.captions for row in rows} == {(f"{key} moja", f"{key} mbili") for key, _, _ in items[:6]}
    nameless = sharded.write_pack(tmp_path, "webdataset", "a.tar")
    with pytest.raises(DataError, match=r'none of 6 samples can be used; .*language = "sw"'):
        load_corpus(str(nameless)).folder  # noqa: B018 (a property that reads)


def test_pictures_from_paths_beside_parquet(items: list[Item], tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    for key, picture, _ in items[:5]:
        (tmp_path / f"{key}.webp").write_bytes(picture)
    names = [*(f"{key}.webp" for key, _, _ in items[:5]), "../secret.webp", "/etc/hosts"]
    write_table(
        pa.table({"file": names, "text": [f"picha {n}" for n in range(7)], "lang": ["sw"] * 7}), tmp_path / "a.parquet"
    )
    extra = 'image = "file"\ncaption = "text"\nlanguage_column = "lang"\nmax_bad = "50%"'
    reading = load_corpus(str(sharded.write_pack(tmp_path, "parquet", "a.parquet", extra)))
    assert len(reading.reader.pictures(reading.folder, "pictures")) == 5
    assert [problem.split(": ", 1)[1] for problem in read_catalogue(reading.folder).first] == [
        "the path '../secret.webp' leads out of the shard's folder",
        "the path '/etc/hosts' leads out of the shard's folder",
    ]
    assert all(
        picture.open().size == (128, 128) for picture in reading.reader.pictures(reading.folder, "pictures").values()
    )


def bomb() -> bytes:
    """A PNG that says it has 8,500 x 8,500 pixels."""
    out = io.BytesIO()
    Image.new("RGB", (1, 1)).save(out, "PNG")
    chunk = b"IHDR" + struct.pack(">IIBBBBB", 8_500, 8_500, 8, 2, 0, 0, 0)
    return out.getvalue()[:12] + chunk + struct.pack(">I", zlib.crc32(chunk)) + out.getvalue()[33:]


def test_bad_samples_are_counted_named_and_bounded(
    items: list[Item], tmp_path: Path, own_cache: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    jpeg = io.BytesIO()
    Image.open(io.BytesIO(items[0][1])).convert("RGB").save(jpeg, "JPEG")
    spoilt = {
        "cut": [("cut.jpg", jpeg.getvalue()[:900]), ("cut.sw.txt", b"paka")],
        "huge": [("huge.png", bomb()), ("huge.sw.txt", b"paka")],
        "mute": [("mute.webp", items[0][1])],
        "blank": [("blank.webp", items[1][1]), ("blank.json", b'{"captions": {"sw": ["  "]}}')],
        "latin": [("latin.webp", items[2][1]), ("latin.sw.txt", b"\xff\xfe")],
        "blind": [("blind.sw.txt", b"paka")],
    }
    good = [member for item in items[:42] for member in sharded.make_sample(item)]
    pickled = [("x.pkl", b"\x80\x04."), ("y.pyd", b"\x80\x04.")]
    (tmp_path / "a.tar").write_bytes(sharded.make_tar([*good, *pickled, *(m for own in spoilt.values() for m in own)]))
    pack = sharded.write_pack(tmp_path, "webdataset", "a.tar")
    with show_messages(), pytest.raises(DataError) as caught:
        load_corpus(str(pack)).folder  # noqa: B018
    said = str(caught.value)
    assert "6 of 48 samples are bad (12.500%), at most 0.100% may be" in said and "--max-bad 12.6%" in said
    assert (
        f"{tmp_path}/a.tar, sample cut: image: damaged or truncated" in said
        and "sample huge: image: 8500 x 8500 pixels" in said
    )
    assert "sample mute: no caption" in said and "sample latin: captions are not UTF-8" in said
    assert "not read: 1 .pkl, 1 .pyd" in capsys.readouterr().err.replace("\n", " ")
    allowed = load_corpus(str(pack))
    allowed.allow_bad_samples("12.6%")
    assert len(allowed.reader.pictures(allowed.folder, "pictures")) == 42
    assert load_corpus(str(pack)).folder == allowed.folder  # it is remembered
    with pytest.raises(PolyclipError, match="expected a share"):
        allowed.allow_bad_samples("many")
    with pytest.raises(PackError, match="requires a corpus in shards"):
        load_corpus("emoji").allow_bad_samples("1%")


def test_shards_that_are_no_shards(items: list[Item], tmp_path: Path, own_cache: Path) -> None:
    whole = sharded.make_tars(items[:4], 1)[0]
    for name, data, expected in (
        ("climbs", sharded.make_tar([("../../a.webp", items[0][1])]), "leads out of the archive"),
        ("cut", whole[: len(whole) // 1024 // 2 * 1024], "damaged, or not a tar file"),
        ("text", b"hello", "damaged, or not a tar file"),
    ):
        (tmp_path / f"{name}.tar").write_bytes(data)
        with pytest.raises(DataError, match=expected) as caught:
            load_corpus(str(sharded.write_pack(tmp_path, "webdataset", f"{name}.tar"))).folder  # noqa: B018
        assert f"{name}.tar" in str(caught.value)
    assert not list((own_cache / "shards").rglob("*.arrow"))


@pytest.mark.parametrize(
    ("reader", "files", "expected"),
    [
        ("webdataset", "s3://bucket/{0..3}.tar", "pip install s3fs"),
        ("webdataset", "foo://a.tar", "fsspec does not know foo"),
        ("webdataset", "none-{0..1}.tar", "none-0.tar not found"),
        ("webdataset", "none*.tar", "matches no file"),
        ("webdataset", "{3..1}.tar", "is not a range"),
        ("webdataset", "{0..99999}{0..99}.tar", "10,000,000 shards"),
        ("parquet", "hf://datasets/owner/name/a.parquet", "names no commit"),
        ("datasets", "owner/name", "requires its commit"),
        ("datasets", "s3://a/b", "one hub name or local folder"),
        ("jsonl", "a.tar", "requires folder"),
    ],
)
def test_what_cannot_be_found_ends_in_one_sentence(reader: str, files: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(PolyclipError, match=expected) as caught:
        load_corpus(str(sharded.write_pack(tmp_path, reader, files))).folder  # noqa: B018
    assert "\n" not in str(caught.value)


def test_braces_and_paths() -> None:
    assert expand_pattern("a{08..10}{x,y}") == ["a08x", "a08y", "a09x", "a09y", "a10x", "a10y"]
    assert resolve_beside("s3://b/c/d.parquet", "e/f.jpg") == "s3://b/c/e/f.jpg"
    for name in ("", "/a", "a/../../b", "s3://x/y", "a\n", "c:\\x"):
        with pytest.raises(DataError, match="leads out"):
            resolve_beside("s3://b/c/d.parquet", name)


def test_a_shard_that_became_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "0.parquet"
    path.write_bytes(b"x")
    (shard,) = locate_shards([path.name], tmp_path)
    path.unlink()
    os.mkfifo(path)
    with pytest.raises(DataError, match="pipe or device by now"):
        local(shard)
    with pytest.raises(DataError, match="is a pipe or device, expected a file"):
        locate_shards([path.name], tmp_path)


def test_pairs_on_disk_are_those_in_memory(corpus: Corpus, pairs: Pairs) -> None:
    for code in sharded.LANGUAGES:
        rows = normalize_captions(corpus.reader.read(corpus.folder, code, "train"), resolve_language(code))
        start = 0 if code == "sw" else pairs.sections[0][0]
        own = range(start, start + sum(len(set(row.captions)) for row in rows))
        spoken = {(pairs.concepts[int(pairs.caption_concept[n])], pairs.captions[n]) for n in own}
        assert spoken == {(row.concept, text) for row in rows for text in row.captions}
        assert [pairs.captions[n] for n in own[: len(rows)]] == [row.captions[0] for row in rows]  # names first
        assert float(pairs.caption_weight[own.start : own.stop].sum()) == pytest.approx(1.0, abs=1e-5)
    caption, picture, concept = pairs.sample(64, 3)
    assert torch.equal(pairs.caption_concept[caption], concept)
    assert [pairs.images[n].key for n in (picture % len(pairs.concepts)).tolist()] == [
        pairs.concepts[n] for n in concept.tolist()
    ]
    assert torch.equal(pairs.caption_concept[pairs.sample_other_captions(concept, 3)], concept)
    smaller, larger = (
        set(make_training_pairs(corpus, [resolve_language("sw")], "train", SamplingConfig(share=share)).concepts)
        for share in (0.3, 0.7)
    )
    assert smaller < larger < set(pairs.concepts)


def test_an_epoch_shows_every_caption_once() -> None:
    for count in (1, 2, 3, 17, 1024, 4099):
        order = permute(np.arange(count), np.full(count, count), np.full(count, 5, np.uint64))
        assert sorted(order.tolist()) == list(range(count)) and (count < 17 or order.tolist() != sorted(order.tolist()))
    strata = Strata([0, 1000, 1040], [1000, 40, 5], [0.5, 0.3, 0.2])
    steps = torch.cat([strata.get_rows(512, 7 * 1_000_003 + step) for step in range(128)])
    assert torch.equal(steps[5120:5632], strata.get_rows(512, 7 * 1_000_003 + 10))  # computed, not remembered
    seen = Counter(steps.tolist())
    for start, count, share in ((0, 1000, 0.5), (1000, 40, 0.3), (1040, 5, 0.2)):
        own = [seen[row] for row in range(start, start + count)]
        assert max(own) - min(own) <= 1 and sum(own) == pytest.approx(share * 65536, abs=1)
    assert not torch.equal(strata.get_rows(64, 0), strata.get_rows(64, 1_000_003))  # another seed


def test_rows_on_disk_are_the_features(
    pairs: Pairs, tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A tiny random encoder: what it makes of the captions does not matter here."""
    tower = describe("encoders", write_text_encoder(tmp_path / "text"))
    monkeypatch.setattr(feature_files, "CHUNK", 64)
    found = feature_rows.open_features(tower, pairs.captions, "captions", pairs.sections[0])
    whole = feature_cache.forward(tower.build(), list(pairs.captions), "captions")
    torch.testing.assert_close(found[:], whole, atol=1e-5, rtol=1e-4)
    picked = torch.tensor([[5, 0, 200], [5, 130, 64]])
    assert torch.equal(found[picked], found[:][picked]) and found[picked].shape == (2, 3, found.shape[1])
    torch.testing.assert_close(found.mean(0), whole.mean(0), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(found.std(0), whole.std(0), atol=1e-5, rtol=1e-4)
    monkeypatch.setattr(feature_cache, "compute", lambda *_: pytest.fail("it is all there"))
    assert torch.equal(feature_rows.open_features(tower, pairs.captions, "captions", pairs.sections[0])[:], found[:])
    damaged = found.columns[0].files[0]
    damaged.write_bytes(damaged.read_bytes()[:-4])
    with pytest.raises(PolyclipError, match="is damaged"):
        feature_rows.open_features(tower, pairs.captions, "captions", pairs.sections[0])


INDEX = (
    "import sys; from polyclip.data.corpus import load_corpus; "
    "c = load_corpus(sys.argv[1]); open(sys.argv[2], 'w').close(); c.folder"
)


def test_killed_at_random_points_nothing_is_lost_or_read_twice(
    items: list[Item], tmp_path: Path, own_cache: Path
) -> None:
    pack = sharded.write_tars(tmp_path, items, 24)
    chance, kept = random.Random(os.getpid()), {}
    for attempt in range(30):
        begun = tmp_path / f"begun-{attempt}"
        child = subprocess.Popen(
            [sys.executable, "-c", INDEX, str(pack), str(begun)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        while not begun.exists():
            assert child.poll() is None
            time.sleep(0.01)
        most = min(len(kept) + chance.randrange(1, 12), 24)
        while (
            attempt < 3
            and child.poll() is None
            and len(list((own_cache / "shards" / "indexes").glob("*.arrow"))) < most
        ):
            time.sleep(0.001)
        time.sleep(chance.random() / 100)
        if attempt < 3:
            child.send_signal(signal.SIGKILL)
        child.wait(120)
        now = {path: path.stat().st_mtime_ns for path in (own_cache / "shards" / "indexes").glob("*.arrow")}
        assert kept.items() <= now.items()  # what was whole was neither lost nor read again
        assert all(len(read_index(path)) == 2 for path in now)
        kept = now
        if child.returncode == 0:
            break
    assert attempt >= 1 and child.returncode == 0 and len(kept) == 24
    catalogue = read_catalogue(load_corpus(str(pack)).folder)
    rows = [row for file in catalogue.indexes for row in read_index(get_cache_folder() / file).to_pylist()]
    assert [row["key"] for row in rows] == [key for key, _, _ in items]
    spoken = [sorted((caption["language"], caption["text"]) for caption in row["captions"]) for row in rows]
    assert spoken == [
        sorted({(code, text) for code, texts in captions.items() for text in texts}) for _, _, captions in items
    ]
    json.dumps(catalogue.first)
