"""The indexes served and their models: each model is in memory once, and models on the same backbones share them.

Nothing here imports torch before a model is needed: the first texts are embedded without it.
"""

import logging
import re
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath
from threading import Lock, Timer
from typing import TYPE_CHECKING, Any

import anyio
import numpy as np
from PIL import Image

from polyclip.core.run_folder import read_settings
from polyclip.data.image_modes import convert_to_rgb
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, PolyclipError, RunError
from polyclip.languages.normalize import normalize_input
from polyclip.models.model_identity import hash_model
from polyclip.search.index import Index, find_manifest
from polyclip.search.quick import embed_text as embed_without_torch
from polyclip.search.quick.prepare import prepare
from polyclip.search.ranking import CAPTION_WEIGHT
from polyclip.search.results import Hit

if TYPE_CHECKING:
    from polyclip.models.aligner import PolyCLIP
    from polyclip.models.branch import Branch

LOG = logging.getLogger(__name__)
LATER = 1.0  # seconds after a first text that was embedded without the model, when it is loaded for the next ones
REST = 30.0  # seconds after the start, when it is loaded though nobody asked
Stamp = tuple[int, int] | None
REMEMBERED = 256  # embeddings of queries kept for each model: filters and "more" ask for the same again


class EncoderCache:
    """Backbones by identity, in the form that encodes fastest; threads may share it."""

    def __init__(self) -> None:
        self._built: dict[str, Any] = {}
        self._building = Lock()

    def get_encoder(self, branch: "Branch") -> Any:
        """Return a branch's backbone; a frozen one is built once for all models that use it."""
        with self._building:
            if not self.has_encoder(branch):
                self._built[get_key(branch)] = branch.running()
        return self._built[get_key(branch)]

    def has_encoder(self, branch: "Branch") -> bool:
        """Whether a branch's backbone is built."""
        return get_key(branch) in self._built


def get_key(branch: "Branch") -> str:
    """Return what a branch's backbone is kept under: a trained one is its own."""
    return branch.tower.identity if branch.encoder is None else f"live {id(branch)}"


class ServedModel:
    """An aligned model that embeds queries; not thread-safe."""

    def __init__(self, folder: Path, encoders: EncoderCache) -> None:
        self.folder, self.name = folder, folder.resolve().name
        self.trained = tuple(read_settings(folder)["languages"]) if (folder / "run.toml").is_file() else ()
        self._encoders = encoders
        self._recent: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._loaded: Any = None
        self._asked = False  # whether a text was embedded without the model
        self._loading = Lock()

    @property
    def aligner(self) -> "PolyCLIP":
        """The model, loaded when it is first asked for."""
        from polyclip.models.aligner import load_model

        with self._loading:
            if self._loaded is None:
                self._loaded = load_model(self.folder)
        return self._loaded

    def has_text_encoder(self) -> bool:
        """Whether the text encoder is built."""
        return self._loaded is not None and self._encoders.has_encoder(self._loaded.text)

    def embed_text(self, query: str, language: str) -> Any:
        """Embed a query, normalized by its language's pack.

        Args:
            query: The text.
            language: Code of its language.

        Returns:
            An array [1, dim].

        Raises:
            PolyclipError: The query is empty or the language has no pack.

        """
        key = (query, language)
        if key not in self._recent:
            text = normalize_input([query], language)[0]
            early = None if self.has_text_encoder() else self.embed_early(text)
            if early is not None and not self._asked:
                self._asked = True
                self.build_later(LATER)
            self._recent[key] = self._embed(self.aligner.text, [text]) if early is None else early
        self._recent.move_to_end(key)
        while len(self._recent) > REMEMBERED:
            self._recent.popitem(last=False)
        return self._recent[key]

    def embed_early(self, text: str) -> Any:
        """Embed a normalized text without the text encoder, as an array [1, dim]; None where that is not possible."""
        found = embed_without_torch(self.folder, text)
        return None if found is None else np.asarray(found)[None]

    def build_text_encoder(self) -> None:
        """Build the text encoder and encode with it once; threads may do so while texts are embedded early."""
        self._embed(self.aligner.text, ["warm"])

    def build_later(self, seconds: float) -> None:
        """Build the text encoder after so many seconds, in a thread; what is wrong with the model is logged."""

        def build() -> None:
            try:
                if not self.has_text_encoder():
                    self.build_text_encoder()
            except PolyclipError as error:
                LOG.error("model %s answers texts only: %s", self.name, error)

        builder = Timer(seconds, build)
        builder.daemon = True
        builder.start()

    def remember_texts(self, texts: Sequence[tuple[str, str]]) -> None:
        """Embed several texts in one batch for `embed_text`; those that cannot be read are left to it.

        Args:
            texts: Query and language of each; at most as many as are kept.

        """
        new: dict[tuple[str, str], str] = {}
        for query, language in texts:
            try:
                if (query, language) not in self._recent:
                    new[query, language] = normalize_input([query], language)[0]
            except PolyclipError:
                continue
        if len(new) > 1 and self.has_text_encoder():
            for key, row in zip(new, self._embed(self.aligner.text, list(new.values())), strict=True):
                self._recent[key] = row[None]

    def embed_image(self, image: Image.Image) -> Any:
        """Embed an image given by the user, as an array [1, dim]."""
        return self._embed(self.aligner.vision, [ImageSource("query", "", partial(convert_to_rgb, image))])

    def _embed(self, branch: "Branch", items: Sequence[Any]) -> Any:
        from polyclip.models import encoding

        encoder = self._encoders.get_encoder(branch)
        return branch.unit(encoding.encode_items(encoder, items, lambda rows: None)).numpy()


