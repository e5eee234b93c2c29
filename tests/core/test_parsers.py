"""JSON and TOML of any content end in one kind of error."""

import ast
import json
import tomllib
from pathlib import Path

import pytest

import polyclip
from polyclip.core.json import JSONDecodeError, parse_json
from polyclip.core.text import show_name
from polyclip.core.toml import parse_toml

HERE = Path(polyclip.__file__).parent


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"a":' * 100_000,
        "[" * 100_000 + "]" * 100_000,
        "1" * 5_000,
        f'{{"a": -{"9" * 5_000}}}',
        '"\\ud83d"',
        '{"a": ["\\uDE00 x"]}',
        '{"\\ud83d": 1}',
        '{"sw": ["a"], "sw": ["b"]}',
        '[{"a": {"b": 1, "c": 2, "\\u0062": 3}}]',
        "{" + ", ".join(f'"{number % 99_999}": 1' for number in range(100_000)) + "}",
        "",
        "{",
        "nope",
    ],
)
def test_json_ends_in_one_error(text: str) -> None:
    for given in (text, text.encode()):
        with pytest.raises(JSONDecodeError) as caught:
            parse_json(given)
        assert len(str(caught.value)) < 200 and "\n" not in str(caught.value)


@pytest.mark.parametrize("value", [{"a": [1, 2.5, None, True, "é 😀"]}, [[[[]]]], "x", 10**4_000, ["\ue000 \\ud83d"]])
def test_json_that_is_whole_is_read(value: object) -> None:
    for ascii_only in (True, False):
        text = json.dumps(value, ensure_ascii=ascii_only)
        assert parse_json(text) == parse_json(text.encode()) == parse_json(f"\ufeff{text}") == value


@pytest.mark.parametrize(
    "text",
    [
        "a = " + "[" * 50_000,
        "a = " + "{a=" * 50_000,
        "a = " + "9" * 5_000,
        "a = 0x" + "f" * 9_000,
        "[a]\nb = [1, {c = 0b" + "1" * 20_000 + "}]",
        "a." * 50_000 + "b = 1",
        "a = \n",
        "[",
        "\x00",
    ],
)
def test_toml_ends_in_one_error(text: str) -> None:
    try:
        parse_toml(text)
    except tomllib.TOMLDecodeError as error:
        assert len(str(error)) < 200
    else:
        assert text.startswith("a.a")  # long, and valid


def test_toml_may_start_with_a_byte_order_mark() -> None:
    assert parse_toml("\ufeffa = 1") == {"a": 1}


def test_nothing_else_parses() -> None:
    """`json.loads` and `tomllib.loads` are called in one place each; programs written for exports stand alone."""
    found = set()
    for path in HERE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Attribute) and node.attr in ("load", "loads") and isinstance(node.value, ast.Name):
                found |= (
                    {path.relative_to(HERE).as_posix()} if node.value.id in ("json", "json_text", "tomllib") else set()
                )
    assert {name for name in found if "_readers" not in name} == {"core/json.py", "core/toml.py"}


def test_names_can_always_be_shown() -> None:
    assert show_name("caf\udce9.png") == r"caf\xe9.png"
    assert show_name("\ud83d") == r"\ud83d"
    assert show_name("Māori.png") == "Māori.png"
