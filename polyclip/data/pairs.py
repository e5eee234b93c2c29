"""Training pairs: which caption is shown with which picture at which step, as a pure function of the seed."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.data.augment import view
from polyclip.data.captions import normalised
from polyclip.data.corpus import Corpus
from polyclip.data.sampling_weights import by_people, language_weights, mixed, rehearsing, weight_of
from polyclip.data.shards.order import Strata
from polyclip.data.shards.pairs import Captions, Draw, Names, Pictures, drawn_captions, owned, shard_lengths, stratified
from polyclip.data.types import ImageSource, Row
from polyclip.errors import DataError
from polyclip.languages.schema import Language


@dataclass(frozen=True)
class Pairs:
    """Captions and pictures of one split, tied by concept."""

    captions: Sequence[str]
    caption_concept: Int[Tensor, " caption"]
    caption_weight: Float[Tensor, " caption"]  # how often a caption is drawn; no unit
    pictures: Sequence[ImageSource]
    picture_rows: Int[Tensor, "concept slot"]  # rows of a concept's pictures; -1 fills up
    picture_count: Int[Tensor, " concept"]
    caption_rows: Int[Tensor, "concept spot"]  # the same of its captions, in all languages
    caption_count: Int[Tensor, " concept"]
    sections: tuple[list[int], list[int]]  # captions a language, pictures a style: how many stand together
    named: int  # (concept, language) rows: one epoch shows as many pairs
    concepts: Sequence[str]  # in the order of their numbers
    caption_mix: Float[Tensor, " caption"] | None = (
        None  # how often `others` draws one of a concept's captions; None: all as often
    )
    strata: Strata | None = (
        None  # of pairs that lie on disk: the order in which captions are drawn; weights say how often
    )

    @property
    def drawable(self) -> int:
        """How many captions are ever drawn."""
        return int((self.caption_weight > 0).sum())

    def sample(self, size: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of `size` captions, of a picture for each, and their concepts; the same for the same seed, always.

        Captions are drawn without replacement: `size` is at most `drawable`. With `strata` each is drawn once before any of its kind is again.
        """
        generator = torch.Generator().manual_seed(seed)
        drawn_now = None if self.strata is None else self.strata.rows(size, seed)
        caption = torch.multinomial(self.caption_weight, size, generator=generator) if drawn_now is None else drawn_now
        concept = self.caption_concept[caption]
        return caption, drawn(self.picture_rows, self.picture_count, concept, generator), concept

    def others(self, concept: Int[Tensor, " pair"], seed: int) -> Int[Tensor, " pair"]:
        """Row of a caption of each concept, in any language: of those drawn by `sample`, a second one."""
        generator = torch.Generator().manual_seed(seed + 1)
        if self.caption_mix is None:
            return drawn(self.caption_rows, self.caption_count, concept, generator)
        rows = self.caption_rows[concept]
        weights = torch.where(rows >= 0, self.caption_mix[rows], torch.zeros(()))
        return rows.gather(1, torch.multinomial(weights, 1, generator=generator))[:, 0]


