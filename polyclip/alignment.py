"""`align`: from options to a trained and scored model, for Python and for the command line."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from polyclip.core.expected import describe_expected
from polyclip.core.progress import console, show_messages
from polyclip.core.text import show_line
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.corpus_names import name_corpora
from polyclip.errors import PolyclipError, RunError, UnknownName, shorten
from polyclip.evaluation.results import Choice, Result, Score
from polyclip.training.configure import build_budget, build_config
from polyclip.training.library_model import apply_library_model
from polyclip.training.options import AlignOptions, AlignRequest
from polyclip.training.request import choose_corpus, resolve_request
from polyclip.training.trackers import check_trackers

if TYPE_CHECKING:  # torch takes seconds: a wrong option is told before
    import torch

    from polyclip.models.aligner import PolyCLIP
    from polyclip.models.config import ModelConfig
    from polyclip.training.config import AlignConfig, OptimizerConfig

Languages = str | Sequence[str]
OneCorpus = str | Path | Corpus
__all__ = ["AlignResult", "align"]
NAMES = {"start": "base", "shots": "num_shots", "budget": "time_budget", "out": "output_dir"}  # of options, in Python
SHOWN = 60  # characters of a wrong value in an error


@dataclass(frozen=True)
class AlignResult:
    """What `align` returns.

    Attributes:
        model: The trained model, in eval mode.
        result: Scores on held-out images, settings, and where every number comes from.
        path: The run folder; `PolyCLIP.from_pretrained(path)` loads the model again.
        choice: What `method="auto"` tried and why it chose; None for a method by name.

    """

    model: "PolyCLIP"
    result: Result
    path: Path
    choice: Choice | None = None

    def __repr__(self) -> str:
        """One line: the folder and what `result` says of itself."""
        return f"AlignResult({str(self.path)!r}, {self.result!r})"

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
    model: "ModelConfig | None" = None,
    optimizer: "OptimizerConfig | None" = None,
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    time_budget: str | None = None,
    device: "str | torch.device | None" = None,
    precision: str = "auto",
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
        device: `cpu`, `cuda`, `cuda:N` or `mps`; by default the best there is. GPUs are experimental.
        precision: `fp32`, `bf16` or `fp16` in training; `auto` trains heads on cached features in bf16 where the CPU
            multiplies it in hardware, and all else in fp32.
        encode_precision: `fp32`, `bf16` or, on a CPU, `int8`, in which frozen encoders encode; by default bf16 on a CPU
            that multiplies it in hardware.
        seed: Of initial weights, batches and dropout.
        resume: Go on with an interrupted run in the same folder.
        callbacks: Called with each line of the training log as it is written.
        show_progress_bar: Show progress on standard error.
        **options: Any other option of `polyclip align`, with underscores: `text_encoder`, `vision_tower`, `english`,
            `class_names`, `head_dim`, `train_towers`, `caption_weights`, `track`, ... `settings`, a run's folder or
            run.toml, decides everything else; `changes` is a list such as `["heads.epochs=5"]`.

    Returns:
        The model, its scores and its folder.

    Raises:
        UnknownName: A language, corpus, method or option does not exist.
        RunError: The folder holds another or an unfinished run, or retention dropped by more than `max_drop`
            percentage points.
        DataError: Captions or images are invalid, or the test split is not unseen.

    Example:
        >>> found = align("sw", output_dir="runs/sw")
        >>> found.model.encode_text("mbwa").shape
        torch.Size([383])

    """
    named: dict[str, Any] = {
        "method": method,
        "start": base or None,
        "shots": num_shots,
        "epochs": epochs,
        "budget": time_budget,
    }
    named |= {"batch_size": batch_size, "learning_rate": learning_rate, "out": output_dir or None}
    given = read_options({key: value for key, value in (named | options).items() if value is not None})
    always = read_options({"precision": precision, "seed": seed, "resume": resume})
    where = name_corpora(corpus)
    own: dict[str, Any] = {"corpus": where} if where != "emoji" else {}
    asked = AlignOptions(
        lang=[languages] if isinstance(languages, str) else list(languages or []),
        typed=frozenset(given | own),
        **always,
        **given,
        **own,
    )
    encode_precision = "" if encode_precision == "auto" else encode_precision
    from polyclip.core.device import use_device
    from polyclip.core.encode_precision import use_encode_precision
    from polyclip.models.aligner import load_model

    with show_messages(show_progress_bar), use_device(device), use_encode_precision(encode_precision):
        done = run_alignment(asked, model=model, optimizer=optimizer, callbacks=callbacks)
        if forgotten := describe_drop(done.result, asked.max_drop):
            raise RunError(f"{forgotten} The model is in {done.request.folder}.")
        return AlignResult(load_model(done.request.folder), done.result, done.request.folder, done.choice)


