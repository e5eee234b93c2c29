"""An index: image embeddings of one folder by one model, searched exactly or, from 50,000 images on, through a
graph. Searching needs numpy alone; torch comes with the model, or where embeddings are asked for as tensors.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image

from polyclip.core.expected import check_count
from polyclip.core.storage import is_file
from polyclip.data.images import SUFFIXES
from polyclip.errors import DataError
from polyclip.languages.normalize import match_script
from polyclip.languages.resolve import resolve_language
from polyclip.search._caption_table import CaptionTable, make_hit, read_captions
from polyclip.search._format import (
    INSIDE,
    MANIFEST,
    Graph,
    Manifest,
    find_index_folder,
    read_manifest,
    read_table,
)
from polyclip.search._graph import open_graph, propose_rows
from polyclip.search._matrix import make_array, make_tensor, map_embeddings, multiply
from polyclip.search._origin import check_root, check_run
from polyclip.search.confidence import Confidence, count_different, measure_confidence
from polyclip.search.ranking import CAPTION_WEIGHT, Scores, check_weight, score_images
from polyclip.search.results import Hit, count_copies, fold_hits

if TYPE_CHECKING:  # importing it takes seconds, and a search by an embedding needs no model
    from torch import Tensor

    from polyclip.models.aligner import PolyCLIP

DEEP = 1000  # hits from which on the search is exact
BLOCK = 64  # queries compared at once with all rows
SCORED = 10_000  # rows, at most, that say how a query's scores are distributed

__all__ = ["INSIDE", "Changes", "Hit", "Index", "update_index"]


class Index:
    """Images of one folder and their embeddings. Open with `Index.open`; create or update with `update_index`.

    Attributes:
        paths: Image paths relative to `root`, one for each row.
        matrix: Embeddings [row, dim], float32, of length 1, an array that is mapped from disk.
        embeddings: The same as a tensor.
        root: Folder of the images.
        model: Run folder of the model.
        captions: Captions of the images; None where there are none.
        caption_matrix: Their embeddings [caption, dim], where there are some.
        caption_embeddings: The same as a tensor.

    """

    caption_matrix: Any

    def __init__(self, folder: Path, manifest: Manifest, root: Path, model: Path) -> None:
        self.folder, self.manifest, self.root, self.model = folder, manifest, root, model
        table = read_table(folder, manifest, ("path", "number"))
        self.paths: list[str] = table["path"]
        self.numbers: Any = np.asarray(table["number"], np.int64)
        self.matrix: Any = map_embeddings(folder, manifest)
        self.captions: CaptionTable | None = read_captions(folder, manifest) if manifest.captions else None
        if self.captions is not None:
            self.caption_matrix = map_embeddings(folder, manifest, "caption_vectors")
        self._loaded: Any = None  # for queries, at the first one
        self._graph: Any = self._open_graph(manifest.graph) if manifest.graph else None

    @classmethod
    def open(cls, path: str | Path, images: Path | None = None, model: Path | None = None) -> "Index":
        """Open the index in a folder, or the one inside a folder of images.

        Args:
            path: The index, or a folder of images that holds one.
            images: Where the images are now, if they were moved.
            model: Where the run is now, if it was moved.

        Returns:
            The index.

        Raises:
            DataError: There is no index, it is incomplete or damaged, or its images are gone.
            RunError: The run is gone, or is not the one that made the index.

        Example:
            >>> len(Index.open("photos"))

        """
        folder = find_index_folder(Path(path))
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

    def __repr__(self) -> str:
        """One line: how many images, where they are, and by which model."""
        return f"Index({len(self)} images of {str(self.root)!r}, model={str(self.model)!r})"

    @cached_property
    def embeddings(self) -> "Tensor":
        """The images' embeddings as a tensor [row, dim]."""
        return make_tensor(self.matrix)

    @cached_property
    def caption_embeddings(self) -> "Tensor":
        """The captions' embeddings as a tensor [caption, dim]."""
        return make_tensor(self.caption_matrix)

    def lookup_recall(self, kind: str, top: int, caption_weight: float = 0.0) -> float | None:
        """Return the measured recall@10 of an approximate search.

        Args:
            kind: Of the queries: `texts` or `images`.
            top: Hits that are asked for.
            caption_weight: Weight of the captions; texts are compared with captions exactly.

        Returns:
            A value in [0, 1]; None where the search is exact.

        """
        exact = top >= DEEP or (kind == "texts" and self.uses_captions(caption_weight))
        return self.manifest.graph.recall_at_10[kind] if self.manifest.graph and not exact else None

    def load_aligner(self) -> "PolyCLIP":
        """Load the model that made the index."""
        from polyclip.models.aligner import load_model

        return load_model(self.model)

    @property
    def approximate(self) -> bool:
        """Whether a graph proposes the rows that are compared."""
        return self.manifest.graph is not None

    def _open_graph(self, facts: Graph) -> Any:
        return open_graph(self.folder / self.manifest.file_name("graph"), facts, self.manifest.dim)

    @classmethod
    def build(
        cls,
        images: str | Path,
        model: Any,
        path: str | Path | None = None,
        captions: str | Path | None = None,
        captions_language: str | None = None,
    ) -> "Index":
        """Make or update the index of a folder of images: what is there already is not encoded again.

        Args:
            images: The folder, looked through below too.
            model: A run folder, or a model that came from one.
            path: Where the index is kept; by default `.polyclip-index` in the folder.
            captions: Captions of the images: a table, a corpus, "beside" for files beside the images, or "none". By
                default what the index was made with, else "beside".
            captions_language: Code or name of captions that do not name their language.

        Returns:
            The index.

        Raises:
            DataError: There are no images, or `path` is not an index or is of other images.
            RunError: `path` is an index by another model.

        Example:
            >>> index = Index.build("photos", "runs/sw")
            >>> index.search("mbwa", top_k=3)[0].path

        """
        run = Path(model if isinstance(model, str | Path) else model.source)
        return update_index(
            Path(images),
            run,
            choose_out_folder(Path(images), None if path is None else Path(path)),
            captions=None if captions is None else str(captions),
            captions_language=resolve_language(captions_language).code if captions_language else None,
        ).index

    def update(self) -> "Changes":
        """Bring the index up to date with its folder.

        Returns:
            What changed (`Changes`), with the index as it is now.

        Raises:
            DataError: None of its images can be read.

        Example:
            >>> changes = index.update()
            >>> changes.added, changes.removed

        """
        return update_index(self.root, self.model, self.folder)

    def search(
        self,
        query: str | Path | Image.Image,
        top_k: int = 10,
        language: str | None = None,
        caption_weight: float = CAPTION_WEIGHT,
    ) -> list[Hit]:
        """Find the images that a text describes, themselves or by their captions; or that are like an image.

        Args:
            query: A text; or an image, as a `pathlib.Path` or a PIL image.
            top_k: The most hits, >= 1.
            language: Code or name of the text's language; by default a trained language in the text's script.
            caption_weight: Weight of the captions in [0, 1]; 0 for images alone. No matter for an image as query.

        Returns:
            The most similar images, best first.

        Raises:
            DataError: The query is empty, cannot be read, or is the name of an image's file as a text; `top_k` is not a
                whole number, at least 1, or the weight is outside [0, 1].
            UnknownName: There is no pack for the language.

        Example:
            >>> index.search("mbwa mweusi", top_k=3)

        """
        check_weight(caption_weight)
        top_k = check_count("top_k", top_k, DataError)
        embedding = self._embed(query, language)
        if not isinstance(query, str):
            return self.search_embeddings(embedding, top_k)[0]
        return self.search_text_embedding(embedding, top_k, caption_weight)

    def confidence(
        self, query: str, language: str | None = None, caption_weight: float = CAPTION_WEIGHT
    ) -> Confidence | None:
        """Say how likely the first hit of a text is what it asks for.

        Args:
            query: A text.
            language: As in `search`.
            caption_weight: As in `search`.

        Returns:
            `confidence` in [0, 1] and `level` ("high", "medium" or "low"); None for fewer than 8 images.

        Raises:
            DataError: The query is empty.
            UnknownName: There is no pack for the language.

        Example:
            >>> index.confidence("mbwa mweusi").level

        """
        return self.measure_confidence(self._embed(query, language), caption_weight)

    def measure_confidence(
        self, query: Any, caption_weight: float = 0.0, best: float | None = None
    ) -> Confidence | None:
        """Say how likely the first hit of a text's embedding is right: as `confidence`.

        Args:
            query: The embedding [1, dim] of a text, a tensor or an array; those of images have other cosines and were
                not fitted.
            caption_weight: As in `search`.
            best: Similarity of the first hit; None: it is searched for.

        Returns:
            The confidence; None for fewer than 8 images.

        """
        if len(self) < 2:
            return None
        if self.uses_captions(caption_weight):
            total = self._score(query, caption_weight).total
            captioned = caption_weight * (self.captions.measure_share(len(self)) if self.captions is not None else 0.0)
            return measure_confidence(float(total.max()), total, len(self), self._different, captioned)
        best = self.search_embeddings(query, 1)[0][0].similarity if best is None else best
        return measure_confidence(best, multiply(self._sample, make_array(query)[0]), len(self), self._different)

    @cached_property
    def _sample(self) -> Any:
        """At most 10,000 rows, evenly spread, side by side in memory."""
        return np.ascontiguousarray(self.matrix[:: -(-len(self) // SCORED)])

    @cached_property
    def _different(self) -> float:
        """How many different things the images show; counted here where an older index does not say."""
        return self.manifest.different or count_different(self.matrix)

    def _embed(self, query: str | Path | Image.Image, language: str | None) -> "Tensor":
        """Embed a text or an image with the model that made the index, loaded at the first query."""
        if self._loaded is None:
            self._loaded = self.load_aligner()
        if not isinstance(query, str):
            return self._loaded.encode_image([query])
        if Path(query).suffix.lower() in SUFFIXES and is_file(Path(query)):
            raise DataError(f"{query!r} is a text, and an image's file. To search by the image, give Path({query!r}).")
        trained = list(self._loaded.languages)
        code = resolve_language(language).code if language else match_script(query, trained)
        return self._loaded.encode_text([query], code)

    def search_embeddings(self, queries: Any, top: int) -> list[list[Hit]]:
        """Find the most similar images of each query; similarities are exact even where a graph proposes the images.

        Args:
            queries: Query embeddings [query, dim], of length 1, a tensor or an array.
            top: Number of hits, >= 1.

        Returns:
            Up to `top` hits for each query, best first.

        Raises:
            DataError: The queries have another length or are not finite, or `top` is not a whole number, at least 1.

        """
        rows = self._check(queries, top)
        blocks = (rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK))
        return [hits for block in blocks for hits in self._block(block, top)]

    def _check(self, queries: Any, top: int) -> Any:
        """Check queries and the number of hits, DataError where they are wrong; returns the queries as an array."""
        rows = make_array(queries)
        if rows.shape[1] != self.manifest.dim or not np.isfinite(rows).all():
            raise DataError(
                f"{self.folder} holds embeddings of length {self.manifest.dim}; queries are {list(rows.shape)}, "
                "or not finite."
            )
        check_count("top", top, DataError)
        return rows

    def uses_captions(self, weight: float) -> bool:
        """Whether texts are compared with captions too.

        Args:
            weight: Weight of the captions.

        Returns:
            False where there are none, or their weight is 0.

        """
        return self.captions is not None and weight > 0

    def search_text_embedding(self, query: Any, top: int, caption_weight: float, *, fold: bool = False) -> list[Hit]:
        """Find the most similar images of a text, by themselves and by their captions; with captions always exactly.

        Args:
            query: The embedding [1, dim] of a text, a tensor or an array.
            top: Number of hits, >= 1.
            caption_weight: Weight of the captions, in [0, 1].
            fold: Whether images that are the same are shown once.

        Returns:
            Up to `top` hits, best first.

        Raises:
            DataError: As `search_embeddings`, or the weight is outside [0, 1].

        """
        if fold and self.manifest.alike and top >= 1:
            hits = self.search_text_embedding(query, top + count_copies(self.manifest.alike), caption_weight)
            return fold_hits(hits, self.root, self.paths, self.manifest.alike)[:top]
        if not self.uses_captions(check_weight(caption_weight)) or self.captions is None:
            return self.search_embeddings(query, top)[0]
        self._check(query, top)
        scores = self._score(query, caption_weight)
        order = np.argsort(-scores.total, kind="stable")[:top]
        return [make_hit(self.root / self.paths[row], scores, row, self.captions) for row in order.tolist()]

    def _score(self, query: Any, weight: float) -> Scores:
        """Scores of all images for a text, where there are captions."""
        assert self.captions is not None  # noqa: S101 (for the type checker)
        row = make_array(query)[0]
        image, caption = multiply(self.matrix, row), multiply(self.caption_matrix, row)
        if not np.isfinite(image).all() or not np.isfinite(caption).all():
            raise DataError(f"{self.folder} holds embeddings that are not finite. Remove it and index again.")
        return score_images(image, caption, self.captions.rows, weight, self.manifest.captions_usual)

    def _block(self, queries: Any, top: int) -> list[list[Hit]]:
        if self._graph is None or top >= DEEP:
            return [self._best(row, None, top) for row in multiply(queries, self.matrix.T)]
        rows = propose_rows(self._graph, self.numbers, queries, top)
        return [self._best(self.matrix[some] @ query, some, top) for query, some in zip(queries, rows, strict=True)]

    def _best(self, similarity: Any, rows: Any, top: int) -> list[Hit]:
        """Rank rows by similarity, best first; equal ones keep the order of the rows."""
        if not np.isfinite(similarity).all():
            raise DataError(f"{self.folder} holds embeddings that are not finite. Remove it and index again.")
        order = np.argsort(-similarity, kind="stable")[:top]
        places = order if rows is None else rows[order]
        return [
            Hit(self.root / self.paths[place], float(similarity[row]))
            for place, row in zip(places.tolist(), order.tolist(), strict=True)
        ]


def find_manifest(folder: Path) -> Path:
    """The file of an index that is written last, each time that it is written."""
    return find_index_folder(folder) / MANIFEST


def choose_out_folder(images: Path, out: Path | None) -> Path:
    """Return the folder of an index: `out`, or the default inside the folder of images."""
    return out or images / INSIDE


@dataclass(frozen=True)
class Changes:
    """Result of an update.

    Attributes:
        index: The index as it is now.
        encoded: Images that were encoded; a copy of one that was there already is not.
        added: Images that are new, or whose files changed.
        removed: Images that are gone.
        problems: One message for each file that was skipped.

    """

    index: Index
    encoded: int
    added: int
    removed: int
    problems: list[str]


def update_index(
    images: Path,
    model: Path,
    out: Path,
    *,
    follow_links: bool = False,
    captions: str | None = None,
    captions_language: str | None = None,
) -> Changes:
    """Create or update the index `out` of the images below `images` with the model of a run; resumes after an
    interruption.

    Args:
        images: Folder of images, searched recursively.
        model: Run folder of the model.
        out: Folder of the index.
        follow_links: Whether links that lead out of `images` are followed; an index that was made so keeps it.
        captions: Captions of the images: a table, a corpus, "beside" for files beside the images, or "none". By default
            what the index was made with, else "beside".
        captions_language: Code of captions that do not name their language. By default what the index was made with,
            else the first trained language in their script.

    Returns:
        The index and what changed.

    Raises:
        DataError: No image is found or can be read, `out` is not an index or is locked, it indexes other images, or the
            captions cannot be read.
        RunError: The index was made by another model.

    Example:
        >>> changes = update_index(Path("photos"), Path("runs/sw"), Path("photos/.polyclip-index"))
        >>> changes.index.search_embeddings(embedding, top=5)

    """
    from polyclip.search.build import update_files

    done = update_files(
        images, model, out, follow_links=follow_links, captions=captions, captions_language=captions_language
    )
    return Changes(Index.open(out, images, model), done.encoded, done.added, done.removed, done.problems)
