"""How near each language comes to English where it is trained by the recipe of its own pack."""

from typing import Any

import numpy as np

from polyclip.data.corpus import load_corpus
from polyclip.evaluation.metrics import Bootstrap
from polyclip.languages.schema import known_languages, load_language
from polyclip.studies.cells import Cell
from polyclip.studies.figures import Figure, Record, mean_hits, recall_of
from polyclip.studies.plan import rates_of
from polyclip.studies.runner import Results, Setting, Variant
from polyclip.studies.sheet import Sheet
from polyclip.training.config import HEADS

CLAIM = "A language trained by its own recipe beside English is found nearly as well as English."
AIM = 0.9  # of English in the same run
DIM = 96  # as in the other studies


def asked_for(setting: Setting) -> tuple[str, ...]:
    """The languages of the study: those given, else all of XM3600 that the corpus names."""
    given = tuple(code for code in setting.languages if code != "en")
    if given != ("sw",) or setting.quick:
        return given
    corpus = load_corpus(setting.corpus)
    there = set(corpus.reader.languages(corpus.folder))
    packs = [load_language(code) for code in known_languages()]
    return tuple(pack.code for pack in packs if pack.xm3600 and pack.code != "en" and corpus.locale(pack) in there)


def plan(setting: Setting) -> list[Variant]:
    """One run a language, English beside it, with its pack's method and the epochs, rate and caption loss of `polyclip align`."""
    return [variant(setting, code) for code in asked_for(setting)]


def variant(setting: Setting, code: str) -> Variant:
    """One language; nothing is tuned."""
    method = setting.methods[0] if setting.methods else load_language(code).recipe.method
    rate = rates_of(method)[0]
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


def of_english(records: list[Record], code: str) -> Figure:
    """Recall@10 as a share of English, over the concepts that both name; both are redrawn together, group by group."""
    own, english = mean_hits(records, [code]), mean_hits(records, ["en"])
    known = ~np.isnan(own) & ~np.isnan(english)
    bootstrap = Bootstrap([group for group, is_ in zip(records[0]["groups"], known, strict=True) if is_])
    count = bootstrap.weights.shape[1]
    sums = np.stack([np.bincount(bootstrap.index, column[known], count) for column in (own, english)], axis=1)
    drawn = bootstrap.weights @ sums
    low, high = np.percentile(drawn[:, 0] / np.maximum(drawn[:, 1], 1e-9), [2.5, 97.5])
    return Figure(float(own[known].mean() / english[known].mean()), float(low), float(high))


def ordered(results: Results) -> list[tuple[str, list[Record], Figure]]:
    """Languages with their records and share of English, the best first."""
    found = [(code, records, of_english(records, code)) for (code, _), records in results.records.items()]
    return sorted(found, key=lambda one: -one[2].value)


def table(results: Results) -> Sheet:
    """One row a language."""
    rows: list[tuple[str, ...]] = []
    for code, records, share in ordered(results):
        pack = load_language(code)
        own, english = recall_of(records, [code]), recall_of(records, ["en"])
        shown = share.ratio()
        rows.append((f"{code} {pack.name}", own.percent(), english.percent(), shown, records[0]["cell"]["method"]))
    seeds = results.setting.seeds
    return Sheet(
        "each language by its own recipe",
        ("language", "recall@10", "English", "of English", "method"),
        rows,
        f"text to image recall@10 on test concepts, percent [95 % over concept groups], mean of {seeds} seed{'s' if seeds > 1 else ''}, mixed styles; "
        "English: in the same run; of English: over the concepts that both name",
    )


def plot(results: Results, axes: Any) -> None:
    """The share of English, language by language."""
    found = ordered(results)
    values = [share.value for _, _, share in found]
    error = [[share.value - share.low for _, _, share in found], [share.high - share.value for _, _, share in found]]
    axes.errorbar(range(len(found)), values, yerr=error, fmt="o", capsize=2)
    axes.axhline(AIM, color="grey", linewidth=0.7, linestyle=":")
    axes.axhline(1, color="grey", linewidth=0.7)
    axes.set_xticks(range(len(found)), [code for code, _, _ in found], rotation=90, fontsize=7)
    axes.set(ylabel="recall@10 as a share of English")


def verdict(results: Results) -> str:
    """How many languages reach the aim, and of which the interval says that they do not."""
    found = ordered(results)
    reached = sum(share.value >= AIM for _, _, share in found)
    perhaps = [f"{code} {share.value:.2f}" for code, _, share in found if share.value < AIM <= share.high]
    below = [f"{code} {share.value:.2f}" for code, _, share in found if share.high < AIM]
    mean = sum(share.value for _, _, share in found) / len(found)
    return (
        f"{reached} of {len(found)} languages reach {AIM:g} of English in their own run (mean {mean:.2f}); the intervals of {len(perhaps)} more do: "
        f"{', '.join(perhaps) or 'none'}; below: {', '.join(below) or 'none'}."
    )
