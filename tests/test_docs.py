"""The pages: quick start and README run, commands exist, references follow the code, the site builds without a
request.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from html.parser import HTMLParser
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

import polyclip as package
from polyclip.cli.main import COMMANDS, GROUPS, load_command
from polyclip.core.encode_precision import VARIABLE
from polyclip.languages.schema import list_languages
from tests.command import polyclip
from tests.script import load_script
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
GENERATED = {"commands", "languages", "api"}  # pages of docs/reference that are made when the site is built
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ASKS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "link": "href",
}  # tags that make a browser fetch something


def commands(text: str) -> Iterator[list[str]]:
    """Words after `polyclip` on every line of the sh blocks, continued lines joined."""
    for language, block in BLOCK.findall(text):
        for line in block.replace("\\\n", " ").splitlines() if language == "sh" else ():
            words = shlex.split(line, comments=True)
            if words[:1] == ["polyclip"]:
                yield words[1:]


def options(command: Any) -> set[str]:
    return {
        name for one in command.params if one.param_type_name == "option" for name in [*one.opts, *one.secondary_opts]
    }


def test_the_quick_start_runs_from_top_to_bottom(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv(VARIABLE)  # as a reader encodes, and `test_first_light.py`, whose class names are in the cache
    blocks = BLOCK.findall((DOCS / "tutorials" / "quick-start.md").read_text("utf-8"))
    assert {language for language, _ in blocks} == {"python", "sh"} and len(blocks) > 4
    names: dict[str, Any] = {}
    for language, block in blocks:
        if language == "python":
            exec(compile(block, "quick-start.md", "exec"), names)
            continue
        for line in block.splitlines():
            words = shlex.split(line, comments=True)
            assert words[0] == "polyclip", line
            said = polyclip(*words[1:])
            assert said.code == 0, (line, said)
    assert "data:image/webp" in Path("found.html").read_text("utf-8") and Path("report.html").stat().st_size > 10_000


def test_every_command_on_the_pages_exists_with_its_options() -> None:
    seen = set()
    for page in [*PAGES, ROOT / "README.md"]:
        for words in commands(page.read_text("utf-8")):
            assert words[0] in COMMANDS, (page.name, words)
            command = load_command(words[0])
            if words[0] in GROUPS and words[1:2] and not words[1].startswith("-"):
                assert words[1] in GROUPS[words[0]], (page.name, words)
                command = command.commands[words[1]]
            used = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert used <= options(command), (page.name, words, used - options(command))
            seen.add(words[0])
    assert {"align", "doctor", "report", "index", "serve", "export", "push", "languages"} <= seen


def test_the_readme_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a toy run: the default one takes minutes, and is what `tests/end_to_end/test_first_light.py` makes."""
    (block,) = (
        block for language, block in BLOCK.findall((ROOT / "README.md").read_text("utf-8")) if language == "python"
    )
    monkeypatch.chdir(tmp_path)
    corpus = write_corpus(tmp_path / "toy")
    encoders = [
        "--text-encoder",
        write_text_encoder(tmp_path / "text"),
        "--vision-tower",
        write_vision_tower(tmp_path / "vision"),
    ]
    said = polyclip("align", "--lang", "sw", "--corpus", corpus, *encoders, "--epochs", 2, "--out", "runs/sw-head-mlp")
    assert said.code == 0, said
    for name in ("cat", "fish"):
        shutil.copy(next((tmp_path / "toy").glob("*.png")), f"{name}.jpg")
    with redirect_stdout(StringIO()) as printed:
        exec(compile(block, "README.md", "exec"), {})
    assert printed.getvalue().startswith("tensor([[")


@pytest.mark.parametrize("name", ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"])
def test_every_link_of_the_repository_leads_somewhere(name: str) -> None:
    links = re.findall(r"\]\((?!https?://|#)([^)#]+)", (ROOT / name).read_text("utf-8"))
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_the_targets_that_are_named_exist() -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE))
    named = {
        target
        for name in ("README.md", "CONTRIBUTING.md", ".github/workflows/ci.yml", ".github/pull_request_template.md")
        for target in re.findall(r"\bmake ([a-z-]+)", (ROOT / name).read_text("utf-8"))
    }
    assert {"check", "test-fast", "test"} <= named <= targets


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").split()) <= 900


def test_the_page_of_commands_has_every_command_and_option() -> None:
    text = load_script("build_cli_pages").page()
    titles = set(re.findall(r"^#+ polyclip (.+)$", text, re.MULTILINE))
    assert titles == set(COMMANDS) | {f"{group} {one}" for group, inner in GROUPS.items() for one in inner}
    assert re.search(r"\| `--text-encoder` \| text \| `e5-small` \|", text)
    assert re.search(r"\| `--batch-size` \| whole number from 2 \|", text)


def test_the_page_of_languages_has_every_pack() -> None:
    text = load_script("build_languages_page").page()
    assert re.findall(r"^\| ([a-z]{2,3}(?:-[A-Z][a-z]{3})?) \|", text, re.MULTILINE) == list_languages()


def test_the_page_of_the_library_has_every_public_name() -> None:
    names = set(re.findall(r"^::: polyclip\.(\w+)$", load_script("docs_hooks").build_api_page(), re.MULTILINE))
    assert names == {name for name in package.__all__ if not name.startswith("_")} != set()


class Asked(HTMLParser):
    """Addresses that a browser fetches with a page, and those that its links and anchors lead to."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if ASKS.get(tag, "") in values:
            self.fetched.append(values[ASKS[tag]] or "")
        if tag == "a" and values.get("href"):
            self.links.append(values["href"] or "")


def test_the_site_builds_without_a_warning_and_asks_nothing_from_elsewhere(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-m",
        "mkdocs",
        "build",
        "--strict",
        "--quiet",
        "--config-file",
        str(ROOT / "mkdocs.yml"),
        "--site-dir",
        str(tmp_path / "site"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, env=os.environ | {"NO_MKDOCS_2_WARNING": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    built = tmp_path / "site"
    pages = {path.relative_to(built) for path in built.rglob("*.html")}
    assert {page.relative_to(DOCS).with_suffix(".html") for page in PAGES} <= pages
    assert {Path("reference") / f"{name}.html" for name in GENERATED} <= pages
    for page in sorted(built.rglob("*.html")):
        asked = Asked()
        asked.feed(page.read_text("utf-8"))
        assert asked.fetched, page
        near = [link for link in asked.links if not re.match(r"https?:|mailto:|#|javascript:", link)]
        for address in [*asked.fetched, *near]:
            assert not re.match(r"[a-z]+:|//", address), (page.name, address)
            assert page.name == "404.html" or (page.parent / address.partition("#")[0].partition("?")[0]).exists(), (
                page.name,
                address,
            )
    for style in built.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text("utf-8")), style
