"""Training pairs: which caption is shown with which picture at which step, as a pure function of the seed."""

import hashlib
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.errors import DataError
from polyclip.normalise import normalised
from polyclip.packs import Corpus, Language
from polyclip.records import Picture, Row
from polyclip.views import view


@dataclass(frozen=True)
class Pairs:
    """Captions and pictures of one split, tied by concept."""

    captions: list[str]
    caption_concept: Int[Tensor, " caption"]
    caption_weight: Float[Tensor, " caption"]  # how often a caption is drawn; no unit
    pictures: list[Picture]
    picture_rows: Int[Tensor, "concept slot"]  # rows of a concept's pictures; -1 fills up
    picture_count: Int[Tensor, " concept"]
    caption_rows: Int[Tensor, "concept spot"]  # the same of its captions, in all languages
    caption_count: Int[Tensor, " concept"]
    sections: tuple[list[int], list[int]]  # captions a language, pictures a style: how many stand together
    named: int  # (concept, language) rows: one epoch shows as many pairs
    concepts: tuple[str, ...]  # in the order of their numbers

    def sample(self, size: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Rows of `size` captions, of a picture for each, and their concepts; the same for the same seed, always.

        Captions are drawn without replacement: `size` is at most their number.
        """
        generator = torch.Generator().manual_seed(seed)
        caption = torch.multinomial(self.caption_weight, size, generator=generator)
        concept = self.caption_concept[caption]
        return caption, drawn(self.picture_rows, self.picture_count, concept, generator), concept

    def others(self, concept: Int[Tensor, " pair"], seed: int) -> Int[Tensor, " pair"]:
        """Row of a caption of each concept, in any language: of those drawn by `sample`, a second one."""
        return drawn(self.caption_rows, self.caption_count, concept, torch.Generator().manual_seed(seed + 1))


def drawn(rows: Tensor, count: Tensor, concept: Tensor, generator: torch.Generator) -> Int[Tensor, " pair"]:
    """One of each concept's rows, all as likely."""
    slot = (torch.rand(len(concept), generator=generator) * count[concept]).long()
    return rows[concept, slot]


@dataclass(frozen=True, kw_only=True)
class Sample:
    """What of a split is drawn for training. The default is all of it, as it is."""

    name_share: float = 0.5  # how often a caption drawn for training is a name rather than a keyword
    views: int = 1  # of each picture: itself, and augmented ones, each encoded once
    share: float = 1.0  # of the concepts, chosen by hash: with less, those of a smaller share are among those of a larger
    pairs: int | None = None  # named pictures of each language but English, chosen by hash; None means all


NAMES = Sample(name_share=1.0)


def training_pairs(corpus: Corpus, languages: list[Language], split: str, sample: Sample) -> Pairs:
    """Captions of `languages` and every style's picture of the concepts they name, as `sample` says.

    Languages weigh the same; within one, names together weigh `sample.name_share` (in [0, 1]) and further captions the rest.
    Raises DataError when a language names nothing in this split.
    """
    rows = {language.code: normalised(corpus.reader.read(corpus.folder, corpus.locale(language), split), language) for language in languages}
    expected = corpus.pack.rows.get(split)
    if expected is not None and len(rows.get("en", ())) not in (0, expected):
        raise DataError(
            f"The pack of corpus {corpus.name!r} expects {expected} English rows in {split!r}, the reader found {len(rows['en'])}. "
            "Restore the corpus from the repository, or change [rows] and say why in a comment."
        )
    rows = {code: drawn_rows(found, sample, code) for code, found in rows.items()}
    for code, found in rows.items():
        if not found:
            raise DataError(f"Corpus {corpus.name!r} has no caption in language {code!r} in split {split!r}; choose another language or corpus.")
    named = {row.concept for found in rows.values() for row in found}
    in_order = [concept for concept in corpus.reader.split_concepts(corpus.folder, split) if concept in named]
    concepts = {concept: number for number, concept in enumerate(in_order)}
    captions: list[str] = []
    owner, weight, lengths = [], [], []
    for found in rows.values():
        lengths.append(sum(len(row.captions) for row in found))
        for caption, concept, share in _weighed(found, sample.name_share):
            captions.append(caption)
            owner.append(concepts[concept])
            weight.append(share)
    pictures, drawn_by, a_style = _pictures(corpus, concepts, sample.views)
    named_by: list[list[int]] = [[] for _ in concepts]
    for caption_row, number in enumerate(owner):
        named_by[number].append(caption_row)
    owned = (*_padded(drawn_by), *_padded(named_by))
    return Pairs(
        captions,
        torch.tensor(owner),
        torch.tensor(weight),
        pictures,
        *owned,
        sections=(lengths, a_style),
        named=sum(map(len, rows.values())),
        concepts=tuple(concepts),
    )


def drawn_rows(rows: list[Row], sample: Sample, language: str) -> list[Row]:
    """The rows of one language that `sample` keeps, in their order."""
    if sample.share == 1.0 and (sample.pairs is None or language == "en"):
        return rows
    places = sorted((int(hashlib.sha256(row.concept.encode()).hexdigest(), 16), row.concept) for row in rows)
    kept = [concept for place, concept in places if place <= sample.share * 2**256]
    chosen = set(kept if language == "en" else kept[: sample.pairs])
    return [row for row in rows if row.concept in chosen]


def _weighed(rows: list[Row], name_share: float) -> list[tuple[str, str, float]]:
    names = len(rows)
    further = sum(len(row.captions) - 1 for row in rows)
    share = 1.0 if further == 0 else name_share
    found = [(row.captions[0], row.concept, share / names) for row in rows]
    return found + [(caption, row.concept, (1 - share) / further) for row in rows for caption in row.captions[1:]]


def _pictures(corpus: Corpus, concepts: dict[str, int], views: int) -> tuple[list[Picture], list[list[int]], list[int]]:
    pictures: list[Picture] = []
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
        raise DataError(f"Corpus {corpus.name!r} names {len(bare)} concepts without a picture, the first is {bare[0]!r}.")
    return pictures, rows, lengths


def _padded(rows: list[list[int]]) -> tuple[Tensor, Tensor]:
    widest = max(map(len, rows))
    return torch.tensor([row + [-1] * (widest - len(row)) for row in rows]), torch.tensor([len(row) for row in rows])
