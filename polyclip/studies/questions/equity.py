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


def compute_share_of_english(records: list[Record], code: str) -> Estimate:
    """Compute the ratio of recall@10 to English over concepts that both name, resampled together by concept group."""
    own, english = compute_mean_hits(records, [code]), compute_mean_hits(records, ["en"])
    known = ~np.isnan(own) & ~np.isnan(english)
    bootstrap = Bootstrap([group for group, is_ in zip(records[0]["groups"], known, strict=True) if is_])
    count = bootstrap.weights.shape[1]
    sums = np.stack([np.bincount(bootstrap.index, column[known], count) for column in (own, english)], axis=1)
    drawn = bootstrap.weights @ sums
    low, high = np.percentile(drawn[:, 0] / np.maximum(drawn[:, 1], 1e-9), [2.5, 97.5])
    return Estimate(float(own[known].mean() / english[known].mean()), float(low), float(high))


def sort_languages(results: Results) -> list[tuple[str, list[Record], Estimate]]:
    """Return languages with their records and ratio to English, best first."""
    found = [(code, records, compute_share_of_english(records, code)) for (code, _), records in results.records.items()]
    return sorted(found, key=lambda one: -one[2].value)


def table(results: Results) -> Sheet:
    """Build a table with one row per language."""
    rows: list[tuple[str, ...]] = []
    for code, records, share in sort_languages(results):
        pack = load_language(code)
        own, english = compute_recall(records, [code]), compute_recall(records, ["en"])
        shown = share.format_ratio()
        rows.append(
            (f"{code} {pack.name}", own.format_percent(), english.format_percent(), shown, records[0]["cell"]["method"])
        )
    seeds = results.setting.seeds
    return Sheet(
        "each language by its own recipe",
        ("language", "recall@10", "English", "of English", "method"),
        rows,
        f"text to image recall@10 on test concepts, percent [95 % over concept groups], mean of {seeds} "
        f"seed{'s' if seeds > 1 else ''}, mixed styles; "
        "English: in the same run; of English: over the concepts that both name",
    )


def plot(results: Results, axes: Any) -> None:
    """Draw the ratio to English by language."""
    draw_ratios(axes, [(code, share) for code, _, share in sort_languages(results)], AIM)


def verdict(results: Results) -> str:
    """Say how many languages reach the target, and for which the interval excludes it."""
    found = sort_languages(results)
    reached = sum(share.value >= AIM for _, _, share in found)
    perhaps = [f"{code} {share.value:.2f}" for code, _, share in found if share.value < AIM <= share.high]
    below = [f"{code} {share.value:.2f}" for code, _, share in found if share.high < AIM]
    mean = sum(share.value for _, _, share in found) / len(found)
    return (
        f"{reached} of {len(found)} languages reach {AIM:g} of English in their own run (mean {mean:.2f}); the "
        f"intervals of {len(perhaps)} more do: "
        f"{', '.join(perhaps) or 'none'}; below: {', '.join(below) or 'none'}."
    )
