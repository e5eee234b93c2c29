"""From options and what they stand for to the configuration of a run: model, schedules, time budget."""

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyclip.core.durations import parse_duration
from polyclip.core.fields import read_fields
from polyclip.core.launch import is_launched
from polyclip.data.sampling_weights import parse_caption_weights
from polyclip.errors import PolyclipError
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Language
from polyclip.training.auto.budget import Budget

if TYPE_CHECKING:
    from polyclip.data.pairs import SamplingConfig
    from polyclip.models.config import ModelConfig
    from polyclip.training.compute import Compute
    from polyclip.training.config import AlignConfig, OptimizerConfig
from polyclip.training.options import AUTO, DEFAULT, AlignOptions, AlignRequest
from polyclip.training.request import choose_corpus

CHOSEN = (
    "train_towers",
    "loss",
    "text_layers",
    "vision_layers",
    "rank",
    "teacher",
    "epochs",
    "batch_size",
    "learning_rate",
)  # by auto


def build_config(options: AlignOptions, request: AlignRequest) -> "AlignConfig":
    """Build the configuration of the run that the options describe.

    torch is imported only here, once the arguments are known to be valid.

    Args:
        options: Of the alignment.
        request: As `resolve_request` returns it.

    Returns:
        The configuration.

    Raises:
        PolyclipError: An option contradicts the method, or does not work on this machine.

    """
    from polyclip.core.registry import find
    from polyclip.training.config import HEADS, AlignConfig

    if options.settings is not None:
        from polyclip.training.settings import config_from_settings

        return config_from_settings(options, request.folder)

    if options.start is not None:
        return build_finetune_config(options, request, options.start)
    method = DEFAULT if request.method == AUTO else request.method  # what auto chooses takes its place
    found = find("methods", method).METHOD
    languages = add_english(request.languages) if options.english else request.languages
    schedule = replace(
        HEADS,
        seed=options.seed,
        epochs=found.epochs or HEADS.epochs,
        learning_rate=found.learning_rate or HEADS.learning_rate,
    )
    heads, towers = build_schedules(options, schedule, found.trains_towers)
    return AlignConfig(
        languages=[resolve_language("en")] if found.english else languages,
        recipe=build_model_config(options, method, found.tower),
        corpus=options.corpus,
        heads=heads,
        towers=towers,
        sample=build_sampling(options),
        out=request.folder,
        compute=build_compute(options),
        class_names=options.class_names,
        class_names_from=tuple(options.class_names_from or ()),
        advice={"advice": request.advice} if request.advice else {},
        resume=options.resume,
        allow_leakage=options.allow_leakage,
        folds=options.folds,
        final=options.final,
    )


def build_sampling(options: AlignOptions) -> "SamplingConfig":
    """Configure how captions and images are sampled."""
    from polyclip.data.pairs import SamplingConfig

    return SamplingConfig(
        views=options.num_augmentations,
        mix=parse_caption_weights(options.caption_weights or []) or None,
        temperature=options.temperature,
    )


def build_finetune_config(options: AlignOptions, request: AlignRequest, start: Path) -> "AlignConfig":
    """Configure the run that continues from `start`, on that run's corpus unless another is named."""
    from polyclip.core.registry import find
    from polyclip.training.config import CONTINUED_HEADS, AlignConfig
    from polyclip.training.finetune import plan_continuation, read_recipe
    from polyclip.training.rehearsal import choose_finetune_corpus
    from polyclip.training.shots import Shots

    recipe = read_recipe(start)
    shots = Shots(count=options.shots, by=options.shots_by, seed=options.seed, rehearse=options.rehearse)
    continued = plan_continuation(start, request.languages, shots)
    heads, towers = build_schedules(
        options, replace(CONTINUED_HEADS, seed=options.seed), find("methods", recipe.method).METHOD.trains_towers
    )
    return AlignConfig(
        languages=continued.trained,
        recipe=recipe,
        corpus=choose_finetune_corpus(choose_corpus(options), continued),
        heads=heads,
        towers=towers,
        sample=build_sampling(options),
        out=request.folder,
        compute=build_compute(options),
        continued=continued,
        resume=options.resume,
        allow_leakage=options.allow_leakage,
        folds=options.folds,
        final=options.final,
    )


def build_schedules(
    options: AlignOptions, heads: "OptimizerConfig", inside: bool
) -> tuple["OptimizerConfig", "OptimizerConfig"]:
    """Settings of both phases; epochs and batch size of the options are those of the method's own phase."""
    from polyclip.training.config import TOWERS

    asked = {
        "epochs": options.epochs,
        "batch_size": options.batch_size,
        "weight_decay": options.weight_decay,
        "warm_up": options.warmup,
        "learning_rate": options.learning_rate,
        "tower_learning_rate": options.learning_rate if inside else None,
    }
    given: dict[str, Any] = {key: value for key, value in asked.items() if value is not None}
    towers = replace(TOWERS, seed=options.seed)
    return (heads, replace(towers, **given)) if inside else (replace(heads, **given), towers)


def build_compute(options: AlignOptions) -> "Compute":
    """Configure how steps are computed.

    Raises:
        PolyclipError: See `polyclip.training.compute.check_compute`.

    """
    from polyclip.training.compute import Compute, check_compute

    compute = Compute(micro_batch=options.micro_batch, precision=options.precision, shard=options.shard)
    check_compute(compute)
    return compute


def build_model_config(options: AlignOptions, method: str, tower: str) -> "ModelConfig":
    """Configure the model; `tower` is the method's default vision encoder."""
    from polyclip.core.registry import find
    from polyclip.models.config import ModelConfig

    found = find("methods", method).METHOD
    return ModelConfig(
        text_encoder=options.text_encoder,
        vision_tower=options.vision_tower or tower,
        method=method,
        tune=options.train_towers,
        dim=options.head_dim or found.dim,
        text_dropout=found.text_dropout,
        image_dropout=found.image_dropout,
        loss=options.loss,
        text_layers=options.text_layers,
        vision_layers=options.vision_layers,
        rank=options.rank,
        teacher=options.teacher,
    )


def add_english(languages: list[Language]) -> list[Language]:
    """Append English, unless it was asked for already."""
    english = resolve_language("en")
    return languages if english in languages else [*languages, english]


def build_budget(options: AlignOptions, request: AlignRequest) -> Budget | None:
    """Start the time budget of --method auto; None for a method by name.

    Raises:
        PolyclipError: The budget cannot be parsed, or an option contradicts --method auto.

    """
    budget, method = request.budget, request.method
    if method == AUTO and is_launched():
        raise PolyclipError(
            "--method auto measures what one process can do in its time: run it alone, then train the method it "
            "chose with several."
        )
    if method != AUTO:
        if budget:
            raise PolyclipError(
                f"--budget {budget} requires --method auto and cannot be combined with --method {method}: omit it, "
                "or write --method "
                "auto."
            )
        return None
    defaults = {field.name: field.default for field in fields(AlignOptions)}
    given = [
        f"--{name.replace('_', '-')}" for name, value in read_fields(options, CHOSEN).items() if value != defaults[name]
    ]
    if given:
        raise PolyclipError(
            f"--method auto cannot be combined with {', '.join(given)}, which it chooses itself: omit "
            f"{'it' if len(given) == 1 else 'them'}, or name a method."
        )
    return Budget(parse_duration(budget))
