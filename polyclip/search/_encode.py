"""Which pictures of a folder have to be encoded, and their vectors: batch by batch, each kept as soon as it is whole."""

import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path

import torch
from jaxtyping import Float
from PIL import Image
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from polyclip.core.progress import Progress
from polyclip.core.storage import writing
from polyclip.data.images import check_bytes, picture_of
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, WeightsError
from polyclip.models.aligner import PolyCLIP
from polyclip.models.feature_cache import in_batches
from polyclip.search._format import Entry

BATCH = 128  # pictures encoded before they are kept: what an interruption loses
Seen = tuple[str, int, int]  # path from the root, bytes, modification time in nanoseconds


@dataclass(frozen=True)
class Known:
    """Vectors of pictures by what their file holds, and which files have been seen to hold that."""

    vectors: dict[str, Tensor]
    keys: dict[Seen, str]


def seen(root: Path, path: Path) -> Seen:
    """A file as it is now: where neither size nor time changed, its content is taken for unchanged.

    Raises DataError where it cannot be looked at, is empty or too large.
    """
    try:
        check_bytes(path)
        facts = path.stat()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror or error}).") from error
    return path.relative_to(root).as_posix(), facts.st_size, facts.st_mtime_ns


def sorted_out(
    root: Path, paths: Sequence[Path], entries: Sequence[Entry]
) -> tuple[list[Entry], list[Path], list[str]]:
    """Entries whose file is unchanged, in their order; files that are new or changed; a sentence for each that cannot be read."""
    old = {(entry.path, entry.size, entry.changed): entry for entry in entries}
    kept: set[Seen] = set()
    fresh, problems = [], []
    for path in paths:
        try:
            facts = seen(root, path)
        except DataError as error:
            problems.append(str(error))
            continue
        if facts in old:
            kept.add(facts)
        else:
            fresh.append(path)
    return [entry for facts, entry in old.items() if facts in kept], fresh, problems


class Stopgap:
    """Lets one bad file not end a batch: it is decoded as a white point, and its row is dropped before anybody sees it."""

    def __init__(self) -> None:
        self.problems: dict[str, str] = {}

    def around(self, picture: ImageSource) -> ImageSource:
        """The same picture."""
        return replace(picture, open=partial(self.open, picture))

    def open(self, picture: ImageSource) -> Image.Image:
        """The picture, or a point and a note of what is wrong with it."""
        try:
            return picture.open()
        except DataError as error:
            self.problems[picture.key] = str(error)
            return Image.new("RGB", (1, 1), "white")


class Encoder:
    """Vectors of new pictures of one model, kept in `parts` until the index is whole."""

    def __init__(self, aligner: PolyCLIP, digest: str, parts: Path) -> None:
        self.aligner, self.digest, self.parts = aligner, digest, parts

    def encode(self, root: Path, paths: Sequence[Path], known: Known) -> tuple[list[tuple[Seen, str]], list[str], int]:
        """Each file that can be read with its key, a sentence for each that cannot, and how many pictures were really encoded.

        Their vectors are added to `known`. Raises WeightsError for a model that gives values that are not finite.
        """
        found: list[tuple[Seen, str]] = []
        problems: list[str] = []
        encoded, running = 0, None
        with Progress("encoding pictures", len(paths)) as progress, ThreadPoolExecutor() as pool:
            for start in range(0, len(paths), BATCH):
                batch = list(pool.map(partial(looked_up, root, known), paths[start : start + BATCH]))
                problems += [text for text in batch if isinstance(text, str)]
                pairs = [pair for pair in batch if not isinstance(pair, str)]
                new = list({picture.key: picture for _, picture in pairs if picture.key not in known.vectors}.values())
                if new:
                    running = running or self.aligner.vision.running()
                    bad = self.keep(new, pairs, known, running)
                    problems += [
                        bad[picture.key].replace(bad_name(new, picture), picture.name, 1)
                        for _, picture in pairs
                        if picture.key in bad
                    ]
                    pairs = [pair for pair in pairs if pair[1].key not in bad]
                    encoded += len(new) - len(bad)
                found += [(facts, picture.key) for facts, picture in pairs]
                progress.advance(len(batch))
        return found, problems, encoded

    def keep(
        self, new: Sequence[ImageSource], pairs: Sequence[tuple[Seen, ImageSource]], known: Known, running: object
    ) -> dict[str, str]:
        """Encode a batch, keep it on disk and in `known`; returns what is wrong with pictures that cannot be decoded, by key."""
        gap = Stopgap()
        with torch.inference_mode():
            vectors = self.aligner.vision.unit(
                in_batches(running, [gap.around(picture) for picture in new], lambda _: None)
            )
        good = [row for row, picture in enumerate(new) if picture.key not in gap.problems]
        if not vectors[good].isfinite().all():
            raise WeightsError(
                f"{self.aligner.vision.tower.name} gave values that are not finite for pictures; its weights are damaged."
            )
        if good:
            known.vectors.update({new[row].key: vectors[row].clone() for row in good})
            files = [[*facts, picture.key] for facts, picture in pairs if picture.key in known.vectors]
            facts = {
                "aligner": self.digest,
                "keys": json.dumps([new[row].key for row in good]),
                "files": json.dumps(files, ensure_ascii=False),
            }
            with writing(self.parts / f"{next_number(self.parts)}.safetensors", what="the index") as temporary:
                save_file({"vectors": vectors[good].contiguous()}, temporary, metadata=facts)
        return gap.problems


def bad_name(new: Sequence[ImageSource], picture: ImageSource) -> str:
    """Which of several files with the same bytes was tried."""
    return next(other.name for other in new if other.key == picture.key)


def looked_up(root: Path, known: Known, path: Path) -> tuple[Seen, ImageSource] | str:
    """A file with its content's key, hashed only where that is not known; or why it cannot be read."""
    try:
        facts = seen(root, path)
        picture = picture_of(path) if facts not in known.keys else None
        return facts, picture or ImageSource(
            str(path), known.keys[facts], Image.Image
        )  # the latter is never opened: its vector is there
    except DataError as error:
        return str(error)


def next_number(folder: Path) -> int:
    """The first number that no file of the folder has."""
    return next(number for number in count() if not (folder / f"{number}.safetensors").exists())


def read_parts(folder: Path, digest: str) -> Iterator[tuple[dict[str, Float[Tensor, " dim"]], dict[Seen, str]]]:
    """Vectors and files of what an interrupted run of this model kept; of another model nothing.

    Raises DataError for a damaged file.
    """
    for path in sorted(folder.glob("*.safetensors")):
        try:
            with safe_open(path, "pt") as handle:
                facts = handle.metadata() or {}
                vectors = handle.get_tensor("vectors")
            if facts.get("aligner") != digest:
                continue
            keys = json.loads(facts["keys"])
            yield (
                dict(zip(keys, vectors, strict=True)),
                {(name, size, changed): key for name, size, changed, key in json.loads(facts["files"])},
            )
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise DataError(
                f"{path} is damaged ({error}). Remove it and run the same command again: its pictures are encoded again."
            ) from error
