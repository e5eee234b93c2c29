"""The record of a search, choice.json, from which an interrupted one continues."""

import json
import shutil
from dataclasses import asdict
from pathlib import Path
from typing import Any

from polyclip.core.json import parse_json
from polyclip.core.run_folder import format_changes, list_strangers
from polyclip.core.storage import read_plain_text, write_text
from polyclip.errors import RunError
from polyclip.evaluation.results import Choice, Trial
from polyclip.training.config import AlignConfig, collect_settings

FILE, TRIALS = "choice.json", "trials"


def collect_request(run: AlignConfig) -> dict[str, Any]:
    """Collect what was asked for, without what the search decides."""
    settings = collect_settings(run)
    recipe = {key: run.recipe.__dict__[key] for key in ("text_encoder", "vision_tower", "dim")}
    return {key: settings[key] for key in ("languages", "corpus", "sample")} | recipe | {"seed": run.heads.seed}


def open_search(run: AlignConfig) -> list[Trial]:
    """Finished trials of an interrupted search in the run's folder.

    Args:
        run: The alignment's configuration.

    Returns:
        Trials; none where the folder is empty or holds a finished search of the same request.

    Raises:
        RunError: The folder holds anything else, or an interrupted search without --resume.

    """
    path, trials = run.out / FILE, run.out / TRIALS
    if not path.exists():
        if run.out.exists() and (not run.out.is_dir() or any(found != trials for found in list_strangers(run.out))):
            raise RunError(f"{run.out} exists and holds no search of --method auto; choose another --out.")
        shutil.rmtree(trials, ignore_errors=True)
        return []
    found = read_choice(path)
    if found.request != collect_request(run):
        raise RunError(
            f"{run.out} holds a search with other settings: {format_changes(found.request, collect_request(run))}. "
            "Choose another --out, or give the same settings."
        )
    if not trials.exists():
        return []
    if not run.resume:
        raise RunError(f"{run.out} holds an interrupted search; add --resume to continue it, or choose another --out.")
    return [trial for trial in found.trials if trial.validation is not None]


def read_choice(path: Path) -> Choice:
    """Read a choice.json.

    Raises:
        RunError: It is damaged.

    """
    try:
        table = parse_json(read_plain_text(path))
        del table["schema"]
        return Choice(**table | {"trials": [Trial(**trial) for trial in table["trials"]]})
    except (ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path} is damaged ({error}); delete the folder {path.parent} and search again.") from error


def write_choice(path: Path, choice: Choice) -> None:
    """Write a choice.json, all of it or nothing."""
    table = {"schema": 1, **asdict(choice)}
    write_text(path, json.dumps(table, ensure_ascii=False, indent=1, allow_nan=False) + "\n", what="the choice")
