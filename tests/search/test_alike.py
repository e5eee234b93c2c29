"""Files with the same image are shown once: identical ones, and other sizes and qualities."""

import json
import shutil
from pathlib import Path

import pytest

from polyclip.data.corpus import load_corpus
from polyclip.models.backbone import describe
from polyclip.search.index import Index, update_index
from polyclip.search.quick.tokens import write_pieces
from polyclip.search.quick_search import search_quickly
from polyclip.search.results import Hit, fold_hits
from tests.command import polyclip
from tests.search.test_quick import save

GROUPS = [{"0.png", "copy/0.png", "copy/0.jpg"}, {"1.png", "twin.png"}]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten drawings; the first has an identical copy and a larger JPEG, the second an identical copy."""
    folder = tmp_path_factory.mktemp("alike")
    corpus = load_corpus("emoji")
    (folder / "images" / "copy").mkdir(parents=True)
    for number, source in enumerate(list(corpus.reader.pictures(corpus.folder, "noto").values())[::120][:10]):
        source.open().save(folder / "images" / f"{number}.png")
        if number == 0:
            image = source.open()
            image.resize((image.width * 2, image.height * 2)).save(folder / "images" / "copy" / "0.jpg", quality=95)
    shutil.copy(folder / "images" / "0.png", folder / "images" / "copy")
    shutil.copy(folder / "images" / "1.png", folder / "images" / "twin.png")
    save(folder / "run", method="head-mlp")
    describe("encoders", "e5-small").build()
    write_pieces()
    update_index(folder / "images", folder / "run", folder / "images" / ".polyclip-index")
    return folder


def test_hits_are_folded_by_hand() -> None:
    root, paths = Path("/r"), ["a", "b", "c", "d"]
    hits = [Hit(root / name, value) for name, value in (("c", 0.9), ("b", 0.8), ("a", 0.7), ("d", 0.6))]
    found = fold_hits(hits, root, paths, [[0, 2]])
    assert [(hit.path.name, [path.name for path in hit.alike]) for hit in found] == [("c", ["a"]), ("b", []), ("d", [])]
    assert fold_hits(hits, root, paths, None) == hits == fold_hits(hits, root, paths, [])


def test_groups_are_kept_in_the_index(home: Path) -> None:
    index = Index.open(home / "images")
    assert index.manifest.alike is not None
    assert [{index.paths[row] for row in rows} for rows in index.manifest.alike] == GROUPS
    again = update_index(home / "images", home / "run", home / "images" / ".polyclip-index").index
    assert again.manifest.alike == index.manifest.alike


def test_every_image_is_found_once_and_none_is_lost(home: Path) -> None:
    index = Index.open(home / "images")
    query = index.load_aligner().encode_text(["gari"])
    found = index.search_text_embedding(query, 10, 0.0, fold=True)
    shown = [hit.path.relative_to(index.root).as_posix() for hit in found]
    assert len(shown) == 10 and all(len(group & set(shown)) == 1 for group in GROUPS)
    assert {str(number) for number in range(2, 10)} <= {Path(name).stem for name in shown}
    assert sorted(len(hit.alike) for hit in found) == [0] * 8 + [1, 2]
    assert [hit.path for hit in index.search_text_embedding(query, 3, 0.0, fold=True)] == [
        hit.path for hit in found[:3]
    ]
    quick = search_quickly("gari", home / "images", None, None, 10, "", fold=True)
    assert quick is not None  # of identical images, whose embeddings may differ in the last digit, any stands for all
    assert [{h.path, *h.alike} for h in quick.hits] == [{h.path, *h.alike} for h in found]
    assert len(index.search("gari", top_k=20)) == 13  # in Python each is shown


def test_the_command_folds_unless_all_are_asked_for(home: Path) -> None:
    said = polyclip("search", "gari", "--index", home / "images", "--top", "20").out
    assert said.count("(+2 alike)") == 1 and said.count("(+1 alike)") == 1
    every = polyclip("search", "gari", "--index", home / "images", "--top", "20", "--all", "--json").out
    assert len(json.loads(every)["hits"]) == 13 and not any(hit["alike"] for hit in json.loads(every)["hits"])
    like = polyclip("search", "--picture", home / "images" / "0.png", "--index", home / "images", "--json").out
    hits = json.loads(like)["hits"]
    assert len(hits) == 10 and len(hits[0]["alike"]) == 2


def test_an_index_that_does_not_say_is_compared_at_the_next_time(home: Path, tmp_path: Path) -> None:
    mine = Path(shutil.copytree(home, tmp_path / "mine"))
    path = mine / "images" / ".polyclip-index" / "index.json"
    facts = json.loads(path.read_text("utf-8"))
    wanted = facts.pop("alike")
    path.write_text(json.dumps(facts), "utf-8")
    assert (
        len(
            Index.open(mine / "images").search_text_embedding(
                Index.open(mine / "images").embeddings[:1], 20, 0.0, fold=True
            )
        )
        == 13
    )
    assert (
        update_index(mine / "images", mine / "run", mine / "images" / ".polyclip-index").index.manifest.alike == wanted
    )


def test_the_page_folds_too(home: Path) -> None:
    pytest.importorskip("starlette")
    from polyclip.search.server.collections import Catalog
    from polyclip.search.server.query import find_matches, parse_request

    catalog = Catalog.open([home / "images"])
    each = next(iter(catalog.collections.values()))
    query = each.index.embeddings[:1]
    found = find_matches(each, query, parse_request(catalog, {"q": "gari", "top": "20"}))
    assert len(found) == 10 and {found[0].path, *found[0].alike} == GROUPS[0]
    below = find_matches(each, query, parse_request(catalog, {"q": "gari", "folder": "copy"}))
    assert len(below) == 1 and below[0].path in ("copy/0.png", "copy/0.jpg")
    assert len(find_matches(each, query, parse_request(catalog, {"q": "gari", "top": "20", "all": "1"}))) == 13
