"""Captions that people wrote are searched beside the images: where they are read, how they count, what is kept."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from polyclip.data.corpus import load_corpus
from polyclip.errors import DataError, PolyclipError
from polyclip.models.backbone import describe
from polyclip.search.folder import search_index
from polyclip.search.index import Index, update_index
from polyclip.search.quick.tokens import write_pieces
from polyclip.search.quick_search import search_quickly
from polyclip.search.ranking import measure_usual, score_images
from tests.command import polyclip
from tests.search.test_quick import save

TEXTS = {"a": "chungwa linaloanguka", "b": "gari jekundu\nlori kubwa", "c": "mlima mrefu"}


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve images, a run with untrained heads, and an index without captions."""
    folder = tmp_path_factory.mktemp("captions")
    corpus = load_corpus("emoji")
    drawn = list(corpus.reader.pictures(corpus.folder, "noto").values())[::120][:12]
    (folder / "images" / "below").mkdir(parents=True)
    for number, image in enumerate(drawn):
        image.open().save(folder / "images" / ("below" if number == 2 else ".") / f"{'abcdefghijkl'[number]}.png")
    save(folder / "run", method="head-mlp")
    describe("encoders", "e5-small").build()
    write_pieces()
    update_index(folder / "images", folder / "run", folder / "images" / ".polyclip-index")
    return folder


@pytest.fixture
def mine(ready: Path, tmp_path: Path) -> Path:
    """A copy that may be changed."""
    return Path(shutil.copytree(ready, tmp_path / "mine"))


def index(folder: Path, **given: str) -> Index:
    changes = update_index(folder / "images", folder / "run", folder / "images" / ".polyclip-index", **given)
    assert changes.encoded == 0  # no image is encoded again for its caption
    return changes.index


def write_beside(folder: Path) -> None:
    for name, text in TEXTS.items():
        place = folder / "images" / ("below" if name == "c" else ".")
        (place / f"{name}.sw.txt").write_text(text + "\n\n", "utf-8")


def list_captions(found: Index) -> dict[str, list[tuple[str, str]]]:
    said: dict[str, list[tuple[str, str]]] = {}
    for one in found.captions.list_captions(found.paths) if found.captions else []:
        said.setdefault(one.path, []).append((one.text, one.language))
    return said


def test_scores_by_hand() -> None:
    image, caption, rows = np.array([0.0, 0.2, 0.4, 0.1]), np.array([0.5, 0.9, 0.7, 0.7]), np.array([0, 1, 1, 2])
    found = score_images(image, caption, rows, 0.7, (0.4, 0.3))
    share = 3 / 23  # three images with a caption, beside 20 that the usual figures count as
    mean, best = share * 0.7 + (1 - share) * 0.4, np.array([0.5, 0.9, 0.7])
    height = (best - mean) / np.sqrt(share * best.var() + (1 - share) * 0.3**2)
    said = 0.7 * (image.mean() + image.std() * height)
    assert found.nearest.tolist() == [0, 1, 3, -1]
    np.testing.assert_allclose(found.from_caption, [*said, 0], rtol=1e-5)
    np.testing.assert_allclose(found.total, [*(0.3 * image[:3] + said), 0.1], rtol=1e-5)


def test_weights_at_both_ends() -> None:
    image, caption, rows = np.array([0.1, 0.3, 0.2]), np.array([0.9, 0.1, 0.4]), np.arange(3)
    assert score_images(image, caption, rows, 0.0, (0.5, 0.2)).total.tolist() == image.astype(np.float32).tolist()
    assert score_images(image, caption, rows, 1.0, (0.5, 0.2)).total.argsort().tolist() == [1, 2, 0]


def test_usual_figures_are_of_the_nearest_captions() -> None:
    cosines = np.array([[0.1, 0.5, 0.3], [0.6, 0.2, 0.1]])
    mean, deviation = measure_usual(cosines, np.array([0, 0, 2]), 3)
    nearest = np.array([0.5, 0.3, 0.6, 0.1])
    assert (mean, deviation) == (pytest.approx(nearest.mean()), pytest.approx(nearest.std()))


def test_captions_beside_images(mine: Path) -> None:
    write_beside(mine)
    (mine / "images" / "d.txt").write_text("\ufeffnyumba\n", "utf-8")
    (mine / "images" / "e.notalanguage.txt").write_text("x", "utf-8")  # of an image that is called so, if of any
    (mine / "images" / "f.txt").write_bytes(b"caf\xe9")
    (mine / "images" / "g.txt").symlink_to(mine / "run" / "aligner.safetensors")
    found = update_index(mine / "images", mine / "run", mine / "images" / ".polyclip-index")
    assert list_captions(found.index) == {
        "a.png": [("chungwa linaloanguka", "sw")],
        "b.png": [("gari jekundu", "sw"), ("lori kubwa", "sw")],
        "below/c.png": [("mlima mrefu", "sw")],
        "d.png": [("nyumba", "")],  # this run names no languages
    }
    assert [("f.txt" in one, "not UTF-8" in one) for one in found.problems[:1]] == [(True, True)]
    assert "g.txt" in found.problems[1] and "leads out of" in found.problems[1] and len(found.problems) == 2


