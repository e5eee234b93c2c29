"""The state of an unfinished training run: one safetensors file, replaced after each epoch."""

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from polyclip.core import distributed
from polyclip.core.storage import PART, writing
from polyclip.errors import RunError
from polyclip.models.aligner import PolyCLIP
from polyclip.training import fsdp
from polyclip.training.config import OptimizerConfig


@dataclass
class State:
    """Epochs done, the log so far, and the best epoch's weights."""

    epoch: int = 0
    log: list[dict[str, Any]] = field(default_factory=list)
    best: dict[str, Tensor] = field(default_factory=dict)
    best_value: float = -1.0
    fixed: frozenset[str] = frozenset()  # names of parameters that this phase leaves as they are, and that are not kept

    def record(self, line: dict[str, Any], aligner: PolyCLIP, last: bool = False) -> None:
        """Count an epoch, the start as number 0; keep its weights where none was better (of equals, the first), or always the `last`."""
        self.epoch = line["epoch"]
        self.log.append(line)
        if last or line["validation"] > self.best_value:
            self.best_value = line["validation"]
            self.best = {name: tensor.clone() for name, tensor in moving(aligner, self.fixed).items()}


def moving(aligner: PolyCLIP, fixed: frozenset[str]) -> dict[str, Tensor]:
    """What of an aligner's state a phase changes: before the towers are trained that is little, even of a method that trains all of them."""
    return {name: tensor for name, tensor in aligner.state().items() if name not in fixed}


def path_of(folder: Path, phase: str) -> Path:
    """Where a phase keeps its state."""
    return folder / f"checkpoint-{phase}.safetensors"


def moments(optimizer: Any) -> dict[str, Tensor]:
    """Whole moments of every parameter that is trained. Of several processes all ask together, and the first alone gets them."""
    found = {}
    for index, values in optimizer.state_dict()["state"].items():
        for key, value in values.items():
            tensor = fsdp.whole(value)
            if distributed.first():
                found[f"{index}.{key}"] = tensor
    return found


def write(folder: Path, phase: str, settings: OptimizerConfig, aligner: PolyCLIP, optimizer: Any, state: State) -> None:
    """Keep everything that the next epoch depends on. Of several processes all come here, and the first writes."""
    kept = moments(optimizer)
    if not distributed.first():
        return
    tensors = {f"now.{n}": t for n, t in moving(aligner, state.fixed).items()} | {
        f"best.{n}": t for n, t in state.best.items()
    }
    tensors |= {f"optimizer.{name}": tensor for name, tensor in kept.items()}
    facts = {
        "epoch": state.epoch,
        "log": state.log,
        "best_value": state.best_value,
        "settings": dataclasses.asdict(settings),
    }
    with writing(path_of(folder, phase), what="the state of training") as temporary:
        save_file({n: t.contiguous() for n, t in tensors.items()}, temporary, metadata={"state": json.dumps(facts)})


def read(
    folder: Path, phase: str, settings: OptimizerConfig, aligner: PolyCLIP, fixed: frozenset[str]
) -> tuple[State, dict[str, Tensor]]:
    """Put the kept state back into `aligner`; the rest of it, and moments for `restore`. A fresh State and none where nothing was kept.

    Raises RunError when the file is damaged or was made with other settings.
    """
    path = path_of(folder, phase)
    if not path.exists():
        return State(fixed=fixed), {}
    try:
        with safe_open(path, "pt") as handle:
            facts = json.loads(handle.metadata()["state"])
            tensors = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        raise RunError(
            f"{path} is damaged ({error}); delete the folder {folder} and start again without --resume."
        ) from error
    given = dataclasses.asdict(settings)
    different = [
        f"{key} was {facts['settings'].get(key)}, is now {given[key]}"
        for key in given
        if facts["settings"].get(key) != given[key]
    ]
    if different:
        raise RunError(
            f"{folder} was started with other settings: {'; '.join(different)}. Resume with the same ones, or choose another --out."
        )
    parts: dict[str, dict[str, Tensor]] = {"now": {}, "best": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, _, rest = name.partition(".")
        parts[part][rest] = tensor
    aligner.set_state({n: t for n, t in aligner.state().items() if n in fixed} | parts["now"], str(path))
    return State(facts["epoch"], facts["log"], parts["best"], facts["best_value"], fixed), parts["optimizer"]


def restore(optimizer: Any, moments: dict[str, Tensor]) -> None:
    """Put kept moments back, each process its share where a parameter is divided."""
    if not moments:
        return
    parameters = [
        parameter for group in optimizer.param_groups for parameter in group["params"]
    ]  # in the order of their numbers
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in moments.items():
        index, _, key = name.partition(".")
        parameter = parameters[int(index)]
        state.setdefault(int(index), {})[key] = (
            fsdp.portion(tensor, parameter) if tensor.shape == parameter.shape else tensor
        )
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def remove(folder: Path) -> None:
    """A finished run needs none of it, nor what a killed one left half-written."""
    for path in (*folder.glob("checkpoint-*.safetensors"), *folder.glob(f".*{PART}")):
        path.unlink()
