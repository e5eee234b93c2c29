"""What is found below a folder, and that whatever is left out is named with its number."""

import json
import os
from pathlib import Path

import pytest
from PIL import Image

from polyclip.data import image_files
from polyclip.data.corpus import load_corpus
from polyclip.data.image_files import scan_folder
from polyclip.errors import DataError, PackError
from tests.command import polyclip


def draw(path: Path, colour: str = "red") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8), colour).save(path, "PNG")
    return path


@pytest.fixture
def hub(tmp_path: Path) -> Path:
    """A snapshot of a hub cache: two images are links to blobs outside, one is a file, one link leads nowhere."""
    shot = tmp_path / "snapshots" / "abc"
    draw(shot / "here.png")
    for name, colour in (("a.png", "blue"), ("b.png", "green")):
        draw(tmp_path / "blobs" / name, colour)
        (shot / name).symlink_to(Path("../../blobs") / name)
    (shot / "gone.png").symlink_to("../../blobs/none")
    draw(tmp_path / "blobs" / "more" / "c.png")
    (shot / "more").symlink_to("../../blobs/more")
    return shot


def test_links_to_outside_are_named_and_followed_on_request(hub: Path) -> None:
    found, skipped = scan_folder(hub)
    assert [path.name for path in found] == ["here.png"]
    assert skipped == [
        f"3 links that lead out of {hub} (not followed; --follow-links reads them), the first: {hub}/a.png",
        f"1 links whose target is missing, the first: {hub}/gone.png",
    ]
    found, skipped = scan_folder(hub, follow_links=True)
    assert [path.relative_to(hub).as_posix() for path in found] == ["a.png", "b.png", "here.png", "more/c.png"]
    assert len(skipped) == 1


def test_a_folder_of_links_alone_says_what_to_do(hub: Path) -> None:
    (hub / "here.png").unlink()
    with pytest.raises(DataError, match=r"has no image.*3 links that lead out of .*--follow-links"):
        scan_folder(hub)


def test_circles_end_and_links_inside_are_read(tmp_path: Path) -> None:
    draw(tmp_path / "x" / "a.png")
    (tmp_path / "x" / "up").symlink_to(tmp_path)
    (tmp_path / "x" / "b.png").symlink_to("a.png")
    (tmp_path / "loop.png").symlink_to("loop.png")
    for follow in (False, True):
        found, skipped = scan_folder(tmp_path, follow_links=follow)
        assert [path.relative_to(tmp_path).as_posix() for path in found] == ["x/a.png", "x/b.png"]
        assert skipped == [f"1 links whose target is missing, the first: {tmp_path}/loop.png"]


def test_hidden_folders_closed_ones_odd_names_and_other_formats(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "a.png",
        "c:15.png",
        "8:15 asubuhi.png",
        "picha\\paka.png",
        "b.JPG",
        "c.jfif",
        ".thumbnails/a.png",
        "@eaDir/a.jpg/SYNOPHOTO_THUMB_M.jpg",
        "$RECYCLE.BIN/a.png",
        "shut/a.png",
    ):
        draw(tmp_path / name)
    (tmp_path / ".git").mkdir()
    for name in ("d.heic", "e.SVG", "notes.txt"):
        (tmp_path / name).write_bytes(b"x")
    draw(tmp_path / "caf\udce9.png")
    draw(tmp_path / "C:\\b.png")
    scandir = os.scandir

    def closed(path: str) -> object:
        if str(path).endswith("shut"):
            raise PermissionError(13, "Permission denied", path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", closed)
    found, skipped = scan_folder(tmp_path)
    assert [path.name for path in found] == [
        "8:15 asubuhi.png",
        "a.png",
        "b.JPG",
        "c.jfif",
        "c:15.png",
        "picha\\paka.png",
    ]
    assert skipped == [
        f"3 hidden folders with images (not searched), the first: {tmp_path}/$RECYCLE.BIN",
        f"{tmp_path}/shut: the folder cannot be entered (Permission denied).",
        f"{tmp_path}/C:\\b.png: the name is not UTF-8, or starts as a drive of Windows; rename it.",
        f"{tmp_path}/caf\\xe9.png: the name is not UTF-8, or starts as a drive of Windows; rename it.",
        f"{tmp_path}/d.heic: image/heic is not read; save it as PNG or JPEG.",
        f"{tmp_path}/e.SVG: image/svg+xml is not read; save it as PNG or JPEG.",
    ]
    assert image_files.find_images(tmp_path) == found


def test_dedupe_reads_links_on_request(hub: Path, own_cache: Path) -> None:
    said = polyclip("dedupe", hub, "--json")
    assert said.code == 0 and json.loads(said.out)["pictures"] == 1 and "3 links" in json.loads(said.out)["skipped"][0]
    assert json.loads(polyclip("dedupe", hub, "--json", "--follow-links").out)["pictures"] == 4


def test_a_corpus_of_links_says_so_in_its_pack(hub: Path) -> None:
    lines = [json.dumps({"image": name, "captions": {"sw": ["picha"]}}) for name in ("a.png", "here.png")]
    (hub / "captions.jsonl").write_text("\n".join(lines), "utf-8")
    pack = hub / "c.toml"
    text = 'name = "c"\nabout = "x"\nreader = "jsonl"\nfolder = "."\n'
    pack.write_text(text, "utf-8")
    with pytest.raises(DataError, match=r"captions\.jsonl:1: image a\.png is a link to outside .*follow_links = true"):
        assert load_corpus(str(pack)).languages
    pack.write_text(f"{text}follow_links = true\n", "utf-8")
    corpus = load_corpus(str(pack))
    assert corpus.languages == ["sw"] and len(corpus.reader.pictures(corpus.folder, "pictures")) == 2
    pack.write_text('name = "c"\nabout = "x"\nreader = "parquet"\nfiles = "a.parquet"\nfollow_links = true\n', "utf-8")
    with pytest.raises(PackError, match="has no links to follow"):
        load_corpus(str(pack))


@pytest.mark.parametrize("name", ["../x.png", "/etc/hosts", "a/../../x.png", "a\0.png", "x" * 300, ["a.png"], None, ""])
def test_odd_paths_of_a_line_are_refused(name: object, tmp_path: Path) -> None:
    (tmp_path / "captions.jsonl").write_text(json.dumps({"image": name, "captions": {"sw": ["picha"]}}), "utf-8")
    (tmp_path / "c.toml").write_text('name = "c"\nabout = "x"\nreader = "jsonl"\nfolder = "."\n', "utf-8")
    with pytest.raises(DataError, match=r"captions\.jsonl:1: image"):
        assert load_corpus(str(tmp_path / "c.toml")).languages
