"""Filters that need a model: the frozen text encoder, and the translation engine in the other direction."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from sacrebleu.metrics.chrf import CHRF
from torch import Tensor

from polyclip.core.storage import hash_parts
from polyclip.core.vectors import normalize
from polyclip.data.corpus import Corpus
from polyclip.languages.schema import Language
from polyclip.models import feature_cache
from polyclip.models.backbone import BackboneSpec
from polyclip.translation.filters import Filter, FilterVerdict, Thresholds, TranslationCandidate
from polyclip.translation.sources import PAIRS, Pair, collect_human_pairs

NEIGHBOURS = 4
BLOCK = 1024  # rows


def make_similarity_filter(
    candidates: Sequence[TranslationCandidate],
    tower: BackboneSpec,
    corpus: Corpus,
    languages: tuple[Language, Language],
    splits: Sequence[str],
    limits: Thresholds,
    others: bool,
) -> tuple[list[Filter], list[str]]:
    """Make a filter by the margins of source and translation, and a sentence on its threshold.

    Without `limits.likeness` the least margin is a quantile of the margins of human pairs; without human pairs there is
    no filter.

    Args:
        candidates: The translations.
        tower: The text encoder.
        corpus: The corpus, for human pairs.
        languages: Source and target language.
        splits: Splits whose human captions may be read.
        limits: The thresholds.
        others: Whether human pairs are taken from other languages than the target.

    Returns:
        At most one filter, and sentences about it.

    """
    least, note, size = limits.likeness, "", PAIRS
    source, target = languages
    if least is None and limits.quantile is not None:
        groups, whose = collect_human_pairs(corpus, source, target, splits, others=others)
        if not groups:
            return [], [
                f"not filtered by similarity: corpus {corpus.name!r} has too few human pairs to set a threshold by; "
                "give --similarity -0.05 or the like"
            ]
        measured = torch.cat([compute_margins(tower, pairs, pairs, "human pairs") for pairs in groups])
        least, size = measured.quantile(limits.quantile).item(), min(map(len, groups))
        note = f"similarity at least {least:.3f}: {100 * limits.quantile:g} % of {len(measured):,} {whose} are below it"
    if least is None:
        return [], []
    bound: float = least
    asked = list(dict.fromkeys((c.source, c.text) for c in candidates if c.text.strip()))
    names = {(c.source, c.text) for c in candidates if c.place == 0 and c.text.strip()}
    pool = sorted(names, key=lambda pair: hash_parts(*pair))[:size]
    found = dict(
        zip(asked, compute_margins(tower, asked, pool, f"translations into {target.name}").tolist(), strict=True)
    )

    def judge(candidates: Sequence[TranslationCandidate]) -> list[FilterVerdict]:
        return [FilterVerdict(found[c.source, c.text] >= bound, found[c.source, c.text]) for c in candidates]

    return [Filter("similarity", judge)], [note] if note else []


def compute_margins(
    tower: BackboneSpec, asked: Sequence[Pair], pool: Sequence[Pair], what: str
) -> Float[Tensor, " pair"]:
    """Compute the cosine of each pair minus the mean cosine of both texts with their four nearest neighbours.

    The "distance" of Artetxe and Schwenk 2019 (arXiv 1811.01136, section 3): a multilingual encoder's cosines are high
    between any two captions, so that they say little by themselves. Embeddings come from the feature cache where they
    are there.

    Args:
        tower: The text encoder.
        asked: Pairs of source and translation.
        pool: Pairs that are the neighbours, among `asked`.
        what: What is encoded, for the progress bar.

    Returns:
        A margin for each pair, in [-2, 2].

    """
    if not asked:
        return torch.empty(0)
    sides = [list(dict.fromkeys(pair[side] for pair in asked)) for side in (0, 1)]
    embeddings = normalize(feature_cache.encode(tower, sides[0] + sides[1], what, [len(side) for side in sides])).split(
        [len(side) for side in sides]
    )
    place = [{text: row for row, text in enumerate(side)} for side in sides]
    ours, theirs = (embeddings[side][[place[side][pair[side]] for pair in asked]] for side in (0, 1))
    near_ours = average_nearest(ours, embeddings[1][[place[1][text] for _, text in pool]])
    near_theirs = average_nearest(theirs, embeddings[0][[place[0][text] for text, _ in pool]])
    return (ours * theirs).sum(1) - (near_ours + near_theirs) / 2


def average_nearest(rows: Float[Tensor, "row dim"], others: Float[Tensor, "other dim"]) -> Float[Tensor, " row"]:
    """Mean cosine of each row with its nearest rows of `others`, computed in blocks."""
    few = min(NEIGHBOURS, len(others))
    return torch.cat([(block @ others.T).topk(few, dim=1).values.mean(1) for block in rows.split(BLOCK)])


def score_back_translations(
    candidates: Sequence[TranslationCandidate], translations: dict[str, list[str]], least: float
) -> dict[tuple[str, str], FilterVerdict]:
    """Score each translation by chrF (0 to 100, sacrebleu's, without case) between its source and its back-translation.

    Args:
        candidates: The translations.
        translations: Back-translations by translation; empty lists score 0.
        least: The least score to keep a candidate.

    Returns:
        Verdicts by source and translation.

    """
    metric = CHRF(lowercase=True)
    pairs = dict.fromkeys((c.source, c.text) for c in candidates)
    scores = {
        (s, t): metric.sentence_score(translations[t][0], [s]).score if translations[t] else 0.0 for s, t in pairs
    }
    return {pair: FilterVerdict(score >= least, score) for pair, score in scores.items()}
