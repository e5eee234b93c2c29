"""What a few captions buy: recall over the number of named pictures that a language is given, on top of an aligned run."""

from dataclasses import dataclass, replace
from pathlib import Path

from polyclip.core.registry import find
from polyclip.core.storage import digest, sha256
from polyclip.data.corpus import load_corpus
from polyclip.data.sampling_weights import HUMAN
from polyclip.errors import DataError, PolyclipError
from polyclip.languages.schema import load_language
from polyclip.models.branch import ModelConfig
from polyclip.studies.cells import Cell, Few, begun
from polyclip.studies.fewshot_report import ALL, HUMANS, MACHINES, Curves
from polyclip.studies.report import Report, drawable, written
from polyclip.studies.runner import Results, Setting, prepare, record, run_all
from polyclip.training.config import GOING_ON
from polyclip.training.finetune import going_on, recipe_of
from polyclip.training.shots import RANDOM, Shots, source_rows


@dataclass(frozen=True, kw_only=True)
class Question:
    """What is asked of which languages."""

    languages: tuple[str, ...]
    counts: tuple[int, ...]  # named pictures
    by: str = RANDOM
    translated: str = ""  # path of a corpus pack with captions by machines; empty: no second curve
    start: str = ""  # a run folder; empty: English alone, trained once a seed
    method: str = "head-glu"  # of English alone
    dim: int = 384


def conduct(question: Question, setting: Setting) -> Report:
    """Train and score what is missing, cell by cell, and report. `setting.languages` is not looked at.

    Raises DataError where a language names fewer pictures than asked, PolyclipError for a method that trains inside a tower and without
    matplotlib, and what `going_on` raises.
    """
    drawable()
    there = {
        (code, kind): available(question, setting, code, kind)
        for code in question.languages
        for kind in kinds(question)
    }
    cells = plan(question, setting, {key: identity for key, (_, identity) in there.items()})
    if not question.start:
        prepare([begun(cell) for cell in next(iter(cells.values()))], setting)
    run_all([(cell, True) for found in cells.values() for cell in found], setting, "few shots")
    records = {key: [record(cell, setting) for cell in found] for key, found in cells.items()}
    results = Results(setting, records, dict.fromkeys(cells, GOING_ON.learning_rate))
    curves = Curves(
        question.languages,
        question.counts,
        kinds(question),
        {code: there[code, HUMANS][0] for code in question.languages},
    )
    return written("fewshot", curves, results, {"curves": curves.points(results)})


def kinds(question: Question) -> tuple[str, ...]:
    """Who wrote the captions of each curve."""
    return (HUMANS, MACHINES) if question.translated else (HUMANS,)


def source_of(question: Question, kind: str) -> str:
    """As polyclip.training.shots.Shots has it."""
    return HUMAN if kind == HUMANS else question.translated


def available(question: Question, setting: Setting, code: str, kind: str) -> tuple[int, str]:
    """How many training pictures a language names, and a hash of its captions.

    Raises DataError where they are fewer than the largest count.
    """
    corpus, source = load_corpus(setting.corpus), source_of(question, kind)
    rows = source_rows(corpus, load_language(code), source)
    named = len({row.concept for row in rows})
    most = max(question.counts)
    if most > named:
        where = source if kind == MACHINES else f"corpus {corpus.name!r}"
        raise DataError(
            f"--k {most}: {code!r} names {named} pictures of the training split in {where}; ask for at most {named}."
        )
    return named, digest(*(f"{row.concept} {caption}" for row in rows for caption in row.captions))[:16]


def plan(
    question: Question, setting: Setting, identities: dict[tuple[str, str], str]
) -> dict[tuple[str, str], list[Cell]]:
    """Cells by curve and count, one a seed; where nothing is learned, all curves have the same."""
    found = {}
    for (code, kind), identity in identities.items():
        for count in (*question.counts, *([None] if kind == HUMANS else [])):
            few = Few(
                new=(code,),
                count=count,
                source=source_of(question, kind),
                by=question.by,
                start=question.start,
                identity=identity,
            )
            found[f"{code} {kind}", ALL if count is None else str(count)] = cells(question, setting, few)
        found[f"{code} {kind}", "0"] = cells(
            question, setting, Few(new=question.languages, count=0, start=question.start)
        )
    return found


def cells(question: Question, setting: Setting, few: Few) -> list[Cell]:
    """One point of a curve, one cell a seed."""
    recipe, old = (
        ModelConfig(
            method=question.method, text_encoder=setting.text_encoder, vision_tower=setting.tower, dim=question.dim
        ),
        ["en"],
    )
    if question.start:
        continued = going_on(Path(question.start), [load_language(code) for code in few.new], Shots(count=few.count))
        recipe, old = recipe_of(continued.start), [language.code for language in continued.old]
        few = replace(few, identity=few.identity + sha256(continued.start / "aligner.safetensors")[:16])
    if find("methods", recipe.method).METHOD.inside:
        raise PolyclipError(
            f"polyclip fewshot reads both towers from the cache, as heads and head-glu do, but {recipe.method} trains inside one."
        )
    trained = tuple(old) if few.count == 0 else (*few.new, *old)
    cell = Cell(
        method=recipe.method,
        rate=GOING_ON.learning_rate,
        seed=0,
        languages=trained,
        asked=tuple(code for code in question.languages if code not in trained),
        tower=recipe.vision_tower,
        text_encoder=recipe.text_encoder,
        corpus=setting.corpus,
        dim=recipe.dim,
        few=few,
    )
    return [replace(cell, seed=seed) for seed in range(setting.seeds)]