def drawn(rows: Tensor, count: Tensor, concept: Tensor, generator: torch.Generator) -> Int[Tensor, " pair"]:
    """One of each concept's rows, all as likely."""
    slot = (torch.rand(len(concept), generator=generator) * count[concept]).long()
    return rows[concept, slot]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What of a split is drawn for training. The default is all of it, as it is."""

    name_share: float = 0.5  # how often a caption drawn for training is a name rather than a keyword
    views: int = 1  # of each picture: itself, and augmented ones, each encoded once
    share: float = (
        1.0  # of the concepts, chosen by hash: with less, those of a smaller share are among those of a larger
    )
    pairs: int | None = None  # named pictures of each language but English, chosen by hash; None means all
    mix: Mapping[str, float] | None = (
        None  # provenance, or how it begins -> how often its captions are drawn, people's being 1
    )
    temperature: float | None = None  # of the languages' weights (mix.language_weights); None: all weigh the same


NAMES = Sample(name_share=1.0)


@dataclass(frozen=True)
class Chosen:
    """Rows of new languages, of which few concepts are drawn, and how much other languages weigh beside them.

    All rows stay in the table, so that the cache has them once for any choice.
    """

    rows: Mapping[str, list[Row]]  # by code
    kept: Mapping[str, frozenset[str]]  # concepts that are drawn
    rehearsal: float  # weight of the other languages together, in [0, 1)
    named: int  # pairs that an epoch shows


def training_pairs(
    corpus: Corpus, languages: list[Language], split: str, sample: Sample, chosen: Chosen | None = None
) -> Pairs:
    """Captions of `languages` and every style's picture of the concepts they name, as `sample` says.

    Languages weigh the same, but for `sample.temperature` and `chosen`; within one, names together weigh `sample.name_share` (in [0, 1])
    and further captions the rest. Splits that judge are made of what people wrote, where a language has it.
    Raises DataError when a language names nothing in this split, and for a provenance in `sample.mix` that is not there.
    """
    if split == "train" and chosen is None and not sample.mix and hasattr(corpus.reader, "table"):
        return on_disk(corpus, languages, sample)
    rows = {
        language.code: normalised(corpus.reader.read(corpus.folder, corpus.locale(language), split), language)
        for language in languages
    }
    check_count(corpus, len(rows.get("en", [])), split)
    judging = {code: by_people(found) for code, found in rows.items()}
    rows = mixed(rows, sample.mix, corpus.name) if split == "train" else judging
    rows = {code: drawn_rows(found, sample, code) for code, found in rows.items()} | dict(chosen.rows if chosen else {})
    for code, found in rows.items():
        if not found:
            raise DataError(
                f"Corpus {corpus.name!r} has no caption in language {code!r} in split {split!r}; choose another language or corpus."
            )
    kept = {code: {row.concept for row in found} for code, found in rows.items()} | dict(chosen.kept if chosen else {})
    named = {code: len(concepts) for code, concepts in kept.items()}
    weights = language_weights(named, sample.temperature)
    if chosen is not None:
        weights = rehearsing(weights, chosen.rows, chosen.rehearsal)
    weighed = {code: _weighed(found, sample, kept[code]) for code, found in rows.items()}
    wanted = {row.concept for found in rows.values() for row in found}
    in_order = [concept for concept in corpus.reader.split_concepts(corpus.folder, split) if concept in wanted]
    return _joined(corpus, in_order, weighed, sample, weights, sum(named.values()) if chosen is None else chosen.named)


Weighed = list[
    tuple[str, Row, float, bool]
]  # a caption, its row, how often it is drawn within its language, and whether its concept is


def _joined(
    corpus: Corpus,
    in_order: list[str],
    weighed: dict[str, Weighed],
    sample: Sample,
    weights: Mapping[str, float],
    named: int,
) -> Pairs:
    """Captions by language, and the pictures of the concepts that they name, as one table."""
    concepts = {concept: number for number, concept in enumerate(in_order)}
    flat = [found for captions in weighed.values() for found in captions]
    weight = [share * weights[code] for code, captions in weighed.items() for _, _, share, _ in captions]
    named_by: list[list[int]] = [[] for _ in concepts]
    for caption_row, (_, row, _, is_drawn) in enumerate(flat):
        if is_drawn:
            named_by[concepts[row.concept]].append(caption_row)
    pictures, drawn_by, a_style = picture_rows(corpus, concepts, sample.views)
    owned = (*_padded(drawn_by), *_padded(named_by))
    return Pairs(
        [caption for caption, _, _, _ in flat],
        torch.tensor([concepts[row.concept] for _, row, _, _ in flat]),
        torch.tensor(weight),
        pictures,
        *owned,
        sections=([len(captions) for captions in weighed.values()], a_style),
        named=named,
        concepts=tuple(concepts),
        caption_mix=torch.tensor([weight_of(row.provenance, sample.mix) for _, row, _, _ in flat])
        if sample.mix
        else None,
    )


def check_count(corpus: Corpus, english: int, split: str) -> None:
    """Raises DataError where the reader found another number of English rows than the pack expects."""
    expected = corpus.pack.rows.get(split)
    if expected is not None and english not in (0, expected):
        raise DataError(
            f"The pack of corpus {corpus.name!r} expects {expected} English rows in {split!r}, the reader found {english}. "
            "Restore the corpus from the repository, or change [rows] and say why in a comment."
        )


def on_disk(corpus: Corpus, languages: list[Language], sample: Sample) -> Pairs:
    """The training pairs of a corpus in shards: texts, pictures and hashes stay in its index; in memory are about 60 bytes a pair.

    Raises DataError when a language names nothing.
    """
    table = corpus.reader.table(corpus.folder)
    spoken = drawn_captions(
        table, {language.code: corpus.locale(language) for language in languages}, Draw(sample.share, sample.pairs)
    )
    for code, (names, _) in spoken.items():
        if not len(names):
            raise DataError(
                f"Corpus {corpus.name!r} has no caption in language {code!r} in split 'train'; choose another language or corpus."
            )
        check_count(corpus, len(names) if code == "en" else 0, "train")
    weights = language_weights({code: len(names) for code, (names, _) in spoken.items()}, sample.temperature)
    parts = stratified(table, spoken, weights, sample.name_share)
    number, views = len(parts.pictures), sample.views
    picture_rows = torch.arange(number)[:, None] + number * torch.arange(views)
    return Pairs(
        Captions(table, parts.places, languages, parts.lengths),
        parts.concept,
        parts.weight,
        Pictures(table, parts.pictures, views),
        picture_rows,
        torch.full((number,), views),
        *owned(parts.concept, number),
        sections=(parts.lengths, shard_lengths(table, parts.pictures) * views),
        named=sum(len(names) for names, _ in spoken.values()),
        concepts=Names(table, parts.pictures),
        strata=parts.strata,
    )


def drawn_rows(rows: list[Row], sample: Sample, language: str) -> list[Row]:
    """The rows of one language that `sample` keeps, in their order."""
    if sample.share == 1.0 and (sample.pairs is None or language == "en"):
        return rows
    places = sorted({(int(hashlib.sha256(row.concept.encode()).hexdigest(), 16), row.concept) for row in rows})
    kept = [concept for place, concept in places if place <= sample.share * 2**256]
    chosen = set(kept if language == "en" else kept[: sample.pairs])
    return [row for row in rows if row.concept in chosen]


def _weighed(rows: list[Row], sample: Sample, kept: Collection[str]) -> Weighed:
    """Names first, as the cache has them; concepts that are not `kept` are never drawn."""
    weights = [weight_of(row.provenance, sample.mix) if row.concept in kept else 0.0 for row in rows]
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


def picture_rows(
    corpus: Corpus, concepts: Mapping[str, int], views: int
) -> tuple[list[ImageSource], list[list[int]], list[int]]:
    """Pictures style by style, view by view; rows of each concept's, by its number; lengths of what stands together.

    Raises DataError for a concept without a picture.
    """
    pictures: list[ImageSource] = []
    lengths: list[int] = []
    rows: list[list[int]] = [[] for _ in concepts]
    for style in corpus.reader.styles(corpus.folder):
        drawn = corpus.reader.pictures(corpus.folder, style)
        for number in range(views):
            for concept, place in concepts.items():
                if concept in drawn:
                    rows[place].append(len(pictures))
                    pictures.append(view(drawn[concept], number))
            lengths.append(len(pictures) - sum(lengths))
    bare = [concept for concept, number in concepts.items() if not rows[number]]
    if bare:
        raise DataError(
            f"Corpus {corpus.name!r} names {len(bare)} concepts without a picture, the first is {bare[0]!r}."
        )
    return pictures, rows, lengths


def _padded(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    widest = max(map(len, rows))
    return torch.tensor([row + [-1] * (widest - len(row)) for row in rows]), torch.tensor([len(row) for row in rows])
