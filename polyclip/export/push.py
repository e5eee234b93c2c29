"""A finished run on its way to the Hugging Face hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyclip.core.run_folder import read_run, unfinished
from polyclip.errors import RunError
from polyclip.models.aligner import read_aligner
from polyclip.models.hub import NEEDED, REPOSITORY, RUN_FILES, publish
from polyclip.report.model_card import write_card


@dataclass(frozen=True, slots=True)
class Pushed:
    """What was sent, as which commit, and what of this machine its settings name."""

    files: list[str]
    commit: str
    url: str
    local: list[str]


def push(folder: Path, name: str, *, revision: str | None = None, private: bool = False) -> Pushed:
    """Send a run's files, those of RUN_FILES alone, to repository `name`, on branch `revision` where one is given.

    A card is written where there is none. Raises RunError for a folder that is no finished run or a name that is none, WeightsError
    for damaged weights, and when the hub refuses.
    """
    if REPOSITORY.fullmatch(name) is None:
        raise RunError(
            f"{name!r} is no name on the hub; expected owner/name, such as our-community/{folder.resolve().name}."
        )
    facts = read_run(folder)
    missing = [file for file in (*NEEDED, "result.json") if not (folder / file).is_file()]
    if missing or unfinished(folder):
        raise RunError(
            f"{folder} is no finished run{f' (it has no {missing[0]})' if missing else ''}; finish it with: polyclip align ... --resume"
        )
    read_aligner(folder / NEEDED[0])
    write_card(folder)
    files = [folder / file for file in RUN_FILES if (folder / file).is_file()]
    outside = [path.name for path in files if not path.resolve().is_relative_to(folder.resolve())]
    if outside:
        raise RunError(
            f"{folder / outside[0]} is a link to a file elsewhere, which is not sent; put the file itself there."
        )
    commit, url = publish(name, files, f"Add {folder.resolve().name}", revision=revision, private=private)
    return Pushed([path.name for path in files], commit, url, local_paths(facts))


def local_paths(run: dict[str, Any]) -> list[str]:
    """Files and folders of this machine in a run's settings: everyone can read them there, and nobody else has them."""
    recipe = run["recipe"]
    named = [
        run["corpus"] if run["corpus"].endswith(".toml") else "",
        run.get("continued", {}).get("from", ""),
        recipe.get("teacher", ""),
    ]
    for tower in (recipe["text_encoder"], recipe["vision_tower"]):
        head, _, weights = tower.partition(",weights=")
        named += [weights.partition(",")[0], head.removeprefix("huggingface:").partition(",")[0]]
    return [path for path in dict.fromkeys(named) if path and (Path(path).exists() or Path(path).is_absolute())]
