"""`--method auto`: a few methods and schedules, cheap first, each trained once within a budget of time; validation picks the run.

All of them read the same vision tower and, but for what a method trains in the text encoder, the same cached features. The test split
is read once, by the winner, at the end. A trial lives in RUN/trials/NAME; the winner's files become the run's.
"""

import dataclasses
import json
import math
import shutil
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from polyclip.core.durations import span
from polyclip.core.progress import console
from polyclip.core.registry import find
from polyclip.core.run_folder import changes
from polyclip.core.storage import PART, write_text, writing
from polyclip.core.timing import Clock
from polyclip.errors import DataError, RunError
from polyclip.evaluation.metrics import recall
from polyclip.evaluation.results import Choice, Trial
from polyclip.report.auto import reason
from polyclip.report.model_card import write_card
from polyclip.training.auto.budget import Budget
from polyclip.training.auto.estimate import Scoring, scoring_seconds, training_seconds
from polyclip.training.branch_data import KS, validation_ranks
from polyclip.training.config import HEADS, AlignConfig, settings_of
from polyclip.training.prepare import Work, keep, prepared, trained

FILE, TRIALS = "choice.json", "trials"
MARGIN = 1.15  # on every estimate
MEASURING = 5.0  # seconds: with less left, a candidate is not even measured


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A method and its schedule. What is None is as `polyclip align` has it."""

    name: str
    method: str
    text_layers: str = ""
    epochs: int | None = None  # of the method's own phase
    learning_rate: float | None = None


CANDIDATES = (  # the first is the cheapest, the second the default of `polyclip align`: it comes before what is cheaper still but seldom better
    Candidate(name="ridge", method="ridge"),
    Candidate(name="head-mlp", method="head-mlp"),
    Candidate(name="heads", method="heads"),
    Candidate(name="head-glu", method="head-glu"),
    Candidate(name="head-glu-long", method="head-glu", epochs=40, learning_rate=1e-3),
    Candidate(name="lilt-da-text", method="lilt-da"),
    Candidate(name="lilt-lwa-top2", method="lilt-lwa", text_layers="-2:"),
    Candidate(name="lilt-ln-top4", method="lilt-ln", text_layers="-4:"),
    Candidate(name="lilt-lwa-text", method="lilt-lwa", epochs=6),
)


def search(run: AlignConfig, budget: Budget, clock: Clock) -> "Search":
    """Try the candidates within the budget; writes only below `run.out` and the cache folder. The method of `run.recipe` is not looked at.

    The cheapest candidate is trained even where the budget is too small for it: there is always a model, and the reason says so.
    With `run.resume` an interrupted search goes on: its finished trials stand and cost nothing, and the budget begins anew.
    Raises RunError for a folder that holds something else or an interrupted search without --resume, and what `align` raises.
    """
    kept = opened(run)
    work = prepared(
        trial_run(run, CANDIDATES[0])
    )  # finds what is wrong in the request, and encodes what all of them read
    clock.lap("encode")
    found = Search(
        replace(run, lint=False), budget, scoring_seconds(work), {trial.name: trial for trial in kept}, work.leaked
    )
    del work  # and the towers that were built to measure their pace
    for candidate in CANDIDATES:
        found.trials.append(found.kept.get(candidate.name) or found.tried(candidate))
        found.write()
    clock.lap("search")
    clock.laps["train"] = found.best.seconds
    return found


@dataclass
class Search:
    """The trials of one run so far, and what time they have."""

    run: AlignConfig
    budget: Budget
    scoring: Scoring
    kept: dict[str, Trial]  # of an interrupted search
    leaked: dict[str, Any] | None = None  # of the corpus, as `prepared` found it
    trials: list[Trial] = dataclasses.field(default_factory=list)

    def tried(self, candidate: Candidate) -> Trial:
        """Train and judge a candidate, or say why not. The first is trained whatever it takes, since without one there is no run."""
        started = time.monotonic()
        run = trial_run(self.run, candidate)
        trial = Trial(
            name=candidate.name, method=candidate.method, schedule=schedule(run, candidate), settings=settings_of(run)
        )
        trial = replace(trial, live=inside(candidate))
        left = self.end(trial) - started
        if self.has_model and left < MEASURING:
            return replace(trial, note=f"skipped: {spare(left)}")
        try:
            work = prepared(run)
            trial = replace(
                trial,
                parameters=int(work.aligner.counts()["trained_parameters"]),
                estimate=MARGIN * training_seconds(work),
            )
            left = self.end(trial) - time.monotonic()
            if self.has_model and trial.estimate > left:
                return replace(trial, note=f"skipped: {span(trial.estimate)} needed, {spare(left)}")
            self.say(trial, left)
            trial = judged(work, trial, self.end(trial) if self.has_model else math.inf)
        except (DataError, RunError) as problem:  # a method may have no place in these towers; the others may
            return replace(trial, note=f"not possible: {problem}")
        return replace(trial, seconds=round(time.monotonic() - started, 2))

    @property
    def best(self) -> Trial:
        """The trial that the run is.

        Raises RunError when nothing was trained.
        """
        return winner(self.trials)

    @property
    def folder(self) -> Path:
        """Where the best trial's model is until `finish`."""
        return self.run.out / TRIALS / self.best.name

    @property
    def has_model(self) -> bool:
        """Whether something has been trained."""
        return any(trial.validation is not None for trial in self.trials)

    def end(self, trial: Trial) -> float:
        """The moment by which training must end, so that `trial` and any before it could still be scored."""
        return self.budget.end - self.reserve(live=trial.live)

    def reserve(self, live: bool) -> float:
        """Seconds set aside for scoring the dearest trained so far, and one that is live or not."""
        return MARGIN * self.scoring.of(
            live or any(trial.live for trial in self.trials if trial.validation is not None)
        )

    def say(self, trial: Trial, left: float) -> None:
        """One line before each trial."""
        about = f"about {span(trial.estimate)}, " if trial.estimate else ""
        console.print(
            f"trying {trial.name} ({len(self.trials) + 1} of {len(CANDIDATES)}): {about}{spare(left)}",
            highlight=False,
            soft_wrap=True,
        )

    def choice(self, *, done: bool = False) -> Choice:
        """All of it; with the winner, and why it won, once it is `done`."""
        found = Choice(
            request=request(self.run),
            budget=self.budget.seconds,
            seconds=round(self.budget.spent(), 2),
            trials=self.trials,
        )
        found = replace(found, reserve=round(self.reserve(live=False), 2))
        return (
            replace(found, winner=self.best.name, reason=reason(replace(found, winner=self.best.name)))
            if done
            else found
        )

    def write(self) -> None:
        """Keep what is known so far: an interrupted search goes on from there."""
        write_choice(self.run.out / FILE, self.choice())


