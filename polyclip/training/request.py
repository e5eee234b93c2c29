"""From a user's options to the configuration of a run: languages, method, folder, schedules."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyclip.core.distributed import is_launched
from polyclip.core.durations import parse_duration
from polyclip.core.progress import console
from polyclip.data.corpus import load_corpus
from polyclip.data.sampling_weights import parse_caption_weights
from polyclip.errors import PolyclipError
from polyclip.languages import schema
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Language
from polyclip.training.auto.budget import Budget

if TYPE_CHECKING:
    from polyclip.models.branch import ModelConfig
    from polyclip.training.compute import Compute
    from polyclip.training.config import AlignConfig, OptimizerConfig

AUTO = "auto"
DEFAULT = "head-mlp"
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
DECIDED: tuple[str, ...] = (
    "method",
    "budget",
    "related_languages",
    "recipe",
    "train_towers",
    "text_encoder",
    "vision_tower",
    "english",
    "loss",
    "text_layers",
    "vision_layers",
    "rank",
)
DECIDED += ("teacher", "head_dim", "class_names")  # by the run that training continues from
BOUNDS = {  # of what training can work with: beyond them it overflows or stands still
    "learning_rate": (1e-9, 100.0),
    "weight_decay": (0.0, 100.0),
    "warmup": (0.0, 1.0),
    "max_drop": (0.0, 100.0),
}
NEEDING = ("shots", "shots_by", "rehearse")  # a run to continue from


@dataclass(frozen=True, kw_only=True)
class AlignOptions:
    """Options of an alignment; `polyclip align --help` explains each.

    `lang` and `group` name the languages. An empty string or None leaves the choice to the method or the language pack.
    """

    lang: list[str] | None = None
    group: list[str] | None = None
    method: str = ""
    targets: list[str] | None = None  # of exports, which choose method and vision encoder
    budget: str = ""
    related_languages: bool | None = None
    recipe: bool = False
    start: Path | None = None
    shots: int | None = None
    shots_by: str = "random"
    rehearse: bool = True
    caption_weights: list[str] | None = None
    temperature: float | None = None
    train_towers: str = "both"
    text_encoder: str = "e5-small"
    vision_tower: str = ""
    corpus: str = "emoji"
    english: bool = True
    class_names: bool = True
    loss: str = ""
    text_layers: str = ""
    vision_layers: str = ""
    rank: str = "8"
    teacher: str = ""
    num_augmentations: int = 1
    head_dim: int | None = None
    seed: int = 0
    epochs: int | None = None
    batch_size: int | None = None
    learning_rate: float | None = None
    weight_decay: float | None = None
    warmup: float | None = None
    micro_batch: int | None = None
    precision: str = "fp32"
    shard: bool = False
    max_drop: float | None = None
    track: list[str] | None = None
    allow_leakage: str = ""
    folds: int | None = None
    final: bool = False
    out: Path | None = None
    max_bad: str = ""
    settings: Path | None = None  # of another run, which decide everything that run.toml records
    changes: list[str] | None = None  # of these settings: KEY=VALUE
    resume: bool = False
    typed: frozenset[str] = frozenset()  # names of those that were written


@dataclass(frozen=True)
class AlignRequest:
    """What is to be trained, after the language packs' advice was applied."""

    languages: list[Language]  # without English, unless it was asked for
    method: str
    budget: str  # of auto
    folder: Path
    advice: dict[str, Any] = field(default_factory=dict)  # what the packs decided


def resolve_request(options: AlignOptions) -> AlignRequest:
    """Resolve languages, method and folder; options have priority over the advice of the first language's pack.

    Args:
        options: Of the alignment.

    Returns:
        What is to be trained.

    Raises:
        PolyclipError: No language was named, or options exclude each other.

    """
    if options.settings or options.changes:
        from polyclip.training.settings import request_from_settings

        return request_from_settings(options)
    check_exclusive(options)
    check_numbers(options)
    languages = resolve_languages(options)
    own = languages[0].recipe
    borrowed = find_related_languages(languages, options)
    method = options.method or ("" if options.start else own.method)
    budget = options.budget or (own.budget if method == AUTO else "")
    advice: dict[str, Any] = {} if options.method or options.start else {"method": method}
    advice |= {"budget": budget} if method == AUTO and not options.budget else {}
    advice |= {"borrow": [language.code for language in borrowed]} if borrowed else {}
    labels = [resolve_language(text).code for text in options.lang or []] + (options.group or [])
    last = (
        method
        if options.start is None
        else f"{'all' if options.shots is None else options.shots}-shots-on-{options.start.resolve().name}"
    )
    seed = [f"seed-{options.seed}"] if options.seed else []
    folder = options.out or Path("runs") / "-".join([*dict.fromkeys(labels), last, *seed])
    packs_asked = [language.code for language in (languages if borrowed else languages[:1])]
    return AlignRequest(
        languages + borrowed, method, budget, folder, {"packs": packs_asked, **advice} if advice else {}
    )