@dataclass(frozen=True, eq=False)
class Collection:
    """An index with its model; `name` is its part of URLs: letters, digits, `-`, `_` and `.`."""

    name: str
    index: Index
    model: ServedModel
    rows: dict[str, int]  # of each path
    folders: dict[str, int]  # every folder below the root, and how many images are in it and below
    stamp: Stamp  # of the index's manifest when it was opened
    caption_weight: float = CAPTION_WEIGHT

    def is_outdated(self) -> bool:
        """Whether the index was written again since it was opened."""
        return read_stamp(self.index.folder) not in (self.stamp, None)

    @property
    def label(self) -> str:
        """Display name of the collection."""
        return self.model.name if self.name == self.model.name else f"{self.model.name} ({self.name})"

    def find_row(self, hit: Hit) -> int:
        """Return the row of a hit.

        Raises:
            DataError: The path is not below the index's root.

        """
        root = self.index.root
        if not hit.path.is_relative_to(root):
            root = root.resolve()  # which asks the disk
        if hit.path.is_relative_to(root):
            return self.rows[hit.path.relative_to(root).as_posix()]
        raise DataError(
            f"The index answered with {hit.path}, which is not below {self.index.root}; make it again: polyclip index."
        )


@dataclass(frozen=True, eq=False)
class Catalog:
    """All collections that are served, in the given order."""

    collections: dict[str, Collection]
    _opening: set[str] = field(default_factory=set)

    @classmethod
    def open(cls, folders: Sequence[Path], caption_weight: float = CAPTION_WEIGHT) -> "Catalog":
        """Open indexes and load their models.

        Args:
            folders: Index folders, or folders of images that hold one.
            caption_weight: Weight of the captions, in [0, 1].

        Returns:
            The collections by name.

        Raises:
            DataError: An index cannot be opened.
            RunError: A run is gone or is not the one that made its index.

        """
        encoders = EncoderCache()
        models: dict[str, ServedModel] = {}
        found: dict[str, Collection] = {}
        for folder in folders:
            stamp, index = read_stamp(folder), Index.open(folder)
            key = identify_weights(index.model)
            if key not in models:
                models[key] = ServedModel(index.model, encoders)
            name = choose_name(folder, found)
            found[name] = make_collection(name, index, models[key], stamp, caption_weight)
        return cls(found)

    async def refresh(self) -> None:
        """Open indexes that were written again; requests under way keep the old ones.

        An index that cannot be opened, or is now of another model, is served as it was, and the log says so.
        """
        for name, each in list(self.collections.items()):
            if name not in self._opening and each.is_outdated():
                self._opening.add(name)
                try:
                    self.collections[name] = await anyio.to_thread.run_sync(reopen, each)
                finally:
                    self._opening.discard(name)

    def warm_up(self) -> None:
        """Build the text encoders that the first query needs, and others in a while."""
        for model in dict.fromkeys(collection.model for collection in self.collections.values()):
            if model.embed_early("warm") is None:
                model.build_text_encoder()
                prepare(model.folder)  # the next start is a quick one, where that is possible
            else:
                model.build_later(REST)


def make_collection(
    name: str, index: Index, model: ServedModel, stamp: Stamp, caption_weight: float = CAPTION_WEIGHT
) -> Collection:
    """A collection of an index; the stamp was read before the index was opened."""
    rows = {path: row for row, path in enumerate(index.paths)}
    return Collection(name, index, model, rows, count_by_folder(index.paths), stamp, caption_weight)


def reopen(each: Collection) -> Collection:
    """A collection with its index as it is now; as it was, with another stamp, where that cannot be served."""
    stamp = read_stamp(each.index.folder)
    try:
        index = Index.open(each.index.folder)
        if index.manifest.aligner != each.index.manifest.aligner:
            raise RunError(f"{each.index.folder} is now an index by another model; restart 'polyclip serve'.")
        return make_collection(each.name, index, each.model, stamp, each.caption_weight)
    except PolyclipError as error:
        LOG.warning("index %s is served as it was: %s", each.name, error)
        return replace(each, stamp=stamp)


def read_stamp(folder: Path) -> Stamp:
    """Time of change and size of an index's manifest; None where there is none."""
    try:
        facts = find_manifest(folder).stat()
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size


def identify_weights(run: Path) -> str:
    """Return a hash of a model's trained weights, the same wherever the run folder lies."""
    path = run / "aligner.safetensors"
    return hash_model(path) if path.is_file() else str(run)


def choose_name(folder: Path, taken: dict[str, Any]) -> str:
    """Return the folder's name as part of a URL, with a number where another index has it."""
    base = re.sub(r"[^\w.-]+", "-", folder.resolve().name, flags=re.ASCII).strip(".-") or "index"
    number = 1
    while (name := base if number == 1 else f"{base}-{number}") in taken:
        number += 1
    return name


def count_by_folder(paths: Sequence[str]) -> dict[str, int]:
    """Count the images in and below every folder, sorted by name."""
    counted: Counter[str] = Counter()
    for folder, images in Counter(path.rpartition("/")[0] for path in paths).items():
        own = PurePosixPath(folder)
        for place in (own, *own.parents):
            counted[str(place)] += images
    del counted["."]
    return dict(sorted(counted.items()))
