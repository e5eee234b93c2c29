"""Checkpoints of an unfinished training run: one safetensors file, replaced after an epoch."""

import dataclasses
import json
import math
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from polyclip.core import distributed
from polyclip.core.json import parse_json
from polyclip.core.storage import check_plain, remove_abandoned, write_atomically
from polyclip.core.text import describe_error
from polyclip.errors import RunError
from polyclip.models.aligner import PolyCLIP
from polyclip.training import fsdp
from polyclip.training.config import OptimizerConfig


class WrittenFacts(BaseModel):
    """What a checkpoint says beside its tensors."""

    epoch: int
    log: list[dict[str, Any]]
    best_value: float
    settings: dict[str, Any]


SECONDS = 5.0  # between two checkpoints, at least: a killed run repeats as many


@dataclass
class TrainingState:
    """Epochs done, the log so far, and the best epoch's weights."""

    epoch: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_value: float = -1.0
    written: float = -math.inf  # moment of time.monotonic() of the last checkpoint
    fixed: frozenset[str] = frozenset()  # names of parameters that this phase leaves as they are, and that are not kept

    def record(self, line: dict[str, Any], aligner: PolyCLIP, last: bool = False) -> None:
        """Record an epoch, and its weights if none was better before.

        Args:
            line: Of the log; the state before training is epoch 0.
            aligner: The model with the epoch's weights.
            last: Keep this epoch's weights even where an earlier one was better.

        """
        self.epoch = line["epoch"]
        self.log.append(line)
        if last or line["validation"] > self.best_value:
            self.best_value = line.get("validation", self.best_value)
            self.best = {name: tensor.clone() for name, tensor in select_changing(aligner, self.fixed).items()}


def select_changing(aligner: PolyCLIP, fixed: frozenset[str]) -> dict[str, Tensor]:
    """Select the part of a model's state that a phase changes.

    Before encoders are trained that is little, even of a method that trains all of them.
    """
    return {name: tensor for name, tensor in aligner.state().items() if name not in fixed}


def get_path(folder: Path, phase: str) -> Path:
    """Checkpoint file of a phase."""
    return folder / f"checkpoint-{phase}.safetensors"


def collect_optimizer_state(optimizer: Any) -> dict[str, Tensor]:
    """Collect the optimizer state of every trained parameter; all processes call it, and the first one gets the
    tensors.
    """
    found, first = {}, distributed.is_first_process()
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            tensor = fsdp.gather_tensor(value)
            if first:
                found[f"{index}.{key}"] = tensor
    return found


def is_due(state: TrainingState, end: int) -> bool:
    """Whether the epoch that is done is worth a checkpoint; all processes call it, and the first one decides.

    Args:
        state: Of the phase.
        end: Epochs after which it ends.

    """
    due = state.epoch == end or time.monotonic() - state.written >= SECONDS
    return bool(distributed.gather_objects(due)[0])


def write(
    folder: Path, phase: str, settings: OptimizerConfig, aligner: PolyCLIP, optimizer: Any, state: TrainingState
) -> None:
    """Write everything that the next epoch depends on; all processes call it, and the first one writes.

    Args:
        folder: The run folder.
        phase: Name of the phase.
        settings: Of the phase, compared on resume.
        aligner: The model.
        optimizer: Its optimizer.
        state: Of the phase.

    """
    kept = collect_optimizer_state(optimizer)
    state.written = time.monotonic()
    if not distributed.is_first_process():
        return
    tensors = {f"now.{n}": t for n, t in select_changing(aligner, state.fixed).items()} | {
        f"best.{n}": t for n, t in state.best.items()
    }
    tensors |= {f"optimizer.{name}": tensor for name, tensor in kept.items()}
    facts = {
        "epoch": state.epoch,
        "log": state.log,
        "best_value": state.best_value,
        "settings": dataclasses.asdict(settings),
    }
    with write_atomically(get_path(folder, phase), what="the state of training") as temporary:
        save_file({n: t.contiguous() for n, t in tensors.items()}, temporary, metadata={"state": json.dumps(facts)})


def read(
    folder: Path, phase: str, settings: OptimizerConfig, aligner: PolyCLIP, fixed: frozenset[str]
) -> tuple[TrainingState, dict[str, Tensor]]:
    """Load a checkpoint's weights into `aligner`.

    Args:
        folder: The run folder.
        phase: Name of the phase.
        settings: Of the phase; have to be those that the run was started with.
        aligner: The model.
        fixed: Names of parameters that the phase does not train.

    Returns:
        The state of the phase, and optimizer state for `restore`; a fresh state and none without a checkpoint.

    Raises:
        RunError: The file is damaged or was made with other settings.

    """
    path = get_path(folder, phase)
    if not path.exists():
        return TrainingState(fixed=fixed), {}
    try:
        check_plain(path)
        with safe_open(path, "pt") as handle:
            facts = WrittenFacts.model_validate(parse_json((handle.metadata() or {})["state"])).model_dump()
            parts: dict[str, dict[str, Tensor]] = {"now": {}, "best": {}, "optimizer": {}}
            for name in handle.keys():  # noqa: SIM118 (no mapping)
                part, _, rest = name.partition(".")
                parts[part][rest] = handle.get_tensor(name)
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise RunError(
            f"{path} is damaged ({describe_error(error)}); delete the folder {folder} and start again without --resume."
        ) from error
    given = dataclasses.asdict(settings)
    different = [
        f"{key} was {facts['settings'].get(key)}, is now {given[key]}"
        for key in given
        if facts["settings"].get(key) != given[key]
    ]
    if different:
        raise RunError(
            f"{folder} was started with other settings: {'; '.join(different)}. Resume with the same ones, or choose "
            "another --out."
        )
    aligner.set_state({n: t for n, t in aligner.state().items() if n in fixed} | parts["now"], str(path))
    state = TrainingState(facts["epoch"], facts["log"], parts["best"], facts["best_value"], fixed=fixed)
    return state, parts["optimizer"]


def restore(optimizer: Any, moments: dict[str, Tensor]) -> None:
    """Load optimizer state; each process takes its shard of a sharded parameter.

    Raises:
        RunError: It is that of other parameters.

    """
    if not moments:
        return
    parameters = [
        parameter for group in optimizer.param_groups for parameter in group["params"]
    ]  # in the order of their numbers
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in moments.items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)] if index.isdecimal() and int(index) < len(parameters) else None
        if parameter is None or tensor.shape not in ((), parameter.shape):
            raise RunError(
                f"The checkpoint's state of the optimizer does not fit the model ({name[:80]!r} has the shape "
                f"{list(tensor.shape)}): delete the run folder and start again without --resume."
            )
        state.setdefault(int(index), {})[key] = (
            fsdp.take_shard(tensor, parameter) if tensor.shape == parameter.shape else tensor
        )
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def remove(folder: Path) -> None:
    """Remove a finished run's checkpoints, and what a killed process left half-written."""
    for path in folder.glob("checkpoint-*.safetensors"):
        path.unlink()
    remove_abandoned(folder)