def test_a_few_captions_find_their_images(mine: Path) -> None:
    write_beside(mine)
    found = index(mine)
    for name, text in TEXTS.items():
        for line in text.splitlines():
            hits = found.search(line, 12, "sw", caption_weight=0.95)
            hit = next(hit for hit in hits if hit.caption)  # heads are untrained: what images say is by chance
            assert (hit.path.stem, hit.caption) == (name, line)
            assert hit.from_image + hit.from_caption == pytest.approx(hit.similarity)
            assert {hit.path.stem for hit in hits if not hit.caption} == set("defghijkl")
    alone = [(hit.path, hit.similarity) for hit in found.search("gari jekundu", 12, "sw", caption_weight=0.0)]
    plain = found.search_embeddings(found.load_aligner().encode_text(["gari jekundu"], "sw"), 12)[0]
    assert alone == [(hit.path, hit.similarity) for hit in plain]
    with pytest.raises(DataError, match="from 0 .* to 1, found 1.5"):
        found.search("gari", caption_weight=1.5)


def test_examples_are_captions_and_are_chosen_again_with_them(mine: Path) -> None:
    assert index(mine).manifest.examples == {}  # this run names no languages, and there are no captions
    write_beside(mine)
    found = index(mine).manifest.examples
    assert found is not None and set(found) <= {"sw"}
    assert set(found.get("sw", [])) <= {line for text in TEXTS.values() for line in text.splitlines()}
    path = mine / "images" / ".polyclip-index" / "index.json"
    facts = json.loads(path.read_text())
    path.write_text(json.dumps({key: value for key, value in facts.items() if key != "examples"}))
    assert index(mine).manifest.examples == found  # of an index that was made before there were any


def test_no_torch_is_needed_and_the_result_is_that_of_torch(mine: Path) -> None:
    write_beside(mine)
    opened = index(mine)
    for weight in (0.0, 0.4, 0.7):
        quick = search_quickly("lori", mine / "images", None, None, 12, "sw", weight)
        slow = search_index("lori", opened, 12, "sw", caption_weight=weight)
        assert quick is not None and quick.confidence is not None and slow.confidence is not None
        assert [(hit.path, hit.caption) for hit in quick.hits] == [(hit.path, hit.caption) for hit in slow.hits]
        for one, other in zip(quick.hits, slow.hits, strict=True):
            assert one.similarity == pytest.approx(other.similarity, abs=1e-5)
            assert one.from_caption == pytest.approx(other.from_caption, abs=1e-5)
        assert quick.confidence.confidence == pytest.approx(slow.confidence.confidence, abs=1e-4)


def test_a_table_is_read_and_remembered(mine: Path) -> None:
    table = mine / "words.csv"
    table.write_text("photo;Kiswahili;English\na.png;chungwa;an orange\nC.PNG;mlima;\nz.png;mbwa;a dog\n", "utf-8")
    write_beside(mine)
    found = update_index(mine / "images", mine / "run", mine / "images" / ".polyclip-index", captions=str(table))
    wanted = {"a.png": [("chungwa", "sw"), ("an orange", "en")], "below/c.png": [("mlima", "sw")]}
    assert list_captions(found.index) == wanted
    assert any("'z.png'" in one and "missing" in one for one in found.problems)
    again = index(mine)
    assert again.manifest.generation == found.index.manifest.generation and list_captions(again) == wanted
    assert list_captions(index(mine, captions="none")) == {} == list_captions(index(mine))
    assert "b.png" in list_captions(index(mine, captions="beside"))
    table.unlink()
    with pytest.raises(DataError, match=r"words\.csv: there is no such file"):
        index(mine, captions=str(table))


def test_a_corpus_is_read(mine: Path) -> None:
    table = mine / "words.csv"
    table.write_text("photo,text\na.png,chungwa\nb.png,gari\n", "utf-8")
    with pytest.raises(DataError, match=r"polyclip corpus new .*--captions ours"):
        index(mine, captions=str(table))
    made = polyclip("corpus", "new", mine / "images", table, "--lang", "sw=text", "--out", mine / "ours")
    assert made.code == 0, made.err
    assert list_captions(index(mine, captions=str(mine / "ours"))) == {
        "a.png": [("chungwa", "sw")],
        "b.png": [("gari", "sw")],
    }
    with pytest.raises(DataError, match="its reader is 'emoji'"):
        index(mine, captions="emoji")


