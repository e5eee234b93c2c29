"""Text adapters: a small file of norms and biases that makes a frozen text encoder less dependent on the language.

An adapter holds new values of some of the encoder's vectors, under their names in transformers. The encoder keeps its
shape, so that everything that reads it (packed encoding, exports, search without torch) stays as it is. What adapters
are trained on and what they bring: docs/explanation/text-adapter.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from polyclip.core.storage import describe_disk_error, hash_file
from polyclip.errors import DataError, UnknownName, WeightsError

FOLDER = Path(__file__).parent / "text" / "adapters"
SUFFIX = ".safetensors"
BASE = "text_encoder"  # metadata: hash of the weights that it was trained for


@dataclass(frozen=True)
class TextAdapter:
    """New values of a text encoder's vectors.

    Args:
        path: The file.
        base: Hash of the encoder's weights that it was trained for.
        vectors: Arrays of float32 by the parameter's name.

    """

    path: Path
    base: str
    vectors: Mapping[str, Any]

    @property
    def identity(self) -> str:
        """Hash of the file: features with and without it, or of another one, are never mixed."""
        return hash_file(self.path)


def list_text_adapters() -> list[str]:
    """Names of the adapters that come with polyclip."""
    return sorted(path.stem for path in FOLDER.glob(f"*{SUFFIX}"))


def read_text_adapter(name: str, base: str) -> TextAdapter:
    """Read an adapter.

    Args:
        name: Of one that comes with polyclip, or the path of a file.
        base: Hash of the encoder's weights, which must be those that it was trained for.

    Returns:
        The adapter.

    Raises:
        UnknownName: There is no such adapter and no such file.
        WeightsError: The file is damaged, or belongs to other weights.

    """
    path = Path(name) if name.endswith(SUFFIX) else FOLDER / f"{name}{SUFFIX}"
    if not path.is_file():
        if name.endswith(SUFFIX):
            raise DataError(f"Text adapter {name} is not a file; expected one, or {' or '.join(list_text_adapters())}.")
        raise UnknownName("text adapter", name, list_text_adapters())
    try:
        with safe_open(path, "numpy") as handle:
            found = (handle.metadata() or {}).get(BASE, "")
            vectors = {key: handle.get_tensor(key) for key in handle.keys()}  # noqa: SIM118 (not a mapping)
    except SafetensorError as error:
        raise WeightsError(f"{path} is not a whole safetensors file ({error}); restore it from its source.") from error
    except OSError as error:
        raise WeightsError(f"{path} cannot be read: {describe_disk_error(error)}.") from error
    if found != base:
        raise WeightsError(
            f"{path} was trained for a text encoder whose weights have the hash {found[:12] or 'none'}, this one's is "
            f"{base[:12]}: take an adapter that was trained for it."
        )
    return TextAdapter(path, base, vectors)


def check_shapes(adapter: TextAdapter, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Check that an adapter fits an encoder.

    Args:
        adapter: The adapter.
        shapes: Of the encoder's parameters, by name.

    Raises:
        WeightsError: A vector has no place in it, another length, or a value that is not finite.

    """
    import numpy as np

    for name, vector in adapter.vectors.items():
        if shapes.get(name) != vector.shape:
            raise WeightsError(
                f"{adapter.path}: {name[:80]} has the shape {list(vector.shape)}, expected "
                f"{list(shapes[name]) if name in shapes else 'a parameter of the text encoder'}."
            )
        if not np.isfinite(vector).all():
            raise WeightsError(f"{adapter.path}: {name} holds values that are not finite; train it again.")
