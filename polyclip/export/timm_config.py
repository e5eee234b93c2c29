"""A timm tower as transformers keeps it: TimmWrapperModel, with the picture processor that reads the same configuration."""

import json
from pathlib import Path
from typing import Any

import timm
import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from polyclip.errors import RunError
from polyclip.export.merge import EVERY, Affine, instead
from polyclip.export.preprocess_cfg import preprocess_cfg
from polyclip.models.branch import Branch


def timm_name(side: Branch, encoder: Any, target: str) -> str:
    """The timm model that a tower is, whole.

    Raises RunError where it is none, or reads more of it, or less, than timm's pooled vector.
    """
    model = getattr(encoder, "model", None)
    name = (getattr(model, "pretrained_cfg", None) or {}).get("architecture", "")
    if not name or not timm.is_model(name):
        raise RunError(
            f"{target} takes vision towers of timm only, and this run's is {side.tower.name}. Align with an efficientnet-lite or timm:NAME; {EVERY}."
        )
    with torch.device("meta"):
        whole = timm.create_model(name, pretrained=False, num_classes=0)
    if model.num_features != encoder.dim or whole.state_dict().keys() != model.state_dict().keys():  # type: ignore[union-attr]
        plainly = side.tower.name.partition(":")[0]
        raise RunError(
            f"{target} knows the last pooled vector of a timm model, and vision tower {side.tower.name} gives others: layers side by side, or fewer. "
            f"Align with --vision-tower {plainly} and one of these. {instead()}"
        )
    return name


def wrapper_config(side: Branch, encoder: Any, target: str) -> dict[str, Any]:
    """Configuration of the wrapper; `pretrained_cfg` says how pictures are read."""
    name = timm_name(side, encoder, target)
    cfg = preprocess_cfg(encoder, side.tower.name)
    reading = {
        "input_size": [3, *cfg["size"]],
        "interpolation": cfg["interpolation"],
        "mean": cfg["mean"],
        "std": cfg["std"],
        "crop_pct": 1.0,
        "crop_mode": "center",
    }
    return {
        "architectures": ["TimmWrapperModel"],
        "model_type": "timm_wrapper",
        "architecture": name,
        "num_classes": 0,
        "label_names": [],
        "pretrained_cfg": reading,
    }


def write_timm(side: Branch, encoder: Any, folder: Path, target: str) -> None:
    """config.json and model.safetensors."""
    folder.mkdir(parents=True, exist_ok=True)
    table = wrapper_config(side, encoder, target)
    (folder / "config.json").write_text(json.dumps(table, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    save_file(
        {f"timm_model.{k}": t.contiguous() for k, t in encoder.model.state_dict().items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )


@torch.no_grad()
def constant_channel(map_: Affine, side: Branch, encoder: Any, target: str) -> Float[Tensor, "dim width"]:
    """A weight that alone does what `map_` does: the channel that says least is made to say a constant, which carries the head's own.

    Raises RunError for a tower that does not end in timm's norm, activation and mean.
    """
    norm = getattr(encoder.model, "bn2", None)
    mean, deviation = (
        getattr(side.head, "mean", None),
        getattr(side.head, "spread", getattr(side.head, "deviation", None)),
    )
    if not map_.bias.any():
        return map_.weight
    if norm is None or mean is None or deviation is None:
        raise RunError(
            f"{target} projects pictures without a constant, and vision tower {side.tower.name} has no place for one. {EVERY}."
        )
    moving = torch.where(deviation == 1.0, 0.0, deviation.double())  # 1 stands for a dimension that never moved
    least = int((map_.weight.norm(dim=0) * moving).argmin())
    norm.weight[least], norm.bias[least] = 0.0, 1.0
    said = norm.act(torch.ones(()))
    weight = map_.weight.clone()
    weight[:, least] = (map_.bias + weight[:, least] * mean[least].double()) / said.double()
    return weight