def test_metadata_of_an_imagefolder_is_found(mine: Path) -> None:
    (mine / "images" / "metadata.csv").write_text("file_name,sw\nb.png,gari jekundu\n", "utf-8")
    assert list_captions(index(mine)) == {"b.png": [("gari jekundu", "sw")]}
    (mine / "images" / "metadata.csv").write_text("file_name,label\nb.png,3\n", "utf-8")
    found = update_index(mine / "images", mine / "run", mine / "images" / ".polyclip-index")
    assert list_captions(found.index) == {} and "metadata.csv" in found.problems[-1]


def test_lang_names_the_language_of_a_table_that_does_not(mine: Path) -> None:
    (mine / "images" / "metadata.csv").write_text("file_name,text\nb.png,gari jekundu\n", "utf-8")
    coco = {"images": [{"id": 1, "file_name": "a.png"}], "annotations": [{"image_id": 1, "caption": "a red car"}]}
    (mine / "coco.json").write_text(json.dumps(coco), "utf-8")
    (mine / "own.csv").write_text("file_name,sw,note\na.png,gari,two words\n", "utf-8")
    assert list_captions(index(mine, captions_language="sw")) == {"b.png": [("gari jekundu", "sw")]}
    said = list_captions(index(mine, captions=str(mine / "coco.json"), captions_language="en"))
    assert said == {"a.png": [("a red car", "en")]}
    said = list_captions(index(mine, captions=str(mine / "own.csv"), captions_language="en"))
    assert said == {"a.png": [("gari", "sw")]}


def test_captions_change_and_go(mine: Path) -> None:
    write_beside(mine)
    first = index(mine)
    assert index(mine).manifest.generation == first.manifest.generation
    (mine / "images" / "a.sw.txt").write_text("embe\n", "utf-8")
    (mine / "images" / "b.png").unlink()
    second = index(mine)
    assert list_captions(second) == {"a.png": [("embe", "sw")], "below/c.png": [("mlima mrefu", "sw")]}
    wanted = second.load_aligner().encode_text(["embe", "mlima mrefu"], "sw")
    np.testing.assert_allclose(second.caption_embeddings.numpy(), wanted.numpy(), atol=1e-5)
    (mine / "images" / "a.sw.txt").unlink()
    (mine / "images" / "below" / "c.sw.txt").unlink()
    last = index(mine)
    assert last.captions is None and not list(last.folder.glob("caption*"))


def test_an_index_of_before_is_read(mine: Path) -> None:
    path = mine / "images" / ".polyclip-index" / "index.json"
    facts = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({key: value for key, value in facts.items() if not key.startswith("caption")}), "utf-8")
    assert len(Index.open(mine / "images").search("gari", 3)) == 3
    write_beside(mine)
    assert len(list_captions(index(mine))) == 3


@pytest.mark.parametrize("kind", ["captions", "caption_vectors"])
def test_damaged_captions_are_named(mine: Path, kind: str) -> None:
    write_beside(mine)
    path = next((mine / "images" / ".polyclip-index").glob(f"{kind}.*")) if index(mine) else mine
    path.write_bytes(bytes(path.stat().st_size))
    for query in (lambda: Index.open(mine / "images"), lambda: polyclip_fails(mine)):
        with pytest.raises(PolyclipError, match=rf"{kind}\..* is damaged"):
            query()


def polyclip_fails(mine: Path) -> None:
    said = polyclip("search", "gari", "--index", mine / "images")
    assert said.code != 0
    raise PolyclipError(" ".join(said.err.split()))


def test_the_command_says_what_comes_from_where(mine: Path) -> None:
    write_beside(mine)
    made = polyclip("index", mine / "images", "--model", mine / "run")
    assert "4 captions of 3 images, from files beside the images" in made.out, made.err
    plain = polyclip("search", "gari jekundu", "--index", mine / "images", "--lang", "sw").out
    assert "from caption" in plain and "gari jekundu" in " ".join(plain.split())
    found = json.loads(polyclip("search", "lori kubwa", "--index", mine / "images", "--lang", "sw", "--json").out)
    own = {Path(hit["path"]).stem: hit for hit in found["hits"]}
    assert own["b"]["caption"] == "lori kubwa" and own["d"]["caption"] is None
    assert own["b"]["from_image"] + own["b"]["from_caption"] == pytest.approx(own["b"]["similarity"])
    off = polyclip("search", "gari jekundu", "--index", mine / "images", "--caption-weight", "0", "--json").out
    assert all(hit["caption"] is None and hit["from_caption"] == 0 for hit in json.loads(off)["hits"])
