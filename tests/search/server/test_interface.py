"""The server for programs: JSON questions, its description, other sites, counts, and a log without queries."""

import io
import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("starlette")
pytest.importorskip("uvicorn")

from PIL import Image
from pydantic import BaseModel
from starlette.applications import Starlette
from starlette.testclient import TestClient

from polyclip.errors import RunError
from polyclip.search.server import answers, body, collections, thumbnails
from polyclip.search.server.body import LARGEST
from polyclip.search.server.errors import RequestError
from polyclip.search.server.logs import log_to_stderr
from polyclip.search.server.metrics import SECONDS, Metrics
from polyclip.search.server.observer import ADDRESSES, FOLDERS
from polyclip.search.server.policy import Hosts, Token, check_origin
from polyclip.search.server.routes import build_application
from tests.search.server.small import LetterModel, make_catalog

HOME = "http://127.0.0.1:8000"
TOKEN = "correct-horse-battery"
SITE = "https://photos.example.org"


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> collections.Catalog:
    return make_catalog(tmp_path_factory.mktemp("small"))


@pytest.fixture
def client(catalog: collections.Catalog) -> Iterator[TestClient]:
    with TestClient(build_application(catalog, Hosts("127.0.0.1")), HOME) as client:
        yield client


def png() -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (16, 16), "blue").save(buffer, "PNG")
    return buffer.getvalue()


