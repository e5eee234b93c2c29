"""polyclip align."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from polyclip.budget import Budget, duration
from polyclip.cli._options import command_of
from polyclip.errors import PolyclipError
from polyclip.packs import Language, resolve_language
from polyclip.progress import console
from polyclip.records import Choice, Result

if TYPE_CHECKING:
    from polyclip.aligner import Recipe
    from polyclip.run import Run

AUTO, DEFAULT = "auto", "head-glu"
CHOSEN = ("tune", "loss", "text_layers", "vision_layers", "rank", "teacher", "epochs", "batch_size")  # by auto itself


@dataclass(frozen=True, kw_only=True)
class Options:
    """What may be written after `polyclip align`."""

    lang: Annotated[list[str], typer.Option("--lang", help="Language to train, by any of its codes or its name; repeat for several.")]
    method: Annotated[str, typer.Option(help="What is trained; 'polyclip methods' lists them. auto: what validates best within --budget.")] = DEFAULT
    budget: Annotated[str, typer.Option(help="Time for --method auto, encoding and scoring included: 90s, 5m, 1h. Default 5m.")] = ""
    tune: Annotated[str, typer.Option(help="Towers in which the method trains something: both, text or vision.")] = "both"
    text_encoder: Annotated[str, typer.Option(help="e5-small, or a transformers encoder: hub name, folder, huggingface:NAME,pooling=cls.")] = "e5-small"
    vision_tower: Annotated[
        str, typer.Option(help="efficientnet-lite0|1|2, several joined by +, timm:NAME,weights=FILE, or a transformers model. Default: the method's own.")
    ] = ""
    corpus: Annotated[str, typer.Option(help="Corpus to train on: a name, or the path of a pack of your own.")] = "emoji"
    english: Annotated[bool, typer.Option(help="Train English beside the languages given.")] = True
    loss: Annotated[str, typer.Option(help="info-nce, sigmoid, mse or contrastive-distillation. Default: the method's own.")] = ""
    text_layers: Annotated[str, typer.Option(help="Layers of the text encoder that the method may touch: :4 the first four, -4: the last four.")] = ""
    vision_layers: Annotated[str, typer.Option(help="The same of the vision tower.")] = ""
    rank: Annotated[str, typer.Option(help="Of low-rank updates: a number, or rules TOWER[.KIND][.LAYER]=RANK joined by commas.")] = "8"
    teacher: Annotated[str, typer.Option(help="For m2m and distill: a run folder, or clip:NAME of a transformers CLIP.")] = ""
    views: Annotated[int, typer.Option(min=1, max=64, help="Views of each training picture, the others augmented; each is encoded once.")] = 1
    dim: Annotated[int, typer.Option(min=2, help="Length of one head's vector.")] = 384
    seed: Annotated[int, typer.Option(min=0)] = 0
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the named pictures in the method's own phase.")] = None
    batch_size: Annotated[int | None, typer.Option(min=2, help="Pairs a step in the method's own phase; at most the captions there are.")] = None
    max_drop: Annotated[float | None, typer.Option(min=0, help="Percent points that knowledge may fall; if it falls further, exit code 1.")] = None
    out: Annotated[Path | None, typer.Option(help="Run folder; default runs/<languages>-<method>.")] = None
    resume: Annotated[bool, typer.Option("--resume", help="Continue an interrupted run in the same folder.")] = False
    typed: frozenset[str] = frozenset()  # names of the options that were written


def align_with(options: Options) -> None:
    """Align a language: train small parts between a frozen text encoder and a frozen vision tower, then score them."""
    limit = limited(options)
    languages = list({language.code: language for language in map(resolve_language, options.lang)}.values())
    folder = options.out or Path("runs") / f"{'-'.join(language.code for language in languages)}-{options.method}"
    run = run_of(options, with_english(languages) if options.english else languages, folder)  # torch is imported only now, once the arguments are right
    from polyclip.choice import choose
    from polyclip.run import align

    result, choice = (align(run), None) if limit is None else choose(run, limit)
    told(result, folder, choice)
    if options.max_drop is not None:
        gate(result, options.max_drop)


command = command_of(Options, align_with)


def run_of(options: Options, languages: list[Language], folder: Path) -> "Run":
    """The run that the options describe."""
    from polyclip.pairs import Sample
    from polyclip.plugins import find
    from polyclip.run import HEADS, TOWERS, Run

    method = DEFAULT if options.method == AUTO else options.method  # what auto chooses takes its place
    found = find("methods", method).METHOD
    given = {key: value for key, value in (("epochs", options.epochs), ("batch_size", options.batch_size)) if value is not None}
    heads, towers = replace(HEADS, seed=options.seed), replace(TOWERS, seed=options.seed)
    heads, towers = (heads, replace(towers, **given)) if found.inside else (replace(heads, **given), towers)
    return Run(
        languages=[resolve_language("en")] if found.english else languages,
        recipe=recipe_of(options, method, found.tower),
        corpus=options.corpus,
        heads=heads,
        towers=towers,
        sample=Sample(views=options.views),
        out=folder,
        resume=options.resume,
    )


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


def gate(result: Result, most: float) -> None:
    """End with exit code 1 where more was forgotten than allowed."""
    from polyclip.report.table import too_forgetful

    sentence = too_forgetful(result.knowledge, most)
    if sentence:
        console.print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)
        raise SystemExit(1)


def with_english(languages: list[Language]) -> list[Language]:
    """English last, unless it was asked for already."""
    english = resolve_language("en")
    return languages if english in languages else [*languages, english]


def limited(options: Options) -> Budget | None:
    """The budget of --method auto, from now on; None for a method by name.

    Raises PolyclipError for a budget without auto, one that is no duration, and for what auto chooses by itself.
    """
    budget, method = options.budget, options.method
    if method != AUTO:
        if budget:
            raise PolyclipError(f"--budget {budget} is for --method auto, not for --method {method}: leave it out, or write --method auto.")
        return None
    defaults = {field.name: field.default for field in fields(Options)}
    given = [f"--{name.replace('_', '-')}" for name in CHOSEN if getattr(options, name) != defaults[name]]
    if given:
        raise PolyclipError(f"--method auto chooses {', '.join(given)} by itself: leave {'it' if len(given) == 1 else 'them'} out, or name a method.")
    return Budget(duration(budget or "5m"))


def told(result: Result, folder: Path, choice: Choice | None) -> None:
    """Print the scores, and before and after them what auto tried and chose."""
    from polyclip.report.choice import trials_table, verdict
    from polyclip.report.table import knowledge_table, summary, tables

    printed = Console()
    if choice is not None:
        printed.print(trials_table(choice))
    for table in tables(result.scores):
        printed.print(table)
    if result.knowledge:
        printed.print(knowledge_table(result.knowledge))
    printed.print(summary(result, folder), highlight=False, soft_wrap=True)
    if choice is not None:
        printed.print(verdict(choice), highlight=False, soft_wrap=True)
