"""Training pairs: a pure function of the seed, each language and kind of caption with its share."""

from pathlib import Path

import pytest
import torch

from polyclip.errors import UnknownName
from polyclip.packs import load_corpus, resolve_language
from polyclip.pairs import Pairs, Sample, training_pairs
from tests.toy import write_corpus


@pytest.fixture(scope="module")
def emoji() -> Pairs:
    return training_pairs(load_corpus("emoji"), [resolve_language("sw"), resolve_language("en")], "train", Sample())


def test_the_same_seed_draws_the_same_pairs(emoji: Pairs) -> None:
    once, again, other = (emoji.sample(64, seed) for seed in (7, 7, 8))
    assert all(torch.equal(a, b) for a, b in zip(once, again, strict=True))
    assert not torch.equal(once[0], other[0])
    assert len(set(once[0].tolist())) == 64  # without replacement


def test_caption_picture_and_second_caption_are_of_one_concept(emoji: Pairs) -> None:
    owner = {row: concept for concept, rows in enumerate(emoji.picture_rows.tolist()) for row in rows if row >= 0}
    caption, picture, concept = emoji.sample(512, 1)
    assert [owner[row] for row in picture.tolist()] == concept.tolist() == emoji.caption_concept[caption].tolist()
    others = emoji.others(concept, 1)
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
    assert emoji.picture_count.max() == 4 and emoji.picture_count.min() >= 1
    drawn = torch.cat([emoji.sample(512, seed)[1] for seed in range(60)])
    assert len(set(drawn.tolist())) > 0.9 * len(emoji.pictures)


def test_errors_name_what_is_missing(tmp_path: Path) -> None:
    corpus = load_corpus(str(write_corpus(tmp_path)))
    with pytest.raises(UnknownName, match="'te'.*en, sw"):
        training_pairs(corpus, [resolve_language("te")], "train", Sample())
