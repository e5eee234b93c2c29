"""The folder listing is the registry: the name of a method, encoder, tower, corpus reader or benchmark is its file's name."""

from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from types import ModuleType

from polyclip.errors import UnknownName

PACKAGE = Path(__file__).parents[1]
FOLDERS = {  # of the package, by kind; a third party's entry points are of the group `polyclip.<kind>`
    "methods": "models/methods",
    "encoders": "models/text",
    "towers": "models/vision",
    "readers": "data/readers",
    "translators": "translation/engines",
    "benchmarks": "evaluation/benchmarks",
    "study": "studies/questions",
    "exports": "export/targets",
}
SINGULAR = {
    "methods": "method",
    "encoders": "text encoder",
    "towers": "vision tower",
    "readers": "reader",
    "translators": "translation engine",
    "benchmarks": "benchmark",
    "study": "study",
    "exports": "export target",
}


def module_name(name: str) -> str:
    """`lilt-ln` is the module `lilt_ln`."""
    return name.replace("-", "_")


def names(kind: str) -> list[str]:
    """Names one may use: polyclip's own files and those third parties registered as entry points `polyclip.<kind>`."""
    own = {p.stem.replace("_", "-") for p in (PACKAGE / FOLDERS[kind]).glob("*.py") if not p.stem.startswith("_")}
    return sorted(own | {point.name for point in entry_points(group=f"polyclip.{kind}")})


def find(kind: str, name: str) -> ModuleType:
    """Import the module that carries `name`.

    Raises UnknownName with the nearest names.
    """
    if (
        (PACKAGE / FOLDERS[kind] / f"{module_name(name)}.py").is_file()
        and not name.startswith("_")
        and name.isprintable()
        and "/" not in name
    ):
        return import_module(f"polyclip.{FOLDERS[kind].replace('/', '.')}.{module_name(name)}")
    for point in entry_points(group=f"polyclip.{kind}"):
        if point.name == name:
            module = point.load()
            if isinstance(module, ModuleType):
                return module
    raise UnknownName(SINGULAR[kind], name, names(kind))
