"""What run.toml, and the `run` table of result.json, must hold for what reads them; other keys are free."""

import math
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from polyclip.core.toml import Fault, to_fault


class Written(BaseModel):
    """Base of tables that polyclip writes: types as they are written, finite numbers, keys of later versions."""

    model_config = ConfigDict(strict=True, extra="allow", allow_inf_nan=False)


class WrittenPhase(Written):
    """A phase of training."""

    seed: int
    epochs: int = 0
    batch_size: int = 0


class WrittenRecipe(Written):
    """The architecture of a model."""

    method: str
    text_encoder: str
    vision_tower: str
    teacher: str = ""


class WrittenSample(Written):
    """How captions and images were sampled."""

    views: int = 1
    mix: dict[str, float] | None = None
    temperature: float | None = None


class WrittenStart(Written):
    """The run that another one was continued from."""

    start: str = Field(alias="from")
    new: list[str] = Field(min_length=1)
    shots: int | str
    shots_by: str = ""
    rehearse: bool = True


class WrittenRun(Written):
    """The settings of a run; readers name what else they need."""

    languages: list[str] = Field(min_length=1)
    heads: WrittenPhase | None = None
    towers: WrittenPhase | None = None
    corpus: str = ""
    recipe: WrittenRecipe | None = None
    sample: WrittenSample = WrittenSample()
    continued: WrittenStart | None = None
    precision: str = ""
    encode_precision: str = ""
    class_names: bool = True
    class_names_from: list[str] = []
    folds: int = 0
    final: bool = False


def find_fault(kind: Any, value: object, *needed: str) -> Fault | None:
    """Find the first fault of a parsed file.

    Args:
        kind: The type that it must have, such as `WrittenRun`.
        value: What was parsed.
        needed: Keys that must be there, though the type has a default.

    Returns:
        The fault; None for none.

    """
    try:
        TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        return to_fault(dict(error.errors()[0]))
    missing = [key for key in needed if key not in value]  # type: ignore[operator]  # it is a table
    return Fault(missing[0], "nothing", "expected a value") if missing else None


def find_odd_value(table: dict[str, Any], where: str = "") -> Fault | None:
    """Find the first value that JSON could not hold: a date, NaN or infinity. None for none."""
    for key, value in table.items():
        place = f"{where}{key}"
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, dict):
                if fault := find_odd_value(one, f"{place}."):
                    return fault
            elif not isinstance(one, str | int | list) and not (isinstance(one, float) and math.isfinite(one)):
                return Fault(place, str(one)[:80], "expected a finite number, a text or a list")
    return None
