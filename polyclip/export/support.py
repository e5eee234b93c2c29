"""Where a run will be able to go, told from its method and vision tower before anything is trained."""

from polyclip.core.registry import names
from polyclip.export.merge import mergeable
from polyclip.models.method import Method

ANY = "onnx"  # takes every method and tower


def exports_of(method: Method, vision_tower: str) -> list[str]:
    """Names of the targets that can hold a run.

    Text encoders that a target does not know are found out when the export is written.

    Args:
        method: What is trained.
        vision_tower: As in a recipe.

    Returns:
        All targets, or onnx alone.

    """
    return names("exports") if mergeable(method) and is_plain(vision_tower) else [ANY]


def is_plain(vision_tower: str) -> bool:
    """Whether a vision tower is one timm model as a whole: no earlier layers beside the last, none left out, no two towers side by side."""
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


def plain_tower(vision_tower: str) -> str:
    """The tower without earlier layers beside its last: what to name for an export."""
    return vision_tower.replace(":depths", "")


def said(method: Method, vision_tower: str) -> str:
    """One cell of `polyclip methods`: `all`, `onnx`, or `onnx; all with --vision-tower efficientnet-lite0`."""
    if exports_of(method, vision_tower) != [ANY]:
        return "all"
    other = plain_tower(vision_tower)
    return f"{ANY}; all with --vision-tower {other}" if exports_of(method, other) != [ANY] else ANY


def limits(method: Method, vision_tower: str) -> str:
    """One sentence where a run can go to onnx alone: with what it could go everywhere. Empty where it can."""
    if exports_of(method, vision_tower) != [ANY]:
        return ""
    other = plain_tower(vision_tower)
    instead = f"--vision-tower {other}" if exports_of(method, other) != [ANY] else "--method head-mlp"
    others = ", ".join(name for name in names("exports") if name != ANY)
    return f"This run can be exported to {ANY} alone; for {others}: {instead}."
