"""The emoji benchmark with models whose score can be worked out by hand: perfect, constant, random."""

from dataclasses import dataclass, field
from typing import Any

import pytest
import torch

from polyclip.data.captions import normalize_captions
from polyclip.data.corpus import load_corpus
from polyclip.evaluation.benchmarks import emoji
from polyclip.evaluation.held_out import MIXED, SMALL, build_galleries, list_locales, mix_styles, score_alone
from polyclip.evaluation.retrieval import Items, Request
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import load_language
from polyclip.models.aligner import PolyCLIP

CORPUS = load_corpus("emoji")
EN = CORPUS.reader.read(CORPUS.folder, "en", "test")
CONCEPTS = [row.concept for row in EN]


@dataclass
class Oracle:
    """Knows each English name's and each image's concept."""

    kind: str
    concept: dict[str, str] = field(
        default_factory=lambda: {row.captions[0]: row.concept for row in normalize_captions(EN, load_language("en"))}
    )

    def encode_features(self, items: Any, what: str, *, keep: bool, sections: Any = ()) -> torch.Tensor:
        return self.embed(items, what, keep=keep, sections=sections)

    def unit(self, pooled: torch.Tensor) -> torch.Tensor:
        return pooled

    def embed(self, items: Any, what: str, *, keep: bool, sections: Any = ()) -> torch.Tensor:
        found = [self.concept[item] if isinstance(item, str) else item.name for item in items]
        if self.kind == "constant":
            return torch.ones(len(found), 1)
        if self.kind == "random":
            return torch.nn.functional.normalize(
                torch.randn(len(found), 50, generator=torch.Generator().manual_seed(sum(map(ord, what)))), dim=1
            )
        return torch.eye(len(CONCEPTS))[[CONCEPTS.index(concept) for concept in found]]


def knowing(kind: str) -> PolyCLIP:
    """An aligner with the oracle on both sides."""
    aligner = PolyCLIP.__new__(PolyCLIP)
    torch.nn.Module.__init__(aligner)
    aligner.text = aligner.vision = Oracle(kind)  # type: ignore[assignment]
    return aligner


def score(kind: str) -> list[Any]:
    return emoji.score(knowing(kind), Request(languages=[resolve_language("en")], trained=frozenset({"en"}))).scores


def test_perfect_constant_and_random_models() -> None:
    assert len({row.captions[0] for row in EN}) == len(EN)
    assert {s.value for s in score("perfect") if s.metric.startswith("recall")} == {1.0}
    assert {s.value for s in score("constant") if s.metric.startswith("recall")} == {0.0}  # every tie counts against it
    for found in score("random"):
        if found.metric == "recall@10":
            assert found.value == pytest.approx(found.chance, abs=0.035)


def test_protocols_and_galleries() -> None:
    gallery = {s.protocol: s.gallery for s in score("perfect") if s.direction == "text_to_image"}
    assert list(gallery) == [MIXED, f"{MIXED}/no-flags-symbols", "openmoji", "noto", "fluent", "fluent-flat"]
    assert gallery[MIXED] == gallery["openmoji"] == len(EN) == CORPUS.pack.rows["test"]
    assert 200 < gallery[f"{MIXED}/no-flags-symbols"] < gallery[MIXED]


def test_the_mixed_gallery_has_every_concept_once_and_all_styles() -> None:
    found, categories = build_galleries(knowing("perfect"), CORPUS, "test")
    assert sorted(found[MIXED].keys) == sorted(CONCEPTS) == sorted(categories)
    styles = {
        style: Items(torch.full((len(g.keys), 1), float(n)), g.keys, g.clusters)
        for n, (style, g) in enumerate(found.items())
        if style != MIXED
    }
    drawn = mix_styles(styles).embeddings.flatten().tolist()
    counts = [drawn.count(float(n)) for n in range(1, 5)]
    assert sum(counts) == len(drawn) and min(counts) > 50
    assert torch.equal(mix_styles(styles).embeddings, mix_styles(dict(reversed(styles.items()))).embeddings)


def test_a_regional_variety_of_a_trained_language_was_seen() -> None:
    request = Request(trained=frozenset({"sw", "en"}))
    assert [request.is_seen(code) for code in ("en", "en-GB", "sw-KE", "de", "es-MX")] == [
        True,
        True,
        True,
        False,
        False,
    ]
    locales = list_locales(CORPUS)
    assert locales["quz"] == "qu" and "qu" not in locales and len(locales) >= 150


@pytest.mark.parametrize(("pairs", "alone"), [(SMALL, True), (SMALL + 1, False)])
def test_small_languages_are_scored_in_one_thread(pairs: int, alone: bool) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        seen: list[tuple[str, int]] = []
        assert score_alone(["sw", "en"], lambda code: seen.append((code, torch.get_num_threads())) or [], pairs) == []
        assert seen == [("sw", 1 if alone else 3), ("en", 1 if alone else 3)]
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
