"""Training pairs: a pure function of the seed, each language and kind of caption with its share."""

import json
from collections import Counter
from copy import copy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from PIL import Image

from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.pairs import NAMES, AddedLanguages, Pairs, SamplingConfig
from polyclip.data.readers import emoji as reader
from polyclip.data.sampling_weights import compute_language_weights, get_caption_weight, parse_caption_weights
from polyclip.data.training_pairs import make_training_pairs
from polyclip.data.types import Row
from polyclip.errors import DataError, UnknownName
from polyclip.evaluation.held_out import read_named_rows
from polyclip.evaluation.retrieval import Request
from polyclip.languages.resolve import resolve_language
from tests.toy import write_corpus


@pytest.fixture(scope="module")
def emoji() -> Pairs:
    return make_training_pairs(
        load_corpus("emoji"), [resolve_language("sw"), resolve_language("en")], "train", SamplingConfig()
    )


def test_the_same_seed_draws_the_same_pairs(emoji: Pairs) -> None:
    once, again, other = (emoji.sample(64, seed) for seed in (7, 7, 8))
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    assert not torch.equal(once[0], other[0])
    assert len(set(once[0].tolist())) == 64  # without replacement


def test_caption_picture_and_second_caption_are_of_one_concept(emoji: Pairs) -> None:
    owner = {row: concept for concept, rows in enumerate(emoji.image_rows.tolist()) for row in rows if row >= 0}
    caption, picture, concept = emoji.sample(512, 1)
    assert [owner[row] for row in picture.tolist()] == concept.tolist() == emoji.caption_concept[caption].tolist()
    others = emoji.sample_other_captions(concept, 1)
    assert torch.equal(emoji.caption_concept[others], concept)
    assert (others != caption).float().mean() > 0.5
    assert emoji.caption_count.sum() == len(emoji.captions)


def test_languages_weigh_the_same_and_names_their_share(emoji: Pairs) -> None:
    assert emoji.caption_weight.sum().item() == pytest.approx(2.0, abs=1e-4)  # two languages
    rows = {code: load_corpus("emoji").reader.read(load_corpus("emoji").folder, code, "train") for code in ("sw", "en")}
    names = [len(rows["sw"]), len(rows["sw"]) + sum(len(r.captions) - 1 for r in rows["sw"])]
    assert emoji.caption_weight[: names[0]].sum().item() == pytest.approx(0.5, abs=1e-4)
    assert emoji.caption_weight[: names[1]].sum().item() == pytest.approx(1.0, abs=1e-4)


def test_every_style_of_a_concept_is_drawn(emoji: Pairs) -> None:
    assert emoji.image_count.max() == 4 and emoji.image_count.min() >= 1
    drawn = torch.cat([emoji.sample(512, seed)[1] for seed in range(60)])
    assert len(set(drawn.tolist())) > 0.9 * len(emoji.images)


@pytest.mark.parametrize("order", [("fa", "en", "am"), ("en", "am", "fa"), ("am", "fa", "en")])
@pytest.mark.parametrize("split", ["train", "validation"])
def test_each_caption_is_normalized_by_its_own_language(tmp_path: Path, order: tuple[str, ...], split: str) -> None:
    written = {"fa": "\u0643\u064a", "en": "a\u00a0cat \u0643\u064a", "am": "ድመት\u1361ውሻ"}
    wanted = {"fa": "\u06a9\u06cc", "en": "a cat \u0643\u064a", "am": "ድመት ውሻ"}
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    line = {"image": "a.png", "captions": {code: [text] for code, text in written.items()}, "split": split}
    (tmp_path / "captions.jsonl").write_text(json.dumps(line), "utf-8")
    (tmp_path / "c.toml").write_text('name = "c"\nabout = ""\nreader = "jsonl"\nfolder = "."\n', "utf-8")
    corpus = load_corpus(str(tmp_path / "c.toml"))
    pairs = make_training_pairs(corpus, [resolve_language(code) for code in order], split, SamplingConfig())
    assert list(pairs.captions) == [wanted[code] for code in order]


def test_errors_name_what_is_missing(tmp_path: Path) -> None:
    corpus = load_corpus(str(write_corpus(tmp_path)))
    with pytest.raises(UnknownName, match="'te'.*en, sw"):
        make_training_pairs(corpus, [resolve_language("te")], "train", SamplingConfig())


MACHINE = "nllb-200-distilled-600M@1"


def by_two_hands() -> Corpus:
    """The starter corpus with human captions from Kenya in place of machine-translated ones: 40 concepts have both."""
    corpus = copy(load_corpus("emoji"))  # packs are opened once: others must not see the change

    def read(folder: Path, language: str, split: str) -> list[Row]:
        rows = reader.read(folder, language, split)
        if language != "sw":
            return rows
        return rows[1:40] + [replace(row, provenance=MACHINE) for row in rows[:40]]

    facts: dict[str, Any] = {
        name: getattr(reader, name) for name in ("languages", "styles", "split_concepts", "pictures")
    }
    corpus.reader = SimpleNamespace(read=read, **facts)
    return corpus


def mixed_pairs(mix: dict[str, float] | None, split: str = "train") -> Pairs:
    return make_training_pairs(
        by_two_hands(), [resolve_language("sw"), resolve_language("en")], split, SamplingConfig(mix=mix)
    )


