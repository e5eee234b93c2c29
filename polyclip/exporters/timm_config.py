"""Export a timm encoder as transformers' TimmWrapperModel, with its image processor."""

import json
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from polyclip.errors import RunError
from polyclip.exporters.merge import EVERY, Affine, suggest_methods
from polyclip.exporters.preprocess_cfg import build_preprocess_cfg
from polyclip.models.branch import Branch
from polyclip.models.modules import find_module
from polyclip.models.shapes import without_values


def find_timm_name(branch: Branch, encoder: Any, target: str) -> str:
    """Return the name of the timm model that an encoder is, as a whole.

    Raises:
        RunError: It is not a timm model, or uses other features than timm's pooled ones.

    """
    import timm  # takes 1.5 s, and every run asks which exports hold it

    model = find_module(encoder, "model")
    name = (getattr(model, "pretrained_cfg", None) or {}).get("architecture", "")
    if not name or not timm.is_model(name):
        raise RunError(
            f"{target} supports timm vision encoders only, but this run's is {branch.tower.name}. Align with an "
            f"efficientnet-lite or timm:NAME; {EVERY}."
        )
    with without_values():
        whole = timm.create_model(name, pretrained=False, num_classes=0)
    if model.num_features != encoder.dim or whole.state_dict().keys() != model.state_dict().keys():
        plainly = branch.tower.name.partition(":")[0]
        raise RunError(
            f"{target} supports the last pooled features of a timm model, but vision encoder {branch.tower.name} "
            "gives others: several layers, or fewer. "
            f"Align with --vision-tower {plainly} and one of these. {suggest_methods()}"
        )
    return name


def build_wrapper_config(branch: Branch, encoder: Any, target: str) -> dict[str, Any]:
    """Build the configuration of the wrapper; `pretrained_cfg` describes the image preprocessing."""
    name = find_timm_name(branch, encoder, target)
    cfg = build_preprocess_cfg(encoder, branch.tower.name)
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


def write_timm(branch: Branch, encoder: Any, folder: Path, target: str) -> None:
    """Write config.json and model.safetensors of the wrapper."""
    folder.mkdir(parents=True, exist_ok=True)
    table = build_wrapper_config(branch, encoder, target)
    (folder / "config.json").write_text(json.dumps(table, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    save_file(
        {f"timm_model.{k}": t.contiguous() for k, t in encoder.model.state_dict().items()},
        folder / "model.safetensors",
        metadata={"format": "pt"},
    )


@torch.no_grad()
def fold_constant_channel(map_: Affine, branch: Branch, encoder: Any, target: str) -> Float[Tensor, "dim width"]:
    """Return a weight that alone acts like `map_`: the least important channel is made constant and carries the head's
    bias.

    Raises:
        RunError: The encoder does not end in timm's norm, activation and mean.

    """
    norm = find_module(encoder.model, "bn2")
    (mean, _), spread = branch.head.get_statistics(encoder.dim), branch.head.get_spread()
    if not map_.bias.any():
        return map_.weight
    if norm is None or spread is None:
        raise RunError(
            f"{target} projects images without bias, but vision encoder {branch.tower.name} cannot hold one. {EVERY}."
        )
    moving = torch.where(spread == 1.0, 0.0, spread.double())  # 1 marks a constant dimension
    least = int((map_.weight.norm(dim=0) * moving).argmin())
    norm.weight[least], norm.bias[least] = 0.0, 1.0
    said = norm.act(torch.ones(()))
    weight = map_.weight.clone()
    weight[:, least] = (map_.bias + weight[:, least] * mean[least].double()) / said.double()
    return weight