def judged(work: Work, trial: Trial, until: float) -> Trial:
    """The trial trained and kept in its folder, and its validation recall: of the weights as saved, with a standard error over the queries."""
    log = trained(replace(work, run=replace(work.run, until=until)))
    keep(work, log)
    rank = validation_ranks(work.aligner, work.sides[0].held_out_pairs, work.sides)()
    hits = torch.stack([recall(rank, k) for k in KS]).mean(0)
    error = float(hits.std()) / math.sqrt(len(hits)) if len(hits) > 1 else 0.0
    return replace(trial, validation=float(hits.mean()), error=error, note=stopped(work.run, trial, log))


def stopped(run: AlignConfig, trial: Trial, log: list[dict[str, Any]]) -> str:
    """Where time was up before the schedule's end; empty where it was not."""
    planned = {"heads": run.heads.epochs} | ({trial.method: run.towers.epochs} if trial.live else {})
    done = {phase: max((line["epoch"] for line in log if line["phase"] == phase), default=0) for phase in planned}
    if log[0]["phase"] == "solve" or done == planned:
        return ""
    phase = next(phase for phase in planned if done[phase] < planned[phase])
    return f"stopped after {done[phase]} of {planned[phase]} epochs" + (
        " of its heads" if trial.live and phase == "heads" else ""
    )