def test_the_page_has_examples_of_its_index_most_in_its_own_language(
    client: TestClient, catalog: collections.Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifest = catalog.collections["small"].index.manifest
    assert 'class="tries"' not in client.get("/?ui=sw").text
    monkeypatch.setattr(
        manifest, "examples", {"en": ["<b>red</b>", "green"], "sw": ["ndege", "paka", "mti", "maji", "jua"]}
    )
    shown = {
        code: re.findall(r'class="chip".*?lang="(..)".*?q=([^"&]+)', client.get(f"/?ui={code}").text)
        for code in ("sw", "ar")
    }
    assert [text for _, text in shown["sw"][:4]] == ["ndege", "paka", "mti", "maji"] and len(shown["sw"]) == 6
    assert [code for code, _ in shown["ar"]] == ["en", "sw", "en", "sw", "sw", "sw"]
    assert "<b>red" not in client.get("/").text


def test_json_asks_as_a_form_does(client: TestClient) -> None:
    for fields in ({"q": "ggg", "lang": "sw", "top": 2}, {"like": 4}, {"q": "b", "folder": "red", "least": 0.001}):
        sent = client.post("/api/search", json=fields)
        typed = client.post("/api/search", data={name: str(value) for name, value in fields.items()})
        assert sent.status_code == typed.status_code == 200, sent.text
        assert sent.json()["results"] == typed.json()["results"]
        assert sent.json()["query"] == typed.json()["query"]
    best = client.post("/api/search", json={"q": "ggg", "lang": "sw", "top": 2}).json()["results"][0]["hits"]
    assert [hit["path"] for hit in best] == ["green/0.png", "green/1.png"]


@pytest.mark.parametrize(
    ("sent", "status", "words"),
    [
        (b"", 400, "not JSON"),
        (b"{", 400, "not JSON"),
        (b"\xff\xfe", 400, "not JSON"),
        (b"[]", 400, "not a JSON object"),
        (b'"q"', 400, "not a JSON object"),
        (b"[" * 30_000, 400, "not JSON"),
        (b'{"query": "x"}', 400, "unknown key 'query'; known are q, like"),
        (b'{"q": 5}', 400, "'q' in the JSON is not as expected: a text"),
        (b'{"q": "x", "top": "3"}', 400, "'top' in the JSON"),
        (b'{"q": "x", "top": 481}', 400, "at most 480"),
        (b'{"q": "x", "top": 1' + b"0" * 5000 + b"}", 400, "number out of range"),
        (b'{"q": "x", "least": NaN}', 400, "JSON"),
        (b'{"q": "\\ud800"}', 400, "JSON"),
        (b'{"like": 9}', 422, "from 0 to 8"),
        (b'{"q": "x", "model": "nope"}', 404, "there are small"),
        (b"{}", 422, "Nothing to search for"),
        (b'{"q": "' + b"x" * LARGEST + b'"}', 413, "65,536 bytes"),
    ],
)
def test_bad_json_is_answered_with_a_sentence(client: TestClient, sent: bytes, status: int, words: str) -> None:
    found = client.post("/api/search", content=sent, headers={"content-type": "application/json; charset=utf-8"})
    assert found.status_code == status and words in found.json()["error"], found.text
    assert "\n" not in found.json()["error"] and len(found.json()["error"]) < 300


def resolve(document: dict[str, Any], part: dict[str, Any]) -> dict[str, Any]:
    """What a reference of a document refers to."""
    while "$ref" in part:
        found: Any = document
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def check_answer(document: dict[str, Any], operation: dict[str, Any], answer: Any) -> None:
    """Check an answer against what its operation says of that status."""
    said = resolve(document, operation["responses"][str(answer.status_code)])
    if "content" not in said:
        assert answer.content == b""
        return
    media = answer.headers["content-type"].partition(";")[0]
    schema = said["content"][media]["schema"]
    if "$ref" in schema:
        model = getattr(answers, schema["$ref"].rpartition("/")[2])
        assert issubclass(model, BaseModel)
        model.model_validate_json(answer.content)
    else:
        assert schema.get("type", "file") in ("string", "object", "file")


def test_every_documented_address_answers_as_it_is_documented(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    assert document["openapi"] == "3.1.0" and document["info"]["version"]
    asked = {
        ("/api/search", "get"): [
            {"q": "rrr"},
            {"like": "3"},
            {"q": "rrr", "lang": "ar"},
            {},
            {"q": "x", "model": "no"},
        ],
        ("/small/{index}/{row}", "get"): [{}],
        ("/large/{index}/{row}", "get"): [{}],
    }
    seen = set()
    for path, operations in document["paths"].items():
        where = path.format(index="small", row=3)
        for fields in asked.get((path, "get"), [{}]):
            answer = client.get(where, params=fields)
            check_answer(document, operations["get"], answer)
            seen.add((path, answer.status_code))
    assert {path for path, status in seen if status == 200} == set(document["paths"])
    assert ("/api/search", 422) in seen and ("/api/search", 404) in seen
    etag = client.get("/small/small/3").headers["etag"]
    check_answer(
        document,
        document["paths"]["/small/{index}/{row}"]["get"],
        client.get("/small/small/3", headers={"if-none-match": etag}),
    )
    check_answer(document, document["paths"]["/large/{index}/{row}"]["get"], client.get("/large/small/9"))


def test_every_documented_body_is_read(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    operation = document["paths"]["/api/search"]["post"]
    sent: dict[str, dict[str, Any]] = {
        "application/json": {"json": {"q": "rrr"}},
        "application/x-www-form-urlencoded": {"data": {"q": "rrr"}},
        "multipart/form-data": {"files": {"picture": ("a.png", png())}},
    }
    assert set(operation["requestBody"]["content"]) == set(sent)
    for each in sent.values():
        answer = client.post("/api/search", **each)
        assert answer.status_code == 200
        check_answer(document, operation, answer)
    for bad in ({"content": b"{", "headers": {"content-type": "application/json"}}, {"content": b"q=x"}):
        answer = client.post("/api/search", **bad)
        assert answer.status_code in (400, 415)
        check_answer(document, operation, answer)


def test_what_is_served_and_what_is_documented_are_the_same(client: TestClient) -> None:
    document = client.get("/openapi.json").json()
    app: Any = client.app
    while not isinstance(app, Starlette):
        app = getattr(app, "app", None) or app.__closure__[0].cell_contents
    pages = {"/", "/picture/{name:str}/{row:str}", "/static/{path:path}"}
    served = {
        re.sub(r":str", "", route.path).replace("{name}", "{index}") for route in app.routes if route.path not in pages
    }
    assert served == set(document["paths"])
    for path in (*document["paths"], "/", "/picture/small/1", "/static/page.css"):
        assert path in ADDRESSES or path.startswith(FOLDERS), path
    parameters = {each["name"] for each in document["paths"]["/api/search"]["get"]["parameters"]}
    assert parameters == set(body.Question.model_fields)


def test_another_site_may_ask_only_if_it_was_named(catalog: collections.Catalog) -> None:
    closed = TestClient(build_application(catalog, Hosts("127.0.0.1")), HOME)
    app = build_application(catalog, Hosts("127.0.0.1"), Token(TOKEN), [SITE])
    opened = TestClient(app, HOME, headers={"authorization": f"Bearer {TOKEN}"})
    cross = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"}
    for client, origin, status in ((closed, SITE, 403), (opened, "https://evil.example", 403), (opened, SITE, 200)):
        for answer in (
            client.get("/api/search", params={"q": "rrr"}, headers=cross | {"origin": origin}),
            client.post("/api/search", json={"q": "rrr"}, headers=cross | {"origin": origin}),
        ):
            assert answer.status_code == status
            allowed = answer.headers.get("access-control-allow-origin")
            assert allowed == (SITE if status == 200 else None)
            assert "access-control-allow-credentials" not in answer.headers
    asks = {"origin": SITE, "access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    assert TestClient(app, HOME).options("/api/search", headers=asks).status_code == 200  # browsers ask without a token
    told = opened.options("/api/search", headers=asks | {"origin": "https://evil.example"})
    assert told.status_code == 400 and "access-control-allow-origin" not in told.headers
    without = TestClient(app, HOME).get("/api/search", params={"q": "r"}, headers=cross | {"origin": SITE})
    assert without.status_code == 401 and without.headers["access-control-allow-origin"] == SITE


def test_an_origin_is_what_browsers_send() -> None:
    for right in (SITE, "http://localhost:3000", "http://127.0.0.1:5173", "http://[::1]:3000"):
        assert check_origin(right) == right
    for wrong in (
        "*",
        "https://*.example.org",
        f"{SITE}/",
        f"{SITE}/page",
        "photos.example.org",
        "https://Photos.example.org",
        "https://photos.example.org:443",
        "ftp://photos.example.org",
        "https://me@photos.example.org",
        "https://photos.example.org:99999",
        "http://[",
        "null",
        "",
        "https://f\u00f6\u00f6.example",
        "https://a b.example",
    ):
        with pytest.raises(RunError, match="is not an origin"):
            check_origin(wrong)


def test_counts_are_in_prometheus_format_and_hold_no_query(client: TestClient) -> None:
    for path in ("/api/search?q=secretword", "/api/search?q=secretword&top=0", "/nope/secretword", "/small/small/2"):
        client.get(path)
    client.request("BREW", "/")
    found = client.get("/metrics")
    assert found.headers["content-type"].startswith("text/plain") and "secretword" not in found.text
    values = {}
    for line in found.text.splitlines():
        if not line.startswith("#"):
            assert re.fullmatch(r'[a-z_]+(\{[a-z]+="[^"]*"(,[a-z]+="[^"]*")*\})? [0-9.]+', line), line
            name, value = line.rsplit(" ", 1)
            values[name] = float(value)
    total = "polyclip_requests_total"
    assert values[f'{total}{{method="GET",route="/api/search",status="200"}}'] == 1
    assert values[f'{total}{{method="GET",route="/api/search",status="422"}}'] == 1
    assert values[f'{total}{{method="GET",route="other",status="404"}}'] == 1
    assert values[f'{total}{{method="GET",route="/small/",status="200"}}'] == 1
    assert values[f'{total}{{method="other",route="/",status="405"}}'] == 1
    assert values["polyclip_request_seconds_count"] == 5 == values['polyclip_request_seconds_bucket{le="+Inf"}']
    assert 0 < values["polyclip_request_seconds_sum"] < 60 and values["polyclip_queue_length"] == 0


def test_seconds_are_counted_in_the_bucket_that_holds_them() -> None:
    metrics = Metrics(lambda: 7)
    for seconds in (0.005, 0.006, 3.0, 99.0):
        metrics.observe_answer("GET", "/", 200, seconds)
    lines = metrics.format_text().splitlines()
    counts = [int(line.rsplit(" ", 1)[1]) for line in lines if "_bucket" in line]
    assert counts == [1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 4] and len(counts) == len(SECONDS) + 1
    assert "polyclip_request_seconds_sum 102.011000" in lines and "polyclip_queue_length 7" in lines


def test_counts_need_the_token_and_errors_for_programs_are_json(catalog: collections.Catalog) -> None:
    client = TestClient(build_application(catalog, Hosts("127.0.0.1"), Token(TOKEN)), HOME)
    for path in ("/metrics", "/openapi.json", "/api/indexes", "/small/small/0"):
        found = client.get(path)
        assert found.status_code == 401 and "token" in found.json()["error"], path
        assert client.get(path, headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert client.get("/health").status_code == 200


def test_the_log_has_a_line_for_each_request_without_its_query(
    client: TestClient, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    with caplog.at_level(logging.INFO, "polyclip"):
        client.get("/api/search", params={"q": "secretword"})
        client.post("/api/search", json={"q": "secretword"})
        client.post("/api/search", json={"secretword": "secretword"})
        client.get("/?q=secretword&lang=secretword")
        client.get(f"/{'a' * 5000}")
    lines = [record.getMessage() for record in caplog.records if record.name.endswith(".access")]
    assert len(lines) == 5 and "secretword" not in caplog.text
    assert re.fullmatch(r"\S+ GET /api/search 200 [0-9.]+ ms", lines[0]) and " POST /api/search 400 " in lines[2]
    assert max(map(len, lines)) < 300
    record: Any = next(record for record in caplog.records if record.name.endswith(".access"))
    assert (record.method, record.path, record.status) == ("GET", "/api/search", 200) and record.milliseconds >= 0
    monkeypatch.setattr(LetterModel, "embed_text", lambda *_: 1 / 0)
    caplog.clear()
    assert client.get("/api/search", params={"q": "word"}).status_code == 500
    assert any(record.exc_info and record.levelname == "ERROR" for record in caplog.records)


def test_the_log_goes_to_standard_error_and_leaves_logging_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    own, uvicorn = logging.getLogger("polyclip"), logging.getLogger("uvicorn")
    before = [(each.level, each.propagate, list(each.handlers)) for each in (own, uvicorn)]
    for level, expected in (("warning", ["warned"]), ("info", ["told", "warned"]), ("error", [])):
        with log_to_stderr(level):
            logging.getLogger("polyclip.search.server").info("told")
            logging.getLogger("polyclip.search.server").warning("warned")
            logging.getLogger("uvicorn.error").warning("Invalid HTTP request received.")
        printed = capsys.readouterr()
        assert [line.rsplit(": ", 1)[1] for line in printed.err.splitlines()] == expected and printed.out == ""
    with pytest.raises(ZeroDivisionError), log_to_stderr("debug"):
        assert json.dumps(1 // 0)
    assert before == [(each.level, each.propagate, list(each.handlers)) for each in (own, uvicorn)]


def test_an_image_that_goes_away_while_it_is_asked_for_is_not_found(tmp_path: Path) -> None:
    with pytest.raises(RequestError) as caught:
        thumbnails.encode_small(tmp_path / "gone.png")
    assert caught.value.status == 404 and "gone.png" in str(caught.value)
