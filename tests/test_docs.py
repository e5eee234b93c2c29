"""The pages: the quick start is run, commands exist, the page of commands is the code's, and the site builds without a warning or a request."""

import importlib.util
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from polyclip.cli.main import COMMANDS, GROUPS, loaded
from tests.command import polyclip

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.glob("*.md"))
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ASKS = {
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "link": "href",
}  # tags that make a browser fetch something


def script() -> ModuleType:
    path = ROOT / "scripts" / "build_cli_pages.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    blocks = BLOCK.findall((DOCS / "quick-start.md").read_text("utf-8"))
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
            command = loaded(words[0])
            if words[0] in GROUPS and words[1:2] and not words[1].startswith("-"):
                assert words[1] in GROUPS[words[0]], (page.name, words)
                command = command.commands[words[1]]
            used = {word.partition("=")[0] for word in words if word.startswith("--")}
            assert used <= options(command), (page.name, words, used - options(command))
            seen.add(words[0])
    assert {"align", "doctor", "report", "index", "serve", "export", "push", "languages"} <= seen


def test_the_page_of_commands_is_what_the_code_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = script()
    monkeypatch.setattr(sys, "argv", ["build_cli_pages.py", "--check"])
    written.main()
    text = written.PAGE.read_text("utf-8")
    titles = set(re.findall(r"^#+ polyclip (.+)$", text, re.MULTILINE))
    assert titles == set(COMMANDS) | {f"{group} {one}" for group, inner in GROUPS.items() for one in inner}
    assert re.search(r"\| `--views` \| whole number from 1 to 64 \| `1` \|", text)
    monkeypatch.setattr(written, "PAGE", tmp_path / "commands.md")
    written.PAGE.write_text(text.replace("`--views`", "`--view`"), "utf-8")
    with pytest.raises(SystemExit, match="run python scripts/build_cli_pages"):
        written.main()


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
    assert {page.with_suffix(".html").name for page in PAGES} <= {path.name for path in built.glob("*.html")}
    for page in built.glob("*.html"):
        asked = Asked()
        asked.feed(page.read_text("utf-8"))
        assert asked.fetched, page
        near = [link for link in asked.links if not re.match(r"https?:|mailto:|#|javascript:", link)]
        for address in [*asked.fetched, *near]:
            assert not re.match(r"[a-z]+:|//", address), (page.name, address)
            assert page.name == "404.html" or (built / address.partition("#")[0].partition("?")[0]).exists(), (
                page.name,
                address,
            )
    for style in built.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*[\"']?(https?:)?//", style.read_text("utf-8")), style
