"""Few-shot training: which named images of a new language are used, at random or by coverage."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.randomness import fold_seed
from polyclip.core.vectors import normalize
from polyclip.data.captions import normalize_captions
from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.pairs import AddedLanguages, SamplingConfig
from polyclip.data.sampling_weights import HUMAN, get_caption_weight, select_human, select_machine
from polyclip.data.training_pairs import list_concept_images
from polyclip.data.types import Row
from polyclip.errors import DataError, UnknownName
from polyclip.languages.schema import Language, load_language
from polyclip.models import feature_cache
from polyclip.models.backbone import BackboneSpec

REHEARSAL = 0.5  # smallest sampling weight of the languages trained before
OFTEN = 4.0  # a shot is sampled at most this many times as often as if its language named every image, with no replay
RANDOM, COVERAGE = "random", "coverage"


@dataclass(frozen=True, kw_only=True)
class Shots:
    """What a continued run is given of each new language."""

    count: int | None = None  # named images; None means all
    by: str = RANDOM
    seed: int = 0
    rehearse: bool = True  # replay: also train on the languages trained before
    source: str = (
        ""  # empty: the corpus as it is; human: what people wrote; the path of a pack: its captions by machines
    )
    related: tuple[str, ...] = ()  # codes of further languages, all of whose captions are used beside
    words: str = ""  # path of a pack whose captions by machines are used beside, all of them; empty: none

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to train on."""
        return self.count == 0 and not self.related and not self.words


def choose_shots(
    corpus: Corpus, languages: list[Language], shots: Shots, sample: SamplingConfig, tower: BackboneSpec
) -> AddedLanguages:
    """Choose rows of the training split for each new language; a smaller number is a subset of a larger one.

    An epoch shows as many pairs as the new languages have named images in the whole corpus, so that the number of steps
    depends neither on the number of shots nor on what is used beside them.

    Args:
        corpus: Of the images, and of the captions unless `shots.source` is a pack.
        languages: New languages.
        shots: How many, and how they are chosen.
        sample: Sampling weights of captions.
        tower: The vision encoder, for coverage.

    Returns:
        The chosen rows by language, and the weight of the languages trained before.

    Raises:
        DataError: A language has fewer named images than asked for.
        UnknownName: The way of choosing does not exist.

    """
    concepts = corpus.reader.split_concepts(corpus.folder, "train")
    place = order_concepts(corpus, list(concepts), shots, tower)
    named_by = [] if shots.count == 0 else languages
    rows = {language.code: read_source_rows(corpus, language, shots.source) for language in named_by}
    kept: dict[str, frozenset[str]] = {}
    for code, there in rows.items():
        found = [row for row in there if get_caption_weight(row.provenance, sample.mix) > 0]
        named = {row.concept for row in found}
        if shots.count is not None and shots.count > len(named):
            raise DataError(
                f"{shots.count} shots were asked for, but {code!r} names {len(named)} images of the training split "
                f"in {describe_source(corpus, shots)}."
            )
        rows[code], kept[code] = found, frozenset(sorted(named, key=lambda concept: place[concept])[: shots.count])
    share = sum(map(len, kept.values())) / (len(concepts) * len(languages))
    pairs = len(concepts) * len(languages)
    return AddedLanguages(rows, kept, compute_replay_share(share), pairs, read_helpers(corpus, languages, shots))


def read_helpers(corpus: Corpus, languages: list[Language], shots: Shots) -> list[dict[str, list[Row]]]:
    """Read what is used beside the shots: captions of related languages, and captions made from a word list."""
    related = {code: read_source_rows(corpus, load_language(code), "") for code in shots.related}
    words = {
        f"{language.code} by {shots.words}": read_source_rows(corpus, language, shots.words)
        for language in (languages if shots.words else [])
    }
    return [helper for helper in (related, words) if helper]


def compute_replay_share(share: float) -> float:
    """Compute the sampling weight of the languages trained before, in [0, 1).

    REHEARSAL, and more where shots are so few that they would be repeated too often. Chosen on validation, see
    docs/explanation/fewshot.md.

    Args:
        share: Of the images that have a name in the new languages, in [0, 1].

    Returns:
        The weight.

    """
    return max(REHEARSAL, 1 - OFTEN * share)


