"""Command `polyclip study`."""

from pathlib import Path
from typing import Annotated

import typer

from polyclip.core.terminal import PlainConsole
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.errors import PolyclipError
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import load_language

PHOTOGRAPHED = "convergence"  # the study that has a column for photographs
UNSEEN = (
    "de",
    "fr",
    "es",
    "ru",
    "zh",
    "ja",
    "ar",
    "hi",
    "te",
    "th",
    "tr",
    "quz",
)  # also scored, where they were not trained


def command(
    name: Annotated[
        str,
        typer.Argument(
            help="claims, budget, data, model-size, forgetting, low-resource, sources, effort, equity or convergence."
        ),
    ],
    lang: Annotated[
        list[str] | None,
        typer.Option("--lang", help="Language to train with English; repeat for several. Default: sw."),
    ] = None,
    seeds: Annotated[int, typer.Option(min=1, max=100)] = 3,
    quick: Annotated[
        bool, typer.Option("--quick", help="A few methods, one seed, one trial each: takes minutes; not evidence.")
    ] = False,
    method: Annotated[
        list[str] | None, typer.Option("--method", help="Only this method of the study; repeat for several.")
    ] = None,
    vision_tower: Annotated[
        str, typer.Option(help="Vision encoder; a small one, since some methods train all of it.")
    ] = "efficientnet-lite0:depths,size=96",
    text_encoder: Annotated[str, typer.Option(help="As in 'polyclip align'.")] = "e5-small",
    corpus: Annotated[str, typer.Option(help="A corpus name, or the path of your own pack.")] = "emoji",
    jobs: Annotated[
        int, typer.Option(min=1, help="Cells that run in parallel, each with its share of the CPU cores.")
    ] = 1,
    batch_size: Annotated[int, typer.Option(min=2, help="Pairs a step; of convergence only.")] = 256,
    steps: Annotated[int, typer.Option(min=50, help="Steps at most, validated every 50; of convergence only.")] = 1000,
    photographs: Annotated[
        Path | None,
        typer.Option(
            help="Folder of Tux Paint's stamps, see 'polyclip corpora show tuxpaint-stamps', to be searched too; of "
            "convergence only. A finished cell without them is trained again."
        ),
    ] = None,
    finished: Annotated[
        bool, typer.Option("--finished", help="Train nothing: report the cells that are finished so far.")
    ] = False,
    plan: Annotated[
        bool, typer.Option("--plan", help="Train nothing: count the cells, the finished ones, and the time left.")
    ] = False,
    out: Annotated[Path, typer.Option(help="Folder of the cells, tables and plots of all studies.")] = Path("studies"),
) -> None:
    """Test a claim of the LilT paper: one table, one plot, one JSON file; repeated, it resumes an interrupted study."""
    if photographs is not None and name != PHOTOGRAPHED:
        raise PolyclipError(
            f"--photographs is for the study {PHOTOGRAPHED}, which alone shows them: omit it for {name}."
        )
    codes = [resolve_language(code).code for code in lang or ["sw"]]
    trained = tuple(dict.fromkeys([*codes, "en"]))
    from polyclip.studies.report import describe_plan, run_study
    from polyclip.studies.runner import Setting

    setting = Setting(
        languages=trained,
        seeds=1 if quick else seeds,
        quick=quick,
        folder=out,
        jobs=jobs,
        tower=vision_tower,
        asked=tuple(code for code in UNSEEN if code not in trained and has_captions(load_corpus(corpus), code)),
        text_encoder=text_encoder,
        corpus=corpus,
        methods=tuple(method or ()),
        batch=batch_size,
        steps=steps,
        photographs=photographs,
    )
    if plan:
        typer.echo(describe_plan(name, setting))
        return
    report = run_study(name, setting, finished_only=finished)
    console = PlainConsole()
    console.print(report.sheet.to_rich(console.width))
    console.print(report.verdict, highlight=False, soft_wrap=True)
    for path in report.files:
        console.print(f"written: {path}", highlight=False, soft_wrap=True)


def has_captions(corpus: Corpus, code: str) -> bool:
    """Whether the corpus has captions in a language."""
    return corpus.get_locale(load_language(code)) in corpus.reader.languages(corpus.folder)
