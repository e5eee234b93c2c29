"""After installation the default path asks nobody: every address but this machine's own raises and is noted."""

import json
import os
import subprocess
import sys
from pathlib import Path

from polyclip.core.encode_precision import VARIABLE
from tests.toy import write_corpus

ROOT = Path(__file__).parents[2]
GUARD = """
import ipaddress, json, socket, sys
NOTES, ALLOWED = {notes!r}, (socket.AF_UNIX,)

def is_own(family, address):
    host = address[0] if isinstance(address, tuple) else address
    try:
        return family in ALLOWED or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"

def refuse(what, where):
    with open(NOTES, "a") as file:
        file.write(json.dumps([what, str(where)]) + "\\n")
    raise OSError(f"no network in this test: {{what}} {{where}}")

def watch(event, given):  # audit hooks see what no patched class does
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg") and not is_own(given[0].family, given[1]):
        refuse(event, given[1])
    if event in ("socket.getaddrinfo", "socket.gethostbyname") and not is_own(None, (given[0] or "localhost",)):
        refuse(event, given[0])

sys.addaudithook(watch)
"""
COMMANDS = """
from polyclip.cli.main import main
for arguments in json.loads(sys.argv[1]):
    sys.argv = ["polyclip", *arguments]
    try:
        main()
    except SystemExit as stop:
        assert not stop.code, (arguments, stop.code)
"""


def run(notes: Path, code: str, *commands: list[object]) -> subprocess.CompletedProcess[str]:
    """Run code, with commands as JSON, in a process that reaches this machine alone; encoded in its own format."""
    left_out = ("HF_", "TRANSFORMERS_", VARIABLE)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    environment["HF_HOME"] = str(notes.parent / "hub")  # an empty cache: nothing that was downloaded before helps
    listed = json.dumps([list(map(str, arguments)) for arguments in commands])
    command = [sys.executable, "-c", GUARD.format(notes=str(notes)) + code, listed]
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [environment.get("PYTHONPATH")])])
    return subprocess.run(command, cwd=notes.parent, env=environment, capture_output=True, text=True)


def test_align_eval_and_search_ask_nobody(tmp_path: Path) -> None:
    notes, out = tmp_path / "notes.jsonl", tmp_path / "run"
    corpus = write_corpus(tmp_path / "corpus")
    done = run(
        notes,
        COMMANDS,
        ["align", "--lang", "sw", "--corpus", corpus, "--epochs", 2, "--batch-size", 8, "--out", out],
        ["eval", "held-out", "--model", out, "--corpus", corpus, "--lang", "sw"],
        ["search", "mraba nyekundu", "--images", corpus.parent, "--model", out],
    )
    assert done.returncode == 0, done
    assert not notes.exists(), notes.read_text("utf-8")
    assert (out / "result.json").is_file() and ".png" in done.stdout


def test_the_guard_sees_what_asks(tmp_path: Path) -> None:
    notes = tmp_path / "notes.jsonl"
    own = "with socket.create_server(('127.0.0.1', 0)) as open_: socket.create_connection(open_.getsockname()).close()"
    assert run(notes, own).returncode == 0 and not notes.exists()
    for code, said in (
        ("socket.create_connection(('192.0.2.1', 80))", "192.0.2.1"),
        ("socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('192.0.2.2', 53))", "192.0.2.2"),
        ("import urllib.request; urllib.request.urlopen('https://huggingface.co')", "huggingface.co"),
    ):
        assert run(notes, code).returncode == 1 and said in notes.read_text("utf-8").splitlines()[-1]
