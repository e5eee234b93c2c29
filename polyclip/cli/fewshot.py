"""Command `polyclip fewshot`."""

from pathlib import Path
from typing import Annotated

import typer

from polyclip.core.registry import find
from polyclip.core.terminal import PlainConsole
from polyclip.errors import PolyclipError
from polyclip.languages.resolve import resolve_language


def command(
    lang: Annotated[
        list[str],
        typer.Option("--lang", help="Language unseen by the run; repeat for several, each gets its own curve."),
    ],
    k: Annotated[str, typer.Option("--k", help="Numbers of captioned images, joined by commas.")] = "0,8,32,128,512",
    seeds: Annotated[int, typer.Option(min=1, max=100, help="Each seed samples other images and trains again.")] = 3,
    start: Annotated[
        Path | None,
        typer.Option("--from", help="Run folder to continue from. Default: English only, trained once per seed."),
    ] = None,
    translated: Annotated[
        str, typer.Option(help="Path of a corpus pack with machine-translated captions, for a second curve.")
    ] = "",
    by: Annotated[str, typer.Option("--shots-by", help="How images are chosen: random or coverage.")] = "random",
    method: Annotated[
        str, typer.Option(help="Method of the English run; it must train on cached features.")
    ] = "head-glu",
    text_encoder: Annotated[str, typer.Option(help="As in 'polyclip align'.")] = "e5-small",
    vision_tower: Annotated[str, typer.Option(help="As in 'polyclip align'. Default: the method's own.")] = "",
    dim: Annotated[int, typer.Option("--head-dim", min=2, help="Length of one projection head's embedding.")] = 384,
    corpus: Annotated[str, typer.Option(help="A corpus name, or the path of your own pack.")] = "emoji",
    jobs: Annotated[
        int, typer.Option(min=1, help="Cells that run in parallel, each with its share of the CPU cores.")
    ] = 1,
    out: Annotated[Path, typer.Option(help="Folder of the cells, table, plot and figures.")] = Path("fewshot"),
    json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Measure recall over the number of captioned images of a new language; repeated, it resumes an interrupted
    study.
    """
    counts = parse_counts(k)
    languages = tuple(dict.fromkeys(resolve_language(text).code for text in lang))
    tower = vision_tower or find("methods", method).METHOD.tower
    from polyclip.studies.fewshot import FewshotConfig, run_fewshot
    from polyclip.studies.runner import Setting

    question = FewshotConfig(
        languages=languages,
        counts=counts,
        by=by,
        translated=translated,
        start="" if start is None else str(start),
        method=method,
        dim=dim,
    )
    setting = Setting(
        languages=languages,
        seeds=seeds,
        quick=False,
        folder=out,
        jobs=jobs,
        tower=tower,
        text_encoder=text_encoder,
        corpus=corpus,
        asked=(),
    )
    report = run_fewshot(question, setting)
    console = PlainConsole()
    if json:
        typer.echo(report.files[0].read_text("utf-8"), nl=False)
        return
    console.print(report.sheet.to_rich(console.width))
    console.print(report.verdict, highlight=False, soft_wrap=True)
    for path in report.files:
        console.print(f"written: {path}", highlight=False, soft_wrap=True)


def parse_counts(text: str) -> tuple[int, ...]:
    """Parse `0,8,32` into distinct numbers, smallest first.

    Raises:
        PolyclipError: The text holds anything but whole numbers, or none above 0.

    """
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() for part in parts) or not any(int(part) for part in parts):
        raise PolyclipError(
            f"--k {text!r}: expected numbers of captions joined by commas, at least one above 0, such as "
            "0,8,32,128,512."
        )
    return tuple(sorted({int(part) for part in parts}))
