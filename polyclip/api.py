"""The functions of `import polyclip`: what the command line does, for programs and notebooks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from polyclip.core.device import use_device
from polyclip.core.encode_precision import use_encode_precision
from polyclip.core.progress import show_messages
from polyclip.data.corpus import Corpus
from polyclip.data.corpus_names import name_corpora
from polyclip.errors import UnknownName
from polyclip.evaluation.results import Choice, Result, Score
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Language, list_languages
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.branch import ModelConfig
from polyclip.training.config import OptimizerConfig
from polyclip.training.configure import build_budget, build_config
from polyclip.training.library_model import apply_library_model
from polyclip.training.options import AlignOptions
from polyclip.training.request import resolve_request

if TYPE_CHECKING:
    from polyclip.evaluation.significance import Comparison
    from polyclip.evaluation.tokenizer.findings import Checkup
    from polyclip.exporters.run import ExportResult

Languages = str | Sequence[str]
OneCorpus = str | Path | Corpus
__all__ = [
    "align",
    "compare",
    "doctor",
    "evaluate",
    "export",
    "get_language",
    "list_benchmarks",
    "list_languages",
    "list_methods",
    "translate",
]


@dataclass(frozen=True)
class AlignResult:
    """What `align` returns.

    Attributes:
        model: The trained model, in eval mode.
        result: Scores on held-out images, settings, and where every number comes from.
        path: The run folder; `PolyCLIP.from_pretrained(path)` loads the model again.
        choice: What `method="auto"` tried and why it chose; None for a method by name.

    """

    model: PolyCLIP
    result: Result
    path: Path
    choice: Choice | None = None

    @property
    def scores(self) -> list[Score]:
        """Held-out retrieval scores, with intervals."""
        return self.result.scores

    def to_dataframe(self) -> Any:
        """The scores as a pandas data frame, one row a figure; requires pandas."""
        return self.result.to_dataframe()


def align(
    languages: Languages | None = None,
    *,
    corpus: OneCorpus | Sequence[OneCorpus] = "emoji",
    method: str | None = None,
    output_dir: str | Path | None = None,
    base: str | Path | None = None,
    num_shots: int | None = None,
    model: ModelConfig | None = None,
    optimizer: OptimizerConfig | None = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    time_budget: str | None = None,
    device: str | torch.device | None = None,
    precision: str = "fp32",
    encode_precision: str = "auto",
    seed: int = 0,
    resume: bool = False,
    callbacks: Sequence[Callable[[dict[str, Any]], None]] = (),
    show_progress_bar: bool = False,
    **options: Any,
) -> AlignResult:
    """Align languages to images, and score the model on held-out images.

    Args:
        languages: Code or name of a language, or several; None with `settings`, which names them.
        corpus: Name of a corpus, path of a pack, table or folder, a `Corpus`, or a list of several; "ours=3" draws each
            caption of `ours` three times as often.
        method: One of `list_methods()`, or `auto`: what validates best within `time_budget`. By default what the first
            language's pack advises.
        output_dir: Run folder; by default `runs/<languages>-<method>`.
        base: Run folder to go on from, with new languages.
        num_shots: With `base`: named images of each new language; 0 leaves the model as it is. By default all.
        model: Encoders, method and head in full, in place of the options one by one.
        optimizer: Schedule of the method's own phase in full.
        epochs: Passes over the training images in the method's own phase.
        batch_size: Pairs in a step of that phase.
        learning_rate: The highest one of that phase.
        time_budget: For `method="auto"`: `90s`, `5m`, `1h`.
        device: `cpu`, `cuda`, `cuda:N` or `mps`; by default the best there is.
        precision: `fp32`, `bf16` or `fp16` in training.
        encode_precision: `fp32`, `bf16` or, on a CPU, `int8`, in which frozen encoders encode; by default bf16 on a CPU
            that multiplies it in hardware.
        seed: Of initial weights, batches and dropout.
        resume: Go on with an interrupted run in the same folder.
        callbacks: Called with each line of the training log as it is written.
        show_progress_bar: Show progress on standard error.
        **options: Any other option of `polyclip align`, with underscores: `text_encoder`, `vision_tower`, `english`,
            `class_names`, `head_dim`, `train_towers`, `caption_weights`, ... `settings`, a run's folder
            or run.toml, decides everything else; `changes` is a list such as `["heads.epochs=5"]`.

    Returns:
        The model, its scores and its folder.

    Raises:
        UnknownName: A language, corpus, method or option does not exist.
        RunError: The folder holds another or an unfinished run.
        DataError: Captions or images are invalid, or the test split is not unseen.

    Example:
        >>> found = align("sw", output_dir="runs/sw")
        >>> found.model.encode_text("mbwa").shape
        torch.Size([383])

    """
    named: dict[str, Any] = {
        "method": method,
        "start": base and Path(base),
        "shots": num_shots,
        "epochs": epochs,
        "budget": time_budget,
    }
    options |= {"settings": Path(options["settings"])} if options.get("settings") else {}
    named |= {"batch_size": batch_size, "learning_rate": learning_rate, "out": output_dir and Path(output_dir)}
    given = {key: value for key, value in (named | options).items() if value is not None}
    check_options(given)
    where = name_corpora(corpus)
    own: dict[str, Any] = {"corpus": where} if where != "emoji" else {}
    asked = AlignOptions(
        lang=[languages] if isinstance(languages, str) else list(languages or []),
        precision=precision,
        seed=seed,
        resume=resume,
        typed=frozenset(given | own),
        **given,
        **own,
    )
    encode_precision = "" if encode_precision == "auto" else encode_precision
    with show_messages(show_progress_bar), use_device(device), use_encode_precision(encode_precision):
        return run_alignment(asked, model, optimizer, callbacks)


def check_options(given: dict[str, Any]) -> None:
    """Whether these are options of an alignment.

    Raises:
        UnknownName: One is not; the nearest are named.

    """
    known = {field.name for field in fields(AlignOptions)} - {"typed", "lang"}
    for name in given:
        if name not in known:
            raise UnknownName("option of align", name, known)


def run_alignment(
    options: AlignOptions,
    model: ModelConfig | None,
    optimizer: OptimizerConfig | None,
    callbacks: Sequence[Callable[[dict[str, Any]], None]],
) -> AlignResult:
    """Resolve what was asked for, train, score, and load what was saved."""
    from polyclip.core.registry import find
    from polyclip.pipeline import align as align_run
    from polyclip.pipeline import align_within

    options = apply_library_model(options)
    if options.targets:
        from polyclip.exporters.choose import choose_for_targets

        options, _ = choose_for_targets(options, options.targets)
    if model is not None:
        options = replace(options, method=model.method)
    request = resolve_request(options)
    budget = build_budget(options, request)
    config = replace(build_config(options, request), observers=tuple(callbacks))
    if model is not None:
        config = replace(config, recipe=model)
    if optimizer is not None and find("methods", config.recipe.method).METHOD.trains_towers:
        config = replace(config, towers=optimizer)
    elif optimizer is not None:
        config = replace(config, heads=optimizer)
    result, choice = (align_run(config), None) if budget is None else align_within(config, budget)
    return AlignResult(load_model(config.out), result, config.out, choice)


def evaluate(
    model: PolyCLIP | str | Path,
    benchmark: str,
    *,
    languages: Languages | None = None,
    data_dir: str | Path | None = None,
    split: str = "test",
    corpus: OneCorpus | Sequence[OneCorpus] = "emoji",
    partial: bool = False,
    device: str | torch.device | None = None,
    show_progress_bar: bool = False,
) -> Result:
    """Score a model on a benchmark.

    Args:
        model: A model that came from a run, or its folder.
        benchmark: One of `list_benchmarks()`.
        languages: Codes or names; by default all that the benchmark has.
        data_dir: Folder of the benchmark's files (`polyclip corpora show NAME` says which).
        split: `train`, `validation` or `test`, or a set of the benchmark.
        corpus: For `held-out`: a corpus, or a list of several.
        partial: Accept a part of the official files; every figure says so.
        device: As in `align`; by default the model's own.
        show_progress_bar: Show progress on standard error.

    Returns:
        Scores with 95 % intervals, and where every number comes from.

    Raises:
        UnknownName: There is no such benchmark, language or split.
        DataError: Files are missing or invalid.

    Example:
        >>> evaluate("runs/sw", "emoji", languages="sw").to_dataframe()

    """
    from polyclip.evaluation.retrieval import Request
    from polyclip.pipeline import evaluate as evaluate_run

    asked = [] if languages is None else [languages] if isinstance(languages, str) else list(languages)
    request = Request(
        languages=[resolve_language(code) for code in asked],
        split=split,
        data=None if data_dir is None else Path(data_dir),
        partial=partial,
        corpus=name_corpora(corpus),
    )
    place = model.device if isinstance(model, PolyCLIP) and device is None else device
    with show_messages(show_progress_bar), use_device(place):
        return evaluate_run(benchmark, model if isinstance(model, PolyCLIP) else Path(model), request)


def compare(
    a: Result | str | Path,
    b: Result | str | Path,
    *,
    metric: str = "recall@10",
    languages: Languages | None = None,
    direction: str = "text_to_image",
    protocol: str = "",
) -> "Comparison":
    """Compare two models query by query, corrected for the number of languages.

    Args:
        a: A result, or a run folder, or a file that `polyclip eval --json` wrote.
        b: The same; differences are b - a.
        metric: `recall@1`, `recall@5`, `recall@10`, `mean_recall`, `mrr` or `ndcg@10`.
        languages: Codes or names; by default all that both have.
        direction: `text_to_image` or `image_to_text`.
        protocol: By default the benchmark's first.

    Returns:
        A difference with interval, p and verdict for each language, and for their mean.

    Raises:
        DataError: The two were not asked the same queries.
        UnknownName: There is no such metric, direction or protocol.

    Example:
        >>> compare("runs/sw-heads", "runs/sw-head-mlp").mean.verdict
        'better'

    """
    from polyclip.evaluation.significance import ComparisonOptions
    from polyclip.evaluation.significance import compare as compare_outcomes
    from polyclip.report.per_query import collect_outcomes, read_outcomes

    asked = [] if languages is None else [languages] if isinstance(languages, str) else list(languages)
    codes = tuple(resolve_language(code).code for code in asked)
    question = ComparisonOptions(metric=metric, direction=direction, protocol=protocol, languages=codes)
    sides = [collect_outcomes(x.scores) if isinstance(x, Result) else read_outcomes(Path(x)) for x in (a, b)]
    names = ["A" if isinstance(a, Result) else str(a), "B" if isinstance(b, Result) else str(b)]
    return compare_outcomes(sides[0], sides[1], question, (names[0], names[1]))


def translate(
    corpus: str | Path | Corpus,
    to: Languages,
    engine: str,
    output_dir: str | Path,
    *,
    source: str = "en",
    device: str | torch.device | None = None,
    show_progress_bar: bool = False,
    **options: Any,
) -> Corpus:
    """Translate a corpus' captions, filter them, and write a corpus of machine-translated captions.

    Args:
        corpus: Name of a corpus, path of a pack, or a `Corpus`.
        to: Languages to translate into.
        engine: `nllb`, `m2m100`, `opus-mt`, `madlad`, `ctranslate2`, `apertium`, `lexicon` or `file`.
        output_dir: Folder of the new corpus.
        source: Language to translate from.
        device: As in `align`.
        show_progress_bar: Show progress on standard error.
        **options: Fields of `polyclip.translation.config.Job`: `splits`, `keywords`, `without_human`, `limits`, ...

    Returns:
        The corpus, for `align(..., corpus=...)`.

    Raises:
        UnknownName: There is no such corpus, language or engine.
        WeightsError: The engine's model cannot be loaded.

    """
    from polyclip.translation.config import Job
    from polyclip.translation.run import translate as translate_corpus

    where = corpus.path if isinstance(corpus, Corpus) else corpus
    targets = [resolve_language(code) for code in ([to] if isinstance(to, str) else to)]
    out = Path(output_dir)
    job = Job(corpus=str(where), engine=engine, source=resolve_language(source), targets=targets, out=out, **options)
    with show_messages(show_progress_bar), use_device(device):
        translate_corpus(job)
    return Corpus.open(out / "corpus.toml")


def doctor(
    languages: Languages,
    *,
    text_encoder: str = "e5-small",
    corpus: str | Path | Corpus = "emoji",
    captions: int = 400,
    device: str | torch.device | None = None,
    show_progress_bar: bool = False,
) -> "Checkup":
    """Examine how a text encoder reads languages before anything is trained.

    Args:
        languages: Codes or names.
        text_encoder: As in `align`.
        corpus: Whose training captions are read.
        captions: The most names of each language that are encoded, >= 30.
        device: As in `align`.
        show_progress_bar: Show progress on standard error.

    Returns:
        Figures and findings; `defects` says how many are serious.

    Raises:
        DataError: A language has no captions in the corpus.
        WeightsError: The encoder cannot be loaded.

    """
    from polyclip.evaluation.tokenizer.checkup import examine
    from polyclip.models.backbone import describe

    source = corpus if isinstance(corpus, Corpus) else Corpus.open(corpus)
    packs = [resolve_language(code) for code in ([languages] if isinstance(languages, str) else languages)]
    with show_messages(show_progress_bar), use_device(device):
        return examine(describe("encoders", text_encoder), source, packs, captions)


def export(
    model: PolyCLIP | str | Path, target: str, path: str | Path, *, int8: bool = False, show_progress_bar: bool = False
) -> "ExportResult":
    """Write a run for another library, and check that it gives the same embeddings there.

    Args:
        model: A run folder, or a model that came from one.
        target: `open_clip`, `transformers`, `sentence-transformers`, `onnx` or `peft`.
        path: New folder.
        int8: 8-bit weights, with `onnx`.
        show_progress_bar: Show progress on standard error.

    Returns:
        The folder, and how near the embeddings are.

    Raises:
        RunError: The run cannot be expressed there, the library is missing, or the folder is not empty.

    """
    from polyclip.exporters.run import export as export_run

    folder = Path(model.source if isinstance(model, PolyCLIP) else model)
    with show_messages(show_progress_bar), use_device("cpu"):
        return export_run(folder, target, Path(path), int8=int8)


def list_methods() -> list[str]:
    """List the names of the alignment methods."""
    from polyclip.core.registry import list_names

    return list_names("methods")


def list_benchmarks() -> list[str]:
    """List the names of the benchmarks that `evaluate` knows."""
    from polyclip.core.registry import list_names

    return list_names("benchmarks")


def get_language(name: str) -> Language:
    """The pack of a language.

    Args:
        name: Any of its codes or names: `sw`, `swh`, `Swahili`, `Kiswahili`.

    Returns:
        Its codes, names, script, normalization, prompts and training advice.

    Raises:
        UnknownName: There is no pack for it; the nearest are named.
        AmbiguousName: The name means several languages.

    Example:
        >>> get_language("Kiswahili").code
        'sw'

    """
    return resolve_language(name)
