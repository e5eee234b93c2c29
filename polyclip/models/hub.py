"""Runs on the Hugging Face hub: which files, fetched from one commit, sent in one commit."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

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
    return REPOSITORY.fullmatch(text) is not None and not Path(text).exists()


@contextmanager
def talking(what: str, name: str) -> Iterator[None]:
    """Turn whatever goes wrong with the hub into one WeightsError; errors of ours pass."""
    try:
        yield
    except PolyclipError:
        raise
    except Exception as error:  # noqa: BLE001 (the hub's client raises its own errors and those of the HTTP library below it, which differ by version)
        reason = " ".join(str(error).split())[:300]
        raise WeightsError(
            f"Cannot {what} {name!r}: {type(error).__name__}: {reason} Check the name and the revision, the network (HF_HUB_OFFLINE unset, HF_ENDPOINT), "
            "and for private ones the login: hf auth login."
        ) from error


def pull(name: str, revision: str | None = None) -> tuple[Path, str]:
    """A run from the hub: its folder in the hub's cache, and the commit that `revision` (a branch, tag or commit; default main) stands for.

    The commit is resolved once and every file is fetched from it, those of RUN_FILES alone. Raises WeightsError for a repository that
    cannot be had, or that has no aligner.safetensors: other formats are not read.
    """
    from huggingface_hub import HfApi, constants, hf_hub_download

    with talking("fetch run", name):
        if constants.HF_HUB_OFFLINE:
            folder = Path(hf_hub_download(name, NEEDED[0], revision=revision, local_files_only=True)).parent
            return folder, folder.name  # the snapshot's folder is named by its commit
        info = HfApi().model_info(name, revision=revision)
        listed = [sibling.rfilename for sibling in info.siblings or []]
        check_listed(name, listed)
        commit = str(info.sha)
        paths = [hf_hub_download(name, file, revision=commit) for file in RUN_FILES if file in listed]
    return Path(paths[0]).parent, commit


def check_listed(name: str, listed: Sequence[str]) -> None:
    """Whether a repository is a run.

    Raises WeightsError where it is not, with the pickles it has instead.
    """
    missing = [file for file in NEEDED if file not in listed]
    pickles = sorted(file for file in listed if Path(file).suffix.lower() in PICKLES)
    if missing and pickles:
        raise WeightsError(
            f"{name} has no {' and no '.join(missing)} but {', '.join(pickles[:5])}: such files can run code when they are read, polyclip never opens them. "
            "Ask its owner to publish the run with 'polyclip push'."
        )
    if missing:
        raise WeightsError(
            f"{name} is no run of polyclip: it has no {' and no '.join(missing)}. Expected a repository made with 'polyclip push'."
        )


def publish(name: str, files: Sequence[Path], message: str, *, revision: str | None, private: bool) -> tuple[str, str]:
    """Send files in one commit to a repository, made where there is none; the commit and its page.

    Raises WeightsError when the hub refuses or cannot be reached.
    """
    from huggingface_hub import CommitOperationAdd, HfApi

    with talking("push to", name):
        api = HfApi()
        api.create_repo(name, private=private, exist_ok=True)
        if revision is not None:
            api.create_branch(name, branch=revision, exist_ok=True)
        operations = [CommitOperationAdd(path_in_repo=path.name, path_or_fileobj=path) for path in files]
        done = api.create_commit(name, operations, commit_message=message, revision=revision)
    return str(done.oid), str(done.commit_url)
