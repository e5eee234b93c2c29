"""Few-shot curves: recall over the number of captioned images of a new language, on top of an aligned run."""

from dataclasses import dataclass, replace
from pathlib import Path

from polyclip.core.registry import find
from polyclip.core.storage import hash_file, hash_parts
from polyclip.data.corpus import load_corpus
from polyclip.data.sampling_weights import HUMAN
from polyclip.errors import DataError, PolyclipError
from polyclip.languages.schema import load_language
from polyclip.models.config import ModelConfig
from polyclip.studies.cells import Cell, ShotSpec, make_starting_cell
from polyclip.studies.fewshot_report import ALL, HUMANS, MACHINES, Curves
from polyclip.studies.report import StudyReport, check_matplotlib, write_report
from polyclip.studies.runner import Results, Setting, load_record, run_all, train_starting_cells
from polyclip.training.config import CONTINUED_HEADS
from polyclip.training.finetune import plan_continuation, read_recipe
from polyclip.training.shots import RANDOM, Shots, read_source_rows


@dataclass(frozen=True, kw_only=True)
class FewshotConfig:
    """Languages, shot counts and starting run of few-shot curves."""

    languages: tuple[str, ...]
    counts: tuple[int, ...]  # named images
    by: str = RANDOM
    translated: str = ""  # path of a corpus pack with captions by machines; empty: no second curve
    start: str = ""  # a run folder; empty: English alone, trained once a seed
    method: str = "head-glu"  # of English alone
    dim: int = 384


def run_fewshot(config: FewshotConfig, setting: Setting) -> StudyReport:
    """Train and score missing cells, and write the report.

    Args:
        config: Languages and shot counts.
        setting: Corpus, encoders, seeds and folder; `setting.languages` is ignored.

    Returns:
        Table, verdict and files.

    Raises:
        DataError: A language has fewer captioned images than requested.
        PolyclipError: The method trains inside an encoder, or matplotlib is missing.

    """
    check_matplotlib()
    there = {
        (code, kind): count_available(config, setting, code, kind)
        for code in config.languages
        for kind in list_caption_kinds(config)
    }
    cells = plan_cells(config, setting, {key: identity for key, (_, identity) in there.items()})
    if not config.start:
        train_starting_cells([make_starting_cell(cell) for cell in next(iter(cells.values()))], setting)
    run_all([(cell, True) for found in cells.values() for cell in found], setting, "few shots")
    records = {key: [load_record(cell, setting) for cell in found] for key, found in cells.items()}
    results = Results(setting, records, dict.fromkeys(cells, CONTINUED_HEADS.learning_rate))
    curves = Curves(
        config.languages,
        config.counts,
        list_caption_kinds(config),
        {code: there[code, HUMANS][0] for code in config.languages},
    )
    return write_report("fewshot", curves, results, {"curves": curves.collect_points(results)})


def list_caption_kinds(config: FewshotConfig) -> tuple[str, ...]:
    """List the kinds of captions, one for each curve of a language."""
    return (HUMANS, MACHINES) if config.translated else (HUMANS,)


def choose_source(config: FewshotConfig, kind: str) -> str:
    """Return the caption source of a kind, as polyclip.training.shots.Shots names it."""
    return HUMAN if kind == HUMANS else config.translated


def count_available(config: FewshotConfig, setting: Setting, code: str, kind: str) -> tuple[int, str]:
    """Count the training images that a language captions, and hash its captions.

    Raises:
        DataError: There are fewer than the largest shot count.

    """
    corpus, source = load_corpus(setting.corpus), choose_source(config, kind)
    rows = read_source_rows(corpus, load_language(code), source)
    named = len({row.concept for row in rows})
    most = max(config.counts)
    if most > named:
        where = source if kind == MACHINES else f"corpus {corpus.name!r}"
        raise DataError(
            f"--k {most}: {code!r} has captions for {named} training images in {where}; choose at most {named}."
        )
    return named, hash_parts(*(f"{row.concept} {caption}" for row in rows for caption in row.captions))[:16]


def plan_cells(
    config: FewshotConfig, setting: Setting, identities: dict[tuple[str, str], str]
) -> dict[tuple[str, str], list[Cell]]:
    """Plan the cells by curve and count, one per seed; zero-shot cells are shared by all curves."""
    found = {}
    for (code, kind), identity in identities.items():
        for count in (*config.counts, *([None] if kind == HUMANS else [])):
            few = ShotSpec(
                new=(code,),
                count=count,
                source=choose_source(config, kind),
                by=config.by,
                start=config.start,
                identity=identity,
            )
            found[f"{code} {kind}", ALL if count is None else str(count)] = build_cells(config, setting, few)
        found[f"{code} {kind}", "0"] = build_cells(
            config, setting, ShotSpec(new=config.languages, count=0, start=config.start)
        )
    return found


def build_cells(config: FewshotConfig, setting: Setting, few: ShotSpec) -> list[Cell]:
    """Build the cells of one point of a curve, one per seed."""
    recipe, old = (
        ModelConfig(
            method=config.method, text_encoder=setting.text_encoder, vision_tower=setting.tower, dim=config.dim
        ),
        ["en"],
    )
    if config.start:
        continued = plan_continuation(
            Path(config.start), [load_language(code) for code in few.new], Shots(count=few.count)
        )
        recipe, old = read_recipe(continued.start), [language.code for language in continued.old]
        few = replace(few, identity=few.identity + hash_file(continued.start / "aligner.safetensors")[:16])
    if find("methods", recipe.method).METHOD.trains_towers:
        raise PolyclipError(
            "polyclip fewshot requires a method that trains on cached features, such as heads or head-glu, but "
            f"{recipe.method} trains inside an encoder."
        )
    trained = tuple(old) if few.count == 0 else (*few.new, *old)
    cell = Cell(
        method=recipe.method,
        rate=CONTINUED_HEADS.learning_rate,
        seed=0,
        languages=trained,
        asked=tuple(code for code in config.languages if code not in trained),
        tower=recipe.vision_tower,
        text_encoder=recipe.text_encoder,
        corpus=setting.corpus,
        dim=recipe.dim,
        few=few,
    )
    return [replace(cell, seed=seed) for seed in range(setting.seeds)]
