"""Low-rank updates (LoRA, Hu et al. 2022, arXiv 2106.09685) by peft, with a rank for each tower, kind of block and layer."""

import re
from typing import Any

from torch import nn

from polyclip.errors import DataError
from polyclip.models.components.target import Site

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


def low_rank(site: Site) -> list[nn.Parameter]:
    """Add B A x to every linear map and 1x1 convolution of the chosen layers; B starts at zero. Returns A and B of each.

    `site.rank` is one number for all, or rules TOWER[.KIND][.LAYER]=RANK separated by commas, of which the last that fits counts: HALoRA's
    budget gives each tower and kind of block its own ("8,text.attention=16,vision=4,text.attention.0=32"). Rank 0 leaves a block out.
    Raises DataError for a rule that is none, and for a tower without such maps.
    """
    from peft import LoraConfig, inject_adapter_in_model

    ranks = {path: rank for path, rank in planned(site).items() if rank}
    if not ranks:
        raise DataError(
            f"Low-rank updates have no place in a {site.name} with ranks {site.rank!r}: expected linear maps or 1x1 convolutions of rank > 0."
        )
    model = site.encoder.model
    config = LoraConfig(
        r=8,
        lora_alpha=8,
        target_modules=sorted(ranks),
        rank_pattern=exactly(ranks),
        alpha_pattern=exactly(ranks),
        lora_dropout=0.0,
    )
    inject_adapter_in_model(config, model)
    return [p for name, p in model.named_parameters() if ".lora_" in name]


def exactly(ranks: dict[str, int]) -> dict[str, int]:
    """Patterns that peft matches against a module's whole path."""
    return {f"^{re.escape(path)}$": rank for path, rank in ranks.items()}


def planned(site: Site) -> dict[str, int]:
    """The rank of each map, by its path in the model."""
    rules = parsed(site.rank)
    trunk, model = site.encoder.trunk, site.encoder.model
    numbers = site.numbers()
    paths = {id(module): path for path, module in model.named_modules()}
    found = {}
    for number in numbers:
        for path, module in trunk.layers[number].named_modules():
            kind = kind_of(path, module)
            if kind:
                found[paths[id(module)]] = rank_of(rules, site.kind, kind, number)
    return found


def kind_of(path: str, module: nn.Module) -> str:
    """attention, mlp or convolution; empty for what is none."""
    if isinstance(module, nn.Conv2d):
        return "convolution" if module.kernel_size == (1, 1) and module.groups == 1 else ""
    if not isinstance(module, nn.Linear):
        return ""
    return "attention" if path.endswith(ATTENTION) else "mlp"


def parsed(text: str) -> list[tuple[str, str, str, int]]:
    """Rules in their order: tower, kind, layer (each may be empty), rank."""
    rules = []
    for part in text.split(","):
        found = RULE.fullmatch(part.strip())
        if found is None:
            raise DataError(
                f"Rank rule {part!r} is none: expected a number, or TOWER[.KIND][.LAYER]=RANK such as text.attention=16 or vision.mlp.3=4."
            )
        tower, kind, layer, rank = (group or "" for group in found.groups())
        rules.append((tower, kind, layer, int(rank)))
    return rules


def rank_of(rules: list[tuple[str, str, str, int]], *place: Any) -> int:
    """Rank of the last rule that fits (tower, kind, layer); 0 where none does."""
    fitting = [
        rule[3] for rule in rules if all(wanted in ("", str(is_)) for wanted, is_ in zip(rule[:3], place, strict=True))
    ]
    return fitting[-1] if fitting else 0
