"""The contributing pages: each example is installed as a third party's package would be, and its commands are run."""

import json
import re
import shlex
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import jaxtyping
import pytest

from polyclip import load
from polyclip.core.registry import find, list_names
from polyclip.errors import PackError
from polyclip.models.backbone import describe
from polyclip.search.server.translations import FOLDER, read_translation
from tests.command import CommandResult, polyclip
from tests.toy import COLOURS, write_corpus, write_text_encoder, write_vision_tower

PAGES = Path(__file__).parents[1] / "docs" / "guides" / "contributing"
FILE = re.compile(r'^```\w+ title="([^"]+)"\n(.*?)^```$', re.DOTALL | re.MULTILINE)
COMMANDS = re.compile(r"^```sh\n(.*?)^```$", re.DOTALL | re.MULTILINE)
TRAINED = ["--epochs", "3", "--batch-size", "8"]
Extra = dict[str, list[str]]


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Corpus and encoders, as options of `align`."""
    folder = tmp_path_factory.mktemp("toy")
    return {
        "--corpus": str(write_corpus(folder / "corpus")),
        "--text-encoder": write_text_encoder(folder / "text"),
        "--vision-tower": write_vision_tower(folder / "vision"),
    }


@pytest.fixture(autouse=True)
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """typer gives a group's callback another context than its signature says: the shape checks would stop there."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], list[list[str]]]:
    """Write the files of a page into an empty folder, make its entry points known, and give its commands."""

    def install(name: str) -> list[list[str]]:
        text = (PAGES / f"{name}.md").read_text("utf-8")
        for path, content in FILE.findall(text):
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(content, "utf-8")
        if (tmp_path / "pyproject.toml").is_file():
            install_entry_points(tmp_path)
        monkeypatch.chdir(tmp_path)
        monkeypatch.syspath_prepend(str(tmp_path))
        lines = [line for block in COMMANDS.findall(text) for line in block.splitlines()]
        return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("polyclip ")]

    return install


def install_entry_points(folder: Path) -> None:
    """What `pip install` would leave of a project's metadata."""
    text = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))
    project, modules = text["project"], text["tool"]["setuptools"]["py-modules"]
    assert [(folder / f"{module}.py").is_file() for module in modules] == [True]  # else a folder such as runs/ is taken
    facts = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    facts.mkdir()
    metadata = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (facts / "METADATA").write_text(metadata, "utf-8")
    groups = [
        "\n".join([f"[{group}]", *(f"{name} = {module}" for name, module in points.items())])
        for group, points in project["entry-points"].items()
    ]
    (facts / "entry_points.txt").write_text("\n".join(groups) + "\n", "utf-8")


def run(words: list[str], toy: dict[str, str]) -> CommandResult:
    """A command of a page; `align` on the toy corpus and encoders where the command does not name its own."""
    extra = (
        []
        if words[0] != "align"
        else [*TRAINED, *(word for pair in toy.items() if pair[0] not in words for word in pair)]
    )
    said = polyclip(*words, *extra)
    assert said.code == 0, (words, said)
    return said


def make_run(toy: dict[str, str], out: str, *options: str) -> None:
    """A run for the pages that begin with one."""
    run(["align", "--lang", "sw", "--out", out, *options], toy)


def test_every_page_is_tested() -> None:
    tested = {name.removeprefix("test_").replace("_", "-") for name in globals() if name.startswith("test_")}
    assert {path.stem for path in PAGES.glob("*.md")} == tested - {"every-page-is-tested"}


def test_method(page: Callable[[str], list[list[str]]], toy: dict[str, str]) -> None:
    listing, align = page("method")
    assert "attention" in run(listing, toy).out and "attention" in list_names("methods")
    run(align, toy)
    model = load("runs/attention")
    trained = [
        name for name, parameter in model.text.named_parameters() if parameter.requires_grad and "head" not in name
    ]
    assert trained and all("attention" in name for name in trained)
    assert model.encode_text(["mraba nyekundu"]).shape[0] == 1


def test_text_encoder(page: Callable[[str], list[list[str]]], toy: dict[str, str]) -> None:
    (align,) = page("text-encoder")
    spec = describe("encoders", "bytes:,dim=32")
    encoder = spec.build()
    assert sum(p.numel() for p in encoder.parameters()) == spec.parameters
    alone, beside = encoder(**encoder.prepare(["paka"])), encoder(**encoder.prepare(["paka", "a longer caption"]))
    assert alone.shape == (1, 32) and (alone[0] - beside[0]).abs().max() < 1e-6
    run(align, toy)
    assert load("runs/bytes").encode_text(["mraba nyekundu", "kijani"]).shape[0] == 2


