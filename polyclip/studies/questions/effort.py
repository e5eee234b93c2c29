"""What helps a community most: recall over captions that people write, alone and beside help that costs no work."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from polyclip.core.storage import hash_file
from polyclip.data.corpus import load_corpus
from polyclip.errors import PolyclipError
from polyclip.languages.schema import load_language
from polyclip.models.text_adapter import FOLDER, SUFFIX
from polyclip.studies.cells import Cell, ShotSpec
from polyclip.studies.continued_cell import METHOD, make_continued_cell
from polyclip.studies.drawing import draw_effort
from polyclip.studies.fewshot_report import interpolate_shots
from polyclip.studies.figures import Estimate, Record, compute_recall_over_seeds
from polyclip.studies.runner import Results, Setting, Variant
from polyclip.studies.sheet import Sheet
from polyclip.studies.word_list import build_word_list, hash_captions
from polyclip.training.config import CONTINUED_HEADS
from polyclip.training.shots import read_source_rows

CLAIM = (
    "What captions by people, a word list, a related language and a text adapter bring a language, each alone and "
    "together."
)
TEXT_ENCODER, ADAPTER = "e5-small", "names"
LANGUAGES = ("sw", "yo", "quz", "mi", "am", "bn", "te")  # unless others are given
ALL = "all"
COUNTS: dict[str, int | None] = {"0": 0, "8": 8, "32": 32, "128": 128, "512": 512, ALL: None}
BESIDE = ("0", "32", "128", ALL)  # counts beside which the help is tried
ALONE, WORDS, RELATED, ADAPTED, TOGETHER = (
    *("captions alone", "+ word list", "+ related language", "+ text adapter"),
    "all together",
)
HELP = (ALONE, WORDS, RELATED, ADAPTED, TOGETHER)
MEAN = "mean of"


def choose_languages(setting: Setting) -> tuple[str, ...]:
    """Return the study's languages: the given ones, else LANGUAGES, of which a quick study takes the first.

    Raises:
        PolyclipError: Another method or text encoder is requested: every cell goes on from the same heads, and the
            adapter belongs to one encoder.

    """
    if any(method != METHOD for method in setting.methods) or setting.text_encoder != TEXT_ENCODER:
        raise PolyclipError(
            f"The study of effort is of {METHOD} and of {TEXT_ENCODER} without and with its adapter: it cannot be "
            "combined with --method or --text-encoder."
        )
    given = tuple(code for code in setting.languages if code != "en")
    return given if given != ("sw",) else LANGUAGES[:1] if setting.quick else LANGUAGES


def plan(setting: Setting) -> list[Variant]:
    """Plan each language's numbers of captions alone, then some of them beside each help that the language has."""
    return [
        Variant(label=label_row(code, kind), condition=count, cell=cell, rates=(CONTINUED_HEADS.learning_rate,))
        for code in choose_languages(setting)
        for kind, count, cell in list_cells(setting, code)
    ]


def label_row(code: str, kind: str) -> str:
    """Label a language, or the mean, with one kind of help."""
    return f"{code} · {kind}"


def list_cells(setting: Setting, code: str) -> list[tuple[str, str, Cell]]:
    """List the cells of a language with their help and number of captions."""
    given = ShotSpec(new=(code,), count=0, identity=hash_captions(setting, code, ""))
    helped, most = list_help(setting, given), count_images(setting, code)
    return [
        (kind, name, make_cell(setting, code, replace(few, count=count), adapted=kind in (ADAPTED, TOGETHER)))
        for name, count in COUNTS.items()
        for kind, few in helped.items()
        if (kind == ALONE or name in BESIDE) and (count is None or count <= most)
    ]


def list_help(setting: Setting, given: ShotSpec) -> dict[str, ShotSpec]:
    """Return what a run is given beside captions by each kind of help that the language has."""
    (code,) = given.new
    pack, related = str(build_word_list(setting, code)), tuple(load_language(code).recipe.borrow)
    worded = replace(given, words=pack, identity=f"{given.identity} {hash_captions(setting, code, pack)}")
    found = {ALONE: given, WORDS: worded}
    if related:
        found[RELATED] = replace(given, related=related)
    return found | {ADAPTED: given, TOGETHER: replace(worded, related=related)}


def count_images(setting: Setting, code: str) -> int:
    """Count the training images that people captioned in a language."""
    return len({row.concept for row in read_source_rows(load_corpus(setting.corpus), load_language(code), "")})


def make_cell(setting: Setting, code: str, few: ShotSpec, *, adapted: bool) -> Cell:
    """Make a cell with seed 0, which goes on from English alone on the same text encoder."""
    trained = (*((code,) if few.count != 0 or few.words else ()), *few.related, "en")
    cell = make_continued_cell(setting, code, trained, few)
    if not adapted:
        return cell
    identity = hash_file(FOLDER / f"{ADAPTER}{SUFFIX}")[:12]
    return replace(cell, text_encoder=f"{TEXT_ENCODER}:,adapter={ADAPTER}", adapter=identity)


def list_helped_languages(results: Results) -> list[str]:
    """List the languages that have every kind of help, over which the mean is taken; all of them where none has."""
    codes = choose_languages(results.setting)
    helped = [code for code in codes if load_language(code).recipe.borrow]
    return helped or list(codes)