def winner(trials: list[Trial]) -> Trial:
    """The highest validation recall; of those within one standard error below it, the one that trains the fewest parameters.

    Raises RunError when nothing was trained.
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
    )  # a logit scale more is no more


def trial_run(run: AlignConfig, candidate: Candidate) -> AlignConfig:
    """The run that trains a candidate: `polyclip align` with the same settings ends with the same weights, if time does not stop it."""
    method = find("methods", candidate.method).METHOD
    cached = replace(
        run.heads, epochs=method.epochs or HEADS.epochs, learning_rate=method.learning_rate or HEADS.learning_rate
    )
    own = run.towers if method.inside else cached
    own = replace(
        own, epochs=candidate.epochs or own.epochs, learning_rate=candidate.learning_rate or own.learning_rate
    )
    heads, towers = (cached, own) if method.inside else (own, run.towers)
    asked = run.recipe.dim != find("methods", run.recipe.method).METHOD.dim  # by the user, for every method
    recipe = replace(
        run.recipe,
        method=candidate.method,
        dim=run.recipe.dim if asked else method.dim,
        text_dropout=method.text_dropout,
        image_dropout=method.image_dropout,
        tune="text" if method.inside else "both",
        text_layers=candidate.text_layers,
    )
    return replace(run, recipe=recipe, heads=heads, towers=towers, out=run.out / TRIALS / candidate.name, resume=True)


def inside(candidate: Candidate) -> bool:
    """Whether it trains something in the text encoder."""
    return bool(find("methods", candidate.method).METHOD.inside)


def spare(left: float) -> str:
    """`33 s left`: to train in, beside what is set aside."""
    return f"{span(left)} left" if left >= 1 else "no time left"


def schedule(run: AlignConfig, candidate: Candidate) -> str:
    """`closed form`, `20 epochs at 2e-3`, `20 + 3 epochs at 1e-4`: the second phase is the one inside the text encoder."""
    if find("methods", candidate.method).METHOD.solve is not None:
        return "closed form"
    if inside(candidate):
        return f"{run.heads.epochs} + {run.towers.epochs} epochs at {rate(run.towers.tower_learning_rate)}"
    return f"{run.heads.epochs} epochs at {rate(run.heads.learning_rate)}"


def rate(value: float) -> str:
    """`2e-3`."""
    return f"{value:.0e}".replace("e-0", "e-")


def request(run: AlignConfig) -> dict[str, Any]:
    """What was asked for, without what the search decides."""
    settings = settings_of(run)
    recipe = {key: run.recipe.__dict__[key] for key in ("text_encoder", "vision_tower", "dim")}
    return {key: settings[key] for key in ("languages", "corpus", "sample")} | recipe | {"seed": run.heads.seed}


def opened(run: AlignConfig) -> list[Trial]:
    """The finished trials of an interrupted search in the run's folder, none where it is empty or holds a finished search of the same request.

    Raises RunError for a folder that holds anything else, and for an interrupted search without --resume.
    """
    path, trials = run.out / FILE, run.out / TRIALS
    if not path.exists():
        if run.out.exists() and (
            not run.out.is_dir() or any(found.suffix != PART and found != trials for found in run.out.iterdir())
        ):
            raise RunError(f"{run.out} exists and holds no search of --method auto; choose another --out.")
        shutil.rmtree(trials, ignore_errors=True)
        return []
    found = read_choice(path)
    if found.request != request(run):
        raise RunError(
            f"{run.out} holds a search with other settings: {changes(found.request, request(run))}. Choose another --out, or give the same settings."
        )
    if not trials.exists():
        return []
    if not run.resume:
        raise RunError(f"{run.out} holds an interrupted search; add --resume to continue it, or choose another --out.")
    return [trial for trial in found.trials if trial.validation is not None]


def read_choice(path: Path) -> Choice:
    """A choice.json.

    Raises RunError when it is damaged.
    """
    try:
        table = json.loads(path.read_text("utf-8"))
        del table["schema"]
        return Choice(**table | {"trials": [Trial(**trial) for trial in table["trials"]]})
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error}); delete the folder {path.parent} and search again.") from error


def write_choice(path: Path, choice: Choice) -> None:
    """choice.json, whole or not at all."""
    table = {"schema": 1, **asdict(choice)}
    write_text(path, json.dumps(table, ensure_ascii=False, indent=1, allow_nan=False) + "\n", what="the choice")


def finish(found: Search) -> Choice:
    """The winner's files become the run's, and the trials go; stopped anywhere in between, --resume does it again."""
    out, choice = found.run.out, found.choice(done=True)
    for path in sorted(found.folder.iterdir()):
        with writing(out / path.name, what="the chosen run") as temporary:
            shutil.copyfile(path, temporary)
    write_choice(out / FILE, choice)
    write_card(out)  # under the run's own name
    shutil.rmtree(out / TRIALS)
    return choice
