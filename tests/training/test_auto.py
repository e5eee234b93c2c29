"""`--method auto`: the search keeps its budget, never reads the test split, and ends as a run like any other."""

import json
import shutil
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from polyclip import pipeline
from polyclip.core.durations import format_duration, parse_duration
from polyclip.core.progress import show_messages
from polyclip.core.timing import Clock
from polyclip.data.readers import jsonl
from polyclip.errors import DataError, PolyclipError, RunError
from polyclip.evaluation.results import Choice, Trial
from polyclip.languages.resolve import resolve_language
from polyclip.models import feature_cache, feature_files
from polyclip.models.aligner import load_model
from polyclip.models.config import ModelConfig
from polyclip.pipeline import align, align_within
from polyclip.report.auto import explain_choice
from polyclip.training import compute
from polyclip.training.auto import estimate, search
from polyclip.training.auto.budget import Budget
from polyclip.training.auto.candidates import CANDIDATES, Candidate, make_trial_run
from polyclip.training.auto.record import read_choice
from polyclip.training.auto.search import choose_winner
from polyclip.training.config import HEADS, TOWERS, AlignConfig
from polyclip.training.prepare import prepare_run
from tests.command import kill_when, polyclip
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

FILES = {
    "run.toml",
    "aligner.safetensors",
    "result.json",
    "result.ranks.safetensors",
    "log.jsonl",
    "choice.json",
    "README.md",
}
HOUR = Budget(3600.0)
FEW = (
    Candidate(name="ridge", method="ridge"),
    Candidate(name="heads", method="heads", epochs=3),
    Candidate(name="lilt-da-text", method="lilt-da", epochs=1),
)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("toy")
    corpus, text, vision = (
        write_corpus(folder / "corpus"),
        write_text_encoder(folder / "text"),
        write_vision_tower(folder / "vision"),
    )
    return {"corpus": str(corpus), "text": text, "vision": vision}


def arguments(toy: dict[str, str], out: Path, *more: object) -> list[object]:
    inputs = [
        "--corpus",
        toy["corpus"],
        "--text-encoder",
        toy["text"],
        "--vision-tower",
        toy["vision"],
        "--head-dim",
        16,
    ]
    return ["align", "--lang", "sw", "--method", "auto", *inputs, "--out", out, *more]


def run(toy: dict[str, str], out: Path, **changes: object) -> AlignConfig:
    recipe = ModelConfig(text_encoder=toy["text"], vision_tower=toy["vision"], dim=16)
    whole = AlignConfig(
        languages=[resolve_language("sw"), resolve_language("en")],
        recipe=recipe,
        out=out,
        corpus=toy["corpus"],
        heads=HEADS,
        towers=TOWERS,
    )
    return replace(whole, **changes)  # type: ignore[arg-type]


def only(monkeypatch: pytest.MonkeyPatch, *candidates: Candidate) -> None:
    monkeypatch.setattr(search, "CANDIDATES", candidates)


def named(name: str) -> Candidate:
    return next(candidate for candidate in CANDIDATES if candidate.name == name)


