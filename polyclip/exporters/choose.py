"""Choose a method and encoders that can be exported to given targets, before a run is trained."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from polyclip.core.registry import find
from polyclip.errors import PolyclipError
from polyclip.exporters.limits import Plan
from polyclip.exporters.merge import suggest_methods
from polyclip.exporters.support import format_refusal, list_reasons, name_plain_tower, read_plan
from polyclip.languages.resolve import resolve_language
from polyclip.training.options import AUTO, DEFAULT, AlignOptions


def choose_for_targets(options: AlignOptions, targets: Sequence[str]) -> tuple[AlignOptions, str]:
    """Fill in the method and the vision encoder so that the run can be exported; what the options name stays.

    Args:
        options: Of the alignment.
        targets: Names of export targets, at least one.

    Returns:
        The options, and a line that says what was chosen.

    Raises:
        UnknownName: A target does not exist.
        PolyclipError: What the options name cannot be exported there; the message names every reason.

    """
    if options.method == AUTO:
        raise PolyclipError(
            f"--for {targets[0]} cannot be combined with --method auto, which chooses by the score alone: omit one "
            "of them."
        )
    plans = [read_plan(options.start)] if options.start else list(list_plans(options))
    reasons = [{target: list_reasons(plan, target) for target in targets} for plan in plans]
    best = min(range(len(plans)), key=lambda number: sum(map(len, reasons[number].values())))
    if any(reasons[best].values()):
        said = [format_refusal("Such a run", target, found) for target, found in reasons[best].items() if found]
        raise PolyclipError(f"{' '.join(said)} {suggest_methods()}")
    plan = plans[best]
    line = (
        f"for {', '.join(targets)}: method {plan.method_name}, text encoder {plan.text_encoder}, vision encoder "
        f"{plan.vision_tower}"
    )
    if options.start:
        return options, line
    return replace(options, method=plan.method_name, vision_tower=plan.vision_tower), line


def list_plans(options: AlignOptions) -> Iterator[Plan]:
    """Yield what could be trained, the best first: what was named, the language pack's method, the default."""
    advised = resolve_language(options.lang[0]).recipe.method if options.lang else DEFAULT
    methods = [options.method] if options.method else [advised, DEFAULT]
    for method in dict.fromkeys(name for name in methods if name != AUTO):
        own = find("methods", method).METHOD
        towers = [options.vision_tower] if options.vision_tower else [own.tower, name_plain_tower(own.tower)]
        for tower in dict.fromkeys(towers):
            named = options.class_names and own.takes_names and tower.startswith("efficientnet-lite")
            yield Plan(method, options.text_encoder, tower, hidden=named)
