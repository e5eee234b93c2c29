"""The page: what it answers, what it refuses, and how it behaves in a browser. Real encoder and tower, a model of
coloured squares.
"""

import io
import json
import re
import shutil
import threading
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from polyclip.errors import RunError
from polyclip.languages.schema import load_language
from polyclip.models import encoding
from polyclip.models.branch import Branch
from polyclip.models.config import ModelConfig
from polyclip.search.index import update_index
from polyclip.search.quick.prepare import prepare
from polyclip.search.server import collections, policy, upload, waiting
from polyclip.search.server.collections import Catalog, ServedModel, count_by_folder
from polyclip.search.server.language import detect_language, guess_language
from polyclip.search.server.policy import Hosts, Token
from polyclip.search.server.query import SearchAnswer, parse_request
from polyclip.search.server.render import STATIC
from polyclip.search.server.routes import build_application
from polyclip.search.server.server import ServerOptions, bind_socket, format_address
from polyclip.training.config import HEADS, AlignConfig
from polyclip.training.prepare import prepare_run, save_work, train_run
from tests.command import polyclip
from tests.search.server.browser import Browser
from tests.toy import write_corpus

TOKEN = "correct-horse-battery"
HOME = "http://127.0.0.1:8000"


@dataclass(frozen=True)
class Home:
    catalog: Catalog
    pictures: Path
    indexes: list[Path]
    other: Path  # a run by another method


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A run on squares, and two indexes of their pictures by it, in folders by colour."""
    folder = tmp_path_factory.mktemp("web")
    pack = write_corpus(folder / "toy")
    recipe = ModelConfig(text_encoder="e5-small", vision_tower="efficientnet-lite0:,size=64", method="heads", dim=32)
    few = replace(HEADS, epochs=40, batch_size=12)
    languages = [load_language("sw"), load_language("en")]
    for name, own in (("sw-squares", recipe), ("sw-other", replace(recipe, method="head-glu", dim=16))):
        work = prepare_run(
            AlignConfig(
                languages=languages, recipe=own, out=folder / name, corpus=str(pack), heads=few, class_names=False
            )
        )
        save_work(work, train_run(work))
    for path in sorted((folder / "toy").glob("*.png")):
        colour, size = path.stem.split("-")
        (folder / "squares" / colour).mkdir(parents=True, exist_ok=True)
        path.rename(folder / "squares" / colour / f"{size}.png")
    indexes = [folder / "index", folder / "again" / "index"]
    for out in indexes:
        update_index(folder / "squares", folder / "sw-squares", out)
    return Home(Catalog.open(indexes), folder / "squares", indexes, folder / "sw-other")


@pytest.fixture(scope="module")
def client(home: Home) -> Iterator[TestClient]:
    with TestClient(build_application(home.catalog, Hosts("127.0.0.1")), HOME, raise_server_exceptions=False) as client:
        yield client


def asked(client: TestClient, **fields: object) -> dict:
    answer = client.get("/api/search", params=fields)
    assert answer.status_code == 200, answer.text
    return answer.json()


def png(size: tuple[int, int] = (64, 64), colour: str = "red") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, "PNG")
    return buffer.getvalue()


def test_the_page_and_the_json_say_how_likely_the_first_image_is_right(client: TestClient, home: Home) -> None:
    words = {"high": "Good match", "medium": "Possible match", "low": "No good match"}
    own = home.catalog.collections["index"]
    for word in ("bluu", "red", "zzzz"):
        found = asked(client, q=word, lang="sw")["results"][0]["confidence"]
        expected = own.index.measure_confidence(own.model.embed_text(word, "sw"))
        assert expected and found["level"] == expected.level
        assert found["confidence"] == pytest.approx(expected.confidence, abs=1e-4)
        page = client.get("/", params={"q": word, "lang": "sw"}).text
        shown = page.split('<p class="sure ')[1].split("</p>")[0]
        assert shown.startswith(f'{expected.level}"') and words[expected.level] in shown, shown
    for unsaid in ({"like": 0}, {"q": "bluu", "folder": "red"}):
        assert asked(client, **unsaid)["results"][0]["confidence"] is None
        assert 'class="sure' not in client.get("/", params=unsaid).text


def test_words_find_pictures_in_either_language(client: TestClient, home: Home) -> None:
    for word, code, colour in (("bluu", "sw", "blue"), ("yellow", "en", "yellow"), ("kijani", "sw", "green")):
        found = asked(client, q=word, lang=code, top=4)
        assert found["query"]["language"]["code"] == code and not found["query"]["language"]["detected"]
        (column,) = found["results"]
        assert (
            column["searched"] == 24 and column["trained"] == ["sw", "en"] and column["hint"] == "" and column["more"]
        )
        assert sum(hit["path"].startswith(colour) for hit in column["hits"]) >= 2, (word, column["hits"])
        assert [hit["similarity"] for hit in column["hits"]] == sorted(
            (hit["similarity"] for hit in column["hits"]), reverse=True
        )
        assert [home.catalog.collections["index"].index.paths[hit["row"]] for hit in column["hits"]] == [
            hit["path"] for hit in column["hits"]
        ]


def test_two_indexes_of_one_model_stand_side_by_side_and_share_it(client: TestClient, home: Home) -> None:
    one, two = home.catalog.collections.values()
    assert (one.name, two.name) == ("index", "index-2") and one.model is two.model
    columns = asked(client, q="bluu", model="index-2", beside="index")["results"]
    assert [column["index"] for column in columns] == ["index-2", "index"]
    assert [hit["path"] for hit in columns[0]["hits"]] == [hit["path"] for hit in columns[1]["hits"]]
    page = client.get("/", params={"q": "bluu", "beside": "index-2"}).text
    assert page.count('<section class="column"') == 2


def test_two_models_stand_side_by_side_each_with_its_own_scores(home: Home, tmp_path: Path) -> None:
    update_index(home.pictures, home.other, tmp_path / "other")
    catalog = Catalog.open([home.indexes[0], tmp_path / "other"])
    one, two = catalog.collections.values()
    assert one.model is not two.model
    with TestClient(build_application(catalog, Hosts("127.0.0.1")), HOME, raise_server_exceptions=False) as client:
        columns = asked(client, q="bluu", model="index", beside="other", top=4)["results"]
        page = client.get("/", params={"q": "bluu", "beside": "other"}).text
    assert [column["index"] for column in columns] == ["index", "other"]
    for column in columns:
        assert sum(hit["path"].startswith("blue") for hit in column["hits"]) >= 2, column
    scores = [[hit["similarity"] for hit in column["hits"]] for column in columns]
    assert scores[0] != scores[1]
    assert 'aria-label="sw-squares (index)"' in page and 'aria-label="sw-other (other)"' in page


def test_filters(client: TestClient) -> None:
    whole = asked(client, q="bluu", top=24)["results"][0]["hits"]
    here = asked(client, q="bluu", top=2, folder="red")["results"][0]
    assert [hit["path"] for hit in here["hits"]] == [hit["path"] for hit in whole if hit["path"].startswith("red/")][
        :2
    ] and here["more"]
    least = whole[4]["similarity"] - 1e-4
    assert [hit["path"] for hit in asked(client, q="bluu", least=least)["results"][0]["hits"]] == [
        hit["path"] for hit in whole[:5]
    ]
    like = asked(client, like=whole[0]["row"], top=24)
    assert like["query"]["kind"] == "like" and whole[0]["path"] not in [
        hit["path"] for hit in like["results"][0]["hits"]
    ]
    assert len(like["results"][0]["hits"]) == 23


@pytest.mark.parametrize(
    ("fields", "status", "words"),
    [
        ({"q": "x", "lang": "klingonese"}, 422, "No language called 'klingonese'"),
        ({"q": "x", "lang": "/etc/passwd.toml"}, 422, "not a code or name"),
        ({"q": "x", "folder": "../.."}, 422, "No folder"),
        ({"q": "x", "model": "nope"}, 404, "there are index, index-2"),
        ({"q": "x", "like": "24"}, 422, "from 0 to 23"),
        ({"q": "x", "least": "nan"}, 422, "from -1 to 1"),
        ({"q": "x", "top": "481"}, 422, "from 1 to 480"),
        ({"q": "x" * 1001}, 422, "1,001 characters"),
        ({"q": " \u200b"}, 422, "Nothing to search for"),
    ],
)
def test_a_bad_question_is_answered_with_a_sentence(
    client: TestClient, fields: dict[str, str], status: int, words: str
) -> None:
    answer = client.get("/api/search", params=fields)
    assert answer.status_code == status and words in answer.json()["error"]


def test_a_language_never_seen_is_answered_with_a_hint(client: TestClient) -> None:
    for query, code, words in (
        ("แมวดำ", "th", "Thai is unseen by this model"),
        ("قطة سوداء", "ar", "Arabic is"),
        ("🐈", None, "polyclip has no pack for this language"),
        ("𐎀𐎁𐎂", None, "results are shown anyway"),  # Ugaritic
    ):
        found = asked(client, q=query)
        assert (found["query"]["language"] or {"code": None})["code"] == code
        assert words in found["results"][0]["hint"] and "trained on Swahili, English" in found["results"][0]["hint"]
        assert len(found["results"][0]["hits"]) == 24


def test_a_model_s_own_language_is_told_from_others() -> None:
    for text, code in (
        ("paka mweusi", "sw"),
        ("a black cat", "en"),
        ("黑色的猫", "zh"),
        ("黒い猫", "ja"),
        ("گربه سیاه", "fa"),
        ("", ""),
    ):
        assert guess_language(text, ("sw", "en")).code == code, text
    assert not guess_language("ab", ("sw", "en")).sure and guess_language("แมว", ()).sure


def test_what_is_shown_is_escaped_and_laid_out_in_its_direction(client: TestClient) -> None:
    page = client.get("/", params={"q": '<script>"قطة'}).text
    assert "<script>&#34;" not in page and "&lt;script&gt;&#34;قطة" in page
    page = client.get("/", params={"q": "قطة سوداء"}).text
    assert (
        re.search(r'<h1 dir="auto" lang="ar">\s*قطة سوداء', page)
        and '<section class="column" aria-label="sw-squares (index)" dir="rtl">' in page
    )
    assert re.search(r'<input id="q" [^>]*dir="auto" lang="ar"', page)
    assert not re.search(
        r"""<script(?![^>]*\bsrc=)|\son\w+=|\sstyle=|(?:src|href|action)="(?!/|#|data:)""", page.replace("&#34;", "")
    )


