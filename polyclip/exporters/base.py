"""Types shared by all export targets."""

from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from polyclip.errors import RunError
from polyclip.exporters.limits import Limits, Plan
from polyclip.models.aligner import PolyCLIP


@dataclass(frozen=True, kw_only=True)
class ExportOrder:
    """What to export and where."""

    aligner: PolyCLIP  # may be modified: it is not used afterwards
    run: Path
    folder: Path  # where files are written
    final: Path  # absolute; the final folder
    int8: bool = False
    width: int = 0  # embeddings are padded with zeros to this length; 0: they are not


@dataclass(frozen=True, kw_only=True)
class ExportNotes:
    """What an export can embed, and notes for its users."""

    text: bool = True
    images: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Target:
    """An export target, as an extension author defines it in `polyclip/exporters/targets/NAME.py`.

    Attributes:
        about: One line for `polyclip methods` and the documentation.
        needs: Import names of required packages.
        write: Writes an order into its `folder` and returns notes; raises RunError where the run cannot be expressed.
        int8: Whether 8-bit weights are supported.
        pads: Whether embeddings can be padded to another length.
        checks: Further packages whose versions are recorded in export.json.
        reader: A program with `encode(folder, captions, images)` that reads an export back with the library alone; by
            default the file of the target's name in `polyclip/exporters/_readers`.
        limits: Reasons, known before anything is loaded, why captions or images of a run cannot go there; by default
            none. `polyclip methods`, `align --for` and `export` all ask it.
        text_only: Whether a run whose captions alone can be expressed is written without its images.

    """

    about: str
    needs: tuple[str, ...]  # import names of required packages
    write: Callable[[ExportOrder], ExportNotes]
    int8: bool = False  # whether it is supported
    pads: bool = False
    checks: tuple[str, ...] = field(default=())  # further packages whose versions are recorded
    reader: Path | None = None
    limits: Callable[[Plan], Limits] = Limits.none
    text_only: bool = False


def check_installed(name: str, target: Target) -> None:
    """Check that a target's packages are installed.

    Raises:
        RunError: A package is missing; the message says what to install.

    """
    absent = [package for package in target.needs if find_spec(package) is None]
    if absent:
        raise RunError(
            f"Exporting to {name} needs {', '.join(absent)}, which is not installed: pip install 'polyclip[export]'."
        )
