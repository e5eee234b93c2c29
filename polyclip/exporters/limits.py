"""Reasons why a run cannot go to an export target, from its recipe alone: before anything is loaded or trained."""

from dataclasses import dataclass
from functools import cached_property

from polyclip.core.registry import find
from polyclip.exporters.merge import find_obstacles
from polyclip.models.backbone import TextModel, describe_text_model, parse_spec
from polyclip.models.method import Method
from polyclip.models.modules import find_module


@dataclass(frozen=True)
class Plan:
    """What a run is, or will be, as far as exports depend on it."""

    method_name: str
    text_encoder: str
    vision_tower: str
    hidden: bool = False  # class names beside the heads, which make the text head Linear-GELU-Linear

    @property
    def method(self) -> Method:
        """The alignment method that the name stands for."""
        found: Method = find("methods", self.method_name).METHOD
        return found

    @cached_property
    def text_model(self) -> TextModel | None:
        """The transformers model that reads captions; None where it is no plain one."""
        return describe_text_model(self.text_encoder)


@dataclass(frozen=True)
class Limits:
    """Reasons against an export; empty where there is none."""

    text: tuple[str, ...] = ()
    images: tuple[str, ...] = ()

    @staticmethod
    def none(plan: Plan) -> "Limits":
        """No limits: for targets that take every run, or find out while they write."""
        return Limits()


def limit_text(plan: Plan, target: str, known: tuple[str, ...] = ()) -> tuple[str, ...]:
    """List the reasons against captions in a target that takes plain transformers encoders.

    Args:
        plan: The run.
        target: Name of the target.
        known: transformers' model types that it takes; empty for every encoder that stands alone.

    Returns:
        One phrase a reason.

    """
    reasons = describe_obstacles(plan, "text", target)
    model = plan.text_model
    if known and (model is None or model.type not in known):
        found = f"of type {model.type!r}" if model else "no plain transformers model"
        reasons.append(f"text encoder {plan.text_encoder} is {found}; {target} takes {', '.join(known)}")
    elif not known and (model is None or not model.alone):
        reasons.append(
            f"text encoder {plan.text_encoder} is no stand-alone transformers encoder, and {target} takes no other"
        )
    return tuple(reasons)


def limit_tokenizer(plan: Plan) -> tuple[str, ...]:
    """List the reasons against a text encoder whose tokenizer is not that of a transformers encoder."""
    if plan.text_model is not None:
        return ()
    return (f"the tokenizer of text encoder {plan.text_encoder} has no tokenizer.json",)


def limit_head_layer(plan: Plan, target: str) -> tuple[str, ...]:
    """List the reasons against a text head of two maps where a target holds it as one more layer of the encoder."""
    model = plan.text_model
    if model is None or not (plan.method.hidden or plan.hidden):
        return ()
    wrong = {
        f"{model.pooling} pooling": model.pooling != "mean",
        f"{model.activation or 'another activation'} in place of GELU": model.activation != "gelu",
    }
    said = [phrase for phrase, present in wrong.items() if present]
    return (
        (f"text encoder {plan.text_encoder} has {' and '.join(said)}, and {target} puts this head into it",)
        if said
        else ()
    )


def limit_images(plan: Plan, target: str) -> tuple[str, ...]:
    """List the reasons against images in a target that takes whole timm models."""
    reasons = describe_obstacles(plan, "vision", target)
    if not is_whole_timm(plan.vision_tower):
        reasons.append(
            f"vision encoder {plan.vision_tower} is not one whole timm model, whose last pooled features {target} takes"
        )
    return tuple(reasons)


def describe_obstacles(plan: Plan, kind: str, target: str) -> list[str]:
    """List what the method puts into a branch that a target does not support."""
    return [
        f"method {plan.method_name} has {phrase}, which {target} does not support"
        for phrase in find_obstacles(plan.method, kind)
    ]


def is_whole_timm(vision_tower: str) -> bool:
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


def limit_constant(plan: Plan, target: str) -> tuple[str, ...]:
    """List the reasons against a timm model that ends in no norm, where a target projects images without a constant."""
    name, argument, _ = parse_spec("towers", plan.vision_tower)
    if name != "timm":
        return ()
    import timm
    from timm.models.vision_transformer import VisionTransformer

    from polyclip.models.shapes import without_values

    if not timm.is_model(argument):
        return ()  # the encoder itself says so
    with without_values():
        model = timm.create_model(argument, pretrained=False, num_classes=0)
    if find_module(model, "bn2") is not None or isinstance(model, VisionTransformer):
        return ()
    return (f"vision encoder {plan.vision_tower} ends in no norm that holds a constant, and {target} projects without",)
