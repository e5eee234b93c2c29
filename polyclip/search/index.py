"""An index: image embeddings of one folder by one model, searched exactly or, from 50,000 images on, through a
graph.
"""

from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from PIL import Image
from torch import Tensor

from polyclip.errors import DataError
from polyclip.languages.normalize import match_script
from polyclip.languages.resolve import resolve_language
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.search._embeddings import read_embeddings
from polyclip.search._format import (
    INSIDE,
    MANIFEST,
    Graph,
    Manifest,
    find_index_folder,
    read_manifest,
    read_table,
)
from polyclip.search._origin import check_root, check_run
from polyclip.search.confidence import Confidence, count_different, measure_confidence
from polyclip.search.results import Hit

EXACT = 50_000  # rows from which on a graph proposes candidates
DEEP = 1000  # hits from which on the search is exact
BLOCK = 64  # queries compared at once with all rows
SCORED = 10_000  # rows, at most, that say how a query's scores are distributed

__all__ = ["EXACT", "INSIDE", "Hit", "Index"]


class Index:
    """Images of one folder and their embeddings. Open with `Index.open`; create or update with `update_index`.

    Attributes:
        paths: Image paths relative to `root`, one for each row.
        embeddings: Embeddings [row, dim], float32, of length 1.
        root: Folder of the images.
        model: Run folder of the model.

    """

    def __init__(self, folder: Path, manifest: Manifest, root: Path, model: Path) -> None:
        self.folder, self.manifest, self.root, self.model = folder, manifest, root, model
        table = read_table(folder, manifest, ("path", "number"))
        self.paths: list[str] = table["path"]
        self.numbers: Int[Tensor, " row"] = torch.tensor(table["number"], dtype=torch.long)
        self.embeddings: Float[Tensor, "row dim"] = read_embeddings(folder, manifest)
        self._loaded: PolyCLIP | None = None  # for queries, at the first one
        self._graph: Any = self._open_graph(manifest.graph) if manifest.graph else None

    @classmethod
    def open(cls, folder: str | Path, images: Path | None = None, model: Path | None = None) -> "Index":
        """Open the index in `folder`, or the one inside a folder of images.

        Args:
            folder: The index, or a folder of images that holds one.
            images: Where the images are now, if they were moved.
            model: Where the run is now, if it was moved.

        Returns:
            The index.

        Raises:
            DataError: There is no index, it is incomplete or damaged, or its images are gone.
            RunError: The run is gone, or is not the one that made the index.

        """
        folder = find_index_folder(Path(folder))
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
        check_root(folder, manifest, root, index.paths)
        return index

    def __len__(self) -> int:
        return len(self.paths)

    def lookup_recall(self, kind: str, top: int) -> float | None:
        """Return the measured recall@10 of an approximate search.

        Args:
            kind: Of the queries: `texts` or `images`.
            top: Hits that are asked for.

        Returns:
            A value in [0, 1]; None where the search is exact.

        """
        return self.manifest.graph.recall_at_10[kind] if self.manifest.graph and top < DEEP else None

    def load_aligner(self) -> PolyCLIP:
        """Load the model that made the index."""
        return load_model(self.model)

    @property
    def approximate(self) -> bool:
        """Whether a graph proposes the rows that are compared."""
        return self.manifest.graph is not None

    def _open_graph(self, facts: Graph) -> Any:
        from polyclip.search._hnsw import open_graph

        return open_graph(self.folder / self.manifest.file_name("graph"), facts, self.manifest.dim)

    @classmethod
    def build(cls, images: str | Path, model: str | Path | PolyCLIP, path: str | Path | None = None) -> "Index":
        """Make or update the index of a folder of images: what is there already is not encoded again.

        Args:
            images: The folder, looked through below too.
            model: A run folder, or a model that came from one.
            path: Where the index is kept; by default `.polyclip-index` in the folder.

        Returns:
            The index.

        Raises:
            DataError: There are no images, or `path` is not an index or is of other images.
            RunError: `path` is an index by another model.

        Example:
            >>> index = Index.build("photos", "runs/sw")
            >>> index.search("mbwa", top_k=3)[0].path

        """
        from polyclip.search.build import update_index

        run = Path(model.source if isinstance(model, PolyCLIP) else model)
        return update_index(
            Path(images), run, choose_out_folder(Path(images), None if path is None else Path(path))
        ).index

    def update(self) -> Any:
        """Bring the index up to date with its folder.

        Returns:
            What changed (`polyclip.search.build.Changes`), with the index as it is now.

        Raises:
            DataError: None of its images can be read.

        """
        from polyclip.search.build import update_index

        return update_index(self.root, self.model, self.folder)

    def search(self, query: str | Path | Image.Image, top_k: int = 10, language: str | None = None) -> list[Hit]:
        """Find the images that a text describes, or that are like an image.

        Args:
            query: A text; or an image, as a path or a PIL image.
            top_k: The most hits, >= 1.
            language: Code or name of the text's language; by default a trained language in the text's script.

        Returns:
            The most similar images, best first.

        Raises:
            DataError: The query is empty or cannot be read, or `top_k` is below 1.
            UnknownName: There is no pack for the language.

        Example:
            >>> index.search("mbwa mweusi", top_k=3)

        """
        return self.search_embeddings(self._embed(query, language), top_k)[0]

    def confidence(self, query: str, language: str | None = None) -> Confidence | None:
        """Say how likely the first hit of a text is what it asks for.

        Args:
            query: A text.
            language: As in `search`.

        Returns:
            `confidence` in [0, 1] and `level` ("high", "medium" or "low"); None for fewer than 8 images.

        Raises:
            DataError: The query is empty.
            UnknownName: There is no pack for the language.

        Example:
            >>> index.confidence("mbwa mweusi").level

        """
        return self.measure_confidence(self._embed(query, language))

    def measure_confidence(self, query: Float[Tensor, "1 dim"]) -> Confidence | None:
        """Say how likely the first hit of a text's embedding is right: as `confidence`.

        Args:
            query: The embedding [1, dim] of a text; those of images have other cosines and were not fitted.

        Returns:
            The confidence; None for fewer than 8 images.

        """
        if len(self) < 2:
            return None
        best = self.search_embeddings(query, 1)[0][0].similarity
        sample = self.embeddings[:: -(-len(self) // SCORED)]
        return measure_confidence(best, sample @ query[0].float(), len(self), self._different)

    @cached_property
    def _different(self) -> float:
        """How many different things the images show; counted here where an older index does not say."""
        return self.manifest.different or count_different(self.embeddings.numpy())

    def _embed(self, query: str | Path | Image.Image, language: str | None) -> Float[Tensor, "1 dim"]:
        """Embed a text or an image with the model that made the index, loaded at the first query."""
        if self._loaded is None:
            self._loaded = self.load_aligner()
        if not isinstance(query, str):
            return self._loaded.encode_image([query])
        trained = list(self._loaded.languages)
        code = resolve_language(language).code if language else match_script(query, trained)
        return self._loaded.encode_text([query], code)

    def search_embeddings(self, queries: Float[Tensor, "query dim"], top: int) -> list[list[Hit]]:
        """Find the most similar images of each query; similarities are exact even where a graph proposes the images.

        Args:
            queries: Query embeddings [query, dim], of length 1.
            top: Number of hits, >= 1.

        Returns:
            Up to `top` hits for each query, best first.

        Raises:
            DataError: The queries have another length or are not finite, or `top` is below 1.

        """
        if queries.shape[1] != self.manifest.dim or not queries.isfinite().all():
            raise DataError(
                f"{self.folder} holds embeddings of length {self.manifest.dim}; queries are {list(queries.shape)}, "
                "or not finite."
            )
        if top < 1:
            raise DataError(f"Expected at least one hit to look for, found top={top}.")
        with torch.inference_mode():
            return [hits for block in queries.float().split(BLOCK) for hits in self._block(block, top)]

    def _block(self, queries: Float[Tensor, "query dim"], top: int) -> list[list[Hit]]:
        if self._graph is None or top >= DEEP:
            return [self._best(row, None, top) for row in queries @ self.embeddings.T]
        from polyclip.search._hnsw import propose_rows

        rows = propose_rows(self._graph, self.numbers, queries, top)
        return [self._best(self.embeddings[some] @ query, some, top) for query, some in zip(queries, rows, strict=True)]

    def _best(self, similarity: Float[Tensor, " row"], rows: Int[Tensor, " row"] | None, top: int) -> list[Hit]:
        """Rank rows by similarity, best first; equal ones keep the order of the rows."""
        if not similarity.isfinite().all():
            raise DataError(f"{self.folder} holds embeddings that are not finite. Remove it and index again.")
        order = similarity.sort(descending=True, stable=True).indices[:top].tolist()
        places = order if rows is None else rows[order].tolist()
        return [
            Hit(self.root / self.paths[place], float(similarity[row])) for place, row in zip(places, order, strict=True)
        ]


def find_manifest(folder: Path) -> Path:
    """The file of an index that is written last, each time that it is written."""
    return find_index_folder(folder) / MANIFEST


def choose_out_folder(images: Path, out: Path | None) -> Path:
    """Return the folder of an index: `out`, or the default inside the folder of images."""
    return out or images / INSIDE
