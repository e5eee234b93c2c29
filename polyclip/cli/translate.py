"""Command `polyclip translate`."""

import json as json_text
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from polyclip.cli._options import make_command
from polyclip.core.fields import read_fields
from polyclip.core.progress import console
from polyclip.core.terminal import PlainConsole
from polyclip.core.toml import read_pack
from polyclip.data.corpus_pack import CorpusPack
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import get_lang_option

if TYPE_CHECKING:
    from polyclip.translation.config import Job
    from polyclip.translation.engine import TranslationOptions
    from polyclip.translation.filters import Thresholds

INTERRUPTED = "Interrupted. What was translated so far is kept: run the same command to resume."


@dataclass(frozen=True, kw_only=True)
class TranslateOptions:
    """Arguments and options of `polyclip translate`."""

    corpus: Annotated[str, typer.Argument(help="Corpus to translate: a name, or the path of a pack.")]
    to: Annotated[
        list[str],
        typer.Option("--to", help="Language to translate into, by any of its codes or its name; repeat for several."),
    ]
    engine: Annotated[
        str, typer.Option("--with", help="nllb, m2m100, opus-mt, madlad, ctranslate2, apertium, lexicon or file.")
    ]
    source: Annotated[str, typer.Option("--from", help="Language to translate from.")] = "en"
    model: Annotated[
        str,
        typer.Option(
            help=(
                "The engine's model: hub name, folder or file; {to} in it is the target's code. Default: the "
                "engine's own."
            )
        ),
    ] = ""
    revision: Annotated[str, typer.Option(help="Revision of a hub name.")] = ""
    split: Annotated[
        list[str] | None, typer.Option("--split", help="train or validation; repeat for both. Default: train.")
    ] = None
    keywords: Annotated[bool, typer.Option("--keywords", help="Also translate captions after the first.")] = False
    without_human: Annotated[
        bool, typer.Option("--without-human", help="Remove human captions in the target language from these splits.")
    ] = False
    partial: Annotated[bool, typer.Option("--partial", help="Accept a translation file with missing captions.")] = False
    beams: Annotated[int, typer.Option(min=1, help="Beams of the search; 1 is greedy.")] = 4
    candidates: Annotated[int, typer.Option(min=1, help="Translations per caption.")] = 1
    sample: Annotated[bool, typer.Option("--sample", help="Sample translations instead of taking the likeliest.")] = (
        False
    )
    temperature: Annotated[float, typer.Option(help="Sampling temperature.")] = 1.0
    unknown_words: Annotated[
        str, typer.Option(help="apertium, lexicon: refuse captions with unknown words, or keep the words.")
    ] = "refuse"
    share: Annotated[
        float,
        typer.Option(help="lexicon: maximum share of a caption's words to replace; below 1 gives code-switching."),
    ] = 1.0
    batch_size: Annotated[
        int, typer.Option(min=1, help="Captions per batch; an interruption loses at most one batch.")
    ] = 32
    seed: Annotated[int, typer.Option(min=0)] = 0
    similarity: Annotated[
        str, typer.Option(help="Share of human pairs to drop (5%), a minimum margin (-0.05), or off.")
    ] = "5%"
    language: Annotated[str, typer.Option(help="Minimum likelihood relative to the likeliest language, or off.")] = (
        "0.05"
    )
    script: Annotated[str, typer.Option(help="Minimum share of letters in the target's script, or off.")] = "0.5"
    length: Annotated[str, typer.Option(help="Minimum and maximum length relative to the source, or off.")] = "0.2:4"
    copies: Annotated[
        str, typer.Option(help="Keep a copied word that is copied in at least this share of other languages, or off.")
    ] = "0.1"
    repeats: Annotated[str, typer.Option(help="Maximum number of sources with the same translation, or off.")] = "3"
    unknown: Annotated[
        bool, typer.Option("--markers/--no-markers", help="Drop translations with markers of unknown words.")
    ] = True
    back_translate: Annotated[
        bool, typer.Option("--back-translate", help="Translate back and filter by chrF; doubles the time.")
    ] = False
    chrf: Annotated[float, typer.Option(min=0, max=100, help="Minimum chrF of --back-translate.")] = 20.0
    back_model: Annotated[
        str, typer.Option(help="Model of --back-translate, where --model covers one direction only.")
    ] = ""
    text_encoder: Annotated[str, typer.Option(help="Encoder of --similarity, as in 'polyclip align'.")] = "e5-small"
    out: Annotated[
        Path | None, typer.Option(help="Folder of the new corpus; default translated/<corpus>-<languages>-<engine>.")
    ] = None
    json: Annotated[bool, typer.Option("--json", help="Print kept and dropped captions as JSON.")] = False
    typed: frozenset[str] = frozenset()  # names of the options given on the command line


