"""Report of `--method auto`: its trials as a table, and why the winner was chosen."""

from rich.box import SIMPLE_HEAD
from rich.table import Table

from polyclip.core.durations import format_duration
from polyclip.evaluation.results import Choice, Trial


def build_trials_table(choice: Choice) -> Table:
    """Build a table of all candidates: schedule, validation recall, seconds and notes; the winner is bold."""
    drawn = Table(
        title="candidates",
        caption="recall: mean of recall@1, 5 and 10 of validation names, text to image, percent ± one standard "
        "error; trained: million parameters",
        header_style="bold",
        box=SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
    )
    drawn.add_column("method", no_wrap=True)
    drawn.add_column("schedule", no_wrap=True)
    for heading in ("trained", "recall", "s"):
        drawn.add_column(heading, justify="right", no_wrap=True)
    drawn.add_column("")
    for trial in choice.trials:
        style = "bold" if trial.name == choice.winner else ""
        drawn.add_row(
            trial.name,
            trial.schedule,
            *format_figures(trial),
            "chosen" if style and not trial.note else trial.note,
            style=style,
        )
    return drawn


def format_figures(trial: Trial) -> tuple[str, str, str]:
    """Format trained parameters, recall and seconds of a trial; dashes where it was not trained."""
    parameters = f"{trial.parameters / 1e6:.2f}" if trial.parameters else "-"
    if trial.validation is None:
        return parameters, "-", "-"
    return parameters, f"{100 * trial.validation:.1f} ± {100 * trial.error:.1f}", f"{trial.seconds:.0f}"


def explain_choice(choice: Choice) -> str:
    """Explain in one sentence why the winner was chosen, and which candidates were not trained."""
    found = sorted(
        (trial for trial in choice.trials if trial.validation is not None), key=lambda trial: -get_recall(trial)
    )
    won = next(trial for trial in found if trial.name == choice.winner)
    others = [trial for trial in found if trial is not won]
    said = f"{won.name}, {won.schedule}: validation recall {get_recall(won):.3f}, {compare_with_next(won, others)}"
    return "; ".join([said, *count_untrained(choice.trials), *describe_overrun(choice)]) + "."


def get_recall(trial: Trial) -> float:
    """Return the validation recall, or 0 where there is none."""
    return trial.validation or 0.0


def compare_with_next(won: Trial, others: list[Trial]) -> str:
    """Compare the winner with the best of the others."""
    if not others:
        return "the only candidate that was trained"
    other = others[0]
    gap = get_recall(won) - get_recall(other)
    if gap >= 0:
        doubt = f", which is within one standard error ({won.error:.3f})" if gap <= won.error else ""
        return f"{gap:.3f} above the next, {other.name}{doubt}"
    more = f"{other.parameters / 1e6:.2f} million parameters where this one trains {won.parameters / 1e6:.2f}"
    return f"and {other.name}, {-gap:.3f} higher, is within one standard error ({other.error:.3f}) but trains {more}"


def count_untrained(trials: list[Trial]) -> list[str]:
    """Count the candidates that were skipped, stopped, or not possible."""
    kinds = (
        ("skipped", "did not fit in the budget"),
        ("stopped", "ran out of time"),
        ("not possible", "could not be trained"),
    )
    counts = [(sum(trial.note.startswith(kind) for trial in trials), text) for kind, text in kinds]
    return [f"{'one candidate' if count == 1 else f'{count} candidates'} {text}" for count, text in counts if count]


def describe_overrun(choice: Choice) -> list[str]:
    """Return a note if the search took longer than its budget."""
    return (
        [f"all of it took {format_duration(choice.seconds)}, over the budget of {format_duration(choice.budget)}"]
        if choice.seconds > choice.budget
        else []
    )


def describe_choice(choice: Choice) -> str:
    """Describe the reason for the choice, and how the time was spent."""
    return (
        f"chosen: {choice.reason}\n{format_duration(choice.seconds)} of {format_duration(choice.budget)} used; "
        f"{format_duration(choice.reserve)} had been set aside for the scores"
    )
