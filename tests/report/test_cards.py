"""Model card, bill of materials, the page of a run, trackers, and what goes to the hub and comes from it.

Runs are of tiny towers with random weights, since the real hub is out of reach here; the page's words are real emoji
names.
"""

import base64
import dataclasses
import hashlib
import json
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, ClassVar

import pytest
import torch
from accelerate import tracking as accelerate_trackers
from huggingface_hub import ModelCard, constants

import polyclip as package
from polyclip.data.captions import normalize_captions
from polyclip.data.corpus import load_corpus
from polyclip.errors import DataError, PolyclipError, RunError, UnknownName, WeightsError
from polyclip.exporters.push import push
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import load_language
from polyclip.models.config import ModelConfig
from polyclip.pipeline import align
from polyclip.report import examples, fonts
from polyclip.report.html import render_page
from polyclip.report.licences import (
    CONDITIONS,
    NO,
    ORDER,
    UNCLEAR,
    YES,
    Material,
    build_bill,
    judge_item,
    load_licence_table,
    summarize_licences,
)
from polyclip.report.model_card import render_card, write_card
from polyclip.report.reproduce import build_command
from polyclip.report.run_facts import RunFacts, read_facts
from polyclip.training import trackers
from polyclip.training.checkpoint import get_path
from polyclip.training.config import AlignConfig, OptimizerConfig, collect_settings
from tests.command import polyclip
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

QUICK = OptimizerConfig(epochs=2, batch_size=8, learning_rate=1e-2, tower_learning_rate=1e-3, weight_decay=0.1)
SCRIPTS = ("ar", "hi", "te", "km", "my", "th", "am", "zh", "ja", "ko", "he", "el")
EMOJI = {
    "languages": ["sw"],
    "corpus": "emoji",
    "recipe": {"text_encoder": "e5-small", "vision_tower": "efficientnet-lite2:depths"},
}


