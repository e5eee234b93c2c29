"""The filters that need a model: the frozen text encoder, and the engine itself in the other direction."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from sacrebleu.metrics.chrf import CHRF
from torch import Tensor

from polyclip.core.storage import digest
from polyclip.core.vectors import unit
from polyclip.data.corpus import Corpus
from polyclip.languages.schema import Language
from polyclip.models import feature_cache
from polyclip.models.backbone import BackboneSpec
from polyclip.translation.filters import Candidate, Filter, Thresholds, Verdict
from polyclip.translation.sources import PAIRS, Pair, human_pairs

NEIGHBOURS = 4
BLOCK = 1024  # rows


def likeness(
    candidates: Sequence[Candidate],
    tower: BackboneSpec,
    corpus: Corpus,
    languages: tuple[Language, Language],
    splits: Sequence[str],
    limits: Thresholds,
    others: bool,
) -> tuple[list[Filter], list[str]]:
    """A filter by `margins` of source and translation, and a sentence on its threshold.

    Without `limits.likeness` the least margin is a quantile of that of human pairs (`human_pairs`); where there are none there is no filter.
    """
    least, note, size = limits.likeness, "", PAIRS
    source, target = languages
    if least is None and limits.quantile is not None:
        groups, whose = human_pairs(corpus, source, target, splits, others=others)
        if not groups:
            return [], [
                f"not filtered by similarity: corpus {corpus.name!r} has too few human pairs to set a threshold by; give --similarity -0.05 or the like"
            ]
        measured = torch.cat([margins(tower, pairs, pairs, "human pairs") for pairs in groups])
        least, size = measured.quantile(limits.quantile).item(), min(map(len, groups))
        note = f"similarity at least {least:.3f}: {100 * limits.quantile:g} % of {len(measured):,} {whose} are below it"
    if least is None:
        return [], []
    bound: float = least
    asked = list(dict.fromkeys((c.source, c.text) for c in candidates if c.text.strip()))
    names = {(c.source, c.text) for c in candidates if c.place == 0 and c.text.strip()}
    pool = sorted(names, key=lambda pair: digest(*pair))[:size]
    found = dict(zip(asked, margins(tower, asked, pool, f"translations into {target.name}").tolist(), strict=True))

    def judge(candidates: Sequence[Candidate]) -> list[Verdict]:
        return [Verdict(found[c.source, c.text] >= bound, found[c.source, c.text]) for c in candidates]

    return [Filter("similarity", judge)], [note] if note else []


def margins(tower: BackboneSpec, asked: Sequence[Pair], pool: Sequence[Pair], what: str) -> Float[Tensor, " pair"]:
    """Cosine of each pair less the mean of what both sides have with their four nearest in the other language; in [-2, 2].

    The "distance" of Artetxe and Schwenk 2019 (arXiv 1811.01136, section 3): a multilingual encoder's cosines are high between any two
    captions, so that they say little by themselves. Neighbours are those of `pool`, which is among `asked`; vectors come from the cache of
    features where they are there.
    """
    if not asked:
        return torch.empty(0)
    sides = [list(dict.fromkeys(pair[side] for pair in asked)) for side in (0, 1)]
    vectors = unit(feature_cache.encode(tower, sides[0] + sides[1], what, [len(side) for side in sides])).split(
        [len(side) for side in sides]
    )
    place = [{text: row for row, text in enumerate(side)} for side in sides]
    ours, theirs = (vectors[side][[place[side][pair[side]] for pair in asked]] for side in (0, 1))
    near_ours = nearest(ours, vectors[1][[place[1][text] for _, text in pool]])
    near_theirs = nearest(theirs, vectors[0][[place[0][text] for text, _ in pool]])
    return (ours * theirs).sum(1) - (near_ours + near_theirs) / 2


def nearest(rows: Float[Tensor, "row dim"], others: Float[Tensor, "other dim"]) -> Float[Tensor, " row"]:
    """Mean cosine of each row with its nearest of `others`, a block of rows at a time."""
    few = min(NEIGHBOURS, len(others))
    return torch.cat([(block @ others.T).topk(few, dim=1).values.mean(1) for block in rows.split(BLOCK)])


def back(
    candidates: Sequence[Candidate], translations: dict[str, list[str]], least: float
) -> dict[tuple[str, str], Verdict]:
    """chrF (0 to 100, sacrebleu's, without case) between each source and its translation translated back; 0 where there is none."""
    metric = CHRF(lowercase=True)
    pairs = dict.fromkeys((c.source, c.text) for c in candidates)
    scores = {
        (s, t): metric.sentence_score(translations[t][0], [s]).score if translations[t] else 0.0 for s, t in pairs
    }
    return {pair: Verdict(score >= least, score) for pair, score in scores.items()}
