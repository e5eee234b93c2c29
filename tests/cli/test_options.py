"""Every option that an error, a hint or a help text names exists, on the command that it is named with."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

import polyclip
from polyclip.cli.main import COMMANDS, OLD_NAMES, load_command

HERE = Path(polyclip.__file__).parent
OPTION = re.compile(r"(?<![\w-])--[a-z][a-z0-9-]*[a-z0-9]|(?<![\w-])--k\b")
# 'polyclip align ... --final' within a sentence, up to what ends the command
COMMAND = re.compile(rf"polyclip ({'|'.join(COMMANDS)})\b([^'\n;:,]*)")
OTHERS = {  # of other programs
    "--force-reinstall": "pip install",
    "--nproc-per-node": "torchrun",
    "--output": "ct2-transformers-converter",
    "--copy": "ct2-transformers-converter",
    "--heat": "var(",
}


@cache
def list_options(command: str) -> frozenset[str]:
    """Options of a command, and of all commands of a group."""
    loaded = load_command(command)
    below = getattr(loaded, "commands", {})
    found = [name for one in (loaded, *below.values()) for p in one.params for name in (*p.opts, *p.secondary_opts)]
    return frozenset(found) | {"--help"}


def read_text(node: ast.expr) -> str:
    """The text of a string, with `{}` for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        return "".join(str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values)
    return str(node.value) if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def list_messages() -> list[tuple[str, str]]:
    """Every text in the package that names an option, with its place; not docstrings, which commands do not print."""
    found = []
    for path in sorted(HERE.rglob("*.py")):
        tree = ast.parse(path.read_text("utf-8"))
        nodes = list(ast.walk(tree))
        inside = {id(part) for node in nodes if isinstance(node, ast.JoinedStr) for part in node.values}
        inside |= {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
        for node in nodes:
            text = read_text(node) if isinstance(node, ast.expr) and id(node) not in inside else ""
            if OPTION.search(text):
                found.append((f"{path.relative_to(HERE)}:{node.lineno}", text))
    return found


MESSAGES = list_messages()


def test_messages_are_found() -> None:
    assert len(MESSAGES) > 250
    assert any("--no-english" in text for _, text in MESSAGES)


def test_every_option_that_is_named_exists() -> None:
    known = frozenset().union(*map(list_options, COMMANDS)) | {"--version", "--help", *OLD_NAMES}
    wrong = [
        f"{place}: {option}"
        for place, text in MESSAGES
        for option in OPTION.findall(text)
        if option not in known and OTHERS.get(option, "?") not in text
    ]
    assert wrong == []


def test_a_command_that_is_named_with_an_option_has_it() -> None:
    found = [
        (place, command, option)
        for place, text in MESSAGES
        for command, rest in COMMAND.findall(text)
        for option in OPTION.findall(rest)
    ]
    assert len(found) > 20
    assert [wrong for wrong in found if wrong[2] not in list_options(wrong[1])] == []


@pytest.mark.parametrize(
    ("folder", "commands"),
    [
        ("cli", ()),  # the file's own command
        ("evaluation/benchmarks", ("eval", "compare")),
        ("translation", ("translate",)),
        ("exporters", ("export", "push", "align")),
        ("data/tables", ("corpus",)),
        ("search/server", ("serve",)),
        ("training", ("align",)),
        ("studies", ("study", "fewshot")),
    ],
)
def test_options_exist_where_the_message_is_raised(folder: str, commands: tuple[str, ...]) -> None:
    """A message that names no command means the one that runs, which these folders belong to."""
    wrong = []
    for place, text in MESSAGES:
        stem = place.partition(":")[0].removesuffix(".py")
        own = commands or ((stem.removeprefix("cli/"),) if stem.removeprefix("cli/") in COMMANDS else ())
        if not place.startswith(f"{folder}/") or not own:
            continue
        named = {command for command, _ in COMMAND.findall(text)} | set(re.findall(r"'polyclip (\w+)", text))
        allowed = frozenset().union(*map(list_options, (*own, *(named & set(COMMANDS)))))
        wrong += [(place, option) for option in OPTION.findall(text) if option not in allowed | OTHERS.keys()]
    assert wrong == []
