"""TOML packs: where they are, and how a file becomes a validated immutable object."""

import re
import tomllib
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from polyclip.core.expected import describe_expected
from polyclip.core.storage import read_plain_text
from polyclip.errors import PackError

PACKAGE = Path(__file__).parents[1]
ROOT = (
    PACKAGE / "packs_data" if (PACKAGE / "packs_data").is_dir() else PACKAGE.parent
)  # a wheel carries the folders inside the package
LANGUAGES = ROOT / "languages"
CORPORA = ROOT / "corpora"
DEEP = re.compile(r"""(?<![\w"'-])(?:[\w"'-]++[ \t]*\.[ \t]*){100}""")  # a key of so many parts takes tomllib minutes
SHOWN = 80  # characters of a value in an error


class Pack(BaseModel):
    """Base of all packs: unknown keys are refused, values are immutable."""

    model_config = ConfigDict(extra="forbid", frozen=True)


P = TypeVar("P", bound=Pack)


@dataclass(frozen=True)
class Fault:
    """One fault of a pack: the key, what was found there, what was expected."""

    key: str
    found: str
    expected: str

    def __str__(self) -> str:
        return f"{self.key}: {self.expected}, found {self.found}"


class PackValueError(ValueError):
    """A fault found by a pack's own checks; pydantic passes it on to `to_fault`."""

    def __init__(self, key: str, found: str, expected: str) -> None:
        super().__init__(expected)
        self.fault = Fault(key, found, expected)


def parse_toml(text: str) -> dict[str, Any]:
    """Parse TOML, whatever it holds; a byte order mark is dropped.

    Args:
        text: The document.

    Returns:
        Its table.

    Raises:
        TOMLDecodeError: It is not TOML, is nested too deeply, or has a number of over 4,300 digits.

    """
    if DEEP.search(text):
        raise tomllib.TOMLDecodeError("nested too deeply")
    try:
        found = tomllib.loads(text.removeprefix("\ufeff"))
        check_numbers(found)
        return found
    except tomllib.TOMLDecodeError:
        raise
    except RecursionError as error:
        raise tomllib.TOMLDecodeError("nested too deeply") from error
    except (ValueError, OverflowError) as error:
        raise tomllib.TOMLDecodeError(str(error).partition(";")[0]) from error


def check_numbers(found: Any) -> None:
    """Check that every number can be printed: one in hexadecimal digits may be longer than Python writes in decimal.

    Raises:
        ValueError: One cannot.

    """
    waiting = [found]
    while waiting:
        value = waiting.pop()
        if isinstance(value, int):
            str(value)
        waiting += value.values() if isinstance(value, dict) else value if isinstance(value, list) else []


def read_table(path: Path) -> dict[str, Any]:
    """Read one TOML file.

    Raises:
        PackError: The file is missing, not UTF-8 or not TOML.

    """
    try:
        return parse_toml(read_plain_text(path))
    except UnicodeDecodeError as error:
        raise PackError(f"{path} is not UTF-8 ({error}).") from error
    except OSError as error:
        raise PackError(
            f"{path} cannot be read: {error.strerror or error}; expected a pack, which is one TOML file."
        ) from error
    except tomllib.TOMLDecodeError as error:
        raise PackError(f"{path} is not TOML: {error}.") from error


def validate_pack(kind: type[P], path: Path) -> tuple[P | None, list[Fault]]:
    """Validate a file against a pack's schema and collect every fault.

    Args:
        kind: The class of the pack.
        path: The TOML file.

    Returns:
        The pack and no faults, or None and all faults.

    Raises:
        PackError: The file is missing, not UTF-8 or not TOML.

    """
    try:
        return kind.model_validate(read_table(path)), []
    except ValidationError as error:
        return None, [to_fault(dict(found)) for found in error.errors()]


def to_fault(error: dict[str, Any]) -> Fault:
    """Convert an error of pydantic to key, found and expected."""
    ours = (error.get("ctx") or {}).get("error")
    if isinstance(ours, PackValueError):
        return ours.fault
    key = ".".join(str(part) for part in error["loc"]) or "the file"
    if error["type"] == "missing":
        return Fault(key, "nothing", "expected a value")
    if error["type"] == "extra_forbidden":
        return Fault(key, _shown(error["input"]), "unknown key")
    said = describe_expected(error)
    return Fault(key, _shown(error["input"]), said if said.startswith("expected ") else f"expected {said}")


def _shown(value: object) -> str:
    text = value.isoformat() if isinstance(value, date) else repr(value)
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def read_pack(kind: type[P], path: Path) -> P:
    """Read and validate one pack.

    Args:
        kind: The class of the pack.
        path: The TOML file.

    Returns:
        The validated pack.

    Raises:
        PackError: The file cannot be read or breaks the schema; the message names file, key, what was found and what
            was expected.

    """
    pack, faults = validate_pack(kind, path)
    if pack is None:
        raise make_pack_error(path, faults)
    return pack


def make_pack_error(path: Path, faults: list[Fault]) -> PackError:
    """Make the error for a pack with these faults: the first one, and how many there are."""
    return PackError(f"{path}: {faults[0]} ({len(faults)} problem(s) in all).")