def test_pictures_are_shown_by_row_small_and_from_the_cache(client: TestClient, own_cache: Path) -> None:
    small = client.get("/small/index/0")
    assert small.status_code == 200 and small.headers["content-type"] == "image/webp"
    assert len(list((own_cache / "thumbnails").rglob("*.webp"))) == 1
    assert client.get("/small/index/0").content == small.content
    assert client.get("/small/index/0", headers={"if-none-match": small.headers["etag"]}).status_code == 304
    assert Image.open(io.BytesIO(client.get("/large/index/0").content)).size == (64, 64)
    assert client.get("/picture/index/0").status_code == 200
    for path in (
        "/small/index/24",
        "/large/nope/0",
        "/small/index/-1",
        "/small/index/..%2f..%2fetc%2fpasswd",
        "/static/..%2fsite.py",
        "/static/../site.py",
    ):
        assert client.get(path).status_code == 404, path


def test_what_left_the_folder_is_not_shown(client: TestClient, home: Home, tmp_path: Path) -> None:
    index = home.catalog.collections["index"].index
    row = index.paths.index("white/huge.png")
    path, kept = home.pictures / "white" / "huge.png", tmp_path / "huge.png"
    path.rename(kept)
    try:
        gone = client.get(f"/small/index/{row}")
        assert gone.status_code == 404 and "no longer where the index found it" in gone.text
        assert "no longer" in client.get("/api/search", params={"like": row}).json()["error"]
        path.symlink_to(kept)
        away = client.get(f"/large/index/{row}")
        assert away.status_code == 404 and "leads out of the folder" in away.text
        path.unlink()
        path.write_bytes(b"no picture")
        assert client.get(f"/small/index/{row}").status_code == 422
        assert len(asked(client, q="bluu")["results"][0]["hits"]) == 24
    finally:
        path.unlink(missing_ok=True)
        kept.rename(path)


