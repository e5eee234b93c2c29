"""What every way out has in common."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from polyclip.errors import RunError
from polyclip.models.aligner import PolyCLIP


@dataclass(frozen=True, kw_only=True)
class Order:
    """What is to be written, and where it will stand in the end."""

    aligner: PolyCLIP  # may be taken apart: nobody uses it afterwards
    run: Path
    folder: Path  # where files are written now
    final: Path  # absolute; the folder's name once it is whole
    int8: bool = False


@dataclass(frozen=True, kw_only=True)
class Written:
    """What came of it: the vectors it can make, and what a user must know."""

    text: bool = True
    pictures: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Target:
    """One way out."""

    about: str
    needs: tuple[str, ...]  # packages, by the name they are imported by
    write: Callable[[Order], Written]
    int8: bool = False  # whether it can be asked for
    checks: tuple[str, ...] = field(default=())  # packages that the check reports the versions of, beside `needs`


def check_installed(name: str, target: Target) -> None:
    """Raises RunError, with what to install, when a package is missing."""
    absent = [package for package in target.needs if find_spec(package) is None]
    if absent:
        raise RunError(
            f"Exporting to {name} needs {', '.join(absent)}, which is not installed: pip install 'polyclip[export]'."
        )