@pytest.fixture(scope="module")
def whole(toy: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A search through all candidates, and what it printed."""
    out = tmp_path_factory.mktemp("runs") / "auto"
    said = polyclip(*arguments(toy, out))
    assert said.code == 0, said.err
    return out, said.out


def test_the_chosen_folder_is_a_run_like_any_other(whole: tuple[Path, str], toy: dict[str, str]) -> None:
    out, _ = whole
    assert {path.name for path in out.iterdir()} == FILES
    found = read_choice(out / "choice.json")
    won = next(trial for trial in found.trials if trial.name == found.winner)
    result = json.loads((out / "result.json").read_text("utf-8"))
    assert result["model"]["method"] == result["run"]["recipe"]["method"] == won.method
    assert result["model"]["trained_parameters"] == won.parameters
    assert result["seconds"]["train"] == won.seconds and result["seconds"]["search"] > 0
    assert load_model(out).config.method == won.method
    assert polyclip("eval", "held-out", "--model", out, "--corpus", toy["corpus"], "--lang", "sw").code == 0
    pictures = Path(toy["corpus"]).parent
    assert (
        polyclip("search", "mraba", "--images", pictures, "--model", out, "--html", out.parent / "found.html").code == 0
    )


def test_every_candidate_is_recorded_with_what_it_took(whole: tuple[Path, str]) -> None:
    found = read_choice(whole[0] / "choice.json")
    assert [trial.name for trial in found.trials] == [candidate.name for candidate in CANDIDATES]
    assert found.seconds < found.budget == 300
    for trial in found.trials:
        assert trial.validation is not None and 0 <= trial.validation <= 1 and trial.error >= 0, trial
        assert trial.seconds > 0 and trial.parameters > 0 and trial.note == ""
        assert trial.settings["recipe"]["method"] == trial.method
    long = next(trial for trial in found.trials if trial.name == "head-glu-long")
    assert (long.schedule, long.settings["heads"]["epochs"]) == ("40 epochs at 1e-3", 40)


def test_the_table_and_the_sentence_are_printed(whole: tuple[Path, str]) -> None:
    out, said = whole
    found = read_choice(out / "choice.json")
    for trial in found.trials:
        assert any(line.split()[:1] == [trial.name] and trial.schedule in line for line in said.splitlines()), said
    assert f"chosen: {found.reason}" in said and found.reason.startswith(f"{found.winner}, ")
    assert "of 5 min used" in said
    assert max(map(len, said.split("chosen:")[0].split("run folder")[0].splitlines()[:20])) <= 80


@pytest.mark.parametrize("name", ["head-glu", "lilt-ln-top4"])
def test_the_chosen_trial_is_what_align_makes_and_nothing_is_trained_twice(
    toy: dict[str, str], name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, named(name))
    trainings: list[str] = []
    original = search.train_run
    monkeypatch.setattr(search, "train_run", lambda work: trainings.append(work.run.recipe.method) or original(work))
    align_within(run(toy, tmp_path / "auto"), HOUR)
    align(replace(make_trial_run(run(toy, tmp_path / "named"), named(name)), out=tmp_path / "named"))
    one, other = (load_file(tmp_path / folder / "aligner.safetensors") for folder in ("auto", "named"))
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)
    assert (tmp_path / "auto" / "run.toml").read_text() == (tmp_path / "named" / "run.toml").read_text()
    assert len(trainings) == 1


def test_the_test_split_is_not_read_before_the_winner_is_scored(
    toy: dict[str, str], tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, *FEW)
    events: list[str] = []
    for name in ("read", "split_concepts"):
        original = getattr(jsonl, name)
        monkeypatch.setattr(jsonl, name, lambda *given, original=original: events.append(given[-1]) or original(*given))
    # what counts the test captions before anything is trained learns nothing either
    monkeypatch.setattr(pipeline, "check_test_split", lambda run: None)
    scored = pipeline.score_run
    monkeypatch.setattr(pipeline, "score_run", lambda *given: events.append("scored") or scored(*given))
    align_within(
        replace(run(toy, tmp_path / "auto"), lint=False), HOUR
    )  # the leakage lint looks at both splits, and learns nothing
    place = events.index("scored")
    assert events.count("scored") == 1
    assert set(events[:place]) == {"train", "validation"}
    assert "test" in events[place + 1 :]


def test_pictures_of_the_test_split_are_not_looked_at_before_the_winner_is_scored(
    tmp_path: Path, toy: dict[str, str], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, *FEW)
    pack = write_corpus(tmp_path / "corpus")
    tests = [
        line["image"]
        for line in map(json.loads, (pack.parent / "captions.jsonl").read_text().splitlines())
        if line["split"] == "test"
    ]
    for image in tests:
        (pack.parent / image).write_bytes(b"no picture")
    with pytest.raises(DataError, match="not a readable image"):
        align_within(run(toy | {"corpus": str(pack)}, tmp_path / "auto"), HOUR)
    found = read_choice(tmp_path / "auto" / "choice.json")
    assert tests and len(found.trials) == len(FEW)
    assert all(trial.validation is not None for trial in found.trials) and found.winner == ""


def test_a_budget_too_small_for_anything_still_ends_with_the_cheapest(toy: dict[str, str], tmp_path: Path) -> None:
    said = polyclip(*arguments(toy, tmp_path / "auto", "--budget", "0.1s"))
    assert said.code == 0, said.err
    found = read_choice(tmp_path / "auto" / "choice.json")
    assert [trial.validation is not None for trial in found.trials] == [True] + [False] * (len(CANDIDATES) - 1)
    assert all(trial.note == "skipped: no time left" for trial in found.trials[1:])
    assert "ridge, closed form: validation recall" in said.out and "the only candidate that was trained" in said.out
    assert (
        f"{len(CANDIDATES) - 1} candidates did not fit in the budget" in said.out
        and "over the budget of 0.1 s" in said.out
    )
    assert load_model(tmp_path / "auto").config.method == "ridge"


def test_a_candidate_that_has_no_place_is_named_and_the_next_one_is_the_cheapest(
    toy: dict[str, str], tmp_path: Path
) -> None:
    wide = run(toy, tmp_path / "auto", recipe=replace(run(toy, tmp_path).recipe, dim=384))
    _, found = align_within(wide, Budget(0.1))
    assert found.trials[0].note.startswith("not possible: dim is 384") and found.trials[1].validation is not None
    assert found.winner == "head-mlp" and "one candidate could not be trained" in found.reason


def test_where_nothing_can_be_trained_the_error_says_why(
    toy: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, named("ridge"))
    wide = run(toy, tmp_path / "auto", recipe=replace(run(toy, tmp_path).recipe, dim=384))
    with pytest.raises(RunError, match="None of the candidates could be trained; ridge: not possible: dim is 384"):
        align_within(wide, HOUR)


def test_that_bf16_is_slow_here_is_said_once_for_all_candidates(
    toy: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    only(monkeypatch, named("ridge"), Candidate(name="heads", method="heads", epochs=1))
    monkeypatch.setattr(compute, "has_bf16_hardware", lambda: False)
    with show_messages():
        align_within(replace(run(toy, tmp_path / "auto"), compute=compute.Compute(precision="bf16")), HOUR)
    assert capsys.readouterr().err.count("no instructions for bf16") == 1


def test_a_candidate_whose_estimate_does_not_fit_is_skipped_and_the_next_is_tried(
    toy: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, named("ridge"), named("head-glu"), named("heads"))
    monkeypatch.setattr(
        search, "estimate_training", lambda work: 9999.0 if work.run.recipe.method == "head-glu" else 1.0
    )
    _, found = align_within(run(toy, tmp_path / "auto"), Budget(600.0))
    notes = {trial.name: trial.note for trial in found.trials}
    assert notes["head-glu"].startswith("skipped: 3 h 11 min needed, ") and notes["head-glu"].endswith(" left")
    assert notes["ridge"] == notes["heads"] == "" and "one candidate did not fit in the budget" in found.reason


def test_a_trial_that_takes_longer_than_estimated_stops_and_keeps_its_best_epoch(
    toy: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, named("ridge"), Candidate(name="endless", method="heads", epochs=100_000))
    monkeypatch.setattr(search, "estimate_training", lambda work: 0.0)
    monkeypatch.setattr(search, "estimate_scoring", lambda work: estimate.Scoring(1.0, 0.0))
    seconds = 6.0  # from when it is asked: what a busy machine took before does not count
    monkeypatch.setattr(search.Search, "compute_end", lambda searching, trial: time.monotonic() + seconds)
    _, found = align_within(run(toy, tmp_path / "auto"), HOUR)
    endless = found.trials[1]
    assert endless.note.startswith("stopped after ") and endless.note.endswith(" of 100000 epochs"), endless
    assert endless.validation is not None and endless.seconds > seconds


def test_what_scoring_needs_is_set_aside_until_it_is_known_to_be_in_the_cache(
    toy: dict[str, str], tmp_path: Path, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count_a_minute(action: Callable[[], object]) -> float:
        action()
        return 60.0

    monkeypatch.setattr(estimate, "measure_seconds", count_a_minute)
    work = prepare_run(make_trial_run(run(toy, tmp_path / "before"), named("heads")))
    before = estimate.estimate_scoring(work)
    align(replace(work.run, out=tmp_path / "named"))
    marks = estimate.list_score_markers(work.run, work.aligner)
    assert set(marks) == {"pictures", "sw", "en"} and all(mark.exists() for mark in marks.values())
    after = estimate.estimate_scoring(work)
    assert after.frozen > estimate.SLACK and after.live == before.live > 0
    captions = after.live  # of both languages, neither of which was encoded before
    assert before.frozen - after.frozen > captions  # and the pictures


@pytest.mark.parametrize("name", ["heads", "head-glu", "lilt-da-text", "lilt-ln-top4"])
def test_an_estimate_leaves_the_run_as_it_was(toy: dict[str, str], name: str, tmp_path: Path) -> None:
    work = prepare_run(make_trial_run(run(toy, tmp_path / "auto"), named(name)))
    before = {key: tensor.clone() for key, tensor in work.aligner.state().items()}
    assert estimate.estimate_training(work) > 0
    assert all(torch.equal(tensor, before[key]) for key, tensor in work.aligner.state().items())
    assert all(parameter.grad is None for parameter in work.aligner.parameters())
    assert not any(data.live for data in work.sides)


def test_missing_counts_the_distinct_rows_that_are_not_kept(toy: dict[str, str], own_cache: Path) -> None:
    from polyclip.models.backbone import describe

    tower, captions = describe("encoders", toy["text"]), ["red", "blue", "red", "green"]
    assert feature_cache.missing(tower, feature_files.POOLED, captions, [3, 1]) == 3
    feature_cache.encode(tower, captions[:3], "captions", [3])
    assert feature_cache.missing(tower, feature_files.POOLED, captions, [3, 1]) == 1


def trained_trials(out: Path) -> list[Trial]:
    try:
        return [trial for trial in read_choice(out / "choice.json").trials if trial.validation is not None]
    except OSError:
        return []


def test_killed_and_resumed(toy: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "auto"
    kill_when(lambda: len(trained_trials(out)) >= 3, arguments(toy, out), signal.SIGKILL)
    before = trained_trials(out)
    assert 3 <= len(before) < len(CANDIDATES) and not (out / "result.json").exists(), (
        "it was stopped too late to prove anything"
    )
    refused = polyclip(*arguments(toy, out))
    assert refused.code == 2 and "holds an interrupted search; add --resume" in refused.err
    other = polyclip(*arguments(toy, out, "--seed", 4, "--resume"))
    assert other.code == 2 and "seed was 0, is now 4" in other.err
    assert polyclip(*arguments(toy, out, "--resume")).code == 0
    found = read_choice(out / "choice.json")
    assert found.trials[: len(before)] == before, "finished trials are not trained again"
    assert len(found.trials) == len(CANDIDATES) and {path.name for path in out.iterdir()} == FILES


def test_stopped_after_the_search_and_before_the_end(
    toy: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*given: object) -> None:
        raise KeyboardInterrupt

    only(monkeypatch, named("ridge"), named("heads"))
    with monkeypatch.context() as patched:
        patched.setattr(search.shutil, "copyfile", stop)
        with pytest.raises(KeyboardInterrupt):
            align_within(run(toy, tmp_path / "auto"), HOUR)
    monkeypatch.setattr(search, "train_run", stop)
    align_within(run(toy, tmp_path / "auto", resume=True), HOUR)
    assert {path.name for path in (tmp_path / "auto").iterdir()} == FILES


def test_a_search_killed_while_it_encodes_may_begin_again(
    toy: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only(monkeypatch, named("ridge"))
    prepare_run(make_trial_run(run(toy, tmp_path / "auto", heads=replace(HEADS, seed=9)), named("ridge")))
    align_within(run(toy, tmp_path / "auto"), HOUR)
    assert {path.name for path in (tmp_path / "auto").iterdir()} == FILES


def test_folders_that_hold_something_else(toy: dict[str, str], whole: tuple[Path, str], tmp_path: Path) -> None:
    shutil.copytree(whole[0], tmp_path / "named")
    (tmp_path / "named" / "choice.json").unlink()
    said = polyclip(*arguments(toy, tmp_path / "named"))
    assert said.code == 2 and "holds no search of --method auto; choose another --out" in said.err
    shutil.copytree(whole[0], tmp_path / "damaged")
    (tmp_path / "damaged" / "choice.json").write_text('{"schema": 1', "utf-8")
    said = polyclip(*arguments(toy, tmp_path / "damaged"))
    assert said.code == 2 and "choice.json is damaged" in said.err and len(said.err.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (
            ["--budget", "soon"],
            "The budget is 'soon', expected a duration above zero such as 30s, 5m or 1h; a bare number is seconds.",
        ),
        (["--budget", "5 days"], "'5 days'"),
        (["--budget", "-3m"], "'-3m'"),
        (["--budget", "0"], "above zero"),
        (["--budget", "nan"], "'nan'"),
        (
            ["--budget", "5m", "--method", "heads"],
            "--budget 5m requires --method auto and cannot be combined with --method heads",
        ),
        (
            ["--epochs", "3"],
            "--method auto cannot be combined with --epochs, which it chooses itself: omit it, or name a method.",
        ),
        (
            ["--train-towers", "text", "--rank", "4"],
            "--method auto cannot be combined with --train-towers, --rank, which it chooses itself: omit them",
        ),
    ],
)
def test_bad_budgets_and_what_auto_chooses_by_itself(
    toy: dict[str, str], more: list[str], words: str, tmp_path: Path
) -> None:
    said = polyclip(*arguments(toy, tmp_path / "auto", *more))
    assert said.code == 2 and words in said.err, said
    assert said.err.startswith("error: ") and len(said.err.strip().splitlines()) == 1
    assert not (tmp_path / "auto").exists()


def test_durations_and_spans() -> None:
    assert [parse_duration(text) for text in ("90", "30s", "5m", "1.5h", " 2 M ")] == [90, 30, 300, 5400, 120]
    assert [format_duration(seconds) for seconds in (0.4, 48.0, 60.0, 260.0, 3600.0, 3900.0)] == [
        "0.4 s",
        "48 s",
        "1 min",
        "4 min 20 s",
        "1 h",
        "1 h 5 min",
    ]
    with pytest.raises(PolyclipError):
        parse_duration("")


def trial(name: str, validation: float | None, millions: float, note: str = "") -> Trial:
    return Trial(
        name=name,
        method=name,
        schedule="2 epochs",
        settings={},
        parameters=round(millions * 1e6),
        validation=validation,
        error=0.02,
        seconds=1.0,
        note=note,
    )


def test_of_those_within_one_standard_error_the_one_with_fewest_parameters_wins() -> None:
    near, far = trial("near", 0.405, 1), trial("far", 0.39, 0.1)
    best = trial("best", 0.42, 6)
    assert choose_winner([near, best, far]).name == "near"
    assert choose_winner([far, best]).name == "best"
    assert choose_winner([replace(best, name="twin", validation=0.41), best]).name == "best", (
        "of equals in size, the higher"
    )
    assert (
        choose_winner([replace(best, name="scaled", validation=0.421, parameters=best.parameters + 1), best]).name
        == "scaled"
    ), "one number more is no more"
    with pytest.raises(RunError, match="None of the candidates"):
        choose_winner([trial("none", None, 1, "not possible: no")])


def sentence(won: str, *trials: Trial, seconds: float = 9.0) -> str:
    return explain_choice(Choice(request={}, budget=10.0, seconds=seconds, trials=list(trials), winner=won))


def test_sentences() -> None:
    assert sentence(
        "a",
        trial("a", 0.365, 6),
        trial("b", 0.344, 1),
        trial("c", None, 0, "skipped: no time left"),
        trial("d", 0.2, 1, "stopped after 1 of 2"),
    ) == (
        "a, 2 epochs: validation recall 0.365, 0.021 above the next, b; one candidate did not fit in the budget; one "
        "candidate ran out of time."
    )
    assert sentence("a", trial("a", 0.36, 1), trial("b", 0.35, 6), seconds=75.0) == (
        "a, 2 epochs: validation recall 0.360, 0.010 above the next, b, which is within one standard error (0.020); "
        "all of it took 1 min 15 s, over the budget of 10 s."
    )
    assert sentence("a", trial("a", 0.36, 1), trial("b", 0.375, 6)) == (
        "a, 2 epochs: validation recall 0.360, and b, 0.015 higher, is within one standard error (0.020) "
        "but trains 6.00 million parameters where this one trains 1.00."
    )
    assert (
        sentence("a", trial("a", 0.36, 1))
        == "a, 2 epochs: validation recall 0.360, the only candidate that was trained."
    )


def test_the_clock_of_a_search_starts_with_the_command() -> None:
    budget = Budget(60.0)
    assert Clock(started=budget.started).started == budget.started and budget.end == budget.started + 60
