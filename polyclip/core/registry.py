"""Registry of plug-ins: the name of a method, encoder, reader or benchmark is the name of its file."""

import sys
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoints, entry_points
from pathlib import Path
from types import ModuleType

from polyclip.core.nearby import hint_folder
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
    "exports": "exporters/targets",
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


def to_module_name(name: str) -> str:
    """The module of a plug-in: `lilt-ln` is the module `lilt_ln`."""
    return name.replace("-", "_")


def list_names(kind: str) -> list[str]:
    """List the plug-ins of a kind: polyclip's own files and third-party entry points of the group `polyclip.<kind>`.

    Args:
        kind: A key of `FOLDERS`, such as "methods" or "readers".

    Returns:
        Names in alphabetical order.

    """
    own = {p.stem.replace("_", "-") for p in (PACKAGE / FOLDERS[kind]).glob("*.py") if not p.stem.startswith("_")}
    return sorted(own | {point.name for point in find_entry_points(kind)})


def find(kind: str, name: str) -> ModuleType:
    """Import the module of a plug-in.

    Args:
        kind: A key of `FOLDERS`, such as "methods" or "readers".
        name: Name of the plug-in, such as "head-mlp".

    Returns:
        The module, which offers what the kind's contract asks for.

    Raises:
        UnknownName: There is no such plug-in; the message lists the nearest names.

    Example:
        >>> find("readers", "jsonl").__name__
        'polyclip.data.readers.jsonl'

    """
    if to_module_name(name) in {path.stem for path in (PACKAGE / FOLDERS[kind]).glob("[!_]*.py")}:
        return import_module(f"polyclip.{FOLDERS[kind].replace('/', '.')}.{to_module_name(name)}")
    for point in find_entry_points(kind):
        if point.name == name:
            module = point.load()
            if isinstance(module, ModuleType):
                return module
    raise UnknownName(SINGULAR[kind], name, list_names(kind), hint_folder(name).strip())


def find_entry_points(kind: str) -> EntryPoints:
    """The entry points of other packages for a kind of plug-in."""
    return read_entry_points(kind, tuple((place, find_change(place)) for place in sys.path))


@lru_cache(maxsize=32)
def read_entry_points(kind: str, places: tuple[tuple[str, int], ...]) -> EntryPoints:
    """The same, read again only after something was installed: it takes ten milliseconds or more.

    Args:
        kind: A key of `FOLDERS`.
        places: Where Python imports from, and when each was changed last.

    """
    return entry_points(group=f"polyclip.{kind}")


def find_change(place: str) -> int:
    """When a folder that Python imports from was changed last; 0 where it cannot be read."""
    try:
        return Path(place or ".").stat().st_mtime_ns
    except OSError:
        return 0
