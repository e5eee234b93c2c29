"""Paired comparison of two models: statistics against simulated truth, files, table, plot and command."""

import json
from dataclasses import replace
from io import StringIO
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from polyclip.errors import DataError, UnknownName
from polyclip.evaluation.bootstrap import ClusterSums, adjust_holm, number_clusters
from polyclip.evaluation.metrics import compute_query_metrics
from polyclip.evaluation.results import QueryOutcomes, Result, Score
from polyclip.evaluation.retrieval import Items, score_both_directions
from polyclip.evaluation.significance import BETTER, UNCLEAR, WORSE, Comparison, ComparisonOptions, compare
from polyclip.languages.schema import list_languages
from polyclip.report.comparison import (
    build_comparison_table,
    format_comparison_json,
    summarize_comparison,
    write_comparison,
)
from polyclip.report.means import compute_means
from polyclip.report.per_query import collect_outcomes, get_ranks_path, read_outcomes
from polyclip.report.result import to_table, write_result
from tests.command import polyclip
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

FACTS = {"benchmark": "b", "protocol": "p", "split": "test", "direction": "text_to_image", "gallery": 100}


def outcome(language: str, rank: np.ndarray, cluster: list[str] | None = None, **facts: object) -> QueryOutcomes:
    names = tuple(cluster or map(str, range(len(rank))))
    gain = np.where(rank < 10, 1 / np.log2(rank + 2), 0).astype(np.float32)
    return QueryOutcomes(
        **FACTS
        | {"language": language, "seen": False, "queries": "same", "cluster": names, "rank": rank, "gain": gain}
        | facts
    )


def ranked(hits: float, seed: int, queries: int = 400) -> np.ndarray:
    """Of this share of the queries the first, of the others the twentieth."""
    return np.where(np.random.default_rng(seed).random(queries) < hits, 0, 20).astype(np.int32)


def test_p_is_the_exact_sign_flip_and_the_interval_brackets_the_difference() -> None:
    change = [np.array([1.0, 1, 0, 1, -1, 1, 1]), np.array([0.0, 1, 0, 0, -1])]
    clusters = [list("aabbcde"), list("abcde")]
    tallies = ClusterSums.from_values(change, number_clusters(clusters))
    p = tallies.p_values(flips=40_000)
    share = np.array(
        [[2 / 7, 1 / 5], [1 / 7, 0], [-1 / 7, -1 / 5], [1 / 7, 0], [1 / 7, 0]]
    )  # 'aa', 'bb', 'c' by hand, then d and e
    share[:, 1] = [0, 1 / 5, 0, 0, -1 / 5]
    share = np.column_stack([share, share.mean(1)])
    flips = np.array(list(product([-1, 1], repeat=5)))
    exact = (np.abs(flips @ share) >= np.abs(share.sum(0)) - 1e-9).mean(0)
    assert p == pytest.approx(exact, abs=0.01)
    low, high = tallies.interval()
    assert (low <= share.sum(0)).all() and (share.sum(0) <= high).all()


def test_holm_by_hand() -> None:
    assert adjust_holm(np.array([0.01, 0.04, 0.03, 0.005])).tolist() == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert adjust_holm(np.array([0.9, 0.8])).tolist() == [1.0, 1.0]


