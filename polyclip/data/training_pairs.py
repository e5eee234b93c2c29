"""Make the pairs of a split, from rows in memory or from shards on disk."""

import hashlib
from collections.abc import Collection, Mapping
from typing import cast

import torch
from torch import Tensor

from polyclip.data.augment import make_augmentation
from polyclip.data.captions import normalize_captions
from polyclip.data.corpus import Corpus
from polyclip.data.pairs import AddedLanguages, Pairs, SamplingConfig
from polyclip.data.reader import ShardReader
from polyclip.data.sampling_weights import (
    compute_language_weights,
    drop_unweighted,
    get_caption_weight,
    select_human,
    weigh_helpers,
    weigh_replay,
)
from polyclip.data.shards.pairs import (
    ShardCaptions,
    ShardConceptNames,
    ShardImages,
    TrainingSubset,
    build_strata,
    count_per_shard,
    group_captions,
    select_captions,
)
from polyclip.data.types import ImageSource, Row
from polyclip.errors import DataError
from polyclip.languages.schema import Language

# Caption, row, sampling weight within its language, whether its concept is sampled.
WeighedCaptions = list[tuple[str, Row, float, bool]]


def make_training_pairs(
    corpus: Corpus, languages: list[Language], split: str, sample: SamplingConfig, chosen: AddedLanguages | None = None
) -> Pairs:
    """Make the pairs of a split: captions in several languages, and every style's image of the concepts that they name.

    Languages weigh the same, unless `sample.temperature` or `chosen` say otherwise; within a language, names together
    weigh `sample.name_share` and further captions the rest. Validation and test splits use human captions, where a
    language has them.

    Args:
        corpus: The corpus.
        languages: Language packs.
        split: "train", "validation" or "test".
        sample: What is sampled; applies to the training split.
        chosen: New languages that are trained from few concepts; None for none.

    Returns:
        The pairs.

    Raises:
        DataError: A language has no caption in this split, a concept has no image, the number of rows differs from the
            pack, or no caption has a provenance of `sample.mix`.

    """
    if split == "train" and chosen is None and not sample.mix and isinstance(corpus.reader, ShardReader):
        return make_shard_pairs(corpus, languages, sample)
    rows = read_rows(corpus, languages, split, sample) | dict(chosen.rows if chosen else {})
    for helper in chosen.helpers if chosen else ():
        rows |= helper
    refuse_empty({code: len(found) for code, found in rows.items()}, corpus.name, split)
    kept = {code: {row.concept for row in found} for code, found in rows.items()} | dict(chosen.kept if chosen else {})
    named = {code: len(concepts) for code, concepts in kept.items()}
    weights = compute_language_weights(named, sample.temperature)
    if chosen is not None:
        weights = weigh_replay(weigh_helpers(weights, chosen.helpers), chosen.rows, chosen.rehearsal)
    weighed = {code: weigh_captions(corpus, found, sample, kept[code]) for code, found in rows.items()}
    wanted = {row.concept for found in rows.values() for row in found}
    in_order = [concept for concept in corpus.reader.split_concepts(corpus.folder, split) if concept in wanted]
    return join_languages(
        corpus, in_order, weighed, sample, weights, count_epoch(named, sample) if chosen is None else chosen.named
    )


def count_epoch(named: Mapping[str, int], sample: SamplingConfig) -> int:
    """Count the pairs of one epoch: all named images of all languages.

    With `sample.pairs` it is as if every language named as many as the one that names the most: else few pairs would
    also mean few steps.
    """
    return sum(named.values()) if sample.pairs is None else len(named) * max(named.values())


def read_rows(corpus: Corpus, languages: list[Language], split: str, sample: SamplingConfig) -> dict[str, list[Row]]:
    """Rows of a split by language: of training what `sample` keeps, of the other splits what people wrote."""
    rows = {
        language.code: normalize_captions(
            corpus.reader.read(corpus.folder, corpus.get_locale(language), split), language
        )
        for language in languages
    }
    check_count(corpus, len(rows.get("en", [])), split)
    if split == "train":
        rows = drop_unweighted(rows, sample.mix, corpus.name)
    else:
        rows = {code: select_human(found) for code, found in rows.items()}
    return {code: select_rows(found, sample, code) for code, found in rows.items()}


def refuse_empty(counts: Mapping[str, int], corpus: str, split: str) -> None:
    """Check that every language has captions.

    Raises:
        DataError: One has none; the first is named.

    """
    for code, count in counts.items():
        if not count:
            raise DataError(
                f"Corpus {corpus!r} has no caption in language {code!r} in split {split!r}; add some, or choose "
                "another language or corpus. Fewer than 300 images can be tested in turn: --folds 5 (folds=5)."
            )


def join_languages(
    corpus: Corpus,
    in_order: list[str],
    weighed: dict[str, WeighedCaptions],
    sample: SamplingConfig,
    weights: Mapping[str, float],
    named: int,
) -> Pairs:
    """Join captions of all languages and the images of their concepts into one table."""
    concepts = {concept: number for number, concept in enumerate(in_order)}
    flat = [found for captions in weighed.values() for found in captions]
    weight = [share * weights[code] for code, captions in weighed.items() for _, _, share, _ in captions]
    named_by: list[list[int]] = [[] for _ in concepts]
    for caption_row, (_, row, _, is_drawn) in enumerate(flat):
        if is_drawn:
            named_by[concepts[row.concept]].append(caption_row)
    images, drawn_by, a_style = list_concept_images(corpus, concepts, sample.views)
    owned = (*pad_rows(drawn_by), *pad_rows(named_by))
    return Pairs(
        [caption for caption, _, _, _ in flat],
        torch.tensor([concepts[row.concept] for _, row, _, _ in flat]),
        torch.tensor(weight),
        images,
        *owned,
        sections=([len(captions) for captions in weighed.values()], a_style),
        named=named,
        concepts=tuple(concepts),
        caption_mix=torch.tensor([get_caption_weight(row.provenance, sample.mix) for _, row, _, _ in flat])
        if sample.mix
        else None,
    )


