"""`--method auto`: a few methods and schedules, cheap first, each trained once within a time budget; validation picks
the run.

All of them read the same vision encoder and, except for what a method trains in the text encoder, the same cached
features. The test split is read once, by the winner, at the end. A trial is stored in RUN/trials/NAME; the winner's
files become the run's.
"""

import dataclasses
import math
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from polyclip.core.durations import format_duration
from polyclip.core.progress import console
from polyclip.core.storage import write_atomically
from polyclip.core.timing import Clock
from polyclip.errors import DataError, RunError
from polyclip.evaluation.metrics import recall
from polyclip.evaluation.results import Choice, Trial
from polyclip.report.auto import explain_choice
from polyclip.report.model_card import write_card
from polyclip.training.auto.budget import Budget
from polyclip.training.auto.candidates import CANDIDATES, Candidate, format_schedule, make_trial_run, trains_inside
from polyclip.training.auto.estimate import Scoring, estimate_scoring, estimate_training
from polyclip.training.auto.record import FILE, TRIALS, collect_request, open_search, write_choice
from polyclip.training.branch_data import KS, Validation
from polyclip.training.config import AlignConfig, collect_settings
from polyclip.training.prepare import Work, prepare_run, save_work, train_run

MARGIN = 1.15  # on every estimate
MEASURING = 5.0  # seconds: with less left, a candidate is not even measured


def search(run: AlignConfig, budget: Budget, clock: Clock) -> "Search":
    """Try the candidates within the budget; writes only below `run.out` and the cache folder.

    The method of `run.recipe` is ignored. The cheapest candidate is trained even where the budget is too small for it:
    there is always a model, and the reason says so. With `run.resume` an interrupted search continues: its finished
    trials cost nothing, and the budget starts anew.

    Args:
        run: The alignment's configuration.
        budget: Time of the whole command.
        clock: Receives the laps encode, search and train.

    Returns:
        The trials; `Search.best` is the winner.

    Raises:
        RunError: The folder holds something else, or an interrupted search without --resume.
        PolyclipError: What `polyclip.pipeline.align` raises.

    """
    kept = open_search(run)
    work = prepare_run(
        make_trial_run(run, CANDIDATES[0])
    )  # finds what is wrong in the request, and encodes what all of them read
    clock.lap("encode")
    found = Search(
        replace(run, lint=False), budget, estimate_scoring(work), {trial.name: trial for trial in kept}, work.leaked
    )
    del work  # and the encoders that were built to measure their throughput
    for candidate in CANDIDATES:
        found.trials.append(found.kept.get(candidate.name) or found.try_candidate(candidate))
        found.save()
    clock.lap("search")
    clock.laps["train"] = found.best.seconds
    return found


@dataclass
class Search:
    """The trials of one run so far, and the time they have."""

    run: AlignConfig
    budget: Budget
    scoring: Scoring
    kept: dict[str, Trial]  # of an interrupted search
    leaked: dict[str, Any] | None = None  # of the corpus, as `prepare_run` found it
    trials: list[Trial] = dataclasses.field(default_factory=list)

    def try_candidate(self, candidate: Candidate) -> Trial:
        """Train and validate a candidate, or note why not.

        The first one is trained whatever it takes, since without it there is no run.
        """
        started = time.monotonic()
        run = make_trial_run(self.run, candidate)
        trial = Trial(
            name=candidate.name,
            method=candidate.method,
            schedule=format_schedule(run, candidate),
            settings=collect_settings(run),
        )
        trial = replace(trial, live=trains_inside(candidate))
        left = self.compute_end(trial) - started
        if self.has_model and left < MEASURING:
            return replace(trial, note=f"skipped: {format_time_left(left)}")
        try:
            work = prepare_run(run)
            trial = replace(
                trial,
                parameters=int(work.aligner.counts()["trained_parameters"]),
                estimate=MARGIN * estimate_training(work),
            )
            left = self.compute_end(trial) - time.monotonic()
            if self.has_model and trial.estimate > left:
                return replace(
                    trial, note=f"skipped: {format_duration(trial.estimate)} needed, {format_time_left(left)}"
                )
            self.print_start(trial, left)
            trial = train_and_validate(work, trial, self.compute_end(trial) if self.has_model else math.inf)
        except (DataError, RunError) as problem:  # a method may not fit these encoders; the others may
            return replace(trial, note=f"not possible: {problem}")
        return replace(trial, seconds=round(time.monotonic() - started, 2))

    @property
    def best(self) -> Trial:
        """The winning trial.

        Raises:
            RunError: Nothing was trained.

        """
        return choose_winner(self.trials)

    @property
    def folder(self) -> Path:
        """Folder of the best trial's model until `finish`."""
        return self.run.out / TRIALS / self.best.name

    @property
    def has_model(self) -> bool:
        """Whether something has been trained."""
        return any(trial.validation is not None for trial in self.trials)

    def compute_end(self, trial: Trial) -> float:
        """The moment by which training has to end, so that `trial` and any before it could still be scored."""
        return self.budget.end - self.compute_reserve(live=trial.live)

    def compute_reserve(self, live: bool) -> float:
        """Seconds set aside for scoring the most expensive model trained so far, and one that is live or not."""
        return MARGIN * self.scoring.get_seconds(
            live or any(trial.live for trial in self.trials if trial.validation is not None)
        )

    def print_start(self, trial: Trial, left: float) -> None:
        """Print one line before each trial."""
        about = f"about {format_duration(trial.estimate)}, " if trial.estimate else ""
        console.print(
            f"trying {trial.name} ({len(self.trials) + 1} of {len(CANDIDATES)}): {about}{format_time_left(left)}",
            highlight=False,
            soft_wrap=True,
        )

    def make_choice(self, *, done: bool = False) -> Choice:
        """Make the record of the search; with the winner, and why it won, once it is `done`."""
        found = Choice(
            request=collect_request(self.run),
            budget=self.budget.seconds,
            seconds=round(self.budget.get_elapsed(), 2),
            trials=self.trials,
        )
        found = replace(found, reserve=round(self.compute_reserve(live=False), 2))
        return (
            replace(found, winner=self.best.name, reason=explain_choice(replace(found, winner=self.best.name)))
            if done
            else found
        )

    def save(self) -> None:
        """Write what is known so far: an interrupted search continues from there."""
        write_choice(self.run.out / FILE, self.make_choice())


