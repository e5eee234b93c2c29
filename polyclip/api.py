"""The functions of `import polyclip` beside `align`: what the command line does, for programs and notebooks."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from polyclip.alignment import Languages, OneCorpus
from polyclip.core.progress import show_messages
from polyclip.data.corpus import Corpus
from polyclip.data.corpus_names import name_corpora
from polyclip.evaluation.results import Result
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Language, list_languages

if TYPE_CHECKING:  # torch takes seconds, and lists need none
    import torch

    from polyclip.evaluation.significance import Comparison
    from polyclip.evaluation.tokenizer.findings import Checkup
    from polyclip.exporters.run import ExportResult
    from polyclip.models.aligner import PolyCLIP

__all__ = [
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


def evaluate(
    model: "PolyCLIP | str | Path",
    benchmark: str,
    *,
    languages: Languages | None = None,
    data_dir: str | Path | None = None,
    split: str = "test",
    corpus: OneCorpus | Sequence[OneCorpus] = "emoji",
    partial: bool = False,
    batch_size: int | None = None,
    device: "str | torch.device | None" = None,
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
        batch_size: The most captions or images that are encoded at once; by default as many as are efficient on the
            device. Features that are cached already are not encoded.
        device: As in `align`; by default the model's own.
        show_progress_bar: Show progress on standard error.

    Returns:
        Scores with 95 % intervals, and where every number comes from.

    Raises:
        UnknownName: There is no such benchmark, language or split.
        DataError: Files are missing or invalid.
        PolyclipError: `batch_size` is not a whole number, at least 1.

    Example:
        >>> evaluate("runs/sw", "emoji", languages="sw").to_dataframe()

    """
    from polyclip.core.device import use_device
    from polyclip.evaluation.retrieval import Request
    from polyclip.models.aligner import PolyCLIP
    from polyclip.models.batches import use_batch_size
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
    with show_messages(show_progress_bar), use_device(place), use_batch_size(batch_size):
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
    device: "str | torch.device | None" = None,
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

    Example:
        >>> corpus = translate("emoji", "es", "apertium", "emoji-es")
        >>> align("es", corpus=corpus)

    """
    from polyclip.core.device import use_device
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
    device: "str | torch.device | None" = None,
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
        Figures and findings; `defects` are the serious ones.

    Raises:
        DataError: A language has no captions in the corpus.
        WeightsError: The encoder cannot be loaded.

    Example:
        >>> [finding.sentence for finding in doctor("sw").defects]
        []

    """
    from polyclip.core.device import use_device
    from polyclip.evaluation.tokenizer.checkup import examine
    from polyclip.models.backbone import describe

    source = corpus if isinstance(corpus, Corpus) else Corpus.open(corpus)
    packs = [resolve_language(code) for code in ([languages] if isinstance(languages, str) else languages)]
    with show_messages(show_progress_bar), use_device(device):
        return examine(describe("encoders", text_encoder), source, packs, captions)


def export(
    model: "PolyCLIP | str | Path",
    target: str,
    path: str | Path,
    *,
    int8: bool = False,
    show_progress_bar: bool = False,
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

    Example:
        >>> export("runs/sw", "sentence-transformers", "exports/sw")

    """
    from polyclip.core.device import use_device
    from polyclip.exporters.run import export as export_run
    from polyclip.models.aligner import PolyCLIP

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
