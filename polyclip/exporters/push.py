"""Upload a finished run to the Hugging Face hub."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from polyclip.core.run_folder import is_outside, is_unfinished, read_settings
from polyclip.data.corpus import list_corpora
from polyclip.data.corpus_names import split_name
from polyclip.errors import RunError
from polyclip.models.hub import NEEDED, REPOSITORY, RUN_FILES, publish
from polyclip.models.model_file import read_aligner
from polyclip.report.model_card import write_card


@dataclass(frozen=True, slots=True)
class PushResult:
    """Files sent, the commit, its URL, and local paths that the run's settings mention."""

    files: list[str]
    commit: str
    url: str
    local: list[str]


def push(folder: Path, name: str, *, revision: str | None = None, private: bool = False) -> PushResult:
    """Upload a run's files, those of RUN_FILES only; a missing model card is written first.

    Args:
        folder: A finished run folder.
        name: Repository on the hub, as owner/name.
        revision: Branch to commit to; None for main.
        private: Whether a new repository is private.

    Returns:
        What was sent.

    Raises:
        RunError: The folder is not a finished run, the name is invalid, or the hub refuses.
        WeightsError: The weights are damaged.

    """
    if REPOSITORY.fullmatch(name) is None:
        raise RunError(
            f"{name!r} is not a name on the hub; expected owner/name, such as our-community/{folder.resolve().name}."
        )
    facts = read_settings(folder, "corpus", "recipe")
    missing = [file for file in (*NEEDED, "result.json") if not (folder / file).is_file()]
    if missing or is_unfinished(folder):
        raise RunError(
            f"{folder} is not a finished run{f' ({missing[0]} not found)' if missing else ''}; finish it with: "
            "polyclip align ... --resume"
        )
    read_aligner(folder / NEEDED[0])
    write_card(folder)
    files = [folder / file for file in RUN_FILES if (folder / file).is_file()]
    outside = [path.name for path in files if is_outside(path)]
    if outside:
        raise RunError(
            f"{folder / outside[0]} is a link to a file elsewhere, which is not sent; put the file itself there."
        )
    commit, url = publish(name, files, f"Add {folder.resolve().name}", revision=revision, private=private)
    return PushResult([path.name for path in files], commit, url, find_local_paths(facts))


def find_local_paths(run: dict[str, Any]) -> list[str]:
    """Return paths of this machine in a run's settings: everyone can read them on the hub, and nobody else has these
    files.
    """
    recipe = run["recipe"]
    named = [
        *(part.name for part in split_name(run["corpus"]) if part.name not in list_corpora()),
        run.get("continued", {}).get("from", ""),
        recipe.get("teacher", ""),
    ]
    for tower in (recipe["text_encoder"], recipe["vision_tower"]):
        head, _, weights = tower.partition(",weights=")
        named += [weights.partition(",")[0], head.removeprefix("huggingface:").partition(",")[0]]
    return [path for path in dict.fromkeys(named) if path and (Path(path).exists() or Path(path).is_absolute())]
