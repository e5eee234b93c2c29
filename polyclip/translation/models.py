"""The filters that need a model: the frozen text encoder, and the engine itself in the other direction."""

from collections.abc import Sequence

import torch
from sacrebleu.metrics.chrf import CHRF

from polyclip import features
from polyclip.filters import Candidate, Filter, Thresholds, Verdict
from polyclip.losses import unit
from polyclip.packs import Corpus, Language
from polyclip.tower import Tower
from polyclip.translation.sources import Pair, human_pairs


def likeness(
    candidates: Sequence[Candidate], tower: Tower, corpus: Corpus, languages: tuple[Language, Language], splits: Sequence[str], limits: Thresholds, others: bool
) -> tuple[list[Filter], list[str]]:
    """A filter by cosine of the encoder's vectors of source and translation, and a sentence on its threshold.

    Without `limits.likeness` the least cosine is a quantile of that of human pairs (`human_pairs`), or there is no filter where there are none.
    """
    least, note = limits.likeness, ""
    source, target = languages
    if least is None and limits.quantile is not None:
        known, whose = human_pairs(corpus, source, target, splits, others=others)
        if not known:
            return [], [f"not filtered by similarity: corpus {corpus.name!r} has too few human pairs to set a threshold by; give --similarity 0.8 or the like"]
        least = torch.tensor(cosines(tower, known, f"{len(known)} human pairs")).quantile(limits.quantile).item()
        note = f"similarity at least {least:.3f}: {100 * limits.quantile:g} % of {len(known):,} {whose} are below it"
    if least is None:
        return [], []
    bound: float = least
    asked = list(dict.fromkeys((c.source, c.text) for c in candidates if c.text.strip()))
    found = dict(zip(asked, cosines(tower, asked, f"translations into {target.name}"), strict=True))

    def judge(candidates: Sequence[Candidate]) -> list[Verdict]:
        return [Verdict(found[c.source, c.text] >= bound, found[c.source, c.text]) for c in candidates]

    return [Filter("similarity", judge)], [note] if note else []


def cosines(tower: Tower, known: Sequence[Pair], what: str) -> list[float]:
    """Cosine of each pair in [-1, 1]; vectors come from the cache of features where they are there."""
    vectors = unit(features.encode(tower, [text for side in zip(*known, strict=True) for text in side], what, (len(known), len(known))))
    cosine: list[float] = (vectors[: len(known)] * vectors[len(known) :]).sum(1).tolist()
    return cosine


def back(candidates: Sequence[Candidate], translations: dict[str, list[str]], least: float) -> dict[tuple[str, str], Verdict]:
    """chrF (0 to 100, sacrebleu's, without case) between each source and its translation translated back; 0 where there is none."""
    metric = CHRF(lowercase=True)
    pairs = dict.fromkeys((c.source, c.text) for c in candidates)
    scores = {(s, t): metric.sentence_score(translations[t][0], [s]).score if translations[t] else 0.0 for s, t in pairs}
    return {pair: Verdict(score >= least, score) for pair, score in scores.items()}
