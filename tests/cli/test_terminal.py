"""Terminals and surroundings: any width, gone readers, full disks, names that a terminal would obey, odd variables."""

import errno
import io
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

from polyclip.cli.main import ENCODING, describe_kept, guard_command
from polyclip.core.terminal import LastingStream, PlainConsole, keep_streams, make_text, read_width, repair_size
from polyclip.core.text import escape_controls, show_line
from tests.command import polyclip

ODD = "[bold]a[/x] :cat: \x1b[31mred\x9b\u202egnp"  # markup, an emoji's name, escape sequences, text turned round
PRINTED = "[bold]a[/x] :cat: \\x1b[31mred\\x9b\\u202egnp"
CHEAP = [["--help"], ["align", "--help"]]  # the rest has tables, which are printed alike
SHELL = 'exec "$0" -W ignore -m polyclip '


def run_in_shell(command: str, **variables: str) -> "subprocess.CompletedProcess[str]":
    """Run `polyclip COMMAND` in a process of its own, where descriptors matter."""
    line = ["/bin/bash", "-c", SHELL + command, sys.executable]
    return subprocess.run(line, capture_output=True, text=True, env=os.environ | variables, timeout=60)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder of two equal images, one with an odd name, and one broken image."""
    folder = tmp_path / "images"
    folder.mkdir()
    for name in ("plain.png", ODD.replace("/", "") + "\n.png"):
        Image.new("RGB", (9, 9), "red").save(folder / name)
    (folder / ":dog:\x1b[2J.png").write_text("x")
    return folder


@pytest.mark.parametrize("columns", ["0", "1", "20", "-5", "²", "99999999999", "wide", ""])
@pytest.mark.parametrize("command", CHEAP, ids=" ".join)
def test_any_width_prints_whole_words_and_figures(
    columns: str, command: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as width:  # `pytest -v` would fill a line of this width after the test
        width.setenv("COLUMNS", columns)
        width.setenv("LINES", columns)
        found = polyclip(*command)
        assert os.environ["COLUMNS"] == os.environ["LINES"] == columns  # restored
    assert found.code == 0 and found.err == ""
    lines = found.out.splitlines()
    assert len(lines) > 2 and 30 < max(map(len, lines)) <= 1000


@pytest.mark.parametrize(
    ("columns", "width"),
    [("0", None), ("1", 64), ("63", 64), ("64", None), ("1000", None), ("1001", 1000), ("", None), ("abc", 80)],
)
def test_widths(columns: str, width: int | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(sys, "__stdout__", None)  # as where there is no terminal
    assert read_width() == (80 if columns == "0" else width)
    with repair_size():
        assert PlainConsole(file=io.StringIO()).width == (width or (int(columns) if columns not in ("", "0") else 80))


def test_names_are_printed_as_they_are(images: Path) -> None:
    found = polyclip("dedupe", images)
    assert found.code == 0
    assert f"  {PRINTED.replace('/', '')}\\n.png  " in found.out
    assert ":dog:\\x1b[2J.png: not a readable image" in found.out
    assert not {"\x1b", "\x9b", "\u202e", "🐱", "🐶"} & set(found.out)
    assert "\n.png" not in found.out


@pytest.mark.parametrize(
    "command",
    [
        ["align", "--lang", ODD],
        ["align", "--lang", "sw", "--corpus", ODD],
        ["doctor", "--lang", "sw", "--text-encoder", ODD],
        ["eval", ODD, "--model", "nowhere"],
        ["eval", "emoji", "--model", ODD],
        ["index", ODD, "--model", ODD],
        ["dedupe", ODD],
        ["report", ODD],
        ["export", ODD, "--to", "onnx", "--out", "x"],
        ["serve", "--index", ODD],
        ["translate", "emoji", "--to", ODD, "--with", "file:x"],
        ["study", ODD],
    ],
    ids=lambda command: " ".join(word for word in command if word != ODD),
)
def test_errors_print_names_as_they_are_on_one_line(command: list[str]) -> None:
    found = polyclip(*command)
    assert found.code == 2 and found.out == ""
    assert len(found.err.strip().splitlines()) == 1 and found.err.startswith("error: ")
    assert ":cat:" in found.err and "[bold]" in found.err and not {"\x1b", "\x9b", "\u202e"} & set(found.err), found.err


def test_captions_and_corpus_names_in_tables() -> None:
    from rich.table import Table

    drawn = Table(ODD, title=ODD, caption=ODD)
    drawn.add_row(ODD)
    drawn.add_row(make_text(ODD, "bold"))
    out = io.StringIO()
    PlainConsole(file=out).print(drawn)
    PlainConsole(file=out).print(ODD)
    assert out.getvalue().count(PRINTED) == 6
    assert not {"\x1b", "\x9b", "\u202e"} & set(out.getvalue())


def test_what_is_escaped_and_what_is_not() -> None:
    kept = "Māori ሰላም नमस्ते\u200d\u200c👩\u200d🚀 a\tb\nשלום\u200f e\u0301"
    assert escape_controls(kept) == kept
    assert escape_controls("a\x00\r\x7f\u2066") == "a\\x00\\r\\x7f\\u2066"
    assert show_line("a\nb\tc\u2028d") == "a\\nb\\tc\\u2028d"


@pytest.fixture
def full() -> Iterator[LastingStream]:
    """A stream on a disk that is full."""
    with Path("/dev/full").open("wb", buffering=0) as raw:
        yield LastingStream(raw, encoding="ascii", errors="backslashreplace")


def test_a_stream_outlives_a_full_disk(full: LastingStream) -> None:
    assert full.write("ā" * 10_000) == 10_000
    full.flush()
    assert full.failure is not None and full.failure.errno == errno.ENOSPC
    full.write("more")
    full.close()


def test_streams_are_what_they_were() -> None:
    before = sys.stdout, sys.stderr
    with pytest.raises(KeyError), keep_streams():
        raise KeyError
    assert (sys.stdout, sys.stderr) == before


@pytest.mark.parametrize(
    ("redirection", "code", "said"),
    [
        (">&-", 0, ""),
        ("2>&-", 0, ""),
        (">&- 2>&-", 0, ""),
        ("<&- >&- 2>&-", 0, ""),
        ("> /dev/full", 2, "error: Standard output cannot be written: No space left on device."),
        ("2> /dev/full", 0, ""),
    ],
)
def test_results_are_written_whatever_becomes_of_the_output(
    redirection: str, code: int, said: str, tmp_path: Path
) -> None:
    found = run_in_shell(f"languages new fur --out {tmp_path}/fur.toml {redirection}")
    assert found.returncode == code, found
    assert found.stderr.strip().splitlines()[:1] == ([found.stderr.strip()] if said else []) and said in found.stderr
    assert (tmp_path / "fur.toml").is_file()


def test_a_reader_that_has_gone_is_no_error() -> None:
    found = run_in_shell("languages --json | head -c 1; echo ${PIPESTATUS[0]}".replace("exec ", ""))
    assert found.stdout == "[0\n" or found.stdout == "{0\n"
    assert found.stderr == ""


@pytest.mark.parametrize(
    "variables",
    [
        {"PYTHONIOENCODING": "ascii", "LANG": "C"},
        {"PYTHONIOENCODING": "cp1252"},
        {"TERM": "dumb", "NO_COLOR": "1", "TZ": "Nowhere/::", "HOME": "/dev/null"},
    ],
    ids=lambda variables: next(iter(variables.values())),
)
def test_tables_print_in_any_encoding_and_home(variables: dict[str, str], tmp_path: Path) -> None:
    empty = {"POLYCLIP_CACHE": "", "XDG_CACHE_HOME": ""}
    found = run_in_shell("languages show mi", **variables, **empty)
    assert found.returncode == 0 and found.stderr == "", found
    assert ("M\\u0101ori" if "PYTHONIOENCODING" in variables else "Māori") in found.stdout


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("WORLD_SIZE", "abc", "a whole number from 1"),
        ("WORLD_SIZE", "-1", "a whole number from 1"),
        ("WORLD_SIZE", "0", "a whole number from 1"),
        ("WORLD_SIZE", "2²", "a whole number from 1"),
        ("WORLD_SIZE", "1" * 5000, "a whole number from 1"),
        ("RANK", "x", "a whole number from 0"),
        ("RANK", "5", "a number below WORLD_SIZE, which is 2"),
        ("POLYCLIP_TIMEOUT", "soon", "minutes such as 60"),
        ("POLYCLIP_TIMEOUT", "nan", "minutes such as 60"),
        ("POLYCLIP_TIMEOUT", "-1", "minutes such as 60"),
        ("POLYCLIP_TIMEOUT", "inf", "minutes such as 60"),
    ],
)
def test_bad_numbers_in_variables_name_the_variable(
    variable: str, value: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, usual in {"WORLD_SIZE": "2", "RANK": "0"}.items():
        monkeypatch.setenv(name, usual)
    monkeypatch.setenv(variable, value)
    found = polyclip("align", "--lang", "sw")
    assert found.code == 2 and found.out == ""
    assert found.err.startswith(f"error: {variable} is ") and expected in found.err
    assert len(found.err.splitlines()) == 1


def test_other_variables_are_named_too(monkeypatch: pytest.MonkeyPatch) -> None:
    from polyclip.core.encode_precision import current_encode_precision
    from polyclip.core.environment import read_whole_number
    from polyclip.errors import PolyclipError

    monkeypatch.setenv("POLYCLIP_ENCODE_PRECISION", "fp8")
    with pytest.raises(PolyclipError, match=r"^POLYCLIP_ENCODE_PRECISION is 'fp8', expected one of auto, fp32"):
        current_encode_precision()
    for value in ("20GB", "1e9", "-1", "0.5"):
        monkeypatch.setenv("POLYCLIP_SHARD_BYTES", value)
        with pytest.raises(PolyclipError, match=rf"^POLYCLIP_SHARD_BYTES is '{value}', expected a whole number"):
            read_whole_number("POLYCLIP_SHARD_BYTES", 1)
    monkeypatch.setenv("POLYCLIP_SHARD_BYTES", " 2000 ")
    assert read_whole_number("POLYCLIP_SHARD_BYTES", 1) == 2000


def test_ctrl_c_names_the_command_that_ran(monkeypatch: pytest.MonkeyPatch) -> None:
    import polyclip.search.duplicates as duplicates

    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(duplicates, "scan_folder", stop)
    found = polyclip("dedupe", ".")
    assert found.code == 130
    assert found.err == "Interrupted. What was encoded so far is kept: run the same 'polyclip dedupe ...' again.\n"


@pytest.mark.parametrize("name", [*ENCODING, "corpus", "export", "push", "languages"])
def test_every_command_is_named_where_it_is_interrupted(name: str) -> None:
    said = describe_kept(name)
    assert f"'polyclip {name} ...'" in said and ("--resume" in said) == (name == "align")


@pytest.mark.parametrize(
    "command",
    [
        ["index", os.fsdecode(b"caf\xe9"), "--model", "run"],
        ["index", "photos", "--model", "run", "--out", os.fsdecode(b"\xff")],
        ["search", os.fsdecode(b"\xed\xa0\x80"), "--index", "photos"],
        ["align", "--lang", "sw", "--out", "a\udce9"],
        ["align", "--corpus=caf\udce9/corpus.toml"],
        ["languages", "show", "\udce9"],
    ],
)
def test_an_argument_that_is_no_text_is_one_sentence(command: list[str]) -> None:
    found = polyclip(*command)
    assert found.code == 2 and found.err.count("\n") == 1
    assert found.err.startswith("error: The argument ") and "is not UTF-8" in found.err and "\\x" in found.err


def test_a_current_folder_whose_name_is_no_text_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    folder.mkdir()
    monkeypatch.chdir(folder)
    found = polyclip("dedupe", ".")
    assert found.code == 2 and r"The current folder" in found.err and r"caf\xe9 is not UTF-8" in found.err


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: you tried to "
                     "allocate 128000000000 bytes. Error code 12 (Cannot allocate memory)"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB"),
    ],
)  # fmt: skip
def test_missing_memory_is_one_sentence(error: Exception) -> None:
    def command() -> None:
        raise error

    with pytest.raises(SystemExit) as stop, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", said := io.StringIO())
        guard_command("align", command)()
    assert stop.value.code == 2 and said.getvalue().startswith("error: There is not enough memory")
    assert ("128,000,000,000 bytes" in said.getvalue()) == ("128000000000" in str(error))


def test_other_errors_of_torch_are_no_missing_memory() -> None:
    def command() -> None:
        raise RuntimeError("shape mismatch")

    with pytest.raises(RuntimeError, match="shape"):
        guard_command("align", command)()
