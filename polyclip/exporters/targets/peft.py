"""Export the trained parts beside their base models: peft's layout for low-rank updates, plain tensors for everything
else.

`text/` and `vision/` hold what was trained in each encoder (adapter_config.json and adapter_model.safetensors, or
changed.safetensors
with changed weights) and the head as one linear map (head.safetensors: weight, bias), or as two with GELU between them
(inner.weight,
inner.bias, outer.weight, outer.bias). `base/` holds an encoder's own weights where no hub has them.
"""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from polyclip.errors import RunError
from polyclip.exporters.base import ExportNotes, ExportOrder, Target
from polyclip.exporters.limits import Limits, Plan, limit_images, limit_text
from polyclip.exporters.merge import EVERY, OWN, compute_affine, compute_layers, suggest_methods
from polyclip.exporters.preprocess_cfg import build_preprocess_cfg
from polyclip.exporters.timm_config import find_timm_name
from polyclip.exporters.tokenizer import write_tokenizer
from polyclip.models.branch import Branch
from polyclip.models.components.lora import match_exactly
from polyclip.models.hf import find_config

NAME = "peft"


def write(order: ExportOrder) -> ExportNotes:
    """Write both branches.

    Raises:
        RunError: A branch cannot be expressed.

    """
    notes = tuple(
        write_branch(branch, order.folder / branch.kind) for branch in (order.aligner.text, order.aligner.vision)
    )
    return ExportNotes(notes=notes)


def write_branch(branch: Branch, folder: Path) -> str:
    """Write one branch; returns a sentence that says what was written.

    Raises:
        RunError: The method added layers of its own.

    """
    folder.mkdir(parents=True)
    own = compute_layers(branch, NAME) if branch.kind == "text" else None
    maps = {"": compute_affine(branch, NAME)} if own is None else {"inner.": own.inner, "outer.": own.outer}
    tensors = {
        f"{name}{key}": tensor.float().contiguous()
        for name, one in maps.items()
        for key, tensor in (("weight", one.weight), ("bias", one.bias))
    }
    save_file(tensors, folder / "head.safetensors")
    base = branch.tower.build()
    write_base(branch, base, folder)
    if branch.encoder is None:
        return f"{branch.kind}: the head alone was trained"
    if any(isinstance(module, OWN) for module in branch.encoder.modules()):
        raise RunError(
            f"{NAME} does not support the layers that this run's method added to the {branch.kind} tower. "
            f"{suggest_methods()}"
        )
    model = branch.encoder.model
    if any(".lora_" in name for name, _ in model.named_parameters()):
        write_low_rank(model, base.model, folder)
        return f"{branch.kind}: low-rank updates"
    trained = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    save_file(trained, folder / "changed.safetensors")
    return f"{branch.kind}: {len(trained)} of the tower's own tensors"


def write_base(branch: Branch, encoder: Any, folder: Path) -> None:
    """Write the base model: configuration, weights, tokenizer or image preprocessing.

    Raises:
        RunError: The encoder is not supported.

    """
    base = folder / "base"
    if branch.kind == "text":
        config = find_config(encoder)
        if config is None or config.is_encoder_decoder:
            raise RunError(
                f"{NAME} supports stand-alone transformers text encoders only, but this run's is "
                f"{branch.tower.name}. {EVERY}."
            )
        encoder.model.save_pretrained(base)
        write_tokenizer(encoder, base, branch.tower.name)
        facts: dict[str, Any] = {"pooling": encoder.pooling}
    else:
        base.mkdir(parents=True)
        facts = {
            "timm": find_timm_name(branch, encoder, NAME),
            "preprocess_cfg": build_preprocess_cfg(encoder, branch.tower.name),
        }
        save_file({name: t.contiguous() for name, t in encoder.model.state_dict().items()}, base / "model.safetensors")
    (folder / "side.json").write_text(json.dumps(facts, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def write_low_rank(model: nn.Module, base: nn.Module, folder: Path) -> None:
    """Write low-rank updates in peft's own files, by moving them into a model that peft wrapped itself.

    Raises:
        RunError: peft does not know a tensor.

    """
    from peft import get_peft_model
    from peft.tuners.lora import LoraLayer

    wrapped = {path: module for path, module in model.named_modules() if isinstance(module, LoraLayer)}
    ranks = {path: int(module.r["default"]) for path, module in wrapped.items()}
    peft_model: Any = get_peft_model(base, make_lora_config(ranks))
    state = {name: t for name, t in model.state_dict().items() if ".lora_" in name}
    loaded = peft_model.base_model.model.load_state_dict(state, strict=False)
    if loaded.unexpected_keys:
        raise RunError(f"{NAME} does not know {loaded.unexpected_keys[0]} in a {type(model).__name__}. {EVERY}.")
    for config in peft_model.peft_config.values():
        config.base_model_name_or_path = "base"
    peft_model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    for left in folder.glob("README.md"):
        left.unlink()


def make_lora_config(ranks: dict[str, int]) -> Any:
    """Make a LoRA configuration with a rank for each layer, scale 1."""
    from peft import LoraConfig

    patterns = match_exactly(ranks)
    return LoraConfig(
        r=8, lora_alpha=8, target_modules=sorted(ranks), rank_pattern=patterns, alpha_pattern=patterns, lora_dropout=0.0
    )


def find_limits(plan: Plan) -> Limits:
    """Reasons against an export, as `polyclip.exporters.base.Target.limits`."""
    return Limits(limit_text(plan, NAME), limit_images(plan, NAME))


TARGET = Target(
    about="what was trained, in peft's layout, beside the towers",
    needs=("peft",),
    write=write,
    limits=find_limits,
    checks=("transformers", "timm"),
)
