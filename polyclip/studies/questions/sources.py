"""Sources of captions for a low-resource language: none, a related language, a word list, a few or many human
captions.
"""

from typing import Any

from polyclip.errors import PolyclipError
from polyclip.languages.schema import load_language
from polyclip.studies.cells import Cell, ShotSpec
from polyclip.studies.continued_cell import METHOD, make_continued_cell
from polyclip.studies.drawing import draw_bars
from polyclip.studies.figures import Estimate, Record, compute_recall_over_seeds
from polyclip.studies.runner import Results, Setting, Variant
from polyclip.studies.sheet import Sheet
from polyclip.studies.word_list import build_word_list, hash_captions
from polyclip.training.config import CONTINUED_HEADS

CLAIM = (
    "What a language gains from a related language, from a word list and from human captions, on top of English alone."
)
LANGUAGES = ("sw", "am", "yo", "zu", "quz", "te", "km", "my")  # unless others are given
ENGLISH, RELATED, LEXICON, ALL = "English only", "+ related", "+ lexicon", "all"
SHOTS = {
    "128 shots": 128,
    "512 shots": 512,
}  # fewer are indistinguishable from zero-shot, see docs/explanation/fewshot.md


def choose_languages(setting: Setting) -> tuple[str, ...]:
    """Return the study's languages: the given ones, else LANGUAGES, of which a quick study takes the first.

    Raises:
        PolyclipError: Other methods are requested; every condition fine-tunes the same heads.

    """
    if any(method != METHOD for method in setting.methods):
        raise PolyclipError(
            f"The study of sources trains {METHOD} only and cannot be combined with --method "
            f"{', '.join(setting.methods)}."
        )
    given = tuple(code for code in setting.languages if code != "en")
    return given if given != ("sw",) else LANGUAGES[:1] if setting.quick else LANGUAGES


def plan(setting: Setting) -> list[Variant]:
    """Plan for each language every source of captions that it has; all fine-tune the English run for as many steps."""
    codes = choose_languages(setting)
    return [
        Variant(label=code, condition=name, cell=make_cell(setting, code, few), rates=(CONTINUED_HEADS.learning_rate,))
        for code in codes
        for name, few in list_sources(setting, code).items()
    ]


def list_sources(setting: Setting, code: str) -> dict[str, ShotSpec]:
    """Return what a run is given under each condition."""
    borrow = tuple(load_language(code).recipe.borrow)
    found = {ENGLISH: ShotSpec(new=(code,), count=0)}
    if borrow:
        found[RELATED] = ShotSpec(new=borrow, count=None)
    pack = build_word_list(setting, code)
    found[LEXICON] = ShotSpec(
        new=(code,), count=None, source=str(pack), identity=hash_captions(setting, code, str(pack))
    )
    return found | {name: ShotSpec(new=(code,), count=count) for name, count in (SHOTS | {ALL: None}).items()}


def make_cell(setting: Setting, code: str, few: ShotSpec) -> Cell:
    """Make one condition of one language, with seed 0."""
    trained = ("en",) if few.count == 0 else (*few.new, "en")
    return make_continued_cell(setting, code, trained, few)


def compute_estimates(results: Results) -> dict[str, dict[str, Estimate]]:
    """Compute recall@10 by language and condition."""
    return {
        code: {name: compute_recall(found, code) for (label, name), found in results.records.items() if label == code}
        for code in results.list_labels()
    }


def compute_recall(records: list[Record], code: str) -> Estimate:
    """Compute recall@10 with an interval from resampled concept groups and seeds."""
    return compute_recall_over_seeds(records, [code])


def table(results: Results) -> Sheet:
    """Build a table with one row per language, one column per source."""
    conditions = [ENGLISH, RELATED, LEXICON, *SHOTS, ALL]
    rows = []
    for code, found in compute_estimates(results).items():
        pack = load_language(code)
        cells = [found[name].format_percent() if name in found else "-" for name in conditions]
        rows.append((f"{code} {pack.name}", *cells, ", ".join(pack.recipe.borrow) or "-"))
    return Sheet(
        "recall by where captions come from",
        ("language", *conditions, "related"),
        rows,
        "text to image recall@10 on test concepts, percent [95 % over concept groups and seeds], mean of "
        f"{results.setting.seeds} seeds; every "
        "condition goes on from the same run on English alone; lexicon: English captions in which names of training "
        "images replace every second "
        "word they translate; shots: named images, sampled anew with each seed",
    )


def plot(results: Results, axes: Any) -> None:
    """Draw bars of each condition, grouped by language."""
    draw_bars(axes, compute_estimates(results), [ENGLISH, RELATED, LEXICON, *SHOTS, ALL])


def verdict(results: Results) -> str:
    """Say what each source adds to English alone on average, and where intervals do not overlap."""
    found = compute_estimates(results)
    said = []
    for name in (RELATED, LEXICON, *SHOTS, ALL):
        pairs = [(code, one[name], one[ENGLISH]) for code, one in found.items() if name in one]
        if pairs:
            gain = 100 * sum(figure.value - start.value for _, figure, start in pairs) / len(pairs)
            sure = [code for code, figure, start in pairs if figure.low > start.high]
            said.append(f"{name} {gain:+.1f} ({len(pairs)} languages; intervals apart in {', '.join(sure) or 'none'})")
    return f"Points of recall@10 above English alone: {'; '.join(said)}."