def test_equal_models_are_rarely_told_apart_though_captions_share_pictures() -> None:
    generator, wrong = np.random.default_rng(1), 0
    pictures = number_clusters([[str(n // 5) for n in range(250)]] * 12)
    for _ in range(150):
        common = generator.normal(size=(50, 1))  # both captions' and all languages' fate hangs on the image
        change = [(common + 0.3 * generator.normal(size=(50, 5))).ravel() for _ in pictures]
        wrong += bool((adjust_holm(ClusterSums.from_values(change, pictures).p_values(flips=999)[:-1]) < 0.05).any())
    assert wrong <= 16  # 5 % of 150 are 7.5, three standard deviations more are 15.6


def test_repeating_every_caption_proves_nothing() -> None:
    change = np.random.default_rng(2).normal(0.3, 1, 30)
    once = ClusterSums.from_values([change], number_clusters([[str(n) for n in range(30)]]))
    often = ClusterSums.from_values([change.repeat(20)], number_clusters([[str(n // 20) for n in range(600)]]))
    assert once.p_values() == pytest.approx(often.p_values(), abs=0.01) and once.interval() == pytest.approx(
        often.interval()
    )


@pytest.fixture(scope="module")
def three() -> Comparison:
    old = [outcome(code, ranked(0.4, n), seen=code == "sw") for n, code in enumerate(("sw", "en", "te", "mi"))]
    new = [
        outcome("sw", ranked(0.7, 9), seen=True),
        outcome("te", ranked(0.4, 2).copy()),
        outcome("en", ranked(0.1, 8), seen=True),
        outcome("yo", ranked(0.1, 8)),
    ]
    return compare(old, new, ComparisonOptions(metric="recall@1"), ("old", "new"))


def test_better_worse_and_cannot_tell(three: Comparison) -> None:
    found = {line.language: line for line in three.languages}
    assert {code: line.verdict for code, line in found.items()} == {"sw": BETTER, "en": WORSE, "te": UNCLEAR}
    assert found["te"].difference == 0 and found["te"].p == 1 and three.left_out == ["mi", "yo"]
    for line in found.values():
        assert (
            line.difference == pytest.approx(line.b - line.a)
            and line.low <= line.difference <= line.high
            and line.p <= line.adjusted
        )
    assert found["sw"].p == pytest.approx(1 / 10_001) and found["sw"].adjusted == pytest.approx(3 / 10_001), (
        "Holm over three languages"
    )
    assert three.mean.difference == pytest.approx(np.mean([line.difference for line in found.values()]))
    assert found["en"].seen == (False, True) and "Holm" in three.correction


def test_many_languages_make_a_small_difference_unclear() -> None:
    def pair(count: int) -> Comparison:
        old = [outcome(f"l{n}", ranked(0.5, 100 + n)) for n in range(count)]
        new = [outcome(f"l{n}", ranked(0.56, 7) if n == 0 else ranked(0.5, 300 + n)) for n in range(count)]
        return compare(old, new, ComparisonOptions())

    alone, among = pair(1).languages[0], pair(60).languages[0]
    assert alone.p == pytest.approx(among.p, abs=0.004) and among.adjusted > alone.adjusted
    assert (alone.verdict, among.verdict) == (BETTER, UNCLEAR)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"queries": "other"}, r"were not scored on the same queries in sw: different queries \(400 and 400\)"),
        ({"gallery": 99}, "different gallery: 100 and 99"),
        ({"split": "validation"}, "different split: test and validation"),
        ({"language": "en"}, "A was scored in sw, B in en: no language to compare"),
    ],
)
def test_what_was_not_asked_the_same_is_not_compared(change: dict[str, object], said: str) -> None:
    one = outcome("sw", ranked(0.4, 0))
    with pytest.raises(DataError, match=said):
        compare([one], [replace(one, **change)], ComparisonOptions())


def test_questions_nobody_can_answer() -> None:
    one = [outcome("sw", ranked(0.4, 0))]
    with pytest.raises(UnknownName, match="No metric called 'recall@7'"):
        ComparisonOptions(metric="recall@7")
    with pytest.raises(UnknownName, match="No protocol in A called 'q'"):
        compare(one, one, ComparisonOptions(protocol="q"))
    with pytest.raises(DataError, match="not both scored in en;"):
        compare(one, one, ComparisonOptions(languages=("sw", "en")))


def test_the_table_fits_80_columns_and_the_plot_draws_every_name(three: Comparison, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    lines = [replace(three.languages[n % 3], language=code) for n, code in enumerate(list_languages())]
    whole = replace(three, languages=lines, a="a" * 90)
    text = StringIO()
    Console(file=text, width=80).print(build_comparison_table(whole))
    shown = text.getvalue().splitlines()
    assert max(map(len, shown)) <= 80 and "…" not in text.getvalue()
    assert any(line.startswith(" sw Swahili") and "better" in line for line in shown) and any(
        f"mean of {len(lines)}" in line for line in shown
    )
    files = write_comparison(tmp_path, whole)  # a letter that the font lacks is a warning, and so an error
    assert [path.name for path in files] == ["compare.json", "compare.png"]
    with Image.open(files[1]) as drawn:
        assert (
            drawn.height > 15 * len(lines) and len(set(drawn.convert("RGB").resize((60, 60)).get_flattened_data())) > 20
        )


def test_the_sentence_names_every_language(three: Comparison) -> None:
    assert summarize_comparison(three).startswith(
        "B is better in 1 (sw); worse in 1 (en); cannot tell in 1 (te); on average "
    )
    assert summarize_comparison(three).endswith("Left out, because only one was scored in them: mi, yo.")


# files


def scores(noise: float, seed: int) -> list[Score]:
    """Two languages, sixty images with two captions each; the model of a small `noise` is better."""
    generator = torch.Generator().manual_seed(0)
    image = torch.nn.functional.normalize(torch.randn(60, 16, generator=generator), dim=1)
    own = [str(n // 2) for n in range(120)]
    generator.manual_seed(seed)
    found = []
    for language in ("sw", "te"):
        text = torch.nn.functional.normalize(
            image.repeat_interleave(2, 0) + noise * torch.randn(120, 16, generator=generator), dim=1
        )
        facts = {"benchmark": "b", "protocol": "all", "split": "test", "language": language, "seen": language == "sw"}
        found += score_both_directions(Items(text, own, own), Items(image, own[::2], own[::2]), **facts)
    return found


def result(noise: float, seed: int) -> Result:
    return Result({"languages": ["sw"]}, {"method": "m"}, {"evaluate": 1.0}, scores(noise, seed), {"notes": []})


def test_ranks_come_back_from_their_file(tmp_path: Path) -> None:
    made = result(0.4, 1)
    write_result(tmp_path / "a.json", made)
    before, after = collect_outcomes(made.scores), read_outcomes(tmp_path / "a.json")
    assert len(before) == len(after) == 4
    for one, other in zip(before, after, strict=True):
        assert np.array_equal(one.rank, other.rank) and np.array_equal(one.gain, other.gain)
        assert replace(one, rank=other.rank, gain=other.gain) == other or one.cluster == other.cluster
        value = next(
            s.value
            for s in made.scores
            if (s.language, s.direction, s.metric) == (one.language, one.direction, "ndcg@10")
        )
        assert compute_query_metrics(other.rank, other.gain)[:, -1].mean() == pytest.approx(value)


def test_files_that_cannot_be_compared(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    with pytest.raises(DataError, match="a.json does not exist"):
        read_outcomes(path)
    path.write_text("[]", "utf-8")
    with pytest.raises(DataError, match="is not a result of polyclip"):
        read_outcomes(path)
    write_result(path, result(0.4, 1))
    whole = get_ranks_path(path).read_bytes()
    get_ranks_path(path).write_bytes(whole[:-9])
    with pytest.raises(DataError, match="a.ranks.safetensors is damaged or does not belong to a.json"):
        read_outcomes(path)
    get_ranks_path(path).unlink()
    with pytest.raises(DataError, match="has no ranks of single queries beside it"):
        read_outcomes(path)


def test_means_are_unweighted_name_their_languages_and_redraw_pictures_in_all_of_them() -> None:
    made = scores(0.8, 3)
    found = {(line["direction"], line["metric"], line["group"]): line for line in compute_means(made)}
    of = {(s.direction, s.metric, s.language): s for s in made}
    line = found["text_to_image", "recall@1", "all"]
    own = [of["text_to_image", "recall@1", code] for code in ("sw", "te")]
    assert line["languages"] == ["sw", "te"] and line["value"] == pytest.approx((own[0].value + own[1].value) / 2)
    assert line["low"] < line["value"] < line["high"]
    assert line["high"] - line["low"] < max(score.high - score.low for score in own)
    alone = found["text_to_image", "recall@1", "trained"]
    assert (alone["languages"], alone["value"], alone["low"], alone["high"]) == (
        ["sw"],
        own[0].value,
        own[0].low,
        own[0].high,
    )
    assert found["image_to_text", "median_rank", "all"]["low"] is None
    plain = [Score(**{key: getattr(s, key) for key in Score.__slots__}) for s in made]
    uneven = [replace(score, queries=1 + 99 * (score.language == "te")) for score in plain]
    assert own[0].value != own[1].value and compute_means(uneven) == compute_means(plain)
    assert {line["low"] for line in compute_means(plain)} == {None} and json.dumps(to_table(result(0.4, 1)))


# the command


def test_two_result_files(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    write_result(a, result(1.5, 1))
    write_result(b, result(0.4, 2))
    said = polyclip("compare", a, b, "--metric", "recall@1", "--json", "--out", tmp_path / "out")
    found = json.loads(said.out)
    assert {line["language"]: line["verdict"] for line in found["languages"]} == {
        "sw": "better",
        "te": "better",
    } and found["mean"]["verdict"] == "better"
    assert (
        found == json.loads((tmp_path / "out" / "compare.json").read_text("utf-8"))
        and (tmp_path / "out" / "compare.png").is_file()
    )
    shown = polyclip("compare", b, a, "--direction", "image-to-text", "--lang", "te")
    assert "B is better in 0; worse in 1 (te)" in shown.out and "mean of 1" in shown.out
    for arguments, words in (
        (("--metric", "acc1"), "No metric called 'acc1'"),
        (("--direction", "up"), "No direction called 'up'"),
    ):
        refused = polyclip("compare", a, b, *arguments)
        assert refused.code == 2 and words in refused.err and len(refused.err.strip().splitlines()) == 1


def test_two_runs_as_they_are_and_scored_anew(tmp_path: Path) -> None:
    """Tiny random towers: the comparison is of their runs, and its result is only checked against itself."""
    towers = [
        "--text-encoder",
        write_text_encoder(tmp_path / "text"),
        "--vision-tower",
        write_vision_tower(tmp_path / "vision"),
    ]
    corpus = write_corpus(tmp_path / "corpus")
    for name, method in (("a", "ridge"), ("b", "procrustes")):
        said = polyclip(
            "align",
            "--lang",
            "sw",
            "--corpus",
            corpus,
            *towers,
            "--method",
            method,
            "--head-dim",
            8,
            "--out",
            tmp_path / name,
        )
        assert said.code == 0, said.err
    kept = polyclip("compare", tmp_path / "a", tmp_path / "b", "--json")
    anew = polyclip(
        "compare",
        tmp_path / "a",
        tmp_path / "b",
        "--json",
        "--benchmark",
        "held-out",
        "--corpus",
        corpus,
        "--lang",
        "sw",
        "--lang",
        "en",
    )
    assert kept.code == anew.code == 0, kept.err + anew.err
    shared = {line["language"] for line in json.loads(kept.out)["languages"]}
    assert shared == {"sw", "en"}
    lines = [{line["language"]: line for line in json.loads(said.out)["languages"]} for said in (kept, anew)]
    assert lines[1]["sw"] == lines[0]["sw"] and lines[0]["sw"]["queries"] == 6
    (tmp_path / "b" / "result.ranks.safetensors").unlink()
    refused = polyclip("compare", tmp_path / "a", tmp_path / "b")
    assert refused.code == 2 and "--benchmark" in refused.err


def test_json_is_plain(three: Comparison) -> None:
    table = json.loads(format_comparison_json(three))
    assert (
        table["schema"] == 1
        and table["languages"][0]["seen"] == [True, True]
        and table["correction"] == "Holm over languages"
    )


def test_intervals_of_several_values_at_once_are_those_of_each() -> None:
    generator = np.random.default_rng(0)
    clusters = number_clusters([[str(n // 2) for n in range(40)], [str(n) for n in range(10, 25)]])
    values = [[generator.random(len(own)) for own in clusters] for _ in range(3)]
    joined = [own for value in values for own in value]
    found = ClusterSums.from_values(joined, clusters * 3).interval_of_means(3)
    wanted = [ClusterSums.from_values(value, clusters).interval()[:, -1] for value in values]
    np.testing.assert_allclose(found.T, wanted, rtol=1e-12)
