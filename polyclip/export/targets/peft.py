"""What was trained, small, beside the towers it was trained on: peft's layout for low-rank updates, plain tensors for all else.

`text/` and `vision/` hold what was trained inside each tower (adapter_config.json and adapter_model.safetensors, or changed.safetensors with
the tower's own weights that moved) and the head as one linear map (head.safetensors: weight, bias), or as
two with GELU between them (inner.weight, inner.bias, outer.weight, outer.bias). `base/` holds a tower's own weights where no
hub has them.
"""

import json
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import nn

from polyclip.errors import RunError
from polyclip.export.base import Order, Target, Written
from polyclip.export.merge import EVERY, OWN, affine, instead, layers
from polyclip.export.preprocess_cfg import preprocess_cfg
from polyclip.export.timm_config import timm_name
from polyclip.export.tokenizer import write_tokenizer
from polyclip.models.branch import Branch
from polyclip.models.components.lora import exactly

NAME = "peft"


def write(order: Order) -> Written:
    """Both sides."""
    notes = tuple(write_side(side, order.folder / side.kind) for side in (order.aligner.text, order.aligner.vision))
    return Written(notes=notes)


def write_side(side: Branch, folder: Path) -> str:
    """One side; says what was written.

    Raises RunError where the method put layers of its own into the tower.
    """
    folder.mkdir(parents=True)
    own = layers(side, NAME) if side.kind == "text" else None
    maps = {"": affine(side, NAME)} if own is None else {"inner.": own.inner, "outer.": own.outer}
    tensors = {
        f"{name}{key}": tensor.float().contiguous()
        for name, one in maps.items()
        for key, tensor in (("weight", one.weight), ("bias", one.bias))
    }
    save_file(tensors, folder / "head.safetensors")
    base = side.tower.build()
    write_base(side, base, folder)
    if side.encoder is None:
        return f"{side.kind}: the head alone was trained"
    if any(isinstance(module, OWN) for module in side.encoder.modules()):
        raise RunError(
            f"{NAME} has no place for the layers that this run's method put into the {side.kind} tower. {instead()}"
        )
    model = side.encoder.model
    if any(".lora_" in name for name, _ in model.named_parameters()):
        write_low_rank(model, base.model, folder)
        return f"{side.kind}: low-rank updates"
    trained = {name: p.detach().contiguous() for name, p in model.named_parameters() if p.requires_grad}
    save_file(trained, folder / "changed.safetensors")
    return f"{side.kind}: {len(trained)} of the tower's own tensors"


def write_base(side: Branch, encoder: Any, folder: Path) -> None:
    """What the updates are put on: configuration, weights, tokenizer or the way pictures are read."""
    base = folder / "base"
    if side.kind == "text":
        if getattr(encoder.model, "config", None) is None or encoder.model.config.is_encoder_decoder:
            raise RunError(
                f"{NAME} takes text encoders of transformers that stand alone, and this run's is {side.tower.name}. {EVERY}."
            )
        encoder.model.save_pretrained(base)
        write_tokenizer(encoder, base, side.tower.name)
        facts: dict[str, Any] = {"pooling": encoder.pooling}
    else:
        base.mkdir(parents=True)
        facts = {"timm": timm_name(side, encoder, NAME), "preprocess_cfg": preprocess_cfg(encoder, side.tower.name)}
        save_file({name: t.contiguous() for name, t in encoder.model.state_dict().items()}, base / "model.safetensors")
    (folder / "side.json").write_text(json.dumps(facts, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")


def write_low_rank(model: nn.Module, base: nn.Module, folder: Path) -> None:
    """peft's own files: the updates move into a model that peft wrapped itself, which writes them."""
    from peft import get_peft_model
    from peft.tuners.lora import LoraLayer

    wrapped = {path: module for path, module in model.named_modules() if isinstance(module, LoraLayer)}
    ranks = {path: int(module.r["default"]) for path, module in wrapped.items()}
    peft_model: Any = get_peft_model(base, configured(ranks))
    state = {name: t for name, t in model.state_dict().items() if ".lora_" in name}
    loaded = peft_model.base_model.model.load_state_dict(state, strict=False)
    if loaded.unexpected_keys:
        raise RunError(f"{NAME} does not know {loaded.unexpected_keys[0]} in a {type(model).__name__}. {EVERY}.")
    for config in peft_model.peft_config.values():
        config.base_model_name_or_path = "base"
    peft_model.save_pretrained(folder, safe_serialization=True, save_embedding_layers=False)
    for left in folder.glob("README.md"):
        left.unlink()


def configured(ranks: dict[str, int]) -> Any:
    """Each map with its own rank, scale 1."""
    from peft import LoraConfig

    patterns = exactly(ranks)
    return LoraConfig(
        r=8, lora_alpha=8, target_modules=sorted(ranks), rank_pattern=patterns, alpha_pattern=patterns, lora_dropout=0.0
    )


TARGET = Target(
    about="what was trained, in peft's layout, beside the towers",
    needs=("peft",),
    write=write,
    checks=("transformers", "timm"),
)
