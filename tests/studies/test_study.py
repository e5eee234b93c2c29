"""Studies: each cell once, rates chosen on validation by as many trials for each method, figures by hand, interrupted
runs go on.
"""

import json
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch

from polyclip.core.registry import find, list_names
from polyclip.errors import UnknownName
from polyclip.languages.schema import load_language
from polyclip.report.plot import open_plot
from polyclip.studies import energy as _energy
from polyclip.studies import plan, runner
from polyclip.studies.cells import CACHED, Cell, LongSpec, build_config, train
from polyclip.studies.drawing import FRESH, draw_traces
from polyclip.studies.figures import (
    Estimate,
    compute_mean_hits,
    compute_recall,
    compute_share,
    compute_share_over_seeds,
    compute_spread,
)
from polyclip.studies.known_names import find_known_names
from polyclip.studies.labels import annotate_points
from polyclip.studies.plan import TRIALS, choose_methods, list_rates, make_variant
from polyclip.studies.questions import convergence
from polyclip.studies.questions.budget import find_best_within
from polyclip.studies.runner import Results, Setting, collect_finished, run_variants
from polyclip.studies.traces import find_best, trace
from polyclip.training.config import EarlyStopping
from tests.command import polyclip
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

OF_THE_PAPER = ["budget", "claims", "data", "forgetting", "low-resource", "model-size"]


def setting(folder: Path, **changes: Any) -> Setting:
    facts: dict[str, Any] = {
        "languages": ("sw", "en"),
        "seeds": 2,
        "quick": False,
        "folder": folder,
        "jobs": 1,
        "tower": "t",
        "asked": ("de", "fr"),
    }
    return Setting(**facts | changes)


def record(cell: Cell, ranks: dict[str, list[int]] | None = None) -> dict[str, Any]:
    """A cell's record as the real one, with figures one can work out by hand."""
    value = 0.2 + 0.1 * (cell.rate == list_rates(cell.method)[-1])
    log = [{"phase": "heads", "epoch": n, "validation": value * n / 2, "seconds": 5.0} for n in range(3)]
    lines = [
        {
            "part": part,
            "question": "never trained (2) -> es, recall@1",
            "before": 0.5,
            "after": 0.4,
            "change": -0.1,
            "low": -0.2,
            "high": 0.0,
            "queries": 4,
        }
        for part in ("text encoder", "aligned captions")
    ]
    codes = (*cell.languages, *cell.asked)
    shares = {"trained_share": 0.1, "trained_share_without_embeddings": 1.0 if cell.method == "full" else 0.005}
    return {
        "cell": {"languages": list(cell.languages)} | {"method": cell.method, "seed": cell.seed},
        "validation": value,
        "log": log,
        "model": shares,
        "seconds": 10.0,
        "processor_seconds": 20.0,
        "flops": 10**12,
        "joules": 100.0,
        "energy": "no measurement",
        "peak_bytes": 10**9,
        "groups": ["a", "b", "c", "d"],
        "ranks": ranks or {code: [0, 3, 20, 99 if cell.method == "full" else 1] for code in codes},
        "knowledge": lines,
    }


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Cell, bool]]:
    """Cells are not trained but made up; which were asked for is kept."""
    done: list[tuple[Cell, bool]] = []

    def instead(cells: Any, given: Setting, what: str) -> None:
        for cell, scored in runner.find_missing(cells, given):
            done.append((cell, scored))
            path = runner.record_path(cell, given)
            path.parent.mkdir(parents=True, exist_ok=True)
            found = record(cell)
            path.write_text(
                json.dumps(found if scored else {key: value for key, value in found.items() if key != "ranks"}), "utf-8"
            )

    monkeypatch.setattr(runner, "run_all", instead)
    return done


def test_every_study_is_there() -> None:
    assert set(list_names("study")) == {*OF_THE_PAPER, "sources", "effort", "equity", "convergence"}


def test_every_method_has_as_many_trials() -> None:
    tried = {method: list_rates(method) for method in list_names("methods")}
    steps = {method: rates for method, rates in tried.items() if find("methods", method).METHOD.solve is None}
    assert {len(rates) for rates in steps.values()} == {TRIALS} and len(steps) > 15
    assert all(tried[method] == (0.0,) for method in ("ridge", "procrustes", "asif"))