def compute_estimates(results: Results) -> dict[str, dict[str, dict[str, Estimate]]]:
    """Compute recall@10 by language, help and number of captions; first the mean over the languages with every help."""
    codes = choose_languages(results.setting)
    helped = list_helped_languages(results)
    mean = f"{MEAN} {len(helped)} language{'s' if len(helped) > 1 else ''}"
    return {mean: estimate(results, helped)} | {code: estimate(results, [code]) for code in codes}


def estimate(results: Results, codes: Sequence[str]) -> dict[str, dict[str, Estimate]]:
    """Compute recall@10 by help and number of captions over some languages, where all of them have finished cells."""
    found: dict[str, dict[str, Estimate]] = {}
    for kind in HELP:
        for count in COUNTS:
            records = [results.records.get((label_row(code, kind), count), []) for code in codes]
            if merged := merge_records(codes, records):
                found.setdefault(kind, {})[count] = compute_recall_over_seeds(merged, codes)
    return found


def merge_records(codes: Sequence[str], records: Sequence[Sequence[Record]]) -> list[Record]:
    """Merge cells of several languages into one record for each seed that all of them have."""
    by_seed = [{record["cell"]["seed"]: record for record in own} for own in records]
    seeds = sorted(set.intersection(*map(set, by_seed)))
    return [
        {
            "groups": by_seed[0][seed]["groups"],
            "ranks": {code: own[seed]["ranks"][code] for code, own in zip(codes, by_seed, strict=True)},
        }
        for seed in seeds
    ]


def table(results: Results) -> Sheet:
    """Build a table with one row per language and help, one column per number of captions."""
    rows = []
    for code, found in compute_estimates(results).items():
        for kind in HELP:
            own = found.get(kind, {})
            cells = [own[count].format_percent() if count in own else "-" for count in COUNTS]
            rows.append((label_row(code, kind), *cells, describe_help(results, code, kind)))
    seeds = sorted({len(records) for records in results.records.values()})
    return Sheet(
        "what helps a community most",
        ("language, help", *COUNTS, "what it is"),
        rows,
        "text to image recall@10 on test concepts, percent [95 % over concept groups and seeds], mean of "
        f"{' to '.join(map(str, dict.fromkeys((seeds[0], seeds[-1]))))} seed{'s' if seeds[-1] > 1 else ''}; columns: "
        "named images of the language, sampled anew with each seed; every cell goes on from English alone for as many "
        "steps; mean: over "
        f"{', '.join(list_helped_languages(results))}, which have every kind of help; -: not run, or there is none",
    )


def describe_help(results: Results, code: str, kind: str) -> str:
    """Say what a kind of help is in a language, and where there is none."""
    if code.startswith(MEAN):
        return ""
    borrow = load_language(code).recipe.borrow
    return {
        ALONE: f"all: {count_images(results.setting, code):,} images",
        WORDS: "names of the training images",
        RELATED: ", ".join(borrow) or "none in the language's pack",
        ADAPTED: f"{ADAPTER}, file {find_adapter(results)}",
        TOGETHER: "" if borrow else "without a related language",
    }[kind]


def find_adapter(results: Results) -> str:
    """Return the beginning of the adapter file's hash, several where cells differ; a dash where no cell has one."""
    found = {record["cell"]["adapter"][:8] for records in results.records.values() for record in records}
    return ", ".join(sorted(found - {""})) or "-"


def plot(results: Results, axes: Any) -> None:
    """Draw one panel for the mean and one for each language."""
    draw_effort(axes, compute_estimates(results))


def verdict(results: Results) -> str:
    """Say what each help brings without captions, how many captions it is worth, and what captions bring beside it."""
    found = estimate(results, list_helped_languages(results))
    alone = found.get(ALONE, {})
    if not {"0", ALL} <= set(alone):
        return "Cannot tell yet: the cells of English alone and of all captions are not finished in every language."
    curve = {
        count_mean_images(results) if count is None else count: alone[name].value
        for name, count in COUNTS.items()
        if name in alone
    }
    said = [describe_gain(kind, found[kind], alone, curve) for kind in HELP[1:] if "0" in found.get(kind, {})]
    return (
        f"Mean of {', '.join(list_helped_languages(results))}: English alone finds {100 * alone['0'].value:.1f} % "
        f"among the first ten, all captions {100 * alone[ALL].value:.1f} %. Without any caption {'; '.join(said)}."
    )


def count_mean_images(results: Results) -> int:
    """Average the number of captioned training images over the languages of the mean."""
    counts = [count_images(results.setting, code) for code in list_helped_languages(results)]
    return round(sum(counts) / len(counts))


def describe_gain(
    kind: str, found: Mapping[str, Estimate], alone: Mapping[str, Estimate], curve: Mapping[int, float]
) -> str:
    """Say what a help finds without captions and how many captions alone find as much, such as
    `+ word list 24.1 %, as much as 60 captioned images`; then its gain beside more captions.
    """
    value = found["0"].value
    worth = (
        "no more than nothing"
        if value <= curve[0]
        else "more than all captions"
        if value > max(curve.values())
        else f"as much as {interpolate_shots(dict(curve), value)} captioned images"
    )
    more = [
        f"{100 * (found[count].value - alone[count].value):+.1f} beside {count}"
        for count in BESIDE[1:]
        if count in found and count in alone
    ]
    return f"{kind} {100 * value:.1f} % ({worth}; {', '.join(more)})"
