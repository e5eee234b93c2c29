"""Predict which targets a run can be exported to, from its method and vision encoder, before training."""

from polyclip.core.registry import list_names
from polyclip.exporters.merge import is_mergeable
from polyclip.models.method import Method

ANY = "onnx"  # takes every method and tower


def list_targets(method: Method, vision_tower: str) -> list[str]:
    """List the targets that can hold a run.

    Text encoders that a target does not support are found only when the export is written.

    Args:
        method: The alignment method.
        vision_tower: Vision encoder, as in a recipe.

    Returns:
        All targets, or onnx alone.

    """
    return list_names("exports") if is_mergeable(method) and is_plain(vision_tower) else [ANY]


def is_plain(vision_tower: str) -> bool:
    """Whether a vision encoder is one whole timm model: one encoder, its last layer only."""
    head, _, rest = vision_tower.partition(":")
    options = rest.split(",")
    return "+" not in vision_tower and (
        head == "timm"
        or (
            head.startswith("efficientnet-lite")
            and options[0] != "depths"
            and not any(one.startswith("layers=") for one in options)
        )
    )


def name_plain_tower(vision_tower: str) -> str:
    """Return the name of the encoder without earlier layers, to suggest for an export."""
    return vision_tower.replace(":depths", "")


def format_targets(method: Method, vision_tower: str) -> str:
    """Format the targets for `polyclip methods`: `all`, `onnx`, or `onnx; all with --vision-tower
    efficientnet-lite0`.
    """
    if list_targets(method, vision_tower) != [ANY]:
        return "all"
    other = name_plain_tower(vision_tower)
    return f"{ANY}; all with --vision-tower {other}" if list_targets(method, other) != [ANY] else ANY


def describe_limits(method: Method, vision_tower: str) -> str:
    """Return a sentence where a run can be exported to onnx alone, with the change that allows all targets; else ""."""
    if list_targets(method, vision_tower) != [ANY]:
        return ""
    other = name_plain_tower(vision_tower)
    instead = f"--vision-tower {other}" if list_targets(method, other) != [ANY] else "--method head-mlp"
    others = ", ".join(name for name in list_names("exports") if name != ANY)
    return f"This run can be exported to {ANY} only; for {others}: {instead}."
