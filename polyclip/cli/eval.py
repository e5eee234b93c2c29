"""Command `polyclip eval`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyclip.core.distributed import is_first_process
from polyclip.core.nearby import RUN_FOLDER, find_kind, hint_folder
from polyclip.core.terminal import PlainConsole
from polyclip.data.corpus_names import join_names
from polyclip.errors import PolyclipError, UnknownName
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Language

if TYPE_CHECKING:
    from polyclip.evaluation.results import Result

HUB = "hub"


def command(
    name: Annotated[
        str,
        typer.Argument(
            help=(
                "Benchmark, such as emoji, xm3600 or retrieval; 'polyclip corpora' lists those with files of their own."
            )
        ),
    ],
    model: Annotated[Path | None, typer.Option(help="Run folder made by 'polyclip align'.", show_default=False)] = None,
    lang: Annotated[
        list[str] | None,
        typer.Option("--lang", help="Only this language; repeat for several. Default: all the benchmark has."),
    ] = None,
    split: Annotated[
        str, typer.Option(help="train, validation or test, or a set of the benchmark such as test_2017_mscoco.")
    ] = "test",
    corpus: Annotated[
        list[str] | None,
        typer.Option(
            "--corpus", help="For held-out: a name, a table, a folder or a pack; repeat for several. Default: emoji."
        ),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help=(
                "Folder of the benchmark's files, see 'polyclip corpora show NAME'; hub or hub:OWNER/NAME@REVISION "
                "to fetch a copy."
            )
        ),
    ] = None,
    partial: Annotated[
        bool, typer.Option("--partial", help="Accept a subset of the official files; results are marked as partial.")
    ] = False,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="The most captions or images encoded at once. Default: what the device does best."),
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Also write the result to this file.")] = None,
    form: Annotated[
        str,
        typer.Option("--format", help="Also write the result in the format of clip-benchmark or mteb, below --out."),
    ] = "",
    out: Annotated[Path, typer.Option(help="Folder for the files of --format.")] = Path("results"),
) -> None:
    """Evaluate a model on a benchmark, with confidence intervals, trained and unseen languages apart."""
    if model is None:
        from polyclip.report.hints import format_own_score

        is_run = find_kind(Path(name)) == RUN_FOLDER
        example = format_own_score(Path(name)) if is_run else "polyclip eval emoji --model RUN"
        raise PolyclipError(
            f"What is to be scored?{hint_folder(name)} Write a benchmark and a run folder, such as: {example}"
        )
    languages = [resolve_language(code) for code in lang or []]
    from polyclip.evaluation.formats import FORMATS

    if form and form not in FORMATS:
        raise UnknownName("format of results", form, FORMATS)
    folder = None if data is None else resolve_data(name, data, languages)
    from polyclip.evaluation.retrieval import Request
    from polyclip.models.batches import use_batch_size
    from polyclip.pipeline import evaluate

    corpora = join_names(corpus or ["emoji"])
    request = Request(languages=languages, split=split, data=folder, partial=partial, corpus=corpora)
    with use_batch_size(batch_size):
        result = evaluate(name, model, request)
    if is_first_process():
        print_scores(result, json, form, out)


def print_scores(result: "Result", json: Path | None, form: str, out: Path) -> None:
    """Write the requested files, then print the scores."""
    from polyclip.evaluation.formats import export_result
    from polyclip.report import classification
    from polyclip.report.result import write_result
    from polyclip.report.table import build_tables, format_notes

    if json is not None:
        write_result(json, result)
    written = [*([] if json is None else [json]), *(export_result(result, form, out) if form else [])]
    console = PlainConsole()
    for table in classification.build_tables(result.scores) or build_tables(
        result.scores, result.origin.get("without_score", [])
    ):
        console.print(table)
    console.print(format_notes(result), highlight=False, soft_wrap=True)
    for path in written:
        console.print(f"result: {path}", highlight=False, soft_wrap=True)


def resolve_data(name: str, data: str, languages: list[Language]) -> Path:
    """Return the folder that --data names: itself, or where the hub's copy was downloaded to."""
    if data.partition(":")[0] != HUB:
        return Path(data)
    from polyclip.evaluation.hub_files import fetch

    return fetch(name, data, languages)
