"""The indexes that are served, and the models that made them: each model in memory once, its towers shared with models on the same ones."""

import re
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

from jaxtyping import Float
from PIL import Image
from torch import Tensor

from polyclip.core.run_folder import read_run
from polyclip.core.storage import sha256
from polyclip.data.images import on_white
from polyclip.data.types import ImageSource
from polyclip.errors import DataError
from polyclip.languages.normalize import typed
from polyclip.models import feature_cache
from polyclip.models.aligner import load_model
from polyclip.models.branch import Branch
from polyclip.search.index import Hit, Index

REMEMBERED = 256  # vectors of queries kept for each model: filters and "more" ask for the same again


class Workshop:
    """Built towers by identity, in the form that encodes fastest."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}

    def encoder(self, side: Branch) -> Any:
        """The side's tower; one in which nothing is trained is built once for all models on it."""
        key = side.tower.identity if side.encoder is None else f"live {id(side)}"
        if key not in self._built:
            self._built[key] = side.running()
        return self._built[key]


class Model:
    """An aligned model that answers queries. Not for two threads at once."""

    def __init__(self, folder: Path, workshop: Workshop) -> None:
        self.folder, self.name = folder, folder.resolve().name
        self.aligner = load_model(folder)
        self.trained = tuple(read_run(folder)["languages"]) if (folder / "run.toml").is_file() else ()
        self._workshop = workshop
        self._recent: OrderedDict[tuple[str, str], Tensor] = OrderedDict()

    def text(self, query: str, language: str) -> Float[Tensor, "1 dim"]:
        """The unit vector of a query, normalised by the pack of its language. Raises what `typed` raises."""
        key = (query, language)
        if key not in self._recent:
            self._recent[key] = self._vector(self.aligner.text, typed([query], language))
        self._recent.move_to_end(key)
        while len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        return self._recent[key]

    def picture(self, image: Image.Image) -> Float[Tensor, "1 dim"]:
        """The unit vector of a picture."""
        return self._vector(self.aligner.vision, [ImageSource("query", "", partial(on_white, image))])

    def _vector(self, side: Branch, items: Sequence[Any]) -> Float[Tensor, "1 dim"]:
        return side.unit(feature_cache.in_batches(self._workshop.encoder(side), items, lambda rows: None))


@dataclass(frozen=True, eq=False)
class Collection:
    """An index with its model. `name` is its part of URLs: letters, digits, `-`, `_` and `.`."""

    name: str
    index: Index
    model: Model
    rows: dict[str, int]  # of each path
    folders: dict[str, int]  # every folder below the root, and how many pictures are in it and below

    @property
    def label(self) -> str:
        """What a person reads."""
        return self.model.name if self.name == self.model.name else f"{self.model.name} ({self.name})"

    def row(self, hit: Hit) -> int:
        """The row of a hit. Raises DataError for a path that is not below the index' root."""
        for root in (self.index.root, self.index.root.resolve()):
            if hit.path.is_relative_to(root):
                return self.rows[hit.path.relative_to(root).as_posix()]
        raise DataError(
            f"The index answered with {hit.path}, which is not below {self.index.root}; make it again: polyclip index."
        )


@dataclass(frozen=True, eq=False)
class Shelf:
    """Everything that is served, in the order it was given in."""

    collections: dict[str, Collection]

    @classmethod
    def open(cls, folders: Sequence[Path]) -> "Shelf":
        """Open indexes and load their models. Raises what `Index.open` and `load_model` raise."""
        workshop = Workshop()
        models: dict[str, Model] = {}
        found: dict[str, Collection] = {}
        for folder in folders:
            index = Index.open(folder)
            key = weights_of(index.model)
            if key not in models:
                models[key] = Model(index.model, workshop)
            name = free_name(folder, found)
            rows = {path: row for row, path in enumerate(index.paths)}
            found[name] = Collection(name, index, models[key], rows, folders_of(index.paths))
        return cls(found)

    def warm(self) -> None:
        """Build the text towers, so that the first person who asks does not wait for them."""
        for collection in self.collections.values():
            collection.model.text("warm", "")


def weights_of(run: Path) -> str:
    """What makes two models the same one: their trained parts, wherever they lie."""
    path = run / "aligner.safetensors"
    return sha256(path) if path.is_file() else str(run)


def free_name(folder: Path, taken: dict[str, Any]) -> str:
    """The folder's own name as part of a URL, with a number where another index has it."""
    base = re.sub(r"[^\w.-]+", "-", folder.resolve().name, flags=re.ASCII).strip(".-") or "index"
    number = 1
    while (name := base if number == 1 else f"{base}-{number}") in taken:
        number += 1
    return name


def folders_of(paths: Sequence[str]) -> dict[str, int]:
    """Every folder that has pictures in it or below, with their number, sorted."""
    counted = Counter(str(parent) for path in paths for parent in PurePosixPath(path).parents if str(parent) != ".")
    return dict(sorted(counted.items()))
