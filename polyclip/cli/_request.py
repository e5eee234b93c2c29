"""What may be written after `polyclip align`, and the run that it asks for."""

from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from polyclip import packs
from polyclip.budget import Budget, duration
from polyclip.distributed import launched
from polyclip.errors import PolyclipError
from polyclip.mix import parsed
from polyclip.packs import Language, load_corpus, resolve_language
from polyclip.progress import console

if TYPE_CHECKING:
    from polyclip.aligner import Recipe
    from polyclip.compute import Compute
    from polyclip.records import Settings
    from polyclip.run import Run

AUTO = "auto"
DEFAULT = "head-glu"
CHOSEN = ("tune", "loss", "text_layers", "vision_layers", "rank", "teacher", "epochs", "batch_size")  # by auto itself
DECIDED: tuple[str, ...] = (
    "method",
    "budget",
    "borrow",
    "recipe",
    "tune",
    "text_encoder",
    "vision_tower",
    "english",
    "loss",
    "text_layers",
    "vision_layers",
    "rank",
)
DECIDED += ("teacher", "dim")  # by the run that another goes on from
NEEDING = ("shots", "shots_by", "rehearse")  # a run to go on from


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be written after `polyclip align`."""

    lang: Annotated[list[str] | None, typer.Option("--lang", help="Language to train, by any of its codes or its name; repeat for several.")] = None
    group: Annotated[list[str] | None, typer.Option("--group", help="Every language of a group that the corpus names, such as a family; repeatable.")] = None
    method: Annotated[
        str, typer.Option(help="What is trained; 'polyclip methods' lists them. auto: what validates best within --budget. Default: the language pack's.")
    ] = ""
    budget: Annotated[str, typer.Option(help="Time for --method auto, encoding and scoring included: 90s, 5m, 1h. Default: the pack's.")] = ""
    borrow: Annotated[
        bool | None, typer.Option("--borrow/--no-borrow", help="Train the related languages that the packs name beside it. Default: only with --recipe.")
    ] = None
    recipe: Annotated[bool, typer.Option("--recipe", help="All that the language packs advise: method, budget, and related languages to borrow.")] = False
    start: Annotated[
        Path | None, typer.Option("--from", help="Go on from this run folder: its weights, towers and languages; or open_clip:MODEL, clip:MODEL: both towers.")
    ] = None
    shots: Annotated[int | None, typer.Option(min=0, help="With --from: named pictures of each new language; 0 leaves the run as it is. Default: all.")] = None
    shots_by: Annotated[str, typer.Option(help="Which: random by --seed, or coverage, each farthest in looks from those before.")] = "random"
    rehearse: Annotated[bool, typer.Option(help="With --from: train the run's own languages beside the new ones.")] = True
    mix: Annotated[
        list[str] | None, typer.Option("--mix", help="PROVENANCE=WEIGHT: how often such captions are drawn, people's being 1: nllb=0.5. Repeatable.")
    ] = None
    temperature: Annotated[
        float | None, typer.Option(help="Draw a language with n named pictures as n**(1/T): 1 in proportion, 3.33 as XLM-R. Default: all as often.")
    ] = None
    tune: Annotated[str, typer.Option(help="Towers in which the method trains something: both, text or vision.")] = "both"
    text_encoder: Annotated[str, typer.Option(help="e5-small, or a transformers encoder: hub name, folder, huggingface:NAME,pooling=cls.")] = "e5-small"
    vision_tower: Annotated[
        str, typer.Option(help="efficientnet-lite0|1|2, several joined by +, timm:NAME,weights=FILE, or a transformers model. Default: the method's own.")
    ] = ""
    corpus: Annotated[str, typer.Option(help="Corpus to train on: a name, or the path of a pack of your own. With --from: the run's.")] = "emoji"
    english: Annotated[bool, typer.Option(help="Train English beside the languages given.")] = True
    loss: Annotated[str, typer.Option(help="info-nce, sigmoid, mse or contrastive-distillation. Default: the method's own.")] = ""
    text_layers: Annotated[str, typer.Option(help="Layers of the text encoder that the method may touch: :4 the first four, -4: the last four.")] = ""
    vision_layers: Annotated[str, typer.Option(help="The same of the vision tower.")] = ""
    rank: Annotated[str, typer.Option(help="Of low-rank updates: a number, or rules TOWER[.KIND][.LAYER]=RANK joined by commas.")] = "8"
    teacher: Annotated[str, typer.Option(help="For m2m and distill: a run folder, clip:NAME of a transformers CLIP, or open_clip:MODEL.")] = ""
    views: Annotated[int, typer.Option(min=1, max=64, help="Views of each training picture, the others augmented; each is encoded once.")] = 1
    dim: Annotated[int, typer.Option(min=2, help="Length of one head's vector.")] = 384
    seed: Annotated[int, typer.Option(min=0)] = 0
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the named pictures in the method's own phase.")] = None
    batch_size: Annotated[int | None, typer.Option(min=2, help="Pairs a step in the method's own phase; at most the captions there are.")] = None
    micro_batch: Annotated[
        int | None, typer.Option(min=1, help="Pairs held in memory at once, in the method's own phase; the gradient is that of the whole batch.")
    ] = None
    precision: Annotated[str, typer.Option(help="Of the towers and heads in training: fp32, bf16 or fp16; weights and losses stay fp32.")] = "fp32"
    max_drop: Annotated[float | None, typer.Option(min=0, help="Percent points that knowledge may fall; if it falls further, exit code 1.")] = None
    track: Annotated[
        list[str] | None, typer.Option("--track", help="Also log to tensorboard (RUN/tensorboard), wandb or trackio; repeatable. log.jsonl is always written.")
    ] = None
    allow_leakage: Annotated[str, typer.Option(help="Why the test split may share pictures with the training split; recorded in the result.")] = ""
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/<languages>-<method>.")] = None
    max_bad: Annotated[str, typer.Option(help="Samples of a corpus in shards that may be unreadable, from now on: 0.1%. Default: the pack's.")] = ""
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run in the same folder.")] = False
    typed: frozenset[str] = frozenset()  # names of the options that were written


@dataclass(frozen=True)
class Asked:
    """What is to be trained, once the language packs have been asked."""

    languages: list[Language]  # without English, unless it was asked for
    method: str
    budget: str  # of auto
    folder: Path
    advice: dict[str, Any] = field(default_factory=dict)  # what the packs decided


def asked(options: Options) -> Asked:
    """Languages, method and folder: what was written wins over what the first language's pack advises.

    Raises PolyclipError where no language is asked for, and for options that exclude each other.
    """
    exclusive(options)
    languages = languages_of(options)
    own = languages[0].recipe
    borrowed = borrowed_by(languages, options)
    method = options.method or ("" if options.start else own.method)
    budget = options.budget or (own.budget if method == AUTO else "")
    advice: dict[str, Any] = {} if options.method or options.start else {"method": method}
    advice |= {"budget": budget} if method == AUTO and not options.budget else {}
    advice |= {"borrow": [language.code for language in borrowed]} if borrowed else {}
    labels = [resolve_language(text).code for text in options.lang or []] + (options.group or [])
    last = method if options.start is None else f"{'all' if options.shots is None else options.shots}-shots-on-{options.start.resolve().name}"
    folder = options.out or Path("runs") / "-".join([*dict.fromkeys(labels), last])
    packs_asked = [language.code for language in (languages if borrowed else languages[:1])]
    return Asked(languages + borrowed, method, budget, folder, {"packs": packs_asked, **advice} if advice else {})


def exclusive(options: Options) -> None:
    """Raises PolyclipError for options that the run gone on from decides, and for those that need one."""
    names = {name: f"--{name.replace('_', '-')}" for name in (*DECIDED, *NEEDING)}
    wrong = [names[name] for name in (DECIDED if options.start else NEEDING) if name in options.typed]
    if wrong and options.start:
        raise PolyclipError(f"With --from {options.start} the run decides {', '.join(wrong)}: leave {'it' if len(wrong) == 1 else 'them'} out.")
    if wrong:
        raise PolyclipError(f"{', '.join(wrong)} goes on from an aligned run: add --from with its folder, such as runs/en-head-glu.")


def languages_of(options: Options) -> list[Language]:
    """The languages written, then those of the groups that the corpus has captions of: which those are, and which are not, is said.

    Raises PolyclipError where there are none.
    """
    found = [resolve_language(text) for text in options.lang or []]
    for name in options.group or []:
        corpus = load_corpus(corpus_of(options))
        having = set(corpus.reader.languages(corpus.folder))
        members = packs.group(name)
        with_captions = [language for language in members if corpus.locale(language) in having]
        without = [language.code for language in members if language not in with_captions]
        said = f"group {name}: {', '.join(language.code for language in with_captions) or 'none'}"
        console.print(f"{said}{f'; without captions in corpus {corpus.name!r}: ' + ', '.join(without) if without else ''}", highlight=False, soft_wrap=True)
        found += with_captions
    if not found:
        raise PolyclipError("No language to train: add --lang with a code or name, such as --lang sw, or --group with a group the corpus has captions of.")
    return list({language.code: language for language in found}.values())


def corpus_of(options: Options) -> str:
    """The corpus written, else that of the run gone on from.

    Raises RunError for a folder that is no run.
    """
    if options.start is None or "corpus" in options.typed:
        return options.corpus
    from polyclip.origin import read_run

    found: str = read_run(options.start)["corpus"]
    return found


def borrowed_by(languages: list[Language], options: Options) -> list[Language]:
    """Related languages that the packs name, none without --borrow or --recipe.

    Raises PolyclipError where --borrow was written and no pack names one.
    """
    if not (options.recipe if options.borrow is None else options.borrow):
        return []
    related = {code: resolve_language(code) for language in languages for code in language.recipe.borrow}
    if options.borrow and not related:
        files = ", ".join(f"languages/{language.code}.toml" for language in languages)
        raise PolyclipError(f"--borrow: {files} names no related language under recipe.borrow; name some there, or with --lang.")
    return [language for language in related.values() if language not in languages]


def run_of(options: Options, request: Asked) -> "Run":
    """The run that the options describe. torch is imported only here, once the arguments are right."""
    from polyclip.pairs import Sample
    from polyclip.plugins import find
    from polyclip.run import HEADS, Run

    if options.start is not None:
        return further(options, request, options.start)
    method = DEFAULT if request.method == AUTO else request.method  # what auto chooses takes its place
    found = find("methods", method).METHOD
    languages = with_english(request.languages) if options.english else request.languages
    heads, towers = schedules(options, replace(HEADS, seed=options.seed), found.inside)
    return Run(
        languages=[resolve_language("en")] if found.english else languages,
        recipe=recipe_of(options, method, found.tower),
        corpus=options.corpus,
        heads=heads,
        towers=towers,
        sample=Sample(views=options.views, mix=parsed(options.mix or []) or None, temperature=options.temperature),
        out=request.folder,
        compute=compute_of(options),
        advice={"advice": request.advice} if request.advice else {},
        resume=options.resume,
        allow_leakage=options.allow_leakage,
    )


def further(options: Options, request: Asked, start: Path) -> "Run":
    """The run that goes on from `start`: on the run's own corpus, unless another is named."""
    from polyclip.continued import going_on, recipe_of
    from polyclip.pairs import Sample
    from polyclip.plugins import find
    from polyclip.run import GOING_ON, Run
    from polyclip.shots import Shots

    recipe = recipe_of(start)
    shots = Shots(count=options.shots, by=options.shots_by, seed=options.seed, rehearse=options.rehearse)
    continued = going_on(start, request.languages, shots)
    heads, towers = schedules(options, replace(GOING_ON, seed=options.seed), find("methods", recipe.method).METHOD.inside)
    return Run(
        languages=continued.trained,
        recipe=recipe,
        corpus=corpus_of(options),
        heads=heads,
        towers=towers,
        sample=Sample(views=options.views, mix=parsed(options.mix or []) or None, temperature=options.temperature),
        out=request.folder,
        compute=compute_of(options),
        continued=continued,
        resume=options.resume,
        allow_leakage=options.allow_leakage,
    )


