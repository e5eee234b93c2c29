"""The words of the code: functions are verbs, no class name stands for two things, a docstring says something."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

import polyclip

HERE = Path(polyclip.__file__).parent
FILES = sorted(path for path in HERE.rglob("*.py") if "_readers" not in path.parts)
PARTICIPLES = set(
    (
        "told said asked spoken written found kept drawn chosen known shown given taken sent held made met "
        "hidden born built done driven fallen forgotten gone grown heard laid led left lent lost meant paid "
        "seen sold sought stood stuck swept taught thought thrown torn understood woken won worn woven heard "
        "broken frozen begun brought bought caught spent "
    ).split()
)
VERBS = {"embed", "feed", "seed", "need", "exceed", "proceed"}
Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef


def definitions(path: Path) -> Iterator[tuple[str, Definition]]:
    """Public functions and classes of a module, and public methods of its classes."""
    tree = ast.parse(path.read_text("utf-8"))
    for scope in [tree, *(node for node in tree.body if isinstance(node, ast.ClassDef))]:
        for node in scope.body:
            if isinstance(node, Definition) and not node.name.startswith("_"):
                yield f"{path.relative_to(HERE)}:{node.lineno} {node.name}", node


def is_property(node: Definition) -> bool:
    return any("property" in ast.unparse(decorator) for decorator in node.decorator_list)


def test_files_are_found() -> None:
    assert len(FILES) > 200 and sum(1 for path in FILES for _ in definitions(path)) > 1000


def test_no_class_name_stands_for_two_things() -> None:
    found = defaultdict(list)
    for path in FILES:
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(str(path.relative_to(HERE)))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}


def is_participle(name: str) -> bool:
    first = name.split("_")[0]
    return first in PARTICIPLES or (first.endswith("ed") and first not in VERBS)


@pytest.mark.parametrize("name", ["told", "listed", "written_in", "asked"])
def test_participles_are_known(name: str) -> None:
    assert is_participle(name) and not is_participle("embed_text") and not is_participle("list_methods")


def test_functions_are_verbs() -> None:
    wrong = [
        where
        for path in FILES
        for where, node in definitions(path)
        if not isinstance(node, ast.ClassDef)
        and not is_property(node)
        and is_participle(node.name)
        and node.name not in ALLOWED
    ]
    assert wrong == []


ALLOWED = {"indexed", "located", "folded"}  # of the contracts of readers and encoders, which third parties write too


def test_docstrings_say_something() -> None:
    wrong = [
        where for path in FILES for where, node in definitions(path) if len((ast.get_docstring(node) or "").split()) < 4
    ]
    assert wrong == []


def test_errors_do_not_send_users_into_the_source() -> None:
    wrong = [
        f"{path.relative_to(HERE)}:{node.lineno}"
        for path in FILES
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Raise)
        for part in ast.walk(node)
        if isinstance(part, ast.Constant)
        and isinstance(part.value, str)
        and ("polyclip/" in part.value or ".py" in part.value)
    ]
    assert wrong == []
