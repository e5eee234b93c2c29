"""Models on disk: the trained parts in a safetensors file, with the identity of the frozen encoders, and their run's
files.
"""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from polyclip.core.fields import read_fields
from polyclip.core.json import parse_json
from polyclip.core.nearby import RUN_FOLDER, hint_folder
from polyclip.core.run_folder import is_outside, read_settings, write_settings
from polyclip.core.run_schema import find_fault
from polyclip.core.storage import check_plain, is_folder, write_atomically
from polyclip.core.tensor_files import sort_metadata
from polyclip.core.text import describe_error
from polyclip.errors import RunError, WeightsError
from polyclip.models.config import ModelConfig
from polyclip.models.hub import NEEDED, RUN_FILES, is_repository, pull

FORMAT = "1"
FILE, SETTINGS = NEEDED
ENCODERS = ("text_encoder", "vision_tower")
SIZES, MOST = ("dim", "anchors", "name_units", "name_dim", "space"), 10_000_000  # of a configuration
PICKLES = (b"PK\x03\x04", b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05")  # what torch.save and pickle write first


@dataclass(frozen=True)
class ModelParts:
    """What a model's file holds.

    Attributes:
        config: The configuration.
        identities: Of the frozen encoders that it was trained on: `text_encoder` and `vision_tower`.
        state: The trained tensors by name.

    """

    config: ModelConfig
    identities: dict[str, str]
    state: dict[str, Tensor]


def write_parts(parts: ModelParts, path: Path) -> None:
    """Write a model's file, with matrices in half precision."""
    metadata = {"polyclip": FORMAT, "recipe": json.dumps(parts.config.__dict__), **parts.identities}
    state = {name: tensor.detach().cpu() for name, tensor in parts.state.items()}
    with write_atomically(path, what="trained parts") as temporary:
        tensors = {n: (t.half() if t.ndim > 1 else t.float() if t.is_floating_point() else t) for n, t in state.items()}
        save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary, metadata=metadata)
        sort_metadata(temporary)


def read_aligner(path: Path) -> tuple[dict[str, str], dict[str, Tensor]]:
    """Read a file of trained parts.

    Args:
        path: An `aligner.safetensors`.

    Returns:
        Its metadata and its tensors, on the CPU.

    Raises:
        WeightsError: The file is damaged, or is not polyclip's.

    """
    try:
        check_plain(path)
        with safe_open(path, "pt") as handle:
            metadata = handle.metadata() or {}
            state = {name: handle.get_tensor(name) for name in handle.keys()}  # noqa: SIM118 (no mapping)
    except SafetensorError as error:
        with path.open("rb") as file:
            if file.read(4).startswith(PICKLES):
                raise WeightsError(
                    f"{path} is a pickle (PyTorch), which can run code when it is read; polyclip reads safetensors "
                    "only."
                ) from error
        raise WeightsError(f"{path} is damaged or truncated ({error}); copy it again or align again.") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {error.strerror or error}.") from error
    if metadata.get("polyclip") != FORMAT:
        found = metadata.get("polyclip")
        raise WeightsError(f"{path} is not an aligner of polyclip (format {found!r}, expected {FORMAT!r}).")
    return metadata, state


def read_parts(folder: Path) -> ModelParts:
    """Read a model's file.

    Args:
        folder: A run folder, or an `aligner.safetensors`.

    Returns:
        What it holds, on the CPU.

    Raises:
        RunError: There is no such file.
        WeightsError: It is damaged, or of another version.

    """
    path = folder / FILE if folder.is_dir() else folder
    if not path.is_file():
        raise RunError(
            f"{folder} is not a run folder: {FILE} not found.{hint_folder(folder, RUN_FOLDER)} Make one with: "
            f"polyclip align --lang sw --out {folder}"
        )
    metadata, state = read_aligner(path)
    try:
        config = parse_config(metadata["recipe"])
    except (KeyError, TypeError, ValueError) as error:
        raise WeightsError(
            f"{path} has a recipe that this version of polyclip cannot read ({describe_error(error)}); align again, "
            "or use the version it was made with."
        ) from error
    identities = {key: metadata.get(key, "none") for key in ENCODERS}
    return ModelParts(config, identities, state)


def parse_config(text: str) -> ModelConfig:
    """Parse the configuration that a model's file holds.

    Raises:
        ValueError: It is not JSON, or a value is of another type or size; TypeError for an unknown key.

    """
    given = parse_json(text)
    config = ModelConfig(**given)
    if fault := find_fault(ModelConfig, given):
        raise ValueError(str(fault))
    sizes = read_fields(config, SIZES)
    wrong = {name: size for name, size in sizes.items() if not (1 if name == "dim" else 0) <= size <= MOST}
    shares = read_fields(config, ("text_dropout", "image_dropout"))
    wrong |= {name: share for name, share in shares.items() if not 0 <= share < 1}
    if wrong:
        raise ValueError(", ".join(f"{name} is {value}" for name, value in wrong.items()))
    return config


def read_settings_beside(folder: Path) -> dict[str, Any]:
    """Settings of the run that a model lies in; empty for a model without a run.

    Raises:
        RunError: The settings are damaged.

    """
    return read_settings(folder) if (folder / SETTINGS).is_file() else {}


def save_model(parts: ModelParts, folder: Path, settings: dict[str, Any], source: str) -> None:
    """Write a model and its run's files into a folder.

    Args:
        parts: Of the model.
        folder: Where it is written; created if needed.
        settings: Of its run; empty for a model without one.
        source: The folder that it was loaded from, whose scores and card are copied; may be empty.

    Raises:
        RunError: `folder` is a file, or a file of the run is a link to one elsewhere.

    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder} is a file; expected a folder to save the model in.")
    folder.mkdir(parents=True, exist_ok=True)
    write_parts(parts, folder / FILE)
    if settings:
        write_settings(folder, settings)
    if source and Path(source).resolve() != folder.resolve():
        copy_run_files(Path(source), folder)


def copy_run_files(source: Path, folder: Path) -> None:
    """Copy a run's scores, log and card.

    Raises:
        RunError: One of them is a link to a file elsewhere.

    """
    for name in [name for name in RUN_FILES if name not in NEEDED and (source / name).is_file()]:
        if is_outside(source / name):
            raise RunError(f"{source / name} is a link to a file elsewhere, which is not copied; put the file there.")
        with write_atomically(folder / name, what="what belongs to the run") as temporary:
            shutil.copyfile(source / name, temporary)


def locate(run: str | Path, revision: str | None, cache_dir: str | Path | None) -> tuple[Path, str]:
    """Find a model on this machine, or download it.

    Args:
        run: A run folder, a file, or owner/name on the hub.
        revision: Branch, tag or commit on the hub.
        cache_dir: Where files from the hub are kept.

    Returns:
        Its folder or file, and its name, on the hub with the commit.

    Raises:
        RunError: A revision was given for a folder.
        WeightsError: The hub cannot be reached, or has no such run.

    """
    if is_repository(str(run)) and (revision is not None or not is_folder(Path(run).parent)):
        folder, commit = pull(str(run), revision, cache_dir)
        return folder, f"{run}@{commit}"
    if revision is not None:
        raise RunError(
            f"revision {revision!r} is for a run on the hub (owner/name), but {run} is not written like one or is a "
            "folder here; omit it."
        )
    return Path(run), str(run)