def check_numbers(options: AlignOptions) -> None:
    """Check that numbers are in the range with which training can work.

    Raises:
        PolyclipError: One is not a number, infinite, or far too small or large.

    """
    for name, (least, most) in BOUNDS.items():
        value = getattr(options, name)
        if value is not None and not least <= value <= most:  # NaN compares false
            raise PolyclipError(f"--{name.replace('_', '-')} {value:g}: expected a number from {least:g} to {most:g}.")


def check_exclusive(options: AlignOptions) -> None:
    """Check that no option contradicts the run that training continues from, and that none lacks one.

    Raises:
        PolyclipError: One does.

    """
    names = {name: f"--{name.replace('_', '-')}" for name in (*DECIDED, *NEEDING)}
    wrong = [names[name] for name in (DECIDED if options.start else NEEDING) if name in options.typed]
    if wrong and options.start:
        raise PolyclipError(
            f"--from {options.start} cannot be combined with {', '.join(wrong)}: that run decides "
            f"{'it' if len(wrong) == 1 else 'them'}."
        )
    if wrong:
        raise PolyclipError(
            f"{', '.join(wrong)} requires an aligned run: add --from with its folder, such as runs/en-head-mlp."
        )


def resolve_languages(options: AlignOptions) -> list[Language]:
    """Resolve the languages named, then those of the groups that the corpus has captions of.

    Prints which languages of a group have captions, and which have not.

    Raises:
        PolyclipError: There are none.

    """
    found = [resolve_language(text) for text in options.lang or []]
    for name in options.group or []:
        corpus = load_corpus(choose_corpus(options))
        having = set(corpus.reader.languages(corpus.folder))
        members = schema.select_group(name)
        with_captions = [language for language in members if corpus.get_locale(language) in having]
        without = [language.code for language in members if language not in with_captions]
        said = f"group {name}: {', '.join(language.code for language in with_captions) or 'none'}"
        console.print(
            f"{said}{f'; without captions in corpus {corpus.name!r}: ' + ', '.join(without) if without else ''}",
            highlight=False,
            soft_wrap=True,
        )
        found += with_captions
    if not found:
        raise PolyclipError(
            "No language to train: add --lang with a code or name, such as --lang sw, or --group with a group the "
            "corpus has captions of."
        )
    return list({language.code: language for language in found}.values())


def choose_corpus(options: AlignOptions) -> str:
    """The corpus named by the options, else that of the run that training continues from.

    Raises:
        RunError: The folder is not a run folder.

    """
    if options.start is None or "corpus" in options.typed:
        return options.corpus
    from polyclip.core.run_folder import read_settings

    found: str = read_settings(options.start)["corpus"]
    return found


def find_related_languages(languages: list[Language], options: AlignOptions) -> list[Language]:
    """Find the related languages that the packs name; none without --related-languages or --recipe.

    Raises:
        PolyclipError: --related-languages was given and no pack names one.

    """
    if not (options.recipe if options.related_languages is None else options.related_languages):
        return []
    related = {code: resolve_language(code) for language in languages for code in language.recipe.borrow}
    if options.related_languages and not related:
        files = ", ".join(f"languages/{language.code}.toml" for language in languages)
        raise PolyclipError(
            f"--related-languages: {files} names no related language under recipe.borrow; name some there, or with "
            "--lang."
        )
    return [language for language in related.values() if language not in languages]


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
    from polyclip.data.pairs import SamplingConfig
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
        sample=SamplingConfig(
            views=options.num_augmentations,
            mix=parse_caption_weights(options.caption_weights or []) or None,
            temperature=options.temperature,
        ),
        out=request.folder,
        compute=build_compute(options),
        class_names=options.class_names,
        advice={"advice": request.advice} if request.advice else {},
        resume=options.resume,
        allow_leakage=options.allow_leakage,
        folds=options.folds,
        final=options.final,
    )


def build_finetune_config(options: AlignOptions, request: AlignRequest, start: Path) -> "AlignConfig":
    """Configure the run that continues from `start`, on that run's corpus unless another is named."""
    from polyclip.core.registry import find
    from polyclip.data.pairs import SamplingConfig
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
        sample=SamplingConfig(
            views=options.num_augmentations,
            mix=parse_caption_weights(options.caption_weights or []) or None,
            temperature=options.temperature,
        ),
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
    from polyclip.models.branch import ModelConfig

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
    given = [f"--{name.replace('_', '-')}" for name in CHOSEN if getattr(options, name) != defaults[name]]
    if given:
        raise PolyclipError(
            f"--method auto cannot be combined with {', '.join(given)}, which it chooses itself: omit "
            f"{'it' if len(given) == 1 else 'them'}, or name a method."
        )
    return Budget(parse_duration(budget))