def check_count(corpus: Corpus, english: int, split: str) -> None:
    """Check the number of English rows against the corpus pack.

    Raises:
        DataError: The reader found another number of rows.

    """
    expected = corpus.pack.rows.get(split)
    if expected is not None and english not in (0, expected):
        raise DataError(
            f"The pack of corpus {corpus.name!r} expects {expected} English rows in {split!r}, the reader found "
            f"{english}. "
            "Restore the corpus from the repository, or change [rows] and say why in a comment."
        )


def make_shard_pairs(corpus: Corpus, languages: list[Language], sample: SamplingConfig) -> Pairs:
    """Make the training pairs of a corpus in shards.

    Texts, images and hashes stay in its index on disk; about 60 bytes a pair are in memory.

    Args:
        corpus: The corpus.
        languages: Language packs.
        sample: What is sampled.

    Returns:
        The pairs.

    Raises:
        DataError: A language has no caption.

    """
    table = cast(ShardReader, corpus.reader).table(corpus.folder)
    captions = select_captions(
        table,
        {language.code: corpus.get_locale(language) for language in languages},
        TrainingSubset(sample.share, sample.pairs),
    )
    named = {code: len(names) for code, (names, _) in captions.items()}
    refuse_empty(named, corpus.name, "train")
    check_count(corpus, named.get("en", 0), "train")
    weights = compute_language_weights(named, sample.temperature)
    parts = build_strata(table, captions, weights, sample.name_share)
    number, views = len(parts.images), sample.views
    image_rows = torch.arange(number)[:, None] + number * torch.arange(views)
    return Pairs(
        ShardCaptions(table, parts.places, languages, parts.lengths),
        parts.concept,
        parts.weight,
        ShardImages(table, parts.images, views),
        image_rows,
        torch.full((number,), views),
        *group_captions(parts.concept, number),
        sections=(parts.lengths, count_per_shard(table, parts.images) * views),
        named=count_epoch(named, sample),
        concepts=ShardConceptNames(table, parts.images),
        strata=parts.strata,
    )


def select_rows(rows: list[Row], sample: SamplingConfig, language: str) -> list[Row]:
    """Select the rows of one language that `sample` keeps, in their order."""
    if sample.share == 1.0 and (sample.pairs is None or language == "en"):
        return rows
    places = sorted({(int(hashlib.sha256(row.concept.encode()).hexdigest(), 16), row.concept) for row in rows})
    kept = [concept for place, concept in places if place <= sample.share * 2**256]
    chosen = set(kept if language == "en" else kept[: sample.pairs])
    return [row for row in rows if row.concept in chosen]


def weigh_captions(corpus: Corpus, rows: list[Row], sample: SamplingConfig, kept: Collection[str]) -> WeighedCaptions:
    """Weigh the captions of a language, names first; concepts that are not `kept` get weight 0."""
    mix, weigh = sample.mix, corpus.get_weight
    weights = [get_caption_weight(row.provenance, mix) * weigh(row) if row.concept in kept else 0.0 for row in rows]
    names = sum(weights)
    further = sum(weight * (len(row.captions) - 1) for weight, row in zip(weights, rows, strict=True))
    share = 1.0 if further == 0 else sample.name_share
    pairs = list(zip(rows, weights, strict=True))
    found = [(row.captions[0], row, share * weight / names, row.concept in kept) for row, weight in pairs]
    return found + [
        (caption, row, (1 - share) * weight / (further or 1.0), row.concept in kept)
        for row, weight in pairs
        for caption in row.captions[1:]
    ]


def list_concept_images(
    corpus: Corpus, concepts: Mapping[str, int], views: int
) -> tuple[list[ImageSource], list[list[int]], list[int]]:
    """Collect images style by style, augmentation by augmentation.

    Args:
        corpus: The corpus.
        concepts: Number of each concept.
        views: Images of each concept and style, the original included.

    Returns:
        The images, the rows of each concept's images, and the lengths of runs of one style and augmentation.

    Raises:
        DataError: A concept has no image.

    """
    images: list[ImageSource] = []
    lengths: list[int] = []
    rows: list[list[int]] = [[] for _ in concepts]
    for style in corpus.reader.styles(corpus.folder):
        drawn = corpus.reader.pictures(corpus.folder, style)
        for number in range(views):
            for concept, place in concepts.items():
                if concept in drawn:
                    rows[place].append(len(images))
                    images.append(make_augmentation(drawn[concept], number))
            lengths.append(len(images) - sum(lengths))
    bare = [concept for concept, number in concepts.items() if not rows[number]]
    if bare:
        raise DataError(
            f"Corpus {corpus.name!r} names {len(bare)} concepts without an image, the first is {bare[0]!r}."
        )
    return images, rows, lengths


def pad_rows(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    """Rows as a table, filled up with -1, and how many each has."""
    widest = max(map(len, rows))
    return torch.tensor([row + [-1] * (widest - len(row)) for row in rows]), torch.tensor([len(row) for row in rows])
