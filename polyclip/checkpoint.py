"""The state of an unfinished training run: one safetensors file, replaced after each epoch."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from polyclip.aligner import Aligner
from polyclip.errors import RunError
from polyclip.records import Settings
from polyclip.storage import PART, writing


@dataclass
class State:
    """Epochs done, the log so far, and the best epoch's weights."""

    epoch: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_value: float = -1.0
    fixed: frozenset[str] = frozenset()  # names of parameters that this phase leaves as they are, and that are not kept

    def record(self, line: dict[str, Any], aligner: Aligner, last: bool = False) -> None:
        """Count an epoch, the start as number 0; keep its weights where none was better (of equals, the first), or always the `last`."""
        self.epoch = line["epoch"]
        self.log.append(line)
        if last or line["validation"] > self.best_value:
            self.best_value = line["validation"]
            self.best = {name: tensor.clone() for name, tensor in moving(aligner, self.fixed).items()}


def moving(aligner: Aligner, fixed: frozenset[str]) -> dict[str, Tensor]:
    """What of an aligner's state a phase changes: before the towers are trained that is little, even of a method that trains all of them."""
    return {name: tensor for name, tensor in aligner.state().items() if name not in fixed}


def path_of(folder: Path, phase: str) -> Path:
    """Where a phase keeps its state."""
    return folder / f"checkpoint-{phase}.safetensors"


def write(folder: Path, phase: str, settings: Settings, aligner: Aligner, optimizer: torch.optim.Optimizer, state: State) -> None:
    """Keep everything that the next epoch depends on."""
    tensors = {f"now.{n}": t for n, t in moving(aligner, state.fixed).items()} | {f"best.{n}": t for n, t in state.best.items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{key}": value for key, value in values.items()}
    facts = {"epoch": state.epoch, "log": state.log, "best_value": state.best_value, "settings": dataclasses.asdict(settings)}
    with writing(path_of(folder, phase), what="the state of training") as temporary:
        save_file({n: t.contiguous() for n, t in tensors.items()}, temporary, metadata={"state": json.dumps(facts)})


def read(folder: Path, phase: str, settings: Settings, aligner: Aligner, optimizer: torch.optim.Optimizer, fixed: frozenset[str]) -> State:
    """Put the kept state back into `aligner` and `optimizer`; a fresh State where nothing was kept.

    Raises RunError when the file is damaged or was made with other settings.
    """
    path = path_of(folder, phase)
    if not path.exists():
        return State(fixed=fixed)
    try:
        with safe_open(path, "pt") as handle:
            facts = json.loads(handle.metadata()["state"])
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise RunError(f"{path} is damaged ({error}); delete the folder {folder} and start again without --resume.") from error
    given = dataclasses.asdict(settings)
    different = [f"{key} was {facts['settings'].get(key)}, is now {given[key]}" for key in given if facts["settings"].get(key) != given[key]]
    if different:
        raise RunError(f"{folder} was started with other settings: {'; '.join(different)}. Resume with the same ones, or choose another --out.")
    parts: dict[str, dict[str, Tensor]] = {"now": {}, "best": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    aligner.set_state({n: t for n, t in aligner.state().items() if n in fixed} | parts["now"], str(path))
    _restore(optimizer, parts["optimizer"])
    return State(facts["epoch"], facts["log"], parts["best"], facts["best_value"], fixed)


def _restore(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    table = optimizer.state_dict()
    moments: dict[int, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        index, _, key = name.partition(".")
        moments.setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict({"state": moments, "param_groups": table["param_groups"]})


def remove(folder: Path) -> None:
    """A finished run needs none of it, nor what a killed one left half-written."""
    for path in (*folder.glob("checkpoint-*.safetensors"), *folder.glob(f".*{PART}")):
        path.unlink()


def unfinished(folder: Path) -> bool:
    """Whether a run was interrupted here."""
    return any(folder.glob("checkpoint-*.safetensors"))