def schedules(options: Options, heads: "Settings", inside: bool) -> tuple["Settings", "Settings"]:
    """Both phases' settings; epochs and batch size that were given are those of the method's own phase."""
    from polyclip.run import TOWERS

    given = {key: value for key, value in (("epochs", options.epochs), ("batch_size", options.batch_size)) if value is not None}
    towers = replace(TOWERS, seed=options.seed)
    return (heads, replace(towers, **given)) if inside else (replace(heads, **given), towers)


def compute_of(options: Options) -> "Compute":
    """How steps are computed.

    Raises what `compute.check` raises.
    """
    from polyclip.compute import Compute, check

    compute = Compute(micro_batch=options.micro_batch, precision=options.precision)
    check(compute)
    return compute


def recipe_of(options: Options, method: str, tower: str) -> "Recipe":
    """What the aligner is made of; `tower` is the method's own."""
    from polyclip.aligner import Recipe

    return Recipe(
        text_encoder=options.text_encoder,
        vision_tower=options.vision_tower or tower,
        method=method,
        tune=options.tune,
        dim=options.dim,
        loss=options.loss,
        text_layers=options.text_layers,
        vision_layers=options.vision_layers,
        rank=options.rank,
        teacher=options.teacher,
    )


def with_english(languages: list[Language]) -> list[Language]:
    """English last, unless it was asked for already."""
    english = resolve_language("en")
    return languages if english in languages else [*languages, english]


def limited(options: Options, request: Asked) -> Budget | None:
    """The budget of --method auto, from now on; None for a method by name.

    Raises PolyclipError for a budget without auto, one that is no duration, and for what auto chooses by itself.
    """
    budget, method = request.budget, request.method
    if method == AUTO and launched():
        raise PolyclipError("--method auto measures what one process can do in its time: run it alone, then train the method it chose with several.")
    if method != AUTO:
        if budget:
            raise PolyclipError(f"--budget {budget} is for --method auto, not for --method {method}: leave it out, or write --method auto.")
        return None
    defaults = {field.name: field.default for field in fields(Options)}
    given = [f"--{name.replace('_', '-')}" for name in CHOSEN if getattr(options, name) != defaults[name]]
    if given:
        raise PolyclipError(f"--method auto chooses {', '.join(given)} by itself: leave {'it' if len(given) == 1 else 'them'} out, or name a method.")
    return Budget(duration(budget))
