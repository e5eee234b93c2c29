"""Where a run can be exported to, and why not elsewhere, before anything is trained or loaded: what each target's own
`limits` say.
"""

from pathlib import Path

from polyclip.core.registry import find, list_names
from polyclip.errors import RunError
from polyclip.exporters.base import Target
from polyclip.exporters.limits import Limits, Plan
from polyclip.exporters.merge import suggest_methods
from polyclip.models.config import ModelConfig
from polyclip.models.model_file import read_parts

ANY = "onnx"  # takes every method


def plan_of(config: ModelConfig) -> Plan:
    """Make the plan of a model's configuration."""
    return Plan(config.method, config.text_encoder, config.vision_tower, hidden=bool(config.name_units))


def read_plan(run: Path) -> Plan:
    """Read the plan of a trained run.

    Raises:
        RunError: It is not a run folder.
        WeightsError: Its weights are damaged.

    """
    return plan_of(read_parts(run).config)


def find_limits(plan: Plan, target: str) -> Limits:
    """Find the reasons against the export of a run to a target.

    Raises:
        UnknownName: The target does not exist.

    """
    plug: Target = find("exports", target).TARGET
    return plug.limits(plan)


def list_reasons(plan: Plan, target: str, *, text_only: bool = False) -> list[str]:
    """List the reasons against an export, each once.

    Args:
        plan: The run.
        target: Name of the target.
        text_only: Leave out the reasons against images.

    Returns:
        One phrase a reason; empty where the run can go there.

    """
    found = find_limits(plan, target)
    return list(dict.fromkeys(found.text if text_only else (*found.text, *found.images)))


def list_targets(plan: Plan) -> list[str]:
    """List the targets that take a run whole, captions and images."""
    return [name for name in list_names("exports") if not list_reasons(plan, name)]


def check_plan(plan: Plan, target: str) -> None:
    """Check that a run can be exported to a target; one that takes captions alone is content with these.

    Raises:
        RunError: It cannot; the message names every reason at once.

    """
    text_only = find("exports", target).TARGET.text_only
    reasons = list_reasons(plan, target, text_only=text_only)
    if reasons:
        raise RunError(f"{format_refusal('This run', target, reasons)} {suggest_methods()}")


def format_refusal(what: str, target: str, reasons: list[str]) -> str:
    """Return a sentence with all reasons against an export."""
    if len(reasons) == 1:
        return f"{what} cannot be exported to {target}: {reasons[0]}."
    numbered = "; ".join(f"({number}) {reason}" for number, reason in enumerate(reasons, 1))
    return f"{what} cannot be exported to {target}, for {len(reasons)} reasons: {numbered}."


def name_plain_tower(vision_tower: str) -> str:
    """Return the name of the encoder without earlier layers, to suggest for an export."""
    return vision_tower.replace(":depths", "")


def format_targets(plan: Plan) -> str:
    """Format the targets for `polyclip methods`: `all`, `onnx`, or `onnx; all with --vision-tower
    efficientnet-lite0`.
    """
    said = join_targets(list_targets(plan))
    other = with_plain_tower(plan)
    more = list_targets(other)
    better = len(more) > len(list_targets(plan))
    return f"{said}; {join_targets(more)} with --vision-tower {other.vision_tower}" if better else said


def join_targets(targets: list[str]) -> str:
    """Join target names: "all" where none is missing, "nothing" where all are."""
    return "all" if targets == list_names("exports") else ", ".join(targets) or "nothing"


def with_plain_tower(plan: Plan) -> Plan:
    """Return the plan on the same vision encoder without earlier layers."""
    return Plan(plan.method_name, plan.text_encoder, name_plain_tower(plan.vision_tower), plan.hidden)


def describe_limits(plan: Plan) -> str:
    """Return a sentence where a run cannot be exported to every target, with the change that allows more; else ""."""
    targets = list_targets(plan)
    others = [name for name in list_names("exports") if name not in targets]
    if not others:
        return ""
    other, default = with_plain_tower(plan), Plan("head-mlp", plan.text_encoder, plan.vision_tower)
    changes = {
        f"--vision-tower {other.vision_tower}": other,
        "--method head-mlp": default,
        f"--method head-mlp --vision-tower {other.vision_tower}": with_plain_tower(default),
    }
    instead = next((f" {said}" for said, one in changes.items() if not list_reasons(one, others[0])), "")
    only = join_targets(targets)
    return f"This run can be exported to {only} only; for {', '.join(others)}:{instead or ' another text encoder'}."