def read_options(given: dict[str, Any]) -> dict[str, Any]:
    """Check that these are options of an alignment, and that their values have the right types.

    Args:
        given: Values by the name of the option.

    Returns:
        The same; texts are paths and numbers where the option is one.

    Raises:
        UnknownName: One is not; the nearest are named.
        PolyclipError: A value is of another type.

    """
    from pydantic import ConfigDict, ValidationError, create_model

    kinds = {name: kind for name, kind in get_type_hints(AlignOptions).items() if name not in ("typed", "lang")}
    for name in given:
        if name not in kinds:
            raise UnknownName("option of align", name, kinds)
    expected: dict[str, Any] = {name: (kinds[name], ...) for name in given}
    try:
        found = create_model("Options", __config__=ConfigDict(arbitrary_types_allowed=True), **expected)(**given)
    except ValidationError as error:
        fault = error.errors()[0]
        name = str(fault["loc"][0])
        value = shorten(show_line(repr(fault["input"])), SHOWN)
        raise PolyclipError(f"align: {NAMES.get(name, name)}={value}, expected {describe_expected(fault)}.") from error
    return dict(found)


@dataclass(frozen=True)
class Alignment:
    """What an alignment did.

    Attributes:
        request: What was trained, after the language packs' advice was applied.
        result: Its result.
        choice: What `--method auto` tried and why it chose; None for a method by name.

    """

    request: AlignRequest
    result: Result
    choice: Choice | None


def run_alignment(
    options: AlignOptions,
    *,
    model: "ModelConfig | None" = None,
    optimizer: "OptimizerConfig | None" = None,
    callbacks: Sequence[Callable[[dict[str, Any]], None]] = (),
) -> Alignment:
    """Resolve options, train and score; the model is in the run folder.

    Args:
        options: Of the alignment.
        model: Stands for the options of encoders, method and head.
        optimizer: Stands for the options of the method's own phase.
        callbacks: Called with each line of the training log.

    Returns:
        What was trained, and its result.

    Raises:
        PolyclipError: As `align` raises.

    """
    options = apply_library_model(options)
    if options.targets:
        from polyclip.exporters.choose import choose_for_targets

        options, line = choose_for_targets(options, options.targets)
        console.print(line, highlight=False, soft_wrap=True)
    if model is not None:
        options = replace(options, method=model.method)
    if options.max_bad:
        load_corpus(choose_corpus(options)).allow_bad_samples(options.max_bad)
    request = resolve_request(options)
    budget = build_budget(options, request)
    check_trackers(options.track or [])
    config = replace(build_config(options, request), track=tuple(options.track or []), observers=tuple(callbacks))
    config = replace_parts(config, model, optimizer)
    if options.max_drop is not None:
        from polyclip.training.preflight import check_forgetting_is_measured

        check_forgetting_is_measured(config)
    from polyclip.pipeline import align as align_run
    from polyclip.pipeline import align_within

    result, choice = (align_run(config), None) if budget is None else align_within(config, budget)
    return Alignment(request, result, choice)


def replace_parts(
    config: "AlignConfig", model: "ModelConfig | None", optimizer: "OptimizerConfig | None"
) -> "AlignConfig":
    """Put a model's configuration, and the schedule of the method's own phase, in place of those of the options."""
    from polyclip.core.registry import find

    if model is not None:
        config = replace(config, recipe=model)
    if optimizer is None:
        return config
    inside = find("methods", config.recipe.method).METHOD.trains_towers
    return replace(config, towers=optimizer) if inside else replace(config, heads=optimizer)


def describe_drop(result: Result, most: float | None) -> str:
    """A sentence where retention dropped by more than `most` percentage points; empty where it did not, or for None."""
    from polyclip.report.table import describe_forgetting

    return "" if most is None else describe_forgetting(result.knowledge, most)