def test_the_rate_is_chosen_on_validation_and_each_cell_runs_once(tmp_path: Path, ran: list[tuple[Cell, bool]]) -> None:
    given = setting(tmp_path)
    results = run_variants([make_variant(given, "heads"), make_variant(given, "asif")], given)
    best = list_rates("heads")[-1]
    assert results.chosen["heads", ""] == best and set(results.trials["heads", ""]) == set(list_rates("heads"))
    assert [record["cell"]["seed"] for record in results.records["heads", ""]] == [0, 1]
    first = len(ran)
    trained = [cell.name for cell, scored in ran if not scored]
    assert len(trained) == len(set(trained)) == TRIALS + 1
    run_variants([make_variant(given, "heads"), make_variant(given, "asif")], given)
    assert len(ran) == first  # all of it was on disk
    runner.record_path(ran[0][0], given).unlink()
    run_variants([make_variant(given, "heads"), make_variant(given, "asif")], given)
    assert len(ran) > first and {cell.name for cell, _ in ran[first:]} == {ran[0][0].name}


def test_a_condition_takes_the_rate_of_the_one_it_is_tuned_on(tmp_path: Path, ran: list[tuple[Cell, bool]]) -> None:
    given = setting(tmp_path)
    results = run_variants(find("study", "data").plan(setting(tmp_path, methods=("heads",))), given)
    assert {results.chosen[key] for key in results.chosen} == {list_rates("heads")[-1]}
    assert [key for key in results.trials] == [("heads", "1/1")]
    assert {cell.share for cell, scored in ran if not scored} == {1.0}


def test_cells_have_other_names_for_every_difference(tmp_path: Path) -> None:
    base = make_variant(setting(tmp_path), "heads").cell
    others = [
        make_variant(setting(tmp_path), "heads", **{key: value}).cell
        for key, value in (("share", 0.5), ("pairs", 8), ("tower", "x"), ("languages", ("en",)))
    ]
    assert len({cell.name for cell in [base, *others]}) == 5


def test_a_smaller_share_has_as_many_steps(tmp_path: Path) -> None:
    whole, eighth = (
        build_config(
            Cell(method="lilt-ln", rate=1e-3, seed=1, languages=("en",), asked=(), tower="t", share=share), tmp_path
        )
        for share in (1.0, 1 / 8)
    )
    assert eighth.heads.epochs == 8 * whole.heads.epochs and eighth.towers.epochs == 4 * whole.towers.epochs
    assert (whole.heads.seed, whole.towers.seed, whole.towers.tower_learning_rate) == (1, 1, 1e-3)
    linear = build_config(Cell(method="heads", rate=4e-3, seed=0, languages=("en",), asked=(), tower="t"), tmp_path)
    assert linear.heads.learning_rate == 4e-3


def test_figures_by_hand() -> None:
    cell = Cell(method="heads", rate=0.0, seed=0, languages=("sw", "en"), asked=("de",), tower="t")
    first = record(cell, {"sw": [0, 9, 10, -1], "en": [0, 50, 3, 2], "de": [-1, -1, -1, -1]})
    second = record(cell, {"sw": [0, 9, 10, -1], "en": [0, 5, 3, 2], "de": [-1, -1, -1, -1]})
    assert compute_mean_hits([first], ["sw", "en"]).tolist() == [1, 0.5, 0.5, 1]
    assert np.isnan(compute_mean_hits([first], ["de"])).all()
    figure = compute_recall([first, second], ["sw", "en"])
    assert figure.value == pytest.approx((1 + 0.75 + 0.5 + 1) / 4) and figure.low <= figure.value <= figure.high
    assert compute_spread([first, second], ["sw", "en"]) == pytest.approx(np.std([0.75, 0.875], ddof=1))
    assert compute_spread([first], ["en"]) == 0
    share = compute_share([first], [second], ["sw", "en"])
    assert share.value == pytest.approx(0.75 / 0.875) and share.low <= share.value <= share.high == 1
    itself = compute_share([first], [first], ["sw", "en"])
    assert (itself.value, itself.low, itself.high) == (1, 1, 1)