BOMB = (
    b'<?xml version="1.0"?><!DOCTYPE svg [<!ENTITY a "'
    + b"x" * 99
    + b'"><!ENTITY b "'
    + b"&a;" * 99
    + b'">]><svg xmlns="http://www.w3.org/2000/svg">&b;</svg>'
)


def vast_png() -> bytes:
    """A PNG that says it has 30,000 x 30,000 pixels."""
    data = bytearray(png((1, 1)))
    data[16:24] = (30_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    return bytes(data)


def test_a_picture_finds_pictures(client: TestClient) -> None:
    answer = client.post("/api/search", files={"picture": ("red.png", png())}, data={"top": "3", "beside": "index-2"})
    assert answer.status_code == 200 and answer.json()["query"] == {"kind": "picture", "text": "", "language": None}
    assert [len(column["hits"]) for column in answer.json()["results"]] == [3, 3]
    page = client.post("/", files={"picture": ("red.png", png())})
    assert page.status_code == 200 and "data:image/webp;base64," in page.text and "Similar images" in page.text


@pytest.mark.parametrize(
    ("data", "status", "words"),
    [
        (b"", 422, "empty (0 bytes)"),
        (b"MZ\x90\x00 no picture", 415, "no image that can be read; JPEG, PNG"),
        (BOMB, 415, "SVG or XML drawing"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", 415, "no image"),
        (b"\0\0\0\x18ftypheic" + b"\0" * 40, 415, "HEIC"),
        (vast_png(), 413, "too many pixels"),
        (png((300, 300))[:200], 422, "damaged or truncated"),
    ],
    ids=["empty", "program", "svg-bomb", "eps", "heic", "vast", "cut"],
)
def test_a_bad_upload_is_answered_with_a_sentence(client: TestClient, data: bytes, status: int, words: str) -> None:
    answer = client.post("/api/search", files={"picture": ("x.png", data)})
    assert answer.status_code == status and words in answer.json()["error"], answer.text
    page = client.post("/", files={"picture": ("x.png", data)})
    assert page.status_code == status and words in page.text and 'id="results"' in page.text
    assert asked(client, q="bluu")["results"]


def test_an_upload_is_bounded_whatever_length_it_says(client: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(upload, "MAX_UPLOAD", 10_000)
    form = (
        b'--x\r\ncontent-disposition: form-data; name="picture"; filename="a.png"\r\n\r\n'
        + b"0" * 20_000
        + b"\r\n--x--\r\n"
    )
    kind = {"content-type": "multipart/form-data; boundary=x"}
    assert client.post("/api/search", content=form, headers=kind).status_code == 413
    assert client.post("/api/search", content=iter([form[:5000], form[5000:]]), headers=kind).status_code == 413
    assert client.post("/api/search", content=form[:50], headers={"content-type": "image/png"}).status_code == 415
    assert client.post("/api/search", content=b"rubbish", headers=kind).status_code == 400


def test_every_answer_carries_the_security_headers(
    client: TestClient, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(home.catalog.collections["index"].model), "embed_text", lambda *_: 1 / 0)
    for path, status in (
        ("/", 200),
        ("/nope", 404),
        ("/static/page.css", 200),
        ("/api/search", 422),
        ("/?q=unforeseen", 500),
    ):
        answer = client.get(path)
        assert answer.status_code == status
        assert {name: answer.headers[name] for name in policy.HEADERS} == policy.HEADERS
    assert "unsafe" not in policy.HEADERS["content-security-policy"] and "ZeroDivision" not in answer.text
    monkeypatch.undo()
    assert client.get("/?q=bluu").status_code == 200


def test_other_names_and_other_sites_are_refused(client: TestClient) -> None:
    for host, status in (
        ("localhost:9", 200),
        ("[::1]:8000", 200),
        ("127.0.0.1", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("10.0.0.5", 421),
    ):
        assert client.get("/", headers={"host": host}).status_code == status, host
    lan = Hosts("0.0.0.0", ["photos.example"])
    lan.check("192.168.1.7:8000")
    lan.check("photos.example")
    with pytest.raises(policy.RequestError):
        lan.check("evil.example")
    cross = {"sec-fetch-site": "cross-site"}
    followed = cross | {"sec-fetch-mode": "navigate", "sec-fetch-dest": "document"}
    assert client.get("/", headers=followed).status_code == 200
    assert (
        client.get(
            "/small/index/0", headers=cross | {"sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"}
        ).status_code
        == 403
    )
    assert client.post("/", files={"picture": ("a.png", png())}, headers=followed).status_code == 403
    assert (
        client.post("/", files={"picture": ("a.png", png())}, headers={"origin": "https://evil.example"}).status_code
        == 403
    )


def test_a_token_is_asked_for_once_and_leaves_the_address(home: Home) -> None:
    app = build_application(home.catalog, Hosts("0.0.0.0"), Token(TOKEN))

    def visitor() -> TestClient:
        return TestClient(app, HOME, follow_redirects=False)

    for path in ("/", "/small/index/0", "/picture/index/0", "/?token=wrong", "/?token=%FF"):
        assert visitor().get(path).status_code == 401, path
    api = visitor().get("/api/search?q=bluu")
    assert api.status_code == 401 and api.headers["www-authenticate"] == "Bearer" and "token" in api.json()["error"]
    assert visitor().get("/api/indexes", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    for first in (lambda v: v.get(f"/?token={TOKEN}&q=bluu"), lambda v: v.post("/enter", data={"token": TOKEN})):
        guest = visitor()
        welcome = first(guest)
        cookie = welcome.headers["set-cookie"].lower()
        assert welcome.status_code == 200 and TOKEN not in welcome.text and TOKEN not in cookie
        assert all(word in cookie for word in ("httponly", "samesite=strict", "path=/"))
        assert guest.get("/").status_code == 200
    for name in guest.cookies:  # the name of the cookie is no secret, what it holds is
        for value in ("", "guess", TOKEN):
            assert visitor().get("/", headers={"cookie": f"{name}={value}"}).status_code == 401
    assert re.search(r'content="0; url=/\?q=bluu"', visitor().get(f"/?token={TOKEN}&q=bluu").text)


def test_another_host_demands_a_token_and_errors_are_sentences(home: Home, tmp_path: Path) -> None:
    said = polyclip("serve", "--index", home.indexes[0], "--host", "0.0.0.0")
    assert said.code == 2 and "requires a token" in said.err and "--token" in said.err
    short = polyclip("serve", "--index", home.indexes[0], "--token", "short")
    assert short.code == 2 and "at least 16" in short.err
    assert polyclip("serve", "--index", tmp_path, "--port", "0").code == 2
    taken = bind_socket(ServerOptions(port=0))
    taken.listen()
    with pytest.raises(RunError, match=r"Choose another --port"):
        bind_socket(ServerOptions(port=taken.getsockname()[1]))
    taken.close()


def test_the_page_is_in_the_visitor_s_language_and_stays_in_the_one_chosen(client: TestClient) -> None:
    swahili = client.get("/", headers={"accept-language": "sw-KE,en;q=0.5"})
    assert '<html lang="sw" dir="ltr">' in swahili.text and "Picha ionyeshe nini?" in swahili.text
    assert swahili.headers["content-language"] == "sw" and "ui=sw" not in swahili.text
    assert "/static/translations/sw.toml" in swahili.text and "Imetafsiriwa na mashine." in swahili.text
    file = client.get("/static/translations/sw.toml")
    assert file.status_code == 200 and 'made_by = "machine"' in file.text and "interface-translation.md" in file.text
    assert "translations/en.toml" not in client.get("/").text
    chosen = client.get("/", params={"q": "bluu", "ui": "he", "top": 4}, headers={"accept-language": "sw"}).text
    assert '<html lang="he" dir="rtl">' in chosen and '<input type="hidden" name="ui" value="he">' in chosen
    assert '<input type="hidden" name="q" value="bluu">' in chosen
    for link in re.findall(r'(?:href|data-like|action|formaction)="(/(?!static|small|large)[^"]*)"', chosen):
        assert "ui=he" in link or link == "/", link
    assert re.search(r'<p class="sure \w+" dir="rtl">.*<bdi class="value" dir="ltr"', chosen)


def test_an_error_is_told_in_the_visitor_s_language_and_json_stays_english(client: TestClient) -> None:
    swahili = {"accept-language": "sw"}
    for path, status, words, detail in (
        ("/?q=x&lang=klingonese", 422, "Kuna kitu kisicho sahihi katika ombi.", "No language called &#39;klingonese"),
        ("/nowhere", 404, "Hakuna kitu kwenye anwani hii.", "no such page"),
        ("/?q=x&model=nope", 404, "Hakuna kitu kwenye anwani hii.", "there are index"),
    ):
        found = client.get(path, headers=swahili)
        assert found.status_code == status and words in found.text and detail in found.text, path
        assert words not in client.get(path).text and detail in client.get(path).text
    sent = client.post("/", files={"picture": ("a.svg", b"<svg/>")}, headers=swahili)
    assert sent.status_code == 415 and "Zinazosomeka: JPEG, PNG, WebP, GIF, BMP, TIFF." in sent.text
    hint = client.get("/", params={"q": "แมวดำ"}, headers=swahili).text
    assert "Modeli haikufunzwa kwa lugha hii" in hint and '<bdi lang="sw">Kiswahili</bdi> · <bdi lang="en">' in hint
    json_error = client.get("/api/search", params={"q": "x", "lang": "klingonese"}, headers=swahili).json()["error"]
    assert json_error.startswith("No language called 'klingonese'")


def test_the_token_is_asked_for_in_the_visitor_s_language(home: Home) -> None:
    guest = TestClient(build_application(home.catalog, Hosts("0.0.0.0"), Token(TOKEN)), HOME)
    asking = guest.get("/?ui=sw")
    assert asking.status_code == 401 and 'action="/enter?ui=sw"' in asking.text and "Anayeshiriki picha" in asking.text
    assert "Huu si msimbo sahihi." in guest.post("/enter?ui=sw", data={"token": "wrong"}).text
    assert 'content="0; url=/?ui=sw"' in guest.post("/enter?ui=sw", data={"token": TOKEN}).text


@pytest.fixture(scope="module")
def address(home: Home) -> Iterator[str]:
    """The page on a free port of the loopback."""
    bound = bind_socket(ServerOptions(port=0))
    config = uvicorn.Config(
        build_application(home.catalog, Hosts("127.0.0.1")), log_level="error", access_log=False, lifespan="off"
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]})
    thread.start()
    yield format_address(bound)
    server.should_exit = True
    thread.join()
    bound.close()


SENT = "performance.getEntriesByType('resource').filter(e => e.name.includes('?q=')).length"
FOCUS = "[...document.querySelectorAll('#results .card')].indexOf(document.activeElement)"


def test_in_a_browser(address: str, tmp_path: Path) -> None:
    browser = Browser(tmp_path / "profile")
    try:
        browser.size(1200, 900)
        browser.open(address)
        by_keys(browser)
        by_an_input_method(browser)
        by_a_picture(browser, tmp_path)
        on_a_phone(browser, address)
        in_other_languages(browser, address)
        origins = browser.js(
            "[...new Set(performance.getEntriesByType('resource').map(e => new URL(e.name).protocol + new "
            "URL(e.name).host))]"
        )
        assert set(origins) <= {address.rstrip("/").replace("//", "")}, origins
        assert browser.problems == []
    finally:
        browser.close()


def by_keys(browser: Browser) -> None:
    """Words are searched as they are typed; arrows walk the grid, Enter enlarges, Escape closes and gives the focus
    back.
    """
    browser.type("bluu")
    browser.until("document.querySelector('#results h1')?.textContent === 'bluu' && location.search === '?q=bluu'")
    for key, number in (("ArrowDown", 0), ("ArrowRight", 1), ("ArrowRight", 2), ("ArrowLeft", 1)):
        browser.press(key)
        assert browser.js(FOCUS) == number, key
    browser.press("ArrowDown")
    assert browser.js(FOCUS) > 3
    browser.press("ArrowUp")
    assert browser.js(FOCUS) == 1
    browser.press("Enter")
    browser.until("document.getElementById('large').open && document.querySelector('#large img').naturalWidth > 0")
    before = browser.js("document.querySelector('#large .path').textContent")
    browser.press("ArrowRight")
    assert browser.js("document.querySelector('#large .path').textContent") != before
    browser.press("Escape")
    browser.until(f"!document.getElementById('large').open && {FOCUS} === 2")


def by_an_input_method(browser: Browser) -> None:
    """Nothing is searched while characters are put together, and right-to-left words lay the answer out from the
    right.
    """
    browser.js("document.getElementById('q').value = ''; document.getElementById('q').focus()")
    sent = browser.js(SENT)
    browser("Input.imeSetComposition", text="ねk", selectionStart=2, selectionEnd=2)
    time.sleep(0.6)
    browser.press("Enter")
    time.sleep(0.1)
    assert browser.js(SENT) == sent
    browser.type("猫の絵")
    browser.until(
        "document.querySelector('#results h1')?.textContent === '猫の絵' && document.getElementById('q').lang === 'ja'"
    )
    browser.js("document.getElementById('q').select()")
    browser.type("قطة سوداء")
    browser.until("document.getElementById('q').lang === 'ar'")
    left = json.loads(
        browser.js(
            "JSON.stringify([...document.querySelectorAll('#results .card')].slice(0, 2).map(c => "
            "c.getBoundingClientRect().left))"
        )
    )
    assert left[0] > left[1]
    assert browser.js("getComputedStyle(document.getElementById('q')).direction") == "rtl"
    browser.press("ArrowDown")
    browser.press("ArrowLeft")
    assert browser.js(FOCUS) == 1


def by_a_picture(browser: Browser, folder: Path) -> None:
    """A file that is chosen or dropped is searched by at once; one that is none is answered with a sentence in its
    place.
    """
    (folder / "red.png").write_bytes(png())
    (folder / "blue.png").write_bytes(png(colour="blue"))
    (folder / "bad.png").write_bytes(BOMB)
    browser.choose("#picture", folder / "red.png")
    browser.until(
        "document.querySelector('#results h1')?.textContent === 'Similar images' && "
        "document.querySelector('.query').naturalWidth > 0"
    )
    before = browser.js("document.querySelector('.query').src")
    browser.drop(folder / "blue.png", while_over="!document.getElementById('drop').hidden")
    browser.until(
        "document.getElementById('drop').hidden && document.querySelector('.query')?.naturalWidth > 0 && "
        f"document.querySelector('.query').src !== '{before}'"
    )
    assert browser.js("document.querySelector('#results .card').outerHTML.includes('blue/')")
    browser.choose("#picture", folder / "bad.png")
    browser.until("document.querySelector('#results [role=alert]')?.textContent.includes('SVG')")
    assert browser.problems and all(
        "415" in text for text in browser.problems
    )  # what Chromium says of every such answer
    browser.problems.clear()


def on_a_phone(browser: Browser, address: str) -> None:
    """Nothing is wider than the screen, and pictures come in two equal columns."""
    browser.size(360, 740, phone=True)
    browser.open(f"{address}?q=bluu&beside=index-2")
    browser.until("document.querySelectorAll('#results .card').length > 40")
    assert browser.js("document.documentElement.scrollWidth") <= 360
    browser.open(f"{address}?q=bluu")
    browser.until("document.querySelectorAll('#results .card').length === 24")
    assert (
        browser.js(
            "new Set([...document.querySelectorAll('#results .card')].map(c => "
            "Math.round(c.getBoundingClientRect().width))).size"
        )
        == 1
    )


def in_other_languages(browser: Browser, address: str) -> None:
    """The menu changes the page and keeps the query; from the right everything is mirrored but names and scores."""
    menu = "document.querySelector('.tongue select')"
    browser.js(f"{menu}.value = 'ar'; {menu}.dispatchEvent(new Event('change', {{bubbles: true}}))")
    browser.until("document.documentElement?.dir === 'rtl' && document.readyState === 'complete'")
    browser.until("document.querySelectorAll('#results .card').length === 24")
    assert browser.js("location.search") == "?q=bluu&ui=ar"
    left = "[...document.querySelectorAll('#results .card')].slice(0, 2).map(c => c.getBoundingClientRect().left)"
    first, second = browser.js(left)
    assert first > second
    assert browser.js("getComputedStyle(document.querySelector('.card .value')).direction") == "ltr"
    browser.js("document.getElementById('q').select()")
    browser.type("red")
    browser.until("document.querySelector('#results h1')?.textContent === 'red' && location.search === '?ui=ar&q=red'")
    browser.js("document.querySelector('.card').click()")
    browser.until("document.getElementById('large').open")
    before = browser.js("document.querySelector('#large .path').textContent")
    browser.press("ArrowLeft")
    assert browser.js("document.querySelector('#large .path').textContent") != before
    browser.press("Escape")
    for code in ("de", "fi", "te", "quz", "mi", "ar"):
        for width in (320, 360):
            browser.size(width, 740, phone=True)
            browser.open(f"{address}?q=red&beside=index-2&ui={code}")
            browser.until("document.querySelectorAll('#results .card').length > 40")
            wide = "[...document.querySelectorAll('body *')].filter(e => e.getBoundingClientRect().right > innerWidth)"
            assert browser.js("document.documentElement.scrollWidth") <= width, (
                code,
                browser.js(f"{wide}.map(String)"),
            )


def test_health_needs_no_token_and_names_nothing(home: Home) -> None:
    app = build_application(home.catalog, Hosts("127.0.0.1"), Token(TOKEN))
    with TestClient(app, HOME) as client:
        found = client.get("/health")
        assert found.status_code == 200
        assert found.json() == {"status": "ready", "indexes": 2, "pictures": 48, "waiting": 0}
        assert client.get("/api/indexes").status_code == 401


def test_many_at_once_are_answered_and_each_gets_its_own(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """128 queries in 128 threads: encoded together, and each answer is that of its own text."""
    sizes: list[int] = []
    encode = encoding.encode_items

    def counted(encoder: Any, items: list[str], meter: Any) -> Any:
        sizes.append(len(items))
        return encode(encoder, items, meter)

    monkeypatch.setattr(encoding, "encode_items", counted)
    monkeypatch.setattr(waiting, "LONGEST", 60.0)  # however slow this machine is
    texts = [f"mraba {number}" for number in range(126)] + ["", "mraba"]
    with (
        TestClient(build_application(home.catalog, Hosts("127.0.0.1")), HOME) as client,
        ThreadPoolExecutor(128) as pool,
    ):
        found = list(pool.map(lambda text: client.get("/api/search", params={"q": text, "lang": "sw"}), texts))
    assert [each.status_code for each in found] == [200] * 126 + [422, 200]
    assert [each.json()["query"]["text"] for each in found[:126]] == texts[:126]
    assert len(sizes) < 100 and max(sizes) > 8
    again = home.catalog.collections["index"].model
    for text, each in list(zip(texts, found, strict=True))[:126:25]:
        wanted = home.catalog.collections["index"].index.search_embeddings(again.embed_text(text, "sw"), 1)[0][0]
        assert each.json()["results"][0]["hits"][0]["similarity"] == pytest.approx(wanted.similarity, abs=1e-4)


def test_a_full_queue_says_when_to_come_back(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LINE", 0)
    with TestClient(build_application(home.catalog, Hosts("127.0.0.1")), HOME) as client:
        found = client.get("/api/search", params={"q": "mraba"})
    assert found.status_code == 503 and found.headers["retry-after"] == "1" and "waiting" in found.json()["error"]


def test_whoever_would_wait_too_long_is_told_at_once(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "BATCH", 0)
    monkeypatch.setattr(waiting, "LONGEST", -1.0)
    with TestClient(build_application(home.catalog, Hosts("127.0.0.1")), HOME) as client:
        assert client.get("/api/search", params={"q": "mraba"}).status_code == 503
        monkeypatch.setattr(waiting, "BATCH", 1)  # one batch may always wait
        assert client.get("/api/search", params={"q": "mraba"}).status_code == 200


def test_a_full_queue_refuses_before_a_body_is_read(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "LINE", 0)
    with TestClient(build_application(home.catalog, Hosts("127.0.0.1")), HOME) as client:
        found = client.post("/api/search", files={"picture": ("a.png", b"this is no image")})
    assert found.status_code == 503  # and not 415


def test_an_indexed_image_is_not_encoded_again(client: TestClient, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    own = home.catalog.collections["index"]
    monkeypatch.setattr(type(own.model), "embed_image", lambda *_: 1 / 0)
    for columns in (asked(client, like=3, top=5)["results"], asked(client, like=3, top=5, beside="index-2")["results"]):
        best = own.index.search_embeddings(own.index.embeddings[3:4], 24)[0]
        expected = [(own.find_row(hit), round(hit.similarity, 5)) for hit in best if own.find_row(hit) != 3]
        assert [(hit["row"], hit["similarity"]) for hit in columns[0]["hits"]] == expected[:5]


def test_a_language_is_detected_once_for_each_query(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[str] = []
    monkeypatch.setattr(
        "polyclip.search.server.query.detect_language",
        lambda text, *rest: (given.append(text), detect_language(text, *rest))[1],
    )
    waiting.answer_together([parse_request(home.catalog, {"q": text}) for text in ("mraba", "duara")])
    assert given == ["mraba", "duara"]


@pytest.mark.parametrize("path", ["/api/search", "/", "/nope"])
def test_an_address_of_many_fields_is_not_read(client: TestClient, path: str) -> None:
    found = client.get(f"{path}?{'&'.join(['q=mraba'] * 33)}")
    assert found.status_code == 400 and "32 fields" in found.text
    assert client.get(f"/api/search?{'&'.join(['q=mraba'] * 32)}").status_code == 200


def test_the_pages_own_files_are_sent_once(client: TestClient) -> None:
    for name, media in (("page.js", "text/javascript"), ("page.css", "text/css"), ("icon.svg", "image/svg+xml")):
        first = client.get(f"/static/{name}")
        assert first.content == (STATIC / name).read_bytes() and first.headers["content-type"].startswith(media)
        again = client.get(f"/static/{name}", headers={"if-none-match": first.headers["etag"]})
        assert again.status_code == 304 and again.content == b""
        assert client.head(f"/static/{name}").status_code == 200
    assert client.get("/static/none.css").status_code == 404


@pytest.mark.parametrize(
    "path", ["/small/index/" + "9" * 5000, "/large/index/x", "/picture/index/-1", "/small/index/1e3"]
)
def test_a_row_that_is_no_number_is_not_found(client: TestClient, path: str) -> None:
    found = client.get(path)
    assert found.status_code == 404 and "content-security-policy" in found.headers


@pytest.mark.parametrize("origin", ["http://[", "http://[::1", "//", "null", "\u00ff", "http://" + "a" * 5000])
def test_an_origin_that_is_no_address_is_refused(client: TestClient, origin: str) -> None:
    found = client.post("/api/search", data={"q": "mraba"}, headers={"origin": origin.encode("latin-1")})
    assert found.status_code == 403 and "content-security-policy" in found.headers


def test_an_index_that_is_written_again_is_noticed(home: Home, tmp_path: Path) -> None:
    pictures = tmp_path / "squares"
    shutil.copytree(home.pictures, pictures)
    update_index(pictures, home.catalog.collections["index"].index.model, tmp_path / "index")
    catalog = Catalog.open([tmp_path / "index"])
    with TestClient(build_application(catalog, Hosts("127.0.0.1")), HOME) as client:
        assert client.get("/health").json()["pictures"] == 24
        Image.new("RGB", (64, 64), "orange").save(pictures / "new.png")
        update_index(pictures, home.catalog.collections["index"].index.model, tmp_path / "index")
        assert client.get("/api/indexes").json()["indexes"][0]["pictures"] == 25
        assert client.get("/health").json()["pictures"] == 25
        Image.new("RGB", (64, 64), "navy").save(pictures / "new.png")
        update_index(pictures, home.catalog.collections["index"].index.model, tmp_path / "index")
        assert client.get("/api/search", params={"q": "mraba"}).status_code == 200
        assert client.get("/health").json()["pictures"] == 25
        (tmp_path / "index" / "index.json").write_text("{}", "utf-8")  # damaged: what was read is served on
        assert client.get("/api/search", params={"q": "mraba"}).status_code == 200
        assert client.get("/health").json()["pictures"] == 25


def test_one_text_that_breaks_the_encoder_leaves_the_others_their_answers(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch fails as a whole; alone, only the text at fault does, and the line works on."""
    encode = encoding.encode_items

    def breaks(encoder: Any, items: list[str], meter: Any) -> Any:
        if any("vunja" in str(item) for item in items):
            raise TypeError("no text")
        return encode(encoder, items, meter)

    monkeypatch.setattr(encoding, "encode_items", breaks)
    catalog = home.catalog
    asked = [parse_request(catalog, {"q": text, "lang": "sw"}) for text in ("vunja moja", "duara kubwa", "duara ndogo")]
    broken, *whole = waiting.answer_together(asked)
    assert isinstance(broken, TypeError)
    assert [one.question.text for one in whole if isinstance(one, SearchAnswer)] == ["duara kubwa", "duara ndogo"]
    with TestClient(build_application(catalog, Hosts("127.0.0.1")), HOME, raise_server_exceptions=False) as client:
        statuses = [client.get("/api/search", params={"q": q, "lang": "sw"}).status_code for q in ("vunja", "duara")]
    assert statuses == [500, 200]


def test_the_first_query_does_not_wait_for_the_text_encoder(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    catalog = Catalog.open(home.indexes[:1])
    (model,) = (collection.model for collection in catalog.collections.values())
    assert prepare(model.folder)
    may_build, build = threading.Event(), Branch.running
    monkeypatch.setattr(Branch, "running", lambda branch: build(branch) if may_build.wait(30) else None)
    text = model.aligner.text
    monkeypatch.setattr(collections, "LATER", 0.0)
    catalog.warm_up()
    early = model.embed_text("bluu", "sw")
    assert not model._encoders.has_encoder(text) and early.shape == (1, model.aligner.dim)
    may_build.set()
    model.build_text_encoder()  # after the thread: one builds, the other waits
    assert model._encoders.has_encoder(text)
    monkeypatch.setattr(ServedModel, "embed_early", lambda model, text: pytest.fail("the encoder is there"))
    late = model.embed_text("bluu ", "sw")
    assert (early * late).sum() > 0.999  # bf16 beside float32, where the processor has it


def test_a_model_that_needs_its_encoder_is_warm_before_the_first_query(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = Catalog.open(home.indexes[:1])
    (model,) = (collection.model for collection in catalog.collections.values())
    monkeypatch.setattr(ServedModel, "embed_early", lambda model, text: None)
    prepared: list[Path] = []
    monkeypatch.setattr(collections, "prepare", prepared.append)
    catalog.warm_up()
    assert model._encoders.has_encoder(model.aligner.text)
    assert prepared == [model.folder]  # the next start need not build it


def test_folders_are_counted_with_what_is_below() -> None:
    paths = ["a.jpg", "x/a.jpg", "x/b.jpg", "x/y/a.jpg", "z/y/c.jpg"]
    assert count_by_folder(paths) == {"x": 3, "x/y": 1, "z": 1, "z/y": 1}
    assert list(count_by_folder(paths)) == ["x", "x/y", "z", "z/y"]
    assert count_by_folder([]) == count_by_folder(["a.jpg"]) == {}
