"""Where captions of a low-resource language may come from: nowhere, a related language, a word list, a few people, many people."""

from pathlib import Path
from typing import Any

from polyclip.core.storage import digest
from polyclip.data.corpus import load_corpus
from polyclip.errors import PolyclipError
from polyclip.languages.schema import load_language
from polyclip.studies.cells import Cell, Few
from polyclip.studies.figures import Figure, Record, recall_over_seeds
from polyclip.studies.runner import Results, Setting, Variant
from polyclip.studies.sheet import Sheet
from polyclip.training.config import GOING_ON
from polyclip.training.shots import source_rows
from polyclip.translation.config import Job
from polyclip.translation.engine import Options
from polyclip.translation.filters import Thresholds
from polyclip.translation.run import translate

CLAIM = "What a language gains from a related language, from a word list and from people's captions, on top of English alone."
METHOD = "head-glu"
DIM = 96  # as in the other studies
LANGUAGES = ("sw", "am", "yo", "zu", "quz", "te", "km", "my")  # unless others are given
ENGLISH, RELATED, LEXICON, ALL = "English only", "+ related", "+ lexicon", "all"
SHOTS = {"128 shots": 128, "512 shots": 512}  # fewer buy nothing that could be told from chance, see docs/fewshot.md
SWITCHED = 0.5  # share of an English caption's words that the word list replaces
UNFILTERED = Thresholds(
    script=None, language=None, length=None, copies=None, repeats=None, quantile=None
)  # half of each caption stays English


def asked_for(setting: Setting) -> tuple[str, ...]:
    """The languages of the study: those given, else LANGUAGES, of which a quick study takes the first.

    Raises PolyclipError where other methods are wanted: every condition goes on from the same heads.
    """
    if any(method != METHOD for method in setting.methods):
        raise PolyclipError(
            f"The study of sources trains {METHOD} alone, not {', '.join(setting.methods)}: leave --method out."
        )
    given = tuple(code for code in setting.languages if code != "en")
    return given if given != ("sw",) else LANGUAGES[:1] if setting.quick else LANGUAGES


def plan(setting: Setting) -> list[Variant]:
    """For each language every source of captions that it has; all go on from English alone, for as many steps."""
    codes = asked_for(setting)
    return [
        Variant(label=code, condition=name, cell=cell(setting, code, few), rates=(GOING_ON.learning_rate,))
        for code in codes
        for name, few in sources(setting, code).items()
    ]


def sources(setting: Setting, code: str) -> dict[str, Few]:
    """What a run is given under each condition."""
    borrow = tuple(load_language(code).recipe.borrow)
    found = {ENGLISH: Few(new=(code,), count=0)}
    if borrow:
        found[RELATED] = Few(new=borrow, count=None)
    pack = word_list(setting, code)
    found[LEXICON] = Few(new=(code,), count=None, source=str(pack), identity=identity(setting, code, str(pack)))
    return found | {name: Few(new=(code,), count=count) for name, count in (SHOTS | {ALL: None}).items()}


def word_list(setting: Setting, code: str) -> Path:
    """A corpus of English captions of which a word list has replaced every second word it knows: code-switching."""
    job = Job(
        corpus=setting.corpus,
        engine="lexicon",
        source=load_language("en"),
        targets=[load_language(code)],
        out=setting.folder / "lexicon" / code,
        options=Options(model="names", share=SWITCHED),
        keywords=True,
        limits=UNFILTERED,
    )
    return translate(job)[1]


def identity(setting: Setting, code: str, source: str) -> str:
    """A hash of the captions a source has, so that others make another cell."""
    rows = source_rows(load_corpus(setting.corpus), load_language(code), source)
    return digest(*(f"{row.concept} {caption}" for row in rows for caption in row.captions))[:16]


def cell(setting: Setting, code: str, few: Few) -> Cell:
    """One condition of one language, seed 0."""
    trained = ("en",) if few.count == 0 else (*few.new, "en")
    return Cell(
        method=METHOD,
        rate=GOING_ON.learning_rate,
        seed=0,
        languages=trained,
        asked=() if code in trained else (code,),
        tower=setting.tower,
        text_encoder=setting.text_encoder,
        corpus=setting.corpus,
        dim=DIM,
        few=few,
    )


def figures(results: Results) -> dict[str, dict[str, Figure]]:
    """Recall@10 by language and condition."""
    return {
        code: {name: recall(found, code) for (label, name), found in results.records.items() if label == code}
        for code in results.labels()
    }


def recall(records: list[Record], code: str) -> Figure:
    """Recall@10 with the interval of redrawn concept groups and seeds."""
    return recall_over_seeds(records, [code])


def table(results: Results) -> Sheet:
    """One row a language, one column a source."""
    conditions = [ENGLISH, RELATED, LEXICON, *SHOTS, ALL]
    rows = []
    for code, found in figures(results).items():
        pack = load_language(code)
        cells = [found[name].percent() if name in found else "-" for name in conditions]
        rows.append((f"{code} {pack.name}", *cells, ", ".join(pack.recipe.borrow) or "-"))
    return Sheet(
        "recall by where captions come from",
        ("language", *conditions, "related"),
        rows,
        f"text to image recall@10 on test concepts, percent [95 % over concept groups and seeds], mean of {results.setting.seeds} seeds; every "
        "condition goes on from the same run on English alone; lexicon: English captions in which names of training pictures replace every second "
        "word they translate; shots: named pictures, drawn anew with each seed",
    )


def plot(results: Results, axes: Any) -> None:
    """Bars of each condition, grouped by language."""
    found = figures(results)
    conditions = [ENGLISH, RELATED, LEXICON, *SHOTS, ALL]
    width = 0.8 / len(conditions)
    for number, name in enumerate(conditions):
        there = [(place, one[name]) for place, one in enumerate(found.values()) if name in one]
        values = [100 * figure.value for _, figure in there]
        error = [
            [100 * (figure.value - figure.low) for _, figure in there],
            [100 * (figure.high - figure.value) for _, figure in there],
        ]
        axes.bar(
            [place + (number - (len(conditions) - 1) / 2) * width for place, _ in there],
            values,
            width,
            yerr=error,
            label=name,
            error_kw={"linewidth": 0.7},
        )
    axes.set_xticks(range(len(found)), list(found))
    axes.set(ylabel="text to image recall@10, %")
    axes.legend(fontsize=7, ncols=len(conditions), loc="upper center", bbox_to_anchor=(0.5, -0.08))


def verdict(results: Results) -> str:
    """What each source adds to English alone, on the mean of the languages that have it, and where its interval lies above."""
    found = figures(results)
    said = []
    for name in (RELATED, LEXICON, *SHOTS, ALL):
        pairs = [(code, one[name], one[ENGLISH]) for code, one in found.items() if name in one]
        if pairs:
            gain = 100 * sum(figure.value - start.value for _, figure, start in pairs) / len(pairs)
            sure = [code for code, figure, start in pairs if figure.low > start.high]
            said.append(f"{name} {gain:+.1f} ({len(pairs)} languages; intervals apart in {', '.join(sure) or 'none'})")
    return f"Points of recall@10 above English alone: {'; '.join(said)}."
