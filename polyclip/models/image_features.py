"""Features of single images by a frozen vision encoder, kept by content: another model on the same encoder indexes the
same images with its head alone.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.encode_precision import FP32
from polyclip.core.storage import get_cache_folder
from polyclip.errors import PolyclipError
from polyclip.models.backbone import BackboneSpec


@dataclass(frozen=True)
class ImageFeatures:
    """Features of one frozen encoder in one format of its products, kept as float32 in a file of the cache."""

    tower: BackboneSpec
    precision: str = FP32

    @property
    def path(self) -> Path:
        """The encoder's file in the cache."""
        return get_cache_folder() / "features" / self.tower.name_features(self.precision) / "images.sqlite"

    def read(self, keys: Sequence[str]) -> dict[str, Float[Tensor, " width"]]:
        """Read the features that are there.

        Args:
            keys: Content hashes of images (`ImageSource.key`).

        Returns:
            Features by key, of those images that were kept.

        Raises:
            PolyclipError: The file is damaged.

        """
        with self._open() as store:
            rows = [store.execute("SELECT key, row FROM feature WHERE key = ?", (key,)).fetchone() for key in keys]
        found = {key: torch.from_numpy(np.frombuffer(row, dtype="<f4").copy()) for key, row in filter(None, rows)}
        if any(row.shape != (self.tower.dim,) or not row.isfinite().all() for row in found.values()):
            raise PolyclipError(f"{self.path} holds damaged features. Run 'polyclip cache clear' and try again.")
        return found

    def write(self, keys: Sequence[str], features: Float[Tensor, "row width"]) -> None:
        """Keep features.

        Args:
            keys: Content hashes of images.
            features: A row for each.

        Raises:
            PolyclipError: The file is damaged or the disk is full.

        """
        rows = [row.tobytes() for row in features.float().cpu().numpy().astype("<f4")]
        with self._open() as store, store:
            store.executemany("INSERT OR REPLACE INTO feature VALUES (?, ?)", zip(keys, rows, strict=True))

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self.path, timeout=60)) as store:
                store.execute("CREATE TABLE IF NOT EXISTS feature (key TEXT PRIMARY KEY, row BLOB) WITHOUT ROWID")
                yield store
        except (sqlite3.Error, OSError) as error:
            raise PolyclipError(
                f"Cannot keep image features in {self.path}: {error}. Free some space, or run 'polyclip cache clear' "
                "if the file is damaged."
            ) from error
