"""Whether the run and the images of an index are where it says."""

from collections.abc import Sequence
from pathlib import Path

from polyclip.core.nearby import RUN_FOLDER, hint_folder
from polyclip.core.storage import is_file, is_folder
from polyclip.errors import DataError, RunError
from polyclip.models.model_identity import hash_model
from polyclip.search._format import Manifest

SAMPLE = 32  # images checked to see whether the folder is still there


def check_root(folder: Path, manifest: Manifest, root: Path, paths: Sequence[str]) -> None:
    """Check that an index's images are still there.

    Args:
        folder: The index.
        manifest: Its manifest.
        root: Folder of the images.
        paths: Of the images, from the root.

    Raises:
        DataError: The folder is gone, or none of the images that were looked for is in it.

    """
    if not is_folder(root):
        raise DataError(
            f"{folder} is the index of images in {root}, which is not a folder any more; 'polyclip search "
            "--images DIR' takes their new folder, 'polyclip index DIR' indexes it."
        )
    step = max(1, len(paths) // SAMPLE)
    if manifest.present and not any(is_file(root / path) for path in paths[::step]):
        raise DataError(
            f"{root} has none of the images of {folder} that were checked, such as {paths[0]}; 'polyclip search "
            "--images DIR' takes their new folder, 'polyclip index DIR' indexes it."
        )


def check_run(run: Path, digest: str, folder: Path) -> None:
    """Check that a run made an index.

    Args:
        run: Run folder.
        digest: Hash of the model that made the index (`hash_model`).
        folder: The index, for messages.

    Raises:
        RunError: The run is gone, or its model is not the one that made the index.
        WeightsError: Its aligner.safetensors is damaged.

    """
    path = run / "aligner.safetensors"
    if not path.is_file():
        raise RunError(
            f"{folder} requires the run that made it, and {run} is not a run folder: aligner.safetensors not found."
            f"{hint_folder(run, RUN_FOLDER)} 'polyclip search --model RUN' takes the run's new folder, 'polyclip "
            "index' indexes again."
        )
    found = hash_model(path)
    if found != digest:
        raise RunError(
            f"{folder} was made by another model than {run}: the hash of its model begins {digest[:12]}, that of "
            f"{run} {found[:12]}. "
            "Give the run that made it with --model, or index again: 'polyclip index DIR --model RUN --out FOLDER'."
        )
