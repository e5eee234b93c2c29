"""The tutorial for a community: every command of the page, in its order, on real photographs and a real workbook."""

import re
import shlex
import shutil
from pathlib import Path

import pytest

from tests.command import polyclip
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

pytest.importorskip("openpyxl")
pytest.importorskip("starlette")
import openpyxl
from starlette.testclient import TestClient

from polyclip.search.server.server import ServerOptions, open_application

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "photographs-to-search-page.md"
STAMPS = Path("/usr/share/tuxpaint/stamps")  # Debian's tuxpaint-stamps-default: photographs with captions
COUNT = 20
NOT_HERE = {"push", "serve"}  # needs a hub; runs for ever: the page itself is asked


def commands() -> list[list[str]]:
    """Words after `polyclip` of every line of the page's sh blocks."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    lines = [shlex.split(line, comments=True) for block in blocks for line in block.splitlines()]
    return [words[1:] for words in lines if words[:1] == ["polyclip"]]


def collect_photographs(folder: Path) -> list[tuple[str, str, str]]:
    """Copy photographs, and return their names with captions in Swahili and English; else squares."""
    found = []
    for path in sorted(STAMPS.rglob("*.txt")):
        lines = path.read_text("utf-8", errors="replace").splitlines()
        swahili = [line.removeprefix("sw.utf8=") for line in lines if line.startswith("sw.utf8=")]
        if swahili and path.with_suffix(".png").is_file() and swahili[0] not in {row[1] for row in found}:
            shutil.copy(path.with_suffix(".png"), folder)
            found.append((f"{path.stem}.png", swahili[0], lines[0]))
    if found:
        return found[:: len(found) // COUNT][:COUNT]
    write_corpus(folder / "toy")
    for path in sorted((folder / "toy").glob("*.png"))[:COUNT]:
        shutil.move(path, folder)
        found.append((path.name, f"mraba {path.stem}", f"{path.stem} square"))
    shutil.rmtree(folder / "toy")
    return found


@pytest.fixture
def community(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with photos/ and captions.xlsx, as the page asks for."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    rows = collect_photographs(tmp_path / "photos")
    for path in (tmp_path / "photos").iterdir():
        if path.name not in {name for name, *_ in rows}:
            path.unlink()
    book = openpyxl.Workbook()
    for row in [("Picha", "Kiswahili", "English"), *rows]:
        book.active.append(row)
    book.save(tmp_path / "captions.xlsx")
    return tmp_path


def test_the_page_begins_with_four_commands_and_has_no_code() -> None:
    assert [words[0] for words in commands()[:4]] == ["corpus", "align", "index", "serve"]
    assert "```python" not in PAGE.read_text("utf-8")


def test_every_command_of_the_page_runs_in_its_order(community: Path) -> None:
    small = {
        "--text-encoder": write_text_encoder(community / "text"),
        "--vision-tower": write_vision_tower(community / "vision"),
    }
    run = []
    for words in commands():
        if words[0] in NOT_HERE:
            continue
        if words[0] == "align":
            words = [*words, *(part for option in small.items() for part in option), "--epochs", "2"]
        said = polyclip(*words)
        assert said.code == 0, (words, said)
        if words[0] == "corpus":
            assert f"{COUNT} rows" in said.out and "no licence" not in said.out, said.out
        if words[0] == "search":
            assert any(path.stem in said.out for path in (community / "photos").iterdir()), said.out
        run.append(words[0])
    assert run == ["corpus", "align", "index", "doctor", "report", "search", "export"]
    assert (community / "report.html").stat().st_size > 10_000
    assert (community / "ours-onnx" / "textual" / "model.onnx").is_file()
    with TestClient(open_application([Path("photos.index")], ServerOptions()), "http://127.0.0.1:8000") as page:
        shown = page.get("/", params={"q": "samaki", "language": "sw"}, headers={"accept-language": "sw"})
    assert shown.status_code == 200 and 'lang="sw"' in shown.text and shown.text.count("<img") > 5