def translate_with(wanted: TranslateOptions) -> None:
    """Translate a corpus' captions, filter them, and write a corpus for 'polyclip align --corpus'."""
    choice = read_fields(wanted, ("similarity", "language", "script", "length", "copies", "repeats"))
    limits = build_thresholds(choice, unknown=wanted.unknown, chrf=wanted.chrf if wanted.back_translate else None)
    targets = list({found.code: found for found in map(resolve_language, wanted.to)}.values())
    from polyclip.translation.config import Job

    corpus = wanted.corpus
    stem = Path(corpus).resolve().parent.name if corpus.endswith(".toml") else Path(corpus).stem
    job = Job(
        corpus=corpus,
        engine=wanted.engine,
        source=resolve_language(wanted.source),
        targets=targets,
        out=wanted.out or Path("translated") / f"{stem}-{'-'.join(target.code for target in targets)}-{wanted.engine}",
        options=build_engine_options(wanted),
        splits=tuple(dict.fromkeys(wanted.split or ["train"])),
        keywords=wanted.keywords,
        partial=wanted.partial,
        without_human=wanted.without_human,
        limits=limits,
        text_encoder=wanted.text_encoder,
        back_model=wanted.back_model,
    )
    run_translation(job, json=wanted.json)


command = make_command(TranslateOptions, translate_with)


def build_engine_options(wanted: TranslateOptions) -> "TranslationOptions":
    """Build the engine's options."""
    from polyclip.translation.engine import TranslationOptions

    named = ("model", "revision", "beams", "candidates", "sample", "temperature", "batch_size", "seed", "share")
    return TranslationOptions(unknown=wanted.unknown_words, **read_fields(wanted, named))


def build_thresholds(choice: dict[str, str], *, unknown: bool, chrf: float | None) -> "Thresholds":
    """Build the filters' thresholds from options that are a number or "off"."""
    from polyclip.translation.filters import Thresholds, parse_length, parse_similarity, parse_threshold

    margin, share = parse_similarity(choice["similarity"])
    most = parse_threshold("repeats", choice["repeats"], 1.0, 1e9)
    return Thresholds(
        unknown=unknown,
        script=parse_threshold("script", choice["script"], 0.0, 1.0),
        language=parse_threshold("language", choice["language"], 0.0, 1.0),
        length=parse_length(choice["length"]),
        copies=parse_threshold("copies", choice["copies"], 0.0, 1.0),
        repeats=None if most is None else int(most),
        likeness=margin,
        quantile=share,
        chrf=chrf,
    )


def run_translation(job: "Job", *, json: bool) -> None:
    """Translate, and print how many captions were kept and dropped."""
    from polyclip.report.translation import build_table, collect_notes, summarize_outcomes
    from polyclip.translation.run import translate

    try:
        outcomes, path = translate(job)
    except KeyboardInterrupt:
        console.print(INTERRUPTED, soft_wrap=True)
        raise SystemExit(130) from None
    pack = read_pack(CorpusPack, path)
    if json:
        typer.echo(json_text.dumps(summarize_outcomes(outcomes, path, pack), ensure_ascii=False, indent=1))
        return
    printed = PlainConsole()
    for outcome in outcomes:
        printed.print(build_table(outcome))
        for note in collect_notes(outcome):
            printed.print(f"{outcome.language.code}: {note}", highlight=False, soft_wrap=True)
    for licence in pack.licences[-len(outcomes) :]:
        printed.print(f"licence: {licence.part}: {licence.spdx} ({licence.holder})", highlight=False, soft_wrap=True)
    printed.print(
        f"train with it: polyclip align --lang {get_lang_option(job.targets[0].code)} --corpus {path}",
        highlight=False,
        soft_wrap=True,
    )