def test_a_share_is_of_the_seeds_that_both_have_and_its_interval_of_groups_and_seeds() -> None:
    cell = Cell(method="heads", rate=0.0, seed=0, languages=("sw",), asked=("de",), tower="t")
    good, middling, bad = {"sw": [0, 1, 2, 3], "de": [0]}, {"sw": [0, 1, 50, 50]}, {"sw": [0, 50, 50, 50]}
    reference = [record(replace(cell, seed=seed), good) for seed in (0, 1)]
    one = [record(cell, middling)]
    both = [*one, record(replace(cell, seed=1), bad)]
    assert compute_share_over_seeds(one, reference, ["sw"]) == compute_share(one, reference[:1], ["sw"])
    share = compute_share_over_seeds(both, reference, ["sw"])
    assert share is not None and share.value == pytest.approx(3 / 8) and share.low < 0.25 < 0.5 < share.high
    more = [*both, record(replace(cell, seed=2), good)]  # a seed that the reference does not have
    assert compute_share_over_seeds(more, reference, ["sw"]) == share
    assert compute_share_over_seeds(more[2:], reference, ["sw"]) is None
    nothing = [record(cell, {"sw": [50, 50, 50, 50], "de": [0]})]
    assert compute_share_over_seeds(nothing, nothing, ["sw"]) == Estimate(0.0, 0.0, 0.0)


