"""Confidence in the first hit: what it rises and falls with, its levels, and where there is none."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from polyclip.search._caption_table import CaptionTable
from polyclip.search.confidence import (
    FEWEST,
    HIGH,
    LARGEST,
    MEDIUM,
    count_different,
    describe_scores,
    measure_confidence,
)
from polyclip.search.contact_sheet import write_contact_sheet
from polyclip.search.folder import SearchResult
from polyclip.search.index import Hit

ROW = torch.tensor([0.0, 0.1, 0.2, 0.1, 0.0, 0.1, 0.2, 0.1])  # mean 0.1


def value(scores: torch.Tensor, count: int | None = None) -> float:
    found = measure_confidence(float(scores.max()), scores, len(scores), float(len(scores) if count is None else count))
    assert found is not None
    return found.confidence


def test_scores_are_described_in_their_own_standard_deviations() -> None:
    spread = math.sqrt(4 * 0.01 / 7)
    assert describe_scores(0.2, ROW, 8.0) == pytest.approx((0.1 / spread, math.log(8)), rel=1e-5)
    assert describe_scores(0.5, ROW, 8.0)[0] == pytest.approx(0.4 / spread, rel=1e-5)


def test_images_that_are_alike_count_as_one_thing_whatever_the_scale_of_the_model() -> None:
    things = np.linalg.qr(np.random.default_rng(0).normal(size=(60, 60)))[0].astype(np.float32)
    assert count_different(things) == pytest.approx(60, rel=0.05)
    assert count_different(np.repeat(things, 4, axis=0)) == pytest.approx(60, rel=0.05)
    cone = np.concatenate([np.repeat(things, 4, axis=0), np.full((240, 1), 2, np.float32)], axis=1)
    assert count_different(cone / np.linalg.norm(cone, axis=1, keepdims=True)) == pytest.approx(60, rel=0.05)
    assert count_different(things[:1]) == 1 == count_different(np.repeat(things[:1], 5, axis=0))


def test_captions_make_the_same_height_less_sure_the_more_they_count() -> None:
    clear = np.random.default_rng(0).normal(size=200)
    clear[0] = 6.0
    found = [measure_confidence(6.0, clear, 200, 200.0, captioned) for captioned in (0.0, 0.35, 0.7)]
    values = [one.confidence for one in found if one is not None]
    assert len(values) == 3 and values == sorted(values, reverse=True) and values[0] > values[2] + 0.05
    assert CaptionTable(np.array([0, 0, 3]), None).measure_share(8) == 0.25


def test_two_right_images_at_the_top_are_as_sure_as_one() -> None:
    random = np.random.default_rng(1)
    things = np.linalg.qr(random.normal(size=(100, 100)))[0][:50].astype(np.float32)
    query = 0.4 * things[7] + 0.02 * random.normal(size=100).astype(np.float32)
    found = []
    for copies in (1, 2, 5):
        gallery = np.repeat(things, copies, axis=0)
        scores = gallery @ query
        sure = measure_confidence(float(scores.max()), scores, len(scores), count_different(gallery))
        assert sure is not None and sure.level == "high"
        found.append(sure.confidence)
    assert max(found) - min(found) < 0.05


def test_confidence_does_not_depend_on_the_models_scale_of_cosines() -> None:
    clear = torch.cat([ROW, torch.tensor([0.6])])
    assert value(clear) == pytest.approx(value(0.3 * clear + 0.2), rel=1e-4)


def test_confidence_rises_with_the_height_and_falls_with_the_number_of_images() -> None:
    values = [value(torch.cat([ROW, torch.tensor([best])])) for best in (0.2, 0.25, 0.35, 0.6)]
    assert values == sorted(values) and values[-1] > values[0] + 0.3
    sizes = [value(torch.cat([ROW, torch.tensor([0.6])]), count) for count in (9, 90, LARGEST, 20_000, 1_000_000)]
    assert sizes == sorted(sizes, reverse=True) and len(set(sizes)) == 5


def test_the_levels_are_cut_where_they_are_said_to_be() -> None:
    found = [measure_confidence(best, ROW, 200, 200.0) for best in torch.linspace(0.2, 0.6, 200).tolist()]
    levels = [each.level for each in found if each is not None]
    assert set(levels) == {"low", "medium", "high"}
    for each in found:
        assert each is not None
        assert (each.level == "high") == (each.confidence >= HIGH)
        assert (each.level == "low") == (each.confidence < MEDIUM)


@pytest.mark.parametrize("count", [1, FEWEST - 1])
def test_a_few_images_are_no_distribution(count: int) -> None:
    assert measure_confidence(0.9, ROW[:count], count, float(count)) is None
    assert measure_confidence(0.9, ROW, FEWEST, float(FEWEST)) is not None


def test_equal_scores_give_a_number() -> None:
    assert 0 <= value(torch.full((20,), 0.3)) < MEDIUM


def test_the_contact_sheet_names_images_from_the_folder_so_that_it_may_be_moved(tmp_path: Path) -> None:
    gone = tmp_path / "below" / "gone.png"
    sheet = tmp_path / "sheet.html"
    low = measure_confidence(0.2, ROW, 200, 200.0)
    write_contact_sheet(sheet, SearchResult("cat", [Hit(gone, 0.5)], 1, [], tmp_path, confidence=low))
    text = sheet.read_text("utf-8")
    assert "below/gone.png" in text and str(tmp_path) not in text and "No good match." in text
    write_contact_sheet(sheet, SearchResult("cat", [Hit(gone, 0.5)], 1, [], tmp_path))
    assert "No good match." not in sheet.read_text("utf-8")
