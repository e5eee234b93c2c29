"""Values that an option does not take: one sentence with option, value and what was expected, for every such option."""

from typing import Any

import pytest

from polyclip.cli.main import COMMANDS, load_command
from polyclip.core.expected import describe_expected
from tests.command import polyclip

# typer's and pydantic's words
THEIRS = ("Input should", "nvalid value", "pydantic", "valid integer", "unable to", "..")


def list_commands() -> dict[str, Any]:
    """All commands; of groups those whose own command takes nothing, since beartype refuses typer's own context."""
    loaded = {name: load_command(name) for name in COMMANDS}
    groups = {name: group for name, group in loaded.items() if name != "methods"}
    below = {
        f"{name} {own}": one for name, group in groups.items() for own, one in getattr(group, "commands", {}).items()
    }
    return loaded | below


def list_cases() -> list[tuple[str, str, str]]:
    """Command, option and a value that is refused: beyond each bound, no number, none of the choices."""
    found = []
    for name, command in list_commands().items():
        for param in command.params:
            info = getattr(param, "type_descriptor", None)
            if info is None or not param.opts[0].startswith("--"):
                continue
            kind, least, most = str(info.annotation), info.parameter_info.min, info.parameter_info.max
            values = [] if least is None else [f"{least - 1:g}"]
            values += [] if most is None else [f"{most + 1:g}", "nan"]
            values += ["many"] if "int" in kind or "float" in kind else []
            values += ["no-such-choice"] if "Literal" in kind else []
            found += [(name, param.opts[0], value) for value in values]
    return found


CASES = list_cases()


def test_options_with_bounds_and_choices_are_found() -> None:
    options = {(command, option) for command, option, _ in CASES}
    assert len(options) > 30
    assert {("search", "--caption-weight"), ("serve", "--log-level"), ("align", "--folds")} <= options


@pytest.mark.parametrize("command", sorted({command for command, _, _ in CASES}))
def test_a_value_that_is_refused_is_explained_in_one_sentence(command: str) -> None:
    for _, option, value in (case for case in CASES if case[0] == command):
        found = polyclip(*command.split(), option, value)
        assert found.code == 2 and found.out == "", (option, value, found)
        assert found.err.startswith(f"error: {option} {value}: expected "), (option, value, found.err)
        assert found.err.count("\n") == 1 and not any(word in found.err for word in THEIRS), found.err


def test_the_sentence_names_bounds_and_choices() -> None:
    said = {
        ("search", "--caption-weight", "2"): "a number from 0 to 1",
        ("search", "--top", "0"): "a whole number of at least 1",
        ("serve", "--port", "70000"): "a whole number from 0 to 65535",
        ("search", "--thumbnails", "maybe"): "one of auto, off, on",
    }
    for (command, option, value), expected in said.items():
        assert polyclip(command, option, value).err == f"error: {option} {value}: expected {expected}.\n"
    assert "\x1b" not in polyclip("search", "--top", "\x1b[31m").err


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("Input should be a valid integer, unable to parse string as an integer", "a whole number"),
        ("Input should be a valid integer, got a number with a fractional part", "a whole number"),
        ("Input should be less than or equal to 5", "at most 5"),
        ("Input should be greater than 0", "more than 0"),
        ("Value error, Two of one kind", "two of one kind"),
        ("Field required", "a value"),
    ],
)
def test_plain_words(message: str, expected: str) -> None:
    error: dict[str, Any] = {"msg": message}
    assert describe_expected(error) == expected