def test_a_mix_says_how_often_a_machines_caption_is_drawn_beside_one_by_people() -> None:
    pairs = mixed_pairs({"nllb": 0.25})
    length = pairs.sections[0][0]
    people, machine = pairs.caption_weight[1:39], pairs.caption_weight[39 + 1 : 39 + 39]  # names of the same concepts
    assert torch.allclose(machine, people / 4)
    assert pairs.caption_weight[:length].sum().item() == pytest.approx(
        1.0, abs=1e-4
    )  # the language weighs what it weighed
    assert pairs.named == 40 + 1384  # a concept that has both counts once
    drawn = Counter(
        pairs.caption_mix[
            pairs.sample_other_captions(torch.zeros(4000, dtype=torch.long) + pairs.caption_concept[1], 3)
        ].tolist()
    )
    assert drawn[0.25] > 0 and drawn[1.0] > 3 * drawn[0.25]  # English and Swahili by people against the machine's


def test_without_a_mix_both_hands_weigh_the_same_and_a_weight_of_none_leaves_rows_out() -> None:
    both, people = mixed_pairs(None), mixed_pairs({"nllb": 0.0})
    assert both.caption_weight[:79].unique().numel() == 1
    assert people.sections[0][0] < both.sections[0][0] and people.named == 39 + 1384


def test_a_mix_that_leaves_a_language_empty_or_names_nobody_is_one_sentence() -> None:
    with pytest.raises(DataError, match="--caption-weights opus.*it has human, nllb-200-distilled-600M@1"):
        mixed_pairs({"opus": 0.5})
    with pytest.raises(DataError, match="no caption in language 'en'"):
        mixed_pairs({"human": 0.0})
    for text in ("nllb", "nllb=-1", "=1", "nllb=inf", "nllb=x"):
        with pytest.raises(DataError, match="expected PROVENANCE=WEIGHT"):
            parse_caption_weights([text])
    with pytest.raises(DataError, match="twice"):
        parse_caption_weights(["a=1", "a=2"])
    assert parse_caption_weights(["nllb-200@1=0.5", "human=2"]) == {"nllb-200@1": 0.5, "human": 2.0}


def test_the_longest_key_decides() -> None:
    mix = {"nllb": 0.5, "nllb-200": 0.1}
    assert [get_caption_weight(name, mix) for name in ("nllb-200-x@1", "nllb@2", "human", "opus")] == [
        0.1,
        0.5,
        1.0,
        1.0,
    ]


def test_what_judges_was_written_by_people_where_they_wrote() -> None:
    pairs = make_training_pairs(by_two_hands(), [resolve_language("sw")], "validation", NAMES)
    rows = reader.read(load_corpus("emoji").folder, "sw", "validation")
    assert pairs.captions[:39] == [row.captions[0] for row in rows[1:40]] and pairs.named == 39
    found, _ = read_named_rows(by_two_hands(), Request(languages=[resolve_language("sw")]))
    assert len(found["sw"]) == 39 and {row.provenance for row in found["sw"]} == {"human"}


def test_temperature_is_between_proportional_and_equal() -> None:
    weights = {t: compute_language_weights({"en": 1000, "sw": 10}, t) for t in (1.0, 2.0, None)}
    assert weights[1.0]["en"] / weights[1.0]["sw"] == pytest.approx(100)
    assert weights[2.0]["en"] / weights[2.0]["sw"] == pytest.approx(10)
    assert weights[None] == {"en": 1.0, "sw": 1.0}
    assert all(sum(found.values()) == pytest.approx(2) for found in weights.values())
    with pytest.raises(DataError, match="above 0"):
        compute_language_weights({"en": 1}, 0.0)
    languages = [resolve_language("yo"), resolve_language("en")]
    pairs = make_training_pairs(load_corpus("emoji"), languages, "train", SamplingConfig(temperature=1.0, pairs=100))
    length = pairs.sections[0][0]
    assert (pairs.caption_weight[length:].sum() / pairs.caption_weight[:length].sum()).item() == pytest.approx(
        13.84, abs=0.01
    )


def test_few_pairs_of_a_language_do_not_mean_few_steps() -> None:
    corpus, languages = load_corpus("emoji"), [resolve_language(code) for code in ("sw", "yo", "en")]
    few, many, whole = (
        make_training_pairs(corpus, languages, "train", SamplingConfig(pairs=pairs)) for pairs in (8, 512, None)
    )
    english = len(reader.read(corpus.folder, "en", "train"))
    assert few.named == many.named == 3 * english
    assert 0.9 * few.named < whole.named <= few.named and few.drawable < many.drawable < whole.drawable


def test_few_of_a_language_are_drawn_beside_all_of_another() -> None:
    corpus, languages = load_corpus("emoji"), [resolve_language("sw"), resolve_language("en")]
    rows = reader.read(corpus.folder, "sw", "train")
    kept = frozenset(row.concept for row in rows[5:13])
    pairs = make_training_pairs(
        corpus, languages, "train", SamplingConfig(), AddedLanguages({"sw": rows}, {"sw": kept}, 0.75, 1384)
    )
    length = pairs.sections[0][0]
    drawn = (pairs.caption_weight[:length] > 0).nonzero()[:, 0]
    assert {pairs.concepts[number] for number in pairs.caption_concept[drawn].tolist()} == kept
    assert (pairs.caption_weight[:length].sum() / pairs.caption_weight.sum()).item() == pytest.approx(0.25, abs=1e-4)
    others = torch.cat([pairs.sample_other_captions(torch.arange(len(pairs.concepts)), seed) for seed in range(3)])
    assert set(others[others < length].tolist()) <= set(drawn.tolist())
    assert pairs.drawable == len(drawn) + pairs.sections[0][1] and pairs.named == 1384
    # so that the cache has them
    assert pairs.captions == make_training_pairs(corpus, languages, "train", SamplingConfig()).captions