class Recorder(accelerate_trackers.GeneralTracker):
    """A tracker that remembers what it is told."""

    name = "trackio"
    requires_logging_directory = False
    made: ClassVar[list["Recorder"]] = []

    def __init__(self, run_name: str, **options: Any) -> None:
        super().__init__()
        self.run_name, self.options, self.lines, self.finished = run_name, options, [], False
        Recorder.made.append(self)

    @property
    def tracker(self) -> "Recorder":
        return self

    def store_init_configuration(self, values: dict[str, Any]) -> None:
        self.settings = values

    def log(self, values: dict[str, Any], step: int | None = None, **_: Any) -> None:
        self.lines.append((step, values))

    def finish(self) -> None:
        self.finished = True


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """A real run of two phases on toy towers, tracked by TensorBoard and by the recorder."""
    folder = tmp_path_factory.mktemp("cards")
    pack = write_corpus(folder / "corpus")
    licence = (
        '\n[[licences]]\npart = "captions"\nspdx = "CC-BY-NC-4.0"\nholder = "A | <b>person</b>"\nurl = '
        '"https://example.org/"\n'
    )
    pack.write_text(pack.read_text("utf-8") + licence, "utf-8")
    text, vision = write_text_encoder(folder / "text"), write_vision_tower(folder / "vision")
    (folder / "text" / "README.md").write_text("---\nlicense: mit\n---\n# tiny\n", "utf-8")
    recipe = ModelConfig(text_encoder=text, vision_tower=vision, method="lilt-ln", tune="text", dim=16)
    run = AlignConfig(
        languages=[resolve_language("sw"), resolve_language("en")],
        recipe=recipe,
        out=folder / "toy-run",
        corpus=str(pack),
        heads=QUICK,
        towers=QUICK,
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(accelerate_trackers.LOGGER_TYPE_TO_CLASS, "trackio", Recorder)
        align(dataclasses.replace(run, track=("tensorboard", "trackio")))
    return {"folder": run.out, "pack": pack, "text": text, "vision": vision}


@pytest.fixture
def copy(made: dict[str, Any], tmp_path: Path) -> Path:
    """The run, to be spoilt; without TensorBoard's folder."""
    return Path(shutil.copytree(made["folder"], tmp_path / "toy-run", ignore=shutil.ignore_patterns("tensorboard")))


def test_every_run_has_a_card_that_the_hub_can_read(made: dict[str, Any]) -> None:
    facts = read_facts(made["folder"])
    read = ModelCard.load(made["folder"] / "README.md")
    assert (read.data.language, read.data.pipeline_tag, read.data.library_name) == (
        ["sw", "en"],
        "zero-shot-image-classification",
        "polyclip",
    )
    scores = facts.get_figures("text_to_image")
    found = {(r.dataset_config, r.metric_type): r for r in read.data.eval_results or []}
    assert len(found) == 2 * 2  # directions, trained languages; recall@1 alone says something among six images
    for code in ("sw", "en"):
        one, score = found[code, "text_to_image_recall_at_1"], scores[code]["recall@1"]
        assert one.metric_value == pytest.approx(score.value, abs=1e-4) and one.metric_args["low"] == pytest.approx(
            score.low, abs=1e-4
        )
        assert f"{100 * score.value:.1f} [{100 * score.low:.1f}, {100 * score.high:.1f}]" in read.text
    for said in (
        build_command(facts.run, made["folder"]),
        f"torch {facts.origin['versions']['torch']}",
        facts.origin["hashes"]["text_encoder"],
        "seed 0",
        "## Limits",
    ):
        assert said in read.text
    assert r"A \| <b>person</b>" in read.text  # a bar in a cell is no new cell


def test_norwegian_is_no_truth_value(made: dict[str, Any]) -> None:
    facts = read_facts(made["folder"])
    norwegian = dataclasses.replace(facts, run=facts.run | {"languages": ["no", "zh-Hant", "zh"]})
    assert ModelCard(render_card(norwegian)).data.language == ["no", "zh"]


def test_an_edited_card_is_left_alone(copy: Path) -> None:
    before = (copy / "README.md").read_bytes()
    (copy / "README.md").unlink()
    assert write_card(copy) is not None and (copy / "README.md").read_bytes() == before
    (copy / "README.md").write_bytes(before.replace(b"## Limits", b"## Our limits"))
    assert write_card(copy) is None and b"## Our limits" in (copy / "README.md").read_bytes()


def test_the_command_asks_for_the_same_run(made: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Typed again, it ends in the same settings: nothing is trained here."""
    import shlex

    from polyclip import pipeline

    asked: list[AlignConfig] = []

    def stop(run: AlignConfig) -> None:
        asked.append(run)
        raise DataError("enough")

    monkeypatch.setattr(pipeline, "align", stop)
    facts = read_facts(made["folder"])
    assert polyclip(*shlex.split(build_command(facts.run, made["folder"]))[1:]).code == 2
    settings = collect_settings(asked[0])
    wanted = {key: facts.run[key] for key in ("languages", "corpus", "sample", "recipe")}
    assert {key: settings[key] for key in wanted} == wanted
    assert (settings["towers"]["epochs"], settings["towers"]["batch_size"], settings["heads"]["seed"]) == (2, 8, 0)


@pytest.mark.parametrize(
    ("spdx", "expected"),
    [
        ("MIT", YES),
        ("CC-BY-SA-4.0", CONDITIONS),
        ("CC-BY-NC-4.0", NO),
        ("MIT AND CC-BY-NC-4.0", NO),
        ("MIT OR CC-BY-NC-4.0", YES),
        ("LicenseRef-own", UNCLEAR),
    ],
)
def test_what_a_licence_says(spdx: str, expected: str) -> None:
    assert judge_item(Material(part="x", name="y", spdx=spdx)).commercial == expected


def test_licences_are_justified_once() -> None:
    entries = load_licence_table()["licences"]
    names = [name.lower() for entry in entries for name in entry["spdx"]]
    assert len(names) == len(set(names)) > 30
    assert all(
        entry["commercial"] in ORDER and entry["why"] and entry["url"].startswith("https://") for entry in entries
    )
    assert all(entry["commercial"] == NO for entry in entries for name in entry["spdx"] if "-NC" in name)


def test_the_strictest_material_decides(made: dict[str, Any], tmp_path: Path) -> None:
    starter = build_bill(EMOJI)
    assert [item.spdx for item in starter] == [
        "MIT",
        "Apache-2.0",
        "Unicode-3.0",
        "CC-BY-SA-4.0",
        "Apache-2.0",
        "MIT",
        "Apache-2.0",
    ]
    assert summarize_licences(starter).startswith(
        "Commercial use: yes, with conditions. They are set by pictures: openmoji"
    )
    own = build_bill(read_facts(made["folder"]).run)
    assert {item.part: item.commercial for item in own} == {
        "text encoder": YES,
        "vision tower": UNCLEAR,
        "captions": NO,
        "program": YES,
    }
    assert summarize_licences(own).startswith("Commercial use: no. It is forbidden by captions (CC-BY-NC-4.0")
    going_on = EMOJI | {"continued": {"from": str(made["folder"])}}
    # what the first run was made of counts too
    assert summarize_licences(build_bill(going_on)).startswith("Commercial use: no.")
    gone = build_bill(EMOJI | {"continued": {"from": str(tmp_path / "gone")}, "corpus": str(tmp_path / "gone.toml")})
    assert summarize_licences(gone).startswith("Commercial use: not settled. To be asked about: captions and images")


class Reader(HTMLParser):
    """Text with the language and direction it stands in, and every address."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.stack: list[tuple[str, str]] = []
        self.words: set[tuple[str, str]] = set()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.tags.append(tag)
        self.addresses += [str(given[key]) for key in ("src", "href", "poster", "data", "xlink:href") if key in given]
        if "dir" in given:
            self.stack.append((str(given["lang"]), str(given["dir"])))

    def handle_data(self, data: str) -> None:
        if self.stack:
            lang, direction = self.stack.pop()
            self.words.add((data, f"{lang} {direction}"))


def shown(facts: RunFacts) -> examples.RunExamples:
    """Real emoji names of twelve scripts as if a model had answered them."""
    corpus = load_corpus("emoji")
    found = examples.RunExamples(gallery=355)
    for code in SCRIPTS:
        rows = normalize_captions(
            corpus.reader.read(corpus.folder, corpus.get_locale(load_language(code)), "test")[:8], load_language(code)
        )
        replies = [
            examples.QueryExample(row.captions[0], row.concept, n, 0.5, [(row.concept, 0.5)])
            for n, row in enumerate(rows)
        ]
        found.best[code], found.worst[code] = replies[:4], replies[4:]
        found.grids[code] = examples.Grid(
            [row.captions[0] for row in rows[:2]], [row.concept for row in rows[:2]], [[0.9, 0.1], [0.2, 0.8]]
        )
        found.thumbnails.update({row.concept: "data:image/webp;base64,AAAA" for row in rows})
    return found


def test_the_page_needs_nothing_else_and_keeps_words_as_words(made: dict[str, Any]) -> None:
    facts = read_facts(made["folder"])
    found = shown(facts)
    document = render_page(facts, found)
    read = Reader(document)
    for (
        code,
        words,
    ) in found.texts().items():  # text that the browser shapes, in its language and direction: no drawing of letters
        direction = "rtl" if code in ("ar", "he") else "ltr"
        assert {(word, f"{code} {direction}") for word in words} <= read.words
    outside = [address for address in read.addresses if not address.startswith(("data:", "#"))]
    assert outside and all(
        address.startswith("https://") for address in outside
    )  # links to licences alone: none is loaded
    assert (
        not {"script", "link", "iframe", "object"} & set(read.tags)
        and "@import" not in document
        and "url(" not in document
    )
    assert "default-src 'none'" in document and read.tags.count("caption") == read.tags.count("table") > 10
    assert document.count("<img") == len(re.findall(r'<img[^>]* alt="[^"]+"', document)) > 100
    assert "<b>person</b>" not in document and "&lt;b&gt;person&lt;/b&gt;" in document
    assert "prefers-color-scheme:dark" in document and 'name="viewport"' in document


def test_report_asks_the_run_itself(copy: Path, tmp_path: Path) -> None:
    said = polyclip("report", copy, "--out", tmp_path / "r.html", "--lang", "sw")
    document = (tmp_path / "r.html").read_text("utf-8")
    assert said.code == 0, said.err
    listed = [Reader(document).words]
    corpus = load_corpus(str(read_facts(copy).run["corpus"]))
    names = {row.captions[0] for row in corpus.reader.read(corpus.folder, "sw", "test")}
    assert {word for word, spoken in listed[0] if spoken == "sw ltr"} == names
    places = [int(number) for number in re.findall(r"place (\d+) of 6", document)]
    best = read_facts(copy).get_figures("text_to_image")["sw"]["recall@1"]
    assert len(places) == len(names) == 6 and places.count(1) / 6 == pytest.approx(
        best.value
    )  # the ranks are those that were scored
    assert polyclip("report", copy, "--out", tmp_path / "plain.html", "--no-pictures").code == 0
    assert "<img" not in (tmp_path / "plain.html").read_text("utf-8")


def test_a_report_of_no_run_is_one_sentence(copy: Path, tmp_path: Path) -> None:
    assert "is not a finished run folder" in polyclip("report", tmp_path).err
    (copy / "result.json").write_text('{"schema": 1', "utf-8")
    said = polyclip("report", copy, "--no-pictures")
    assert said.code == 2 and "damaged" in said.err and "Traceback" not in said.err


def test_a_missing_font_names_its_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """fontconfig as a machine without Ethiopic and Han letters would answer."""
    fake = tmp_path / "fc-list"
    fake.write_text('#!/bin/sh\ncase "$1" in *12??*|*732b*) ;; *) echo Some Font ;; esac\n', "utf-8")
    fake.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    found = fonts.find_missing_fonts({"am": ["ድመት"], "zh": ["猫"], "hi": ["बिल्ली"], "en": ["cat"]})
    assert [(line[:2], line.split("install ")[1]) for line in found] == [
        ("am", "fonts-noto-core"),
        ("zh", "fonts-noto-cjk"),
    ]
    assert "ETHIOPIC" in found[0]
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    assert fonts.find_missing_fonts({"en": ["cat"]})[0].startswith("fonts were not checked")


def test_trackers_are_given_the_log(made: dict[str, Any]) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    log = read_facts(made["folder"]).log
    recorder = Recorder.made[-1]
    assert recorder.run_name == "polyclip" and recorder.options == {"name": "toy-run"} and recorder.finished
    assert recorder.settings["recipe.method"] == "lilt-ln" and recorder.settings["languages"] == "sw, en"
    assert [step for step, _ in recorder.lines] == list(range(len(log))) == list(range(6))
    assert [values[f"{line['phase']}/validation"] for (_, values), line in zip(recorder.lines, log, strict=True)] == [
        line["validation"] for line in log
    ]
    events = EventAccumulator(str(made["folder"] / "tensorboard"))
    events.Reload()
    written = {event.step: event.value for event in events.Scalars("lilt-ln/loss")}
    assert written == {
        n: pytest.approx(line["loss"], rel=1e-5)
        for n, line in enumerate(log)
        if line["phase"] == "lilt-ln" and "loss" in line
    }


def test_a_missing_tracker_is_one_sentence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    said = polyclip("align", "--lang", "sw", "--track", "wandb", "--out", tmp_path / "run")
    assert (
        said.code == 2
        and "--track wandb requires the package wandb, which is not installed: pip install wandb" in said.err
    )
    with pytest.raises(UnknownName, match="Did you mean 'tensorboard'"):
        trackers.check_trackers(["tensorbord"])


class Hub(BaseHTTPRequestHandler):
    """As much of the hub as huggingface_hub talks to: repositories in memory, every commit kept.

    Files come and go without git's large file storage.
    """

    repositories: ClassVar[dict[str, dict[str, dict[str, bytes]]]] = {}  # name -> commit -> file -> bytes
    branches: ClassVar[dict[str, dict[str, str]]] = {}
    fetched: ClassVar[list[str]] = []

    def log_message(self, *_: object) -> None:
        """Silent."""

    def answer(self, code: int, body: Any = None, **headers: str) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(code)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if resolved := re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            name, commit, file = resolved.groups()
            data = self.repositories[name][commit].get(file)
            if data is None:
                return self.answer(404, {}, X_Error_Code="EntryNotFound")
            if self.command == "GET":
                self.fetched.append(f"{commit} {file}")
            return self.answer(200, data, ETag=f'"{hashlib.sha1(data).hexdigest()}"', X_Repo_Commit=commit)  # noqa: S324 (git's own)
        name, _, revision = path.removeprefix("/api/models/").partition("/revision/")
        commit = self.branches.get(name, {}).get(revision or "main", revision)
        if name not in self.repositories:
            return self.answer(404, {}, X_Error_Code="RepoNotFound")
        if commit not in self.repositories[name]:
            return self.answer(404, {}, X_Error_Code="RevisionNotFound")
        siblings = [{"rfilename": file} for file in self.repositories[name][commit]]
        return self.answer(
            200, {"id": name, "sha": commit, "siblings": siblings, "private": False, "tags": [], "downloads": 0}
        )

    def do_POST(self) -> None:
        body = self.body()
        path = self.path.partition("?")[0]
        if path == "/api/validate-yaml":
            return self.answer(200, {"errors": [], "warnings": []})
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked['organization']}/{asked['name']}"
            if name in self.repositories:
                return self.answer(409, {"error": "exists"})
            self.commit(name, "main", {})
            return self.answer(200, {"url": f"http://{self.headers['Host']}/{name}"})
        name, kind, branch = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(preupload|commit|branch)/(.+)", path).groups()  # type: ignore[union-attr]
        if kind == "branch":
            self.branches[name][branch] = self.branches[name]["main"]
            return self.answer(200, {})
        if kind == "preupload":
            files = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in json.loads(body)["files"]
            ]
            return self.answer(200, {"files": files})
        lines = [json.loads(line) for line in body.splitlines()]
        files = {
            line["value"]["path"]: base64.b64decode(line["value"]["content"]) for line in lines if line["key"] == "file"
        }
        commit = self.commit(name, branch, self.repositories[name][self.branches[name][branch]] | files)
        return self.answer(
            200,
            {
                "success": True,
                "commitOid": commit,
                "commitUrl": f"http://{self.headers['Host']}/{name}/commit/{commit}",
            },
        )

    @classmethod
    def commit(cls, name: str, branch: str, files: dict[str, bytes]) -> str:
        commits = cls.repositories.setdefault(name, {})
        number = hashlib.sha1(repr((name, branch, len(commits))).encode()).hexdigest()  # noqa: S324 (git's own)
        commits[number] = files
        cls.branches.setdefault(name, {})[branch] = number
        return number


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[type[Hub]]:
    """A hub of one's own on loopback, and an empty cache for what comes from it."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    for name, value in {
        "ENDPOINT": address,
        "HF_HUB_OFFLINE": False,
        "HF_HUB_CACHE": str(tmp_path / "hub"),
        "HF_HUB_DISABLE_XET": True,
    }.items():
        monkeypatch.setattr(constants, name, value)
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", address + "/{repo_id}/resolve/{revision}/{filename}")
    monkeypatch.setenv("HF_TOKEN", "hf_test")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    Hub.repositories, Hub.branches, Hub.fetched = {}, {}, []
    yield Hub
    server.shutdown()
    server.server_close()


def test_a_run_goes_to_the_hub_and_comes_back(
    copy: Path, hub: type[Hub], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for extra in ("secret.txt", "model.bin", "report.html"):
        (copy / extra).write_text("not sent", "utf-8")
    said = polyclip("push", copy, "people/toy", "--revision", "second")
    assert said.code == 0, said.err
    assert "mentions local paths" in said.err and "toy.toml" in said.err
    commit = hub.branches["people/toy"]["second"]
    sent = hub.repositories["people/toy"][commit]
    wanted = {
        "aligner.safetensors",
        "run.toml",
        "result.json",
        "result.ranks.safetensors",
        "knowledge.json",
        "log.jsonl",
        "README.md",
    }
    assert set(sent) == {file for file in wanted if (copy / file).is_file()} and len(sent) >= 6
    assert all(data == (copy / file).read_bytes() for file, data in sent.items())
    assert f"commit: {commit}" in said.out and hub.repositories["people/toy"][hub.branches["people/toy"]["main"]] == {}

    monkeypatch.chdir(tmp_path)
    hub.repositories["people/toy"][commit]["polyclip.py"] = b"raise SystemExit('remote code')"
    loaded = package.load("people/toy", revision="second")
    assert loaded.source == f"people/toy@{commit}"
    assert torch.equal(
        loaded.encode_text(["mraba nyekundu ndogo"]), package.load(copy).encode_text(["mraba nyekundu ndogo"])
    )
    assert {line.split()[0] for line in hub.fetched} == {commit}  # one commit, and nothing that is no run's
    assert {line.split()[1] for line in hub.fetched} == set(sent) - {"polyclip.py"}
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert package.load("people/toy", revision=commit).source == f"people/toy@{commit}"  # from the cache


def test_what_the_hub_has_must_be_safetensors(
    copy: Path, hub: type[Hub], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    hub.commit("people/pickle", "main", {"pytorch_model.bin": b"cos\nsystem\n", "run.toml": b""})
    hub.commit("people/other", "main", {"README.md": b"hello"})
    with pytest.raises(
        WeightsError, match=r"has no aligner.safetensors but pytorch_model.bin: such files can run code"
    ):
        package.load("people/pickle")
    with pytest.raises(WeightsError, match="is not a run of polyclip"):
        package.load("people/other")
    with pytest.raises(WeightsError, match="Cannot fetch run 'people/none'"):
        package.load("people/none")
    with pytest.raises(WeightsError, match="Cannot fetch run 'people/other'"):
        package.load("people/other", revision="nowhere")
    assert hub.fetched == []


def test_what_is_not_pushed(copy: Path, hub: type[Hub], tmp_path: Path) -> None:
    for name in ("toy", "../toy", "a/b/c", "people/.."):
        with pytest.raises(RunError, match="expected owner/name"):
            push(copy, name)
    (tmp_path / "secret").write_text("secret", "utf-8")
    (copy / "log.jsonl").unlink()
    (copy / "log.jsonl").symlink_to(tmp_path / "secret")
    with pytest.raises(PolyclipError):
        push(copy, "people/toy")
    (copy / "log.jsonl").unlink()
    get_path(copy, "heads").write_bytes(b"")
    with pytest.raises(RunError, match="is not a finished run"):
        push(copy, "people/toy")
    get_path(copy, "heads").unlink()
    (copy / "aligner.safetensors").write_bytes(b"\x80\x04pickle")
    with pytest.raises(WeightsError, match="is a pickle"):
        push(copy, "people/toy")
    assert hub.repositories == {}


def test_a_folder_has_no_revision(copy: Path) -> None:
    assert package.load(copy).source == str(copy)
    with pytest.raises(RunError, match="omit it"):
        package.load(copy, revision="main")


def test_a_folder_that_is_missing_is_not_only_asked_of_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        WeightsError,
        match="Cannot fetch run 'runs/ours': no folder here has that name, the hub's cache holds no copy, and the hub",
    ):
        package.load("runs/ours", cache_dir=tmp_path / "cache")