def train_and_validate(work: Work, trial: Trial, until: float) -> Trial:
    """Train a trial, save it in its folder, and measure validation recall of the saved weights, with standard error."""
    log = train_run(replace(work, run=replace(work.run, until=until)))
    save_work(work, log)
    rank = Validation(work.aligner, work.sides[0].held_out_pairs, work.sides).rank()
    hits = torch.stack([recall(rank, k) for k in KS]).mean(0)
    error = float(hits.std()) / math.sqrt(len(hits)) if len(hits) > 1 else 0.0
    return replace(trial, validation=float(hits.mean()), error=error, note=describe_stop(work.run, trial, log))


def describe_stop(run: AlignConfig, trial: Trial, log: list[dict[str, Any]]) -> str:
    """Say where time was up before the schedule's end; empty where it was not."""
    planned = {"heads": run.heads.epochs} | ({trial.method: run.towers.epochs} if trial.live else {})
    done = {phase: max((line["epoch"] for line in log if line["phase"] == phase), default=0) for phase in planned}
    if log[0]["phase"] == "solve" or done == planned:
        return ""
    phase = next(phase for phase in planned if done[phase] < planned[phase])
    return f"stopped after {done[phase]} of {planned[phase]} epochs" + (
        " of its heads" if trial.live and phase == "heads" else ""
    )


def choose_winner(trials: list[Trial]) -> Trial:
    """Choose the trial with the highest validation recall, with a preference for few trained parameters.

    Of those within one standard error below the highest, the one with the fewest trained parameters wins.

    Raises:
        RunError: Nothing was trained.

    """
    found = [trial for trial in trials if trial.validation is not None]
    if not found:
        raise RunError(
            "None of the candidates could be trained; " + "; ".join(f"{trial.name}: {trial.note}" for trial in trials)
        )
    highest = max(found, key=lambda trial: trial.validation or 0.0)
    near = [trial for trial in found if (highest.validation or 0.0) - (trial.validation or 0.0) <= highest.error]
    return min(
        near, key=lambda trial: (float(f"{trial.parameters:.2g}"), -(trial.validation or 0.0))
    )  # one parameter more, a logit scale, does not count


def format_time_left(left: float) -> str:
    """Format the time left for training: `33 s left`."""
    return f"{format_duration(left)} left" if left >= 1 else "no time left"


def finish(found: Search) -> Choice:
    """Move the winner's files into the run's folder and remove the trials; if interrupted, --resume does it again."""
    out, choice = found.run.out, found.make_choice(done=True)
    for path in sorted(found.folder.iterdir()):
        with write_atomically(out / path.name, what="the chosen run") as temporary:
            shutil.copyfile(path, temporary)
    write_choice(out / FILE, choice)
    write_card(out)  # under the run's own name
    shutil.rmtree(out / TRIALS)
    return choice
