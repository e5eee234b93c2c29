"""What `--method auto` tries: methods and schedules, and the run that trains each."""

from dataclasses import dataclass, replace

from polyclip.core.registry import find
from polyclip.training.auto.record import TRIALS
from polyclip.training.config import HEADS, AlignConfig


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A method and its schedule; what is None has the defaults of `polyclip align`."""

    name: str
    method: str
    text_layers: str = ""
    epochs: int | None = None  # of the method's own phase
    learning_rate: float | None = None


# The first is the cheapest, the second the default of `polyclip align`, before cheaper ones that are seldom better.
CANDIDATES = (
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


def make_trial_run(run: AlignConfig, candidate: Candidate) -> AlignConfig:
    """Configure the run that trains a candidate.

    `polyclip align` with the same settings ends with the same weights, if time does not stop it.
    """
    method = find("methods", candidate.method).METHOD
    cached = replace(
        run.heads, epochs=method.epochs or HEADS.epochs, learning_rate=method.learning_rate or HEADS.learning_rate
    )
    own = run.towers if method.trains_towers else cached
    own = replace(
        own, epochs=candidate.epochs or own.epochs, learning_rate=candidate.learning_rate or own.learning_rate
    )
    heads, towers = (cached, own) if method.trains_towers else (own, run.towers)
    asked = run.recipe.dim != find("methods", run.recipe.method).METHOD.dim  # by the user, for every method
    recipe = replace(
        run.recipe,
        method=candidate.method,
        dim=run.recipe.dim if asked else method.dim,
        text_dropout=method.text_dropout,
        image_dropout=method.image_dropout,
        tune="text" if method.trains_towers else "both",
        text_layers=candidate.text_layers,
    )
    return replace(
        run,
        recipe=recipe,
        heads=heads,
        towers=towers,
        class_names_from=run.class_names_from if method.takes_names else (),
        out=run.out / TRIALS / candidate.name,
        resume=True,
    )


def trains_inside(candidate: Candidate) -> bool:
    """Whether a candidate trains something in the text encoder."""
    return bool(find("methods", candidate.method).METHOD.trains_towers)


def format_schedule(run: AlignConfig, candidate: Candidate) -> str:
    """Format a schedule: `closed form`, `20 epochs at 2e-3`, `20 + 3 epochs at 1e-4`.

    The second number is the phase inside the text encoder.
    """
    if find("methods", candidate.method).METHOD.solve is not None:
        return "closed form"
    if trains_inside(candidate):
        return f"{run.heads.epochs} + {run.towers.epochs} epochs at {format_rate(run.towers.tower_learning_rate)}"
    return f"{run.heads.epochs} epochs at {format_rate(run.heads.learning_rate)}"


def format_rate(value: float) -> str:
    """Format a learning rate, such as `2e-3`."""
    return f"{value:.0e}".replace("e-0", "e-")
