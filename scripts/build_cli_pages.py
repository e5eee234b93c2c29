"""Make the reference page of the command line: every command with its arguments, options and defaults.

`mkdocs build` calls this through scripts/docs_hooks.py; `python scripts/build_cli_pages.py` prints the page.
"""

import types
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from polyclip.cli.main import COMMANDS, GROUPS, load_command

HEAD = """# Command line

Generated from the code when the site is built; `polyclip COMMAND --help` says the same.
An option that may be repeated is given once for each value: `--lang sw --lang am`.
"""
KINDS = {str: "text", int: "whole number", float: "number", Path: "path", bool: "flag"}


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *(section(name) for name in COMMANDS)])


def section(name: str) -> str:
    """One command; the commands of a group below it."""
    module, command = import_module(f"polyclip.cli.{name}"), load_command(name)
    if name not in GROUPS:
        return described(f"polyclip {name}", 2, command, module.command)
    own = [described(f"polyclip {name}", 2, command, module.app.registered_callback.callback)]
    return "\n".join(
        [
            *own,
            *(
                described(f"polyclip {name} {one}", 3, command.commands[one], getattr(module, one))
                for one in GROUPS[name]
            ),
        ]
    )


def described(title: str, level: int, command: Any, function: Any) -> str:
    """Usage, help and tables of one command, whose types stand in the signature of its function."""
    hints = get_type_hints(function, include_extras=True)
    arguments = [one for one in command.params if one.param_type_name == "argument"]
    options = [
        one for one in command.params if one.param_type_name == "option" and not one.hidden and one.name in hints
    ]
    usage = " ".join([title, *(placed(one) for one in arguments), *(["[OPTIONS]"] if options else [])])
    parts = [
        f"{'#' * level} {title}",
        f"```text\n{usage}\n```",
        *(escaped(" ".join(part.split())) for part in command.help.split("\n\n")),
    ]
    if arguments:
        rows = [(f"`{shown(one)}`", kind(hints[one.name], one), said(one)) for one in arguments]
        parts.append(table(("argument", "value", "what it is"), rows))
    if options:
        lines = [(named(one), kind(hints[one.name], one), default(one), said(one)) for one in options]
        parts.append(table(("option", "value", "default", "what it is"), lines))
    return "\n\n".join(parts) + "\n"


def shown(argument: Any) -> str:
    """`DIR`, `RUN`."""
    return str(argument.metavar or argument.name.upper())


def placed(argument: Any) -> str:
    """An argument in the usage: `RUN`, `[QUERY]`, `[FILES]...`."""
    return (shown(argument) if argument.required else f"[{shown(argument)}]") + ("..." if argument.nargs == -1 else "")


def named(option: Any) -> str:
    """`--rehearse` / `--no-rehearse`."""
    return " / ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])


def kind(hint: Any, parameter: Any) -> str:
    """`path`, `whole number from 1 to 64`, `text, repeatable`."""
    inner, info = get_args(hint)[:2] if get_origin(hint) is Annotated else (hint, None)
    if get_origin(inner) in (Union, types.UnionType):
        (inner,) = (one for one in get_args(inner) if one is not types.NoneType)
    many = get_origin(inner) is list
    inner = get_args(inner)[0] if many else inner
    word = " or ".join(get_args(inner)) if get_origin(inner) is Literal else KINDS[inner]
    low, high = getattr(info, "min", None), getattr(info, "max", None)
    span = ("" if low is None else f" from {low:g}") + ("" if high is None else f" to {high:g}")
    return word + span + (", repeatable" if many and parameter.param_type_name == "option" else "")


def default(option: Any) -> str:
    """What holds where the option is not written; empty where nothing does, or its help says it."""
    if option.required:
        return "**required**"
    if isinstance(option.default, bool):
        return f"`{(option.opts if option.default else option.secondary_opts)[0]}`" if option.secondary_opts else ""
    return "" if option.default in (None, "", [], ()) else f"`{option.default}`"


def said(parameter: Any) -> str:
    """The help, and the environment variable that stands for it."""
    help_ = " ".join((parameter.help or "").split())
    return escaped(help_) + (f" Environment: `{parameter.envvar}`." if parameter.envvar else "")


def escaped(text: str) -> str:
    """Text that Markdown leaves as it is, in a cell as elsewhere."""
    for sign in "\\|*_<[`":
        text = text.replace(sign, "&lt;" if sign == "<" else f"\\{sign}")
    return text


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    """A Markdown table."""
    return "\n".join(f"| {' | '.join(row)} |".replace("|  |", "| |") for row in [head, ("---",) * len(head), *rows])


if __name__ == "__main__":
    print(page())
