"""Low-rank updates (LoRA, Hu et al. 2022, arXiv 2106.09685) by peft, with a rank for each encoder, kind of block and
layer.
"""

import re
from typing import Any

from torch import nn

from polyclip.errors import DataError
from polyclip.models.components.target import TargetLayers

RULE = re.compile(r"(?:(text|vision)(?:\.(attention|mlp|convolution))?(?:\.(\d+))?=)?(\d+)")
ATTENTION = (
    "query",
    "key",
    "value",
    "qkv",
    "attn.proj",
    "q_proj",
    "k_proj",
    "v_proj",
    "o_proj",
    "out_proj",
    "attention.output.dense",
    "attention.dense",
)


def add_lora(target: TargetLayers) -> list[nn.Parameter]:
    """Add a low-rank update B A x to every linear map and 1x1 convolution of the chosen layers; B starts at zero.

    `target.rank` is one number for all, or comma-separated rules TOWER[.KIND][.LAYER]=RANK, of which the last that
    matches counts. HALoRA's budget gives each encoder and kind of block its own
    ("8,text.attention=16,vision=4,text.attention.0=32"). Rank 0 leaves a block out.

    Args:
        target: The encoder, its layers and the ranks.

    Returns:
        A and B of each update.

    Raises:
        DataError: A rule cannot be parsed, or the encoder has no such maps.

    """
    from peft import LoraConfig, inject_adapter_in_model

    ranks = {path: rank for path, rank in plan_ranks(target).items() if rank}
    if not ranks:
        raise DataError(
            f"Low-rank updates have no place in a {target.name} with ranks {target.rank!r}: expected linear maps or "
            "1x1 convolutions of rank > 0."
        )
    model = target.encoder.model
    config = LoraConfig(
        r=8,
        lora_alpha=8,
        target_modules=sorted(ranks),
        rank_pattern=match_exactly(ranks),
        alpha_pattern=match_exactly(ranks),
        lora_dropout=0.0,
    )
    inject_adapter_in_model(config, model)
    return [p for name, p in model.named_parameters() if ".lora_" in name]


def match_exactly(ranks: dict[str, int]) -> dict[str, int]:
    """Regular expressions that peft matches against a module's whole path."""
    return {f"^{re.escape(path)}$": rank for path, rank in ranks.items()}


def plan_ranks(target: TargetLayers) -> dict[str, int]:
    """Rank of each map, by its path in the model."""
    rules = parse_rank_rules(target.rank)
    trunk, model = target.encoder.trunk, target.encoder.model
    numbers = target.layer_numbers()
    paths = {id(module): path for path, module in model.named_modules()}
    found = {}
    for number in numbers:
        for path, module in trunk.layers[number].named_modules():
            kind = classify_module(path, module)
            if kind:
                found[paths[id(module)]] = find_rank(rules, target.kind, kind, number)
    return found


def classify_module(path: str, module: nn.Module) -> str:
    """Kind of a module: attention, mlp or convolution; empty for a module that gets no update."""
    if isinstance(module, nn.Conv2d):
        return "convolution" if module.kernel_size == (1, 1) and module.groups == 1 else ""
    if not isinstance(module, nn.Linear):
        return ""
    return "attention" if path.endswith(ATTENTION) else "mlp"


def parse_rank_rules(text: str) -> list[tuple[str, str, str, int]]:
    """Parse rank rules.

    Args:
        text: Such as "8,text.attention=16".

    Returns:
        Rules in their order: encoder, kind, layer (each may be empty), rank.

    Raises:
        DataError: A rule cannot be parsed.

    """
    rules = []
    for part in text.split(","):
        found = RULE.fullmatch(part.strip())
        if found is None:
            raise DataError(
                f"Rank rule {part!r} cannot be parsed: expected a number, or TOWER[.KIND][.LAYER]=RANK such as "
                "text.attention=16 or vision.mlp.3=4."
            )
        tower, kind, layer, rank = (group or "" for group in found.groups())
        rules.append((tower, kind, layer, int(rank)))
    return rules


def find_rank(rules: list[tuple[str, str, str, int]], *place: Any) -> int:
    """Rank by the last rule that matches (encoder, kind, layer); 0 where none does."""
    fitting = [
        rule[3] for rule in rules if all(wanted in ("", str(is_)) for wanted, is_ in zip(rule[:3], place, strict=True))
    ]
    return fitting[-1] if fitting else 0