def test_vision_encoder(page: Callable[[str], list[list[str]]], toy: dict[str, str]) -> None:
    (align,) = page("vision-encoder")
    run(align, toy)
    image = next(iter(find("readers", "jsonl").pictures(Path(toy["--corpus"]).parent, "pictures").values()))
    encoder = describe("towers", "colours").build()
    assert encoder(**encoder.prepare([image, image])).shape == (2, 48)
    assert load("runs/colours").encode_image([image.open()]).shape[0] == 1


def test_reader(page: Callable[[str], list[list[str]]], toy: dict[str, str]) -> None:
    (align,) = page("reader")
    folder, reader = Path(toy["--corpus"]).parent, find("readers", "jsonl")
    lines = ["image\tlanguage\tsplit\tcaption"]
    for split in ("train", "validation", "test"):
        for code in ("en", "sw"):
            rows = reader.read(folder, code, split)
            lines += [f"{row.concept}\t{code}\t{split}\t{text}" for row in rows for text in row.captions]
    for image in folder.glob("*.png"):
        shutil.copy(image, "village")
    Path("village/captions.tsv").write_text("\n".join(lines) + "\n", "utf-8")
    run(align, toy)
    own = find("readers", "tsv")
    assert own.read(Path("village"), "sw", "test") == reader.read(folder, "sw", "test")
    assert load("runs/village").encode_text(["mraba"]).shape[0] == 1


def test_benchmark(page: Callable[[str], list[list[str]]], toy: dict[str, str]) -> None:
    align, score = page("benchmark")
    run(align, toy)
    for code, names in (("sw", COLOURS.values()), ("en", COLOURS)):
        Path("named", code).mkdir(parents=True)
        for colour, name in zip(COLOURS, names, strict=True):
            shutil.copy(Path(toy["--corpus"]).parent / f"{colour}-large.png", f"named/{code}/{name}.png")
    run(score, toy)
    text = Path("scores.json").read_text("utf-8")
    assert '"benchmark": "filenames"' in text and '"gallery": 12' in text
    assert polyclip("eval", "filenames", "--model", "runs/sw", "--data", "runs").code == 2


def test_exporter(page: Callable[[str], list[list[str]]], toy: dict[str, str]) -> None:
    align, export = page("exporter")
    run(align, toy)
    run(export, toy)
    assert Path("sw-numpy/head.npz").is_file() and '"kind": "text"' in Path("sw-numpy/export.json").read_text("utf-8")
    make_run(toy, "runs/joint", "--method", "heads")
    refused = polyclip("export", "runs/joint", "--to", "numpy-text", "--out", "joint")
    assert refused.code == 2 and "--no-class-names" in refused.err and not Path("joint").exists()


def test_translation_engine(page: Callable[[str], list[list[str]]], toy: dict[str, str]) -> None:
    (translate,) = page("translation-engine")
    run([toy["--corpus"] if word == "emoji" else word for word in translate], toy)
    text = Path("translated/captions.jsonl").read_text("utf-8")
    assert "mraba nyekundu ndogo" in text
    refused = polyclip("translate", toy["--corpus"], "--to", "fr", "--with", "glossary", "--out", "other")
    assert refused.code == 2 and "glossary does not have French" in refused.err


def test_interface_translation(page: Callable[[str], list[list[str]]], tmp_path: Path) -> None:
    page("interface-translation")
    text = (PAGES / "interface-translation.md").read_text("utf-8")
    own = tmp_path / "polyclip/search/server/static/translations/sw.toml"
    shown = tomllib.loads(own.read_text("utf-8"))
    english = tomllib.loads((FOLDER / "en.toml").read_text("utf-8"))["messages"]
    swahili = tomllib.loads((FOLDER / "sw.toml").read_text("utf-8"))["messages"]
    assert f"of the {len(english)} messages" in text
    assert (FOLDER.parents[4] / own.relative_to(tmp_path)).is_file() and shown["messages"].items() <= swahili.items()
    with pytest.raises(PackError, match="lacks messages: skip"):
        read_translation(own, english)
    own.write_text(
        own.read_text("utf-8") + toml_lines({k: v for k, v in swahili.items() if k not in shown["messages"]})
    )
    assert read_translation(own, english).made_by == "Asha Juma"


def toml_lines(messages: dict[str, str]) -> str:
    """Messages as lines of a TOML table."""
    return "".join(f"{key} = {json.dumps(text, ensure_ascii=False)}\n" for key, text in messages.items())


def test_language(page: Callable[[str], list[list[str]]], toy: dict[str, str]) -> None:
    check, show, align = page("language")
    assert "none with faults" in run(check, toy).out
    assert "Malagasy" in run(show, toy).out
    corpus = write_corpus(Path("ours"))
    corpus.rename("ours/corpus.toml")
    captions = Path("ours/captions.jsonl")
    captions.write_text(captions.read_text("utf-8").replace('"sw":', '"mg":'), "utf-8")
    run(align, toy)
    assert "mg" in load("runs/mg").languages
