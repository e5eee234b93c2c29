"""An index of a folder of pictures: their unit vectors by one run, kept up to date, and searched exactly or, where there are many, through a graph."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.core.storage import sha256
from polyclip.errors import DataError, RunError
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.search._format import INSIDE, Graph, Manifest, located, read_manifest, read_table, read_vectors

EXACT = 50_000  # rows: from there on a graph proposes what is compared
DEEP = 1000  # hits: who asks for as many gets the exact search
BLOCK = 64  # queries compared at once with all rows
SAMPLE = 32  # pictures looked for to see whether the folder is still there

__all__ = ["EXACT", "INSIDE", "Hit", "Index"]


@dataclass(frozen=True)
class Hit:
    """A picture and its cosine similarity with the query, in [-1, 1]."""

    path: Path
    similarity: float


class Index:
    """Pictures of one folder and their unit vectors. Open one with `Index.open`, make or update one with `polyclip.search.build.update`."""

    def __init__(self, folder: Path, manifest: Manifest, root: Path, model: Path) -> None:
        self.folder, self.manifest, self.root, self.model = folder, manifest, root, model
        table = read_table(folder, manifest, ("path", "number"))
        self.paths: list[str] = table["path"]
        self.numbers: Int[Tensor, " row"] = torch.tensor(table["number"], dtype=torch.long)
        self.vectors: Float[Tensor, "row dim"] = read_vectors(folder, manifest)
        self._graph: Any = self._opened(manifest.graph) if manifest.graph else None

    @classmethod
    def open(cls, folder: Path, images: Path | None = None, model: Path | None = None) -> "Index":
        """The index in `folder`, or the one inside a folder of pictures.

        `images` says where the pictures are now, `model` where the run is now, if they were moved. Raises DataError for a folder without
        an index, one that is cut short or damaged, or whose pictures are gone; RunError where the run is gone or is not the one that made it.
        """
        folder = located(folder)
        manifest = read_manifest(folder)
        root = (images or folder / manifest.root).resolve()
        run = model or Path(manifest.model)
        check_run(run, manifest.aligner, folder)
        try:
            index = cls(folder, manifest, root, run)
        except DataError:
            if read_manifest(folder).generation == manifest.generation:
                raise
            return cls.open(folder, images, model)  # it was written again between the reading of two files
        index._check_root()
        return index

    def _check_root(self) -> None:
        if not self.root.is_dir():
            raise DataError(
                f"{self.folder} is the index of pictures in {self.root}, which is no folder now; say where they are with --images DIR."
            )
        step = max(1, len(self.paths) // SAMPLE)
        if self.manifest.present and not any((self.root / path).is_file() for path in self.paths[::step]):
            raise DataError(
                f"{self.root} has none of the pictures of {self.folder} that were looked for, such as {self.paths[0]}; say where they are with --images DIR."
            )

    def __len__(self) -> int:
        return len(self.paths)

    def recall(self, kind: str, top: int) -> float | None:
        """Measured recall@10 of a search for `top` hits, in [0, 1], by `texts` or `pictures`; None where the search is exact."""
        return self.manifest.graph.recall_at_10[kind] if self.manifest.graph and top < DEEP else None

    def aligner(self) -> PolyCLIP:
        """The model that made the index."""
        return load_model(self.model)

    @property
    def approximate(self) -> bool:
        """Whether a graph proposes the rows that are compared."""
        return self.manifest.graph is not None

    def _opened(self, facts: Graph) -> Any:
        from polyclip.search._hnsw import opened

        return opened(self.folder / self.manifest.file("graph"), facts, self.manifest.dim)

    def search(self, vectors: Float[Tensor, "query dim"], top: int) -> list[list[Hit]]:
        """The `top` most similar pictures for each unit vector, best first; similarities are exact, also where a graph proposed the pictures.

        Raises DataError for vectors of another length, or not finite, and for `top` below 1.
        """
        if vectors.shape[1] != self.manifest.dim or not vectors.isfinite().all():
            raise DataError(
                f"{self.folder} holds vectors of length {self.manifest.dim}; queries are {list(vectors.shape)}, or not finite."
            )
        if top < 1:
            raise DataError(f"Expected at least one hit to look for, found top={top}.")
        with torch.inference_mode():
            return [hits for block in vectors.float().split(BLOCK) for hits in self._block(block, top)]

    def _block(self, queries: Float[Tensor, "query dim"], top: int) -> list[list[Hit]]:
        if self._graph is None or top >= DEEP:
            return [self._best(row, None, top) for row in queries @ self.vectors.T]
        from polyclip.search._hnsw import proposed

        rows = proposed(self._graph, self.numbers, queries, top)
        return [self._best(self.vectors[some] @ query, some, top) for query, some in zip(queries, rows, strict=True)]

    def _best(self, similarity: Float[Tensor, " row"], rows: Int[Tensor, " row"] | None, top: int) -> list[Hit]:
        """Best first; equal ones in the order of the rows."""
        order = similarity.sort(descending=True, stable=True).indices[:top].tolist()
        places = order if rows is None else rows[order].tolist()
        return [
            Hit(self.root / self.paths[place], float(similarity[row])) for place, row in zip(places, order, strict=True)
        ]


def check_run(run: Path, digest: str, folder: Path) -> None:
    """Raises RunError where the run is gone, or is not the one that made the index."""
    path = run / "aligner.safetensors"
    if not path.is_file():
        raise RunError(
            f"{folder} was made by the run {run}, which has no aligner.safetensors now; say where the run is with --model RUN."
        )
    found = sha256(path)
    if found != digest:
        raise RunError(
            f"{folder} was made by another model than {run}: its aligner begins {digest[:12]}, that of {run} {found[:12]}. "
            f"Give the run that made it with --model, or index again into another folder with --out."
        )


def default_out(images: Path, out: Path | None) -> Path:
    """Where the index of a folder of pictures is kept."""
    return out or images / INSIDE
