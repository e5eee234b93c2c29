"""Runs on the Hugging Face hub: which files, downloaded from one commit and uploaded in one commit."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from polyclip.core.storage import exists
from polyclip.errors import PolyclipError, WeightsError

RUN_FILES = (  # all of a run that is ever sent to the hub or fetched from it
    "aligner.safetensors",
    "run.toml",
    "result.json",
    "result.ranks.safetensors",
    "knowledge.json",
    "log.jsonl",
    "README.md",
)


NEEDED = RUN_FILES[:2]


PICKLES = {".bin", ".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".joblib"}  # formats that can run code when they are read


REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


def is_repository(text: str) -> bool:
    """Whether `text` is written like a repository of the hub (owner/name) and no folder or file has that name."""
    return REPOSITORY.fullmatch(text) is not None and not exists(Path(text))


@contextmanager
def explain_hub_errors(what: str, name: str) -> Iterator[None]:
    """Turn whatever goes wrong with the hub into one WeightsError; polyclip's own errors pass."""
    try:
        yield
    except PolyclipError:
        raise
    except Exception as error:  # noqa: BLE001 (the hub's client raises its own errors and those of the HTTP library below it, which differ by version)
        from huggingface_hub.errors import LocalEntryNotFoundError

        reason = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        if isinstance(error, LocalEntryNotFoundError):
            reason = "no folder here has that name, the hub's cache holds no copy, and the hub could not be asked."
        raise WeightsError(
            f"Cannot {what} {name!r}: {reason} Check the name and the revision, the network "
            "(HF_HUB_OFFLINE unset, HF_ENDPOINT), "
            "and for private ones the login: hf auth login."
        ) from error


def pull(name: str, revision: str | None = None, cache_dir: str | Path | None = None) -> tuple[Path, str]:
    """Download a run from the hub; the commit is resolved once, and every file is fetched from it.

    Args:
        name: owner/name.
        revision: Branch, tag or commit; by default main.
        cache_dir: Where the files are kept; by default the hub's own cache.

    Returns:
        The run's folder, and the commit that `revision` stands for.

    Raises:
        WeightsError: The repository cannot be fetched, or has no aligner.safetensors: other formats are not read.

    """
    from huggingface_hub import HfApi, constants, hf_hub_download

    with explain_hub_errors("fetch run", name):
        if constants.HF_HUB_OFFLINE:
            folder = Path(
                hf_hub_download(name, NEEDED[0], revision=revision, local_files_only=True, cache_dir=cache_dir)
            ).parent
            return folder, folder.name  # the snapshot's folder is named by its commit
        info = HfApi().model_info(name, revision=revision)
        listed = [sibling.rfilename for sibling in info.siblings or []]
        check_files(name, listed)
        commit = str(info.sha)
        paths = [
            hf_hub_download(name, file, revision=commit, cache_dir=cache_dir) for file in RUN_FILES if file in listed
        ]
    return Path(paths[0]).parent, commit


def check_files(name: str, listed: Sequence[str]) -> None:
    """Check that a repository holds a run.

    Args:
        name: Of the repository.
        listed: Its files.

    Raises:
        WeightsError: It does not; the message names pickled files that it has instead.

    """
    missing = [file for file in NEEDED if file not in listed]
    pickles = sorted(file for file in listed if Path(file).suffix.lower() in PICKLES)
    if missing and pickles:
        raise WeightsError(
            f"{name} has no {' and no '.join(missing)} but {', '.join(pickles[:5])}: such files can run code when "
            "they are read, polyclip never opens them. "
            "Ask its owner to publish the run with 'polyclip push'."
        )
    if missing:
        raise WeightsError(
            f"{name} is not a run of polyclip: it has no {' and no '.join(missing)}. Expected a repository made with "
            "'polyclip push'."
        )


def publish(name: str, files: Sequence[Path], message: str, *, revision: str | None, private: bool) -> tuple[str, str]:
    """Upload files to a repository in one commit; the repository is created where there is none.

    Args:
        name: owner/name.
        files: To upload, under their own names.
        message: Of the commit.
        revision: Branch to write to; created where there is none.
        private: Whether a new repository is private.

    Returns:
        The commit and its page.

    Raises:
        WeightsError: The hub refuses or cannot be reached.

    """
    from huggingface_hub import CommitOperationAdd, HfApi

    with explain_hub_errors("push to", name):
        api = HfApi()
        api.create_repo(name, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(name, branch=revision, exist_ok=True)
        operations = [CommitOperationAdd(path_in_repo=path.name, path_or_fileobj=path) for path in files]
        done = api.create_commit(name, operations, commit_message=message, revision=revision)
    return str(done.oid), str(done.commit_url)