def format_shots(chosen: AddedLanguages) -> str:
    """Contents of shots.jsonl: one line for each image and language, in the corpus's order."""
    rows = [row for code, found in chosen.rows.items() for row in found if row.concept in chosen.kept[code]]
    lines = [
        {"language": row.language, "concept": row.concept, "captions": row.captions, "provenance": row.provenance}
        for row in rows
    ]
    return "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines)


def read_source_rows(corpus: Corpus, language: Language, source: str) -> list[Row]:
    """Read a language's training rows from the source that was asked for.

    Args:
        corpus: Of the images.
        language: Whose captions are read.
        source: Empty for all captions of the corpus, "human" for human captions only, or the path of a translated pack.

    Returns:
        Rows with normalized captions.

    Raises:
        DataError: The pack has no machine-translated caption in this language, or none of an image of this corpus.

    """
    if source in ("", HUMAN):
        rows: list[Row] = normalize_captions(
            corpus.reader.read(corpus.folder, corpus.get_locale(language), "train"), language
        )
        return select_human(rows) if source else rows
    pack = load_corpus(source)
    if pack.get_locale(language) not in pack.reader.languages(pack.folder):
        listed = ", ".join(pack.reader.languages(pack.folder)[:20])
        raise DataError(
            f"{source} has no captions in {language.code!r}; it has {listed}. Translate into {language.name} first: "
            "polyclip translate."
        )
    known = corpus.reader.split_concepts(corpus.folder, "train")
    found = select_machine(
        normalize_captions(pack.reader.read(pack.folder, pack.get_locale(language), "train"), language)
    )
    rows = [row for row in found if row.concept in known]
    if not rows:
        why = (
            f"none of its {len(found)} images is one of corpus {corpus.name!r}" if found else "people wrote all it has"
        )
        raise DataError(f"{source} has no machine-translated caption in {language.code!r} to train on: {why}.")
    return rows


def describe_source(corpus: Corpus, shots: Shots) -> str:
    """Name of the source of the captions, for errors: `corpus 'emoji'`, or the translated pack."""
    return f"corpus {corpus.name!r}" if shots.source in ("", HUMAN) else shots.source


def order_concepts(corpus: Corpus, concepts: Sequence[str], shots: Shots, tower: BackboneSpec) -> dict[str, int]:
    """Order training concepts as shots are taken, the same for every language.

    Raises:
        UnknownName: The way of choosing is neither random nor coverage.

    """
    ways: dict[str, Callable[[], list[str]]] = {
        RANDOM: lambda: sorted(
            concepts, key=lambda concept: hashlib.sha256(f"{shots.seed} {concept}".encode()).hexdigest()
        ),
        COVERAGE: lambda: [
            concepts[number] for number in order_farthest_first(embed_images(corpus, concepts, tower), shots.seed)
        ],
    }
    if shots.by not in ways:
        raise UnknownName("way to choose shots", shots.by, ways)
    return {concept: number for number, concept in enumerate(ways[shots.by]())}


def embed_images(corpus: Corpus, concepts: Sequence[str], tower: BackboneSpec) -> Float[Tensor, "concept dim"]:
    """Unit vectors of each concept: the frozen encoder's centered image features, averaged over styles."""
    images, rows, lengths = list_concept_images(corpus, {concept: number for number, concept in enumerate(concepts)}, 1)
    table = feature_cache.encode(tower, images, "training images", lengths)
    table = normalize(table - table.mean(0))
    return normalize(torch.stack([table[own].mean(0) for own in rows]))


def order_farthest_first(vectors: Float[Tensor, "item dim"], seed: int) -> list[int]:
    """Order items by greedy k-center: each is the one farthest from those before it; the first depends on the seed.

    Gonzalez 1985: the first k items cover all others within at most twice the smallest possible radius. As active
    learning: Sener and Savarese 2018, arXiv 1708.00489, algorithm 1.

    Args:
        vectors: Unit vectors of the items.
        seed: Chooses the first item.

    Returns:
        All item numbers in this order.

    """
    first = int(torch.randint(len(vectors), (1,), generator=torch.Generator().manual_seed(fold_seed(seed))))
    order, distance = [first], torch.full((len(vectors),), torch.inf)
    while len(order) < len(vectors):
        distance = torch.minimum(distance, (vectors - vectors[order[-1]]).norm(dim=1))
        distance[order] = -torch.inf
        order.append(int(distance.argmax()))
    return order
