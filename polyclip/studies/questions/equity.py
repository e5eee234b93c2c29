"""How close each language comes to English when trained by the recipe of its own pack."""

from typing import Any

import numpy as np

from polyclip.data.corpus import load_corpus
from polyclip.evaluation.metrics import Bootstrap
from polyclip.languages.schema import list_languages, load_language
from polyclip.studies.cells import Cell
from polyclip.studies.drawing import draw_ratios
from polyclip.studies.figures import Estimate, Record, compute_mean_hits, compute_recall
from polyclip.studies.plan import list_rates
from polyclip.studies.runner import Results, Setting, Variant
from polyclip.studies.sheet import Sheet
from polyclip.training.config import HEADS

CLAIM = "A language trained by its own recipe beside English is found nearly as well as English."
AIM = 0.9  # of English in the same run
DIM = 96  # as in the other studies


def choose_languages(setting: Setting) -> tuple[str, ...]:
    """Return the study's languages: the given ones, else all XM3600 languages that the corpus covers."""
    given = tuple(code for code in setting.languages if code != "en")
    if given != ("sw",) or setting.quick:
        return given
    corpus = load_corpus(setting.corpus)
    there = set(corpus.reader.languages(corpus.folder))
    packs = [load_language(code) for code in list_languages()]
    return tuple(pack.code for pack in packs if pack.xm3600 and pack.code != "en" and corpus.get_locale(pack) in there)


def plan(setting: Setting) -> list[Variant]:
    """Plan one run per language, with English, using its pack's method and the defaults of `polyclip align`."""
    return [make_variant(setting, code) for code in choose_languages(setting)]


def make_variant(setting: Setting, code: str) -> Variant:
    """Make the row of one language; nothing is tuned."""
    method = setting.methods[0] if setting.methods else load_language(code).recipe.method
    rate = list_rates(method)[0]
    cell = Cell(
        method=method,
        rate=rate,
        seed=0,
        languages=(code, "en"),
        asked=(),
        tower=setting.tower,
        text_encoder=setting.text_encoder,
        corpus=setting.corpus,
        dim=DIM,
        caption_loss=HEADS.caption_loss,
    )
    return Variant(label=code, condition="", cell=cell, rates=(rate,))


def compute_share_of_english(records: list[Record], code: str, known: int | None = None) -> Estimate | None:
    """Compute the ratio of recall@10 to English over concepts that both name, resampled together by concept group.

    Args:
        records: Of one language, one per seed.
        code: The language.
        known: 1 for the names that the text encoder itself places at their English names, 0 for the others (see
            `polyclip.studies.known_names`); None for all.

    Returns:
        The ratio; None where there is no such name or English finds none of these concepts.

    """
    own, english = compute_mean_hits(records, [code]), compute_mean_hits(records, ["en"])
    meant = ~np.isnan(own) & ~np.isnan(english)
    if known is not None:
        meant &= np.array(records[0]["known"][code]) == known
    if not english[meant].any():
        return None
    bootstrap = Bootstrap([group for group, is_ in zip(records[0]["groups"], meant, strict=True) if is_])
    count = bootstrap.weights.shape[1]
    sums = np.stack([np.bincount(bootstrap.index, column[meant], count) for column in (own, english)], axis=1)
    drawn = bootstrap.weights @ sums
    low, high = np.percentile(drawn[:, 0] / np.maximum(drawn[:, 1], 1e-9), [2.5, 97.5])
    return Estimate(float(own[meant].mean() / english[meant].mean()), float(low), float(high))


def compute_known_share(records: list[Record], code: str) -> float:
    """Compute which part of a language's names the text encoder itself places at their English names, in [0, 1]."""
    known = np.array(records[0]["known"][code])
    return float((known == 1).sum() / max(1, (known >= 0).sum()))


def tells_known_names(results: Results) -> bool:
    """Whether every record says which names the text encoder knew; records of earlier versions do not."""
    return all("known" in record for records in results.records.values() for record in records)


def sort_languages(results: Results) -> list[tuple[str, list[Record], Estimate]]:
    """Return languages with their records and ratio to English, best first."""
    found = []
    for (code, _), records in results.records.items():
        share = compute_share_of_english(records, code)
        if share is not None:
            found.append((code, records, share))
    return sorted(found, key=lambda one: -one[2].value)


def table(results: Results) -> Sheet:
    """Build a table with one row per language."""
    rows: list[tuple[str, ...]] = []
    told = tells_known_names(results)
    for code, records, share in sort_languages(results):
        pack = load_language(code)
        own, english = compute_recall(records, [code]), compute_recall(records, ["en"])
        row = (f"{code} {pack.name}", own.format_percent(), english.format_percent(), share.format_ratio())
        rows.append((*row, *(list_known_cells(records, code) if told else ()), records[0]["cell"]["method"]))
    seeds = results.setting.seeds
    columns = ("names known", "of English: these", "of English: others") if told else ()
    return Sheet(
        "each language by its own recipe",
        ("language", "recall@10", "English", "of English", *columns, "method"),
        rows,
        f"text to image recall@10 on test concepts, percent [95 % over concept groups], mean of {seeds} "
        f"seed{'s' if seeds > 1 else ''}, mixed styles; "
        "English: in the same run; of English: over the concepts that both name"
        + (
            "; names known: percent whose English name is the nearest of all, by the text encoder alone; of English: "
            "over these, and over all others"
            if told
            else ""
        ),
    )


def list_known_cells(records: list[Record], code: str) -> list[str]:
    """List what the table says of the names that the encoder knew, and of the others."""
    shares = [compute_share_of_english(records, code, known) for known in (1, 0)]
    return [
        f"{100 * compute_known_share(records, code):.0f}",
        *("-" if share is None else share.format_ratio() for share in shares),
    ]


def plot(results: Results, axes: Any) -> None:
    """Draw the ratio to English by language."""
    draw_ratios(axes, [(code, share) for code, _, share in sort_languages(results)], AIM)


def verdict(results: Results) -> str:
    """Say how many languages reach the target, for which the interval excludes it, and what known names have to do with
    it.
    """
    found = sort_languages(results)
    if not found:
        return "Cannot tell: in no run is any English name found."
    reached = sum(share.value >= AIM for _, _, share in found)
    perhaps = [f"{code} {share.value:.2f}" for code, _, share in found if share.value < AIM <= share.high]
    below = [f"{code} {share.value:.2f}" for code, _, share in found if share.high < AIM]
    mean = sum(share.value for _, _, share in found) / len(found)
    said = (
        f"{reached} of {len(found)} languages reach {AIM:g} of English in their own run (mean {mean:.2f}); the "
        f"intervals of {len(perhaps)} more do: "
        f"{', '.join(perhaps) or 'none'}; below: {', '.join(below) or 'none'}."
    )
    return said + (describe_known_names(results) if tells_known_names(results) else "")


def describe_known_names(results: Results) -> str:
    """Say how near languages come to English where the text encoder knew the name, and where it did not."""
    said = []
    for known, whose in ((1, "that the text encoder places at their English names"), (0, "that it does not")):
        shares = [compute_share_of_english(records, code, known) for (code, _), records in results.records.items()]
        there = [share.value for share in shares if share is not None]
        reached = sum(value >= AIM for value in there)
        if there:
            mean = sum(there) / len(there)
            said.append(f"names {whose}: {mean:.2f} of English on average, {reached} of {len(there)} reach {AIM:g}")
    return f" Over {'; over '.join(said)}." if said else ""
