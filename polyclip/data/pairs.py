"""Training pairs: which caption is shown with which image at which step, as a pure function of the seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.data.shards.order import Strata
from polyclip.data.types import ImageSource, Row


@dataclass(frozen=True)
class Pairs:
    """Captions and images of one split, linked by concept."""

    captions: Sequence[str]
    caption_concept: Int[Tensor, " caption"]
    caption_weight: Float[Tensor, " caption"]  # sampling weight of the caption, no unit
    images: Sequence[ImageSource]
    image_rows: Int[Tensor, "concept slot"]  # rows of a concept's images; -1 fills up
    image_count: Int[Tensor, " concept"]
    caption_rows: Int[Tensor, "concept spot"]  # the same of its captions, in all languages
    caption_count: Int[Tensor, " concept"]
    sections: tuple[list[int], list[int]]  # lengths of runs: captions of a language, images of a style
    named: int  # (concept, language) rows, the pairs of one epoch
    concepts: Sequence[str]  # in the order of their numbers
    caption_mix: Float[Tensor, " caption"] | None = None  # weights of `sample_other_captions`; None: uniform
    strata: Strata | None = None  # of pairs on disk: the order of the captions

    @property
    def drawable(self) -> int:
        """Number of captions with a sampling weight above 0."""
        return int((self.caption_weight > 0).sum())

    def sample(self, size: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
        """Sample training pairs; the result depends on the seed alone.

        Captions are drawn without replacement. With `strata` each caption is drawn once before any of its stratum is
        drawn again.

        Args:
            size: Number of captions, at most `drawable`.
            seed: The seed.

        Returns:
            Rows of the captions, row of an image for each, and their concepts; three tensors [size].

        """
        generator = torch.Generator().manual_seed(seed)
        drawn_now = None if self.strata is None else self.strata.get_rows(size, seed)
        caption = torch.multinomial(self.caption_weight, size, generator=generator) if drawn_now is None else drawn_now
        concept = self.caption_concept[caption]
        return caption, draw_rows(self.image_rows, self.image_count, concept, generator), concept

    def sample_other_captions(self, concept: Int[Tensor, " pair"], seed: int) -> Int[Tensor, " pair"]:
        """Sample one more caption of each concept, in any language, out of those that `sample` draws.

        Args:
            concept: Numbers of the concepts.
            seed: The seed.

        Returns:
            Rows of the captions.

        """
        generator = torch.Generator().manual_seed(seed + 1)
        if self.caption_mix is None:
            return draw_rows(self.caption_rows, self.caption_count, concept, generator)
        rows = self.caption_rows[concept]
        weights = torch.where(rows >= 0, self.caption_mix[rows], torch.zeros(()))
        return rows.gather(1, torch.multinomial(weights, 1, generator=generator))[:, 0]


def draw_rows(rows: Tensor, count: Tensor, concept: Tensor, generator: torch.Generator) -> Int[Tensor, " pair"]:
    """Draw one of each concept's rows uniformly."""
    slot = (torch.rand(len(concept), generator=generator) * count[concept]).long()
    return rows[concept, slot]


@dataclass(frozen=True, kw_only=True)
class SamplingConfig:
    """What is sampled of a split for training; the default is all of it, without augmentation."""

    name_share: float = 0.5  # share of names, as opposed to keywords, among sampled captions
    views: int = 1  # of each image: the original and its augmentations, each encoded once
    share: float = 1.0  # of the concepts, chosen by hash; a smaller share is a subset of a larger one
    pairs: int | None = None  # named images of each language but English, chosen by hash; None means all
    mix: Mapping[str, float] | None = (
        None  # beginning of a provenance -> sampling weight of its captions relative to human ones
    )
    temperature: float | None = None  # of `compute_language_weights`; None: all languages weigh the same


NAMES = SamplingConfig(name_share=1.0)


@dataclass(frozen=True)
class AddedLanguages:
    """Rows of new languages with few training concepts, and how much the other languages weigh beside them.

    All rows stay in the table, so that the feature cache has them once for any choice.
    """

    rows: Mapping[str, list[Row]]  # by code
    kept: Mapping[str, frozenset[str]]  # training concepts
    rehearsal: float  # replay: share of all other captions, in [0, 1]
    named: int  # pairs of an epoch
    # Further sources of captions, used whole: rows by language or list. Each weighs as one language trained before.
    helpers: Sequence[Mapping[str, list[Row]]] = ()