@pytest.mark.parametrize("name", OF_THE_PAPER)
def test_every_study_ends_with_table_plot_json_and_one_verdict(
    name: str, tmp_path: Path, ran: list[tuple[Cell, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("polyclip.cli.study.has_captions", lambda corpus, code: True)
    said = polyclip("study", name, "--out", tmp_path, "--seeds", 2)
    assert said.code == 0, said.err
    result = json.loads((tmp_path / f"{name}.json").read_text("utf-8"))
    assert result["verdict"] in said.out.replace("\n", " ").replace("  ", " ") or result["verdict"][:40] in said.out
    assert any(word in result["verdict"] for word in ("holds", "does not hold", "cannot tell", "Cannot tell"))
    assert len(result["rows"]) >= len(
        find("study", name).METHODS if hasattr(find("study", name), "METHODS") else plan.METHODS
    )
    assert all(len(row) == len(result["columns"]) for row in result["rows"])
    assert "ranks" not in json.dumps(result["cells"])
    assert (tmp_path / f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert result["verdict"] in (tmp_path / f"{name}.md").read_text("utf-8")


@pytest.mark.parametrize("name", ["sources", "equity"])
def test_studies_of_languages_end_with_a_row_a_language(
    name: str, tmp_path: Path, ran: list[tuple[Cell, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    said = polyclip("study", name, "--lang", "te", "--quick", "--out", "studies")
    assert said.code == 0, said.err
    result = json.loads(Path("studies", f"{name}.json").read_text("utf-8"))
    assert [row[0].split()[0] for row in result["rows"]] == ["te"] and all(
        len(row) == len(result["columns"]) for row in result["rows"]
    )
    assert Path("studies", f"{name}.png").read_bytes()[:4] == b"\x89PNG"
    assert str(tmp_path) not in json.dumps(result)


def test_every_source_goes_on_from_english_alone(
    tmp_path: Path, ran: list[tuple[Cell, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run_variants(
        find("study", "sources").plan(setting(Path("studies"), languages=("te", "en"), seeds=1)),
        setting(Path("studies"), languages=("te", "en"), seeds=1),
    )
    first, *others = [cell for cell, _ in ran]
    assert (first.languages, first.few) == (("en",), None)
    given = {(cell.languages, cell.few.count if cell.few else 0, bool(cell.few and cell.few.source)) for cell in others}
    borrowed = (*load_language("te").recipe.borrow, "en")
    alone = ("te", "en")
    assert given == {
        (("en",), 0, False),
        (borrowed, None, False),
        (alone, None, True),
        (alone, 128, False),
        (alone, 512, False),
        (alone, None, False),
    }
    words = [
        json.loads(line) for line in Path("studies", "lexicon", "te", "captions.jsonl").read_text("utf-8").splitlines()
    ]
    assert len(words) > 100 and all(row["language"] == "te" for row in words)


def test_a_share_of_english_is_over_the_concepts_that_both_name(tmp_path: Path) -> None:
    cell = Cell(method="head-glu", rate=0.0, seed=0, languages=("te", "en"), asked=(), tower="t")
    half = record(cell, {"te": [0, 99, -1, 5], "en": [0, 1, 99, 3]})
    share = find("study", "equity").compute_share_of_english([half], "te")
    assert share.value == pytest.approx(2 / 3) and share.low <= share.value <= share.high
    none = record(cell, {"sw": [99, 99, 99, 99], "en": [0, 1, 2, 3]})
    results = Results(
        setting(tmp_path),
        {("te", ""): [half], ("sw", ""): [none], ("am", ""): [record(cell, {"am": [0, 1, 2, 3], "en": [0, 1, 2, 3]})]},
    )
    assert find("study", "equity").verdict(results) == (
        "1 of 3 languages reach 0.9 of English in their own run (mean 0.56); the intervals of 1 more do: te 0.67; "
        "below: sw 0.00."
    )


def test_a_name_is_known_where_its_english_one_is_the_nearest_that_both_languages_have() -> None:
    english = torch.eye(5)
    features = {"en": english, "te": torch.stack([english[0], english[3], english[4]])}
    places = {"en": [0, 1, 2, 3, 5], "te": [0, 2, 4]}  # Telugu names concept 4, which English does not
    assert find_known_names(features, places, 6) == {"te": [1, -1, 0, -1, -1, -1]}
    features["te"][1] = 0.4 * english[2] + 0.6 * english[3]  # nearest to a concept that Telugu does not name
    assert find_known_names(features, places, 6)["te"] == [1, -1, 1, -1, -1, -1]
    assert find_known_names(features | {"te": features["te"][2:]}, places | {"te": [4]}, 6) == {"te": [-1] * 6}


def test_shares_of_english_are_told_apart_by_what_the_encoder_knew(tmp_path: Path) -> None:
    equity = find("study", "equity")
    cell = Cell(method="head-glu", rate=0.0, seed=0, languages=("te", "en"), asked=(), tower="t")
    half = record(cell, {"te": [0, 99, 99, 5], "en": [0, 1, 2, 3]}) | {"known": {"te": [1, 0, 0, 1]}}
    results = Results(setting(tmp_path), {("te", ""): [half]})
    assert equity.table(results).rows[0][4:7] == ("50", "1.00 [1.00, 1.00]", "0.00 [0.00, 0.00]")
    assert equity.verdict(results).endswith(
        "Over names that the text encoder places at their English names: 1.00 of English on average, 1 of 1 reach 0.9; "
        "over names that it does not: 0.00 of English on average, 0 of 1 reach 0.9."
    )
    every = half | {"known": {"te": [1, 1, 1, 1]}}
    assert equity.table(Results(setting(tmp_path), {("te", ""): [every]})).rows[0][6] == "-"
    lost = half | {"ranks": {"te": [0, 1, 2, 3], "en": [99, 99, 99, 99]}}
    assert equity.verdict(Results(setting(tmp_path), {("te", ""): [lost]})).startswith("Cannot tell")


def test_each_method_of_a_plot_looks_alike_in_the_panels_of_both_starts(tmp_path: Path) -> None:
    points = [{"step": 0, "validation": 0.1, "processor_seconds": 5.0}]
    curves = [
        {"method": f"method {number}", "start": start, "seed": seed, "points": points}
        for number in range(12)
        for start in (FRESH, "heads first")
        for seed in (0, 1)
    ]
    with open_plot(tmp_path / "a.png", 6.0, 4.0, what="a plot") as figure:
        draw_traces(figure.subplots(), curves)
        looks = [
            [
                (line.get_color(), line.get_marker(), line.get_linestyle())
                for line in panel.get_lines()
                if len(line.get_xdata())
            ]
            for panel in figure.axes
        ]
        titles = [panel.get_title() or panel.get_title(loc="left") for panel in figure.axes]
    assert titles == [FRESH, "heads first"] and looks[0] == looks[1] and len(set(looks[0])) == 12
    with open_plot(tmp_path / "b.png", 6.0, 4.0, what="a plot") as figure:
        draw_traces(figure.subplots(), [curve for curve in curves if curve["start"] == FRESH])
        assert len(figure.axes) == 1 and figure.axes[0].get_ylabel().startswith("validation")


def verdict_of(name: str, change: Callable[[dict[str, Any]], dict[str, Any]], folder: Path) -> str:
    cells = {
        m: Cell(method=m, rate=0.0, seed=0, languages=("sw", "en"), asked=("de",), tower="t")
        for m in ("full", "heads", "lilt-ln")
    }
    records = {(method, ""): [change(record(cell))] for method, cell in cells.items()}
    return find("study", name).verdict(Results(setting(folder), records))


def test_verdicts_follow_the_figures(tmp_path: Path) -> None:
    """As made up, `full` finds two of four concepts and the others three; turned round, they find one."""

    def turned(found: dict[str, Any]) -> dict[str, Any]:
        full = found["cell"]["method"] == "full"
        return found | {"ranks": {code: [0, 3, 5, 1] if full else [0, 99, 99, 99] for code in found["ranks"]}}

    assert verdict_of("claims", lambda found: found, tmp_path).startswith("Claim 1 holds")
    assert "Claim 1 does not hold" in verdict_of("claims", turned, tmp_path)

    def split(found: dict[str, Any]) -> dict[str, Any]:
        """`heads` finds most on test, `lilt-ln` on validation."""
        best = found["cell"]["method"] == "heads"
        return found | {
            "validation": 0.2 if best else 0.3,
            "ranks": {code: [0, 1, 2, 3 if best else 99] for code in found["ranks"]},
        }

    assert "`lilt-ln` trains 0.50 %" in verdict_of("claims", split, tmp_path)

    def forgetful(found: dict[str, Any]) -> dict[str, Any]:
        seen = {
            "part": "vision tower",
            "question": "same ImageNet class",
            "before": 1.0,
            "after": 0.2,
            "change": -0.8,
            "low": -0.9,
            "high": -0.7,
            "queries": 4,
        }
        worse = [*(line | {"change": -0.5} for line in found["knowledge"]), seen]
        return found | {"knowledge": worse if found["cell"]["method"] == "lilt-ln" else found["knowledge"]}

    assert "Claim 3 holds" in verdict_of("forgetting", lambda found: found, tmp_path)
    assert "Claim 3 does not hold" in verdict_of("forgetting", forgetful, tmp_path)


@pytest.mark.parametrize(
    "found, said",
    [
        ({"k=0": "all", "k=8": "all"}, "Claim 5 holds: .* heads is ahead at k=0 .4.00., k=8 .4.00."),
        ({"k=0": "all", "k=8": "same"}, "Claim 5 holds partly: .* heads is ahead at k=0 .4.00."),
        ({"k=0": "none", "k=8": "same"}, "Claim 5 does not hold: .* heads is behind at k=0 .0.00."),
        ({"k=0": "same", "k=8": "same"}, "Claim 5 cannot tell: .* no difference for heads"),
    ],
)
def test_the_verdict_on_scarce_pairs_is_the_same_method_everywhere(
    found: dict[str, str], said: str, tmp_path: Path
) -> None:
    """Full training finds one concept of four; heads find all of them, that one, or none."""
    ranks = {"all": [0, 0, 0, 0], "same": [0, 99, 99, 99], "none": [99, 99, 99, 99]}
    cells = {
        method: Cell(method=method, rate=0.0, seed=0, languages=("te", "en"), asked=(), tower="t")
        for method in ("full", "heads")
    }
    records = {("full", k): [record(cells["full"], {"te": ranks["same"]})] for k in (*found, "all")}
    records |= {
        ("heads", k): [record(cells["heads"], {"te": ranks[kind]})] for k, kind in (found | {"all": "none"}).items()
    }
    study, results = (
        find("study", "low-resource"),
        Results(setting(tmp_path, languages=("te",)), records, dict.fromkeys(records, 0.0)),
    )
    assert re.match(said, study.verdict(results)), study.verdict(results)
    rows = study.table(results).rows
    assert [row[0] for row in rows] == ["full", "heads", "heads, of full", "full · te", "heads · te"] and rows[2][
        3
    ].startswith("0.00")


def test_a_budget_is_of_time_and_of_memory(tmp_path: Path) -> None:
    """Full training takes 3 GB, heads 1 GB; both have spent 10, 20 and 30 seconds of a core after their three
    epochs.
    """

    def led(best: str) -> Callable[[dict[str, Any]], dict[str, Any]]:
        def change(found: dict[str, Any]) -> dict[str, Any]:
            method = found["cell"]["method"]
            factor = 2 if method == best else 1
            log = [line | {"validation": factor * (0.1 + line["validation"])} for line in found["log"]]
            return found | {
                "log": log,
                "validation": factor * 0.3,
                "peak_bytes": 3 * 10**9 if method == "full" else 10**9,
            }

        return change

    seconds = "10 s: {0}, 30 s: {0}, 100 s: {0}, 300 s: {0}"
    assert verdict_of("budget", led("heads"), tmp_path).startswith(
        f"Claim 6 holds: the best by validation are {seconds.format('heads')}, 1 GB: heads, 2 GB: heads, 4 GB: heads;"
    )
    said = verdict_of("budget", led("full"), tmp_path)
    assert said == (
        f"Claim 6 holds partly: the best by validation are {seconds.format('full')}, 1 GB: heads, 2 GB: heads, 4 GB: "
        "full; full training takes 20 s and 3.0 GB."
    )


def test_the_best_epoch_within_a_budget_counts() -> None:
    log = [{"validation": 0.1}, *({"validation": value, "seconds": 4.0} for value in (0.5, 0.3, 0.9))]
    record = {"log": log, "processor_seconds": 24.0, "seconds": 12.0}  # two cores: 8 seconds of one an epoch
    assert [find_best_within(record, seconds) for seconds in (7.0, 8.0, 16.0, 24.0)] == [0.1, 0.5, 0.5, 0.9]


@pytest.mark.parametrize("side", ["left", "right"])
def test_names_beside_points_are_not_written_over_each_other(side: Literal["left", "right"]) -> None:
    pytest.importorskip("matplotlib")
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5), layout="constrained", dpi=120)
    canvas = FigureCanvasAgg(figure)
    axes = figure.subplots()
    places = [(1.0, 36.0), (1.0, 36.0), (1.01, 36.1), (1.05, 35.9), (8.0, 20.0), (8.2, 20.2), (100.0, 30.0)]
    points = [(x, y, name) for (x, y), name in zip(places, [*OF_THE_PAPER, "full"], strict=True)]
    axes.scatter(*zip(*((x, y) for x, y, _ in points), strict=True))
    axes.set(xscale="log")
    annotate_points(axes, points, side)
    canvas.draw()
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == len(points) and not any(a.overlaps(b) for n, a in enumerate(boxes) for b in boxes[:n])


def test_energy_says_whether_it_was_measured(tmp_path: Path) -> None:
    assert not _energy.is_measurable(tmp_path)  # no counter
    with _energy.measure_energy() as energy:
        sum(range(200_000))
    assert energy.joules > 0 or energy.measured


def test_long_training_has_a_rate_of_four_and_starts_from_fresh_and_from_trained_heads(
    tmp_path: Path, ran: list[tuple[Cell, bool]]
) -> None:
    given = setting(tmp_path, methods=("full", "heads"), seeds=1, batch=64, steps=400)
    variants = convergence.plan(given)
    assert [(v.label, v.condition, len(v.rates)) for v in variants] == [
        ("full", "fresh heads", 4),
        ("full", "heads first", 4),
        ("heads", "fresh heads", 4),
    ]
    fresh, warm, heads = (build_config(replace(v.cell, rate=v.rates[0]), tmp_path) for v in variants)
    assert (fresh.heads.epochs, warm.heads.epochs, heads.heads.epochs) == (0, CACHED.epochs, 8)
    assert fresh.towers.epochs == warm.towers.epochs == 8 and fresh.towers.batch_size == heads.heads.batch_size == 64
    assert (fresh.towers.tower_learning_rate, heads.heads.learning_rate) == (variants[0].rates[0], variants[2].rates[0])
    assert fresh.stopping == EarlyStopping(every=50, patience=4)

    assert not collect_finished(variants, given).records  # nothing has been run
    run_variants(variants[:1], given)
    found = collect_finished(variants, given)
    assert list(found.records) == [("full", "fresh heads")] and len(found.trials["full", "fresh heads"]) == 4
    assert "nothing but `full`" in convergence.verdict(found)


def test_long_training_ends_when_validation_rises_no_more(tmp_path: Path) -> None:
    towers = {"text_encoder": write_text_encoder(tmp_path / "text"), "tower": write_vision_tower(tmp_path / "vision")}
    corpus = str(write_corpus(tmp_path / "corpus"))
    long = LongSpec(fresh=True, steps=80, batch=4, every=2, patience=3, head_rate=1e-2)
    facts = {"languages": ("en",), "asked": (), "corpus": corpus, "dim": 8, "long": long, "seed": 0} | towers
    cell = Cell(method="lilt-ln", rate=1e-2, **facts)
    found = train(cell, tmp_path / "whole")
    heads, *log = found["log"]
    assert heads["phase"] == "heads" and log[0]["epoch"] == 0 and heads["validation"] == log[0]["validation"]
    values = [line["validation"] for line in log]
    best = values.index(max(values))
    assert len(log) == min(best + 3, 40) + 1 and len(log) < 41
    points = trace(found)
    assert [point["step"] for point in points] == [2 * number for number in range(len(log))]
    spent = [point["processor_seconds"] for point in points]
    assert spent == sorted(spent) and spent[-1] > 0
    assert find_best(found)["validation"] == found["validation"] == max(values)


def test_unknown_studies_and_methods_are_one_sentence(tmp_path: Path) -> None:
    said = polyclip("study", "claim", "--out", tmp_path)
    assert said.code == 2 and "Did you mean 'claims'" in said.err
    with pytest.raises(UnknownName, match="method in this study"):
        choose_methods(["heads"], ["full"])


def test_a_real_study_on_toy_towers(tmp_path: Path) -> None:
    """Cells in processes of their own, from pictures to the report; the towers are tiny and random."""
    corpus = write_corpus(tmp_path / "corpus", french=True)
    towers = [
        "--text-encoder",
        write_text_encoder(tmp_path / "text"),
        "--vision-tower",
        write_vision_tower(tmp_path / "vision"),
    ]
    command = [
        "study",
        "claims",
        "--quick",
        "--method",
        "lilt-da",
        "--method",
        "asif",
        "--corpus",
        corpus,
        *towers,
        "--out",
        tmp_path / "out",
    ]
    said = polyclip(*command)
    assert said.code == 0, said.err
    cells = [json.loads(path.read_text("utf-8")) for path in (tmp_path / "out" / "cells").glob("*.json")]
    assert {cell["cell"]["method"] for cell in cells} == {"lilt-da", "asif"}
    for cell in cells:
        assert set(cell["ranks"]) == {"sw", "en", "de", "fr"} and cell["peak_bytes"] > 10**8
        assert {line["part"] for line in cell["knowledge"]} == {"text encoder", "aligned captions"}
    assert all(cell["flops"] > 0 for cell in cells if cell["cell"]["method"] == "lilt-da")
    assert not list((tmp_path / "out" / "runs").iterdir())
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").glob("*.json")}
    assert polyclip(*command).code == 0
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "out" / "cells").glob("*.json")}


@pytest.mark.parametrize(
    ("options", "least"), [(("--batch-size", "64", "--steps", "400", "--seeds", "3"), 12), (("--seeds", "1"), 3)]
)
def test_kept_cells_of_the_study_of_convergence_make_the_tables_of_its_page(
    options: tuple[str, ...], least: int, tmp_path: Path
) -> None:
    docs = Path(__file__).parents[2] / "docs" / "explanation"
    shutil.copytree(docs / "studies" / "cells", tmp_path / "cells")
    said = polyclip("study", "convergence", *options, "--finished", "--out", str(tmp_path))
    assert said.code == 0, said.err
    found = json.loads((tmp_path / "convergence.json").read_text("utf-8"))
    page = (docs / "convergence.md").read_text("utf-8")
    assert len(found["rows"]) >= least and all(f"| {' | '.join(row)} |" in page for row in found["rows"])
    if "--batch-size" in options:
        assert found == json.loads((docs / "studies" / "convergence.json").read_text("utf-8"))
