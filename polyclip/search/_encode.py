"""Decide which images of a folder have to be encoded, and encode them batch by batch; each batch is saved at once."""

import json
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from jaxtyping import Float
from PIL import Image
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from polyclip.core.json import parse_json
from polyclip.core.progress import Progress
from polyclip.core.storage import check_plain, write_atomically
from polyclip.core.text import describe_error
from polyclip.data.images import check_file_size, make_image_source
from polyclip.data.types import ImageSource
from polyclip.errors import DataError
from polyclip.models.aligner import PolyCLIP
from polyclip.search._format import Entry
from polyclip.search._images import BATCH, DecodeGuard, ImageEmbedder

KEYS = TypeAdapter(list[str])
FILES = TypeAdapter(list[tuple[str, int, int, str]])
FileState = tuple[str, int, int]  # path from the root, bytes, modification time in nanoseconds


@dataclass(frozen=True)
class KnownEmbeddings:
    """Embeddings by content hash, and the content hash of each file that was hashed before."""

    embeddings: dict[str, Tensor]
    keys: dict[FileState, str]


def read_file_state(root: Path, path: Path) -> FileState:
    """Return path, size and modification time of a file; content counts as unchanged while size and time are.

    Args:
        root: Folder of the images.
        path: A file below `root`.

    Returns:
        Path relative to `root`, size in bytes, and modification time in nanoseconds.

    Raises:
        DataError: The file cannot be read, is empty or is too large.

    """
    try:
        check_file_size(path)
        facts = path.stat()
    except (OSError, ValueError) as error:  # the latter for a name with a zero byte
        said = error.strerror if isinstance(error, OSError) else None
        raise DataError(f"{path}: cannot be read ({said or error}).") from error
    return path.relative_to(root).as_posix(), facts.st_size, facts.st_mtime_ns


def split_changed_files(
    root: Path, paths: Sequence[Path], entries: Sequence[Entry]
) -> tuple[list[Entry], list[Path], list[str]]:
    """Split a folder into unchanged index entries, new or changed files, and files that cannot be read.

    Args:
        root: Folder of the images.
        paths: All image files below it.
        entries: Rows of the index as it was.

    Returns:
        Entries whose file is unchanged, in their order; new or changed files; one message for each unreadable file.

    """
    old = {(entry.path, entry.size, entry.changed): entry for entry in entries}
    kept: set[FileState] = set()
    fresh, problems = [], []
    for path in paths:
        try:
            facts = read_file_state(root, path)
        except DataError as error:
            problems.append(str(error))
            continue
        if facts in old:
            kept.add(facts)
        else:
            fresh.append(path)
    return [entry for facts, entry in old.items() if facts in kept], fresh, problems


class IndexEncoder:
    """Encodes new images with one model and saves the embeddings in `parts` until the index is complete."""

    def __init__(
        self,
        aligner: PolyCLIP,
        digest: str,
        parts: Path,
        seen: Callable[[ImageSource, Image.Image], None] | None = None,
    ) -> None:
        self.digest, self.parts, self.seen = digest, parts, seen
        self._encoder = ImageEmbedder(aligner)

    def encode(
        self, root: Path, paths: Sequence[Path], known: KnownEmbeddings
    ) -> tuple[list[tuple[FileState, str]], list[str], int]:
        """Encode files whose content is not known yet and add the embeddings to `known`.

        Args:
            root: Folder of the images.
            paths: New or changed files.
            known: Embeddings that exist already; updated in place.

        Returns:
            Each readable file with its content hash, one message for each unreadable file, and the number of images
                encoded.

        Raises:
            WeightsError: The model returned values that are not finite.

        """
        found: list[tuple[FileState, str]] = []
        problems: list[str] = []
        encoded = 0
        with Progress("encoding images", len(paths)) as progress, ThreadPoolExecutor() as pool:
            for start in range(0, len(paths), BATCH):
                batch = list(pool.map(partial(look_up_image, root, known), paths[start : start + BATCH]))
                problems += [text for text in batch if isinstance(text, str)]
                pairs = [pair for pair in batch if not isinstance(pair, str)]
                new = list({image.key: image for _, image in pairs if image.key not in known.embeddings}.values())
                if new:
                    guard = self.encode_batch(new, pairs, known)
                    problems += [guard.describe(image) for _, image in pairs if image.key in guard.problems]
                    pairs = [pair for pair in pairs if pair[1].key not in guard.problems]
                    encoded += len(new) - len(guard.problems)
                found += [(facts, image.key) for facts, image in pairs]
                progress.advance(len(batch))
        return found, problems, encoded

    def encode_batch(
        self,
        new: Sequence[ImageSource],
        pairs: Sequence[tuple[FileState, ImageSource]],
        known: KnownEmbeddings,
    ) -> DecodeGuard:
        """Encode a batch and save it on disk and in `known`; returns what could not be decoded."""
        guard = DecodeGuard(self.seen)
        embeddings = self._encoder.embed(new, guard)
        good = [row for row, image in enumerate(new) if image.key not in guard.problems]
        if good:
            known.embeddings.update({new[row].key: embeddings[row].clone() for row in good})
            files = [[*facts, image.key] for facts, image in pairs if image.key in known.embeddings]
            facts = {
                "aligner": self.digest,
                "keys": json.dumps([new[row].key for row in good]),
                "files": json.dumps(files, ensure_ascii=False),
            }
            with write_atomically(
                self.parts / f"{choose_next_number(self.parts)}.safetensors", what="the index"
            ) as temporary:
                save_file({"vectors": embeddings[good].contiguous()}, temporary, metadata=facts)
        return guard


def look_up_image(root: Path, known: KnownEmbeddings, path: Path) -> tuple[FileState, ImageSource] | str:
    """Return a file with its content hash, hashed only where that is unknown; or a message why it cannot be read."""
    try:
        facts = read_file_state(root, path)
        image = make_image_source(path) if facts not in known.keys else None
        return facts, image or ImageSource(
            str(path), known.keys[facts], Image.Image
        )  # the latter is never opened: its embedding is known
    except DataError as error:
        return str(error)


def choose_next_number(folder: Path) -> int:
    """Return the smallest number that no file of the folder uses."""
    return next(number for number in count() if not (folder / f"{number}.safetensors").exists())


def read_parts(folder: Path, digest: str) -> Iterator[tuple[dict[str, Float[Tensor, " dim"]], dict[FileState, str]]]:
    """Yield embeddings and files that an interrupted run of this model saved; parts of other models are skipped.

    Args:
        folder: The index's `parts` folder.
        digest: Hash of the model (`hash_model`).

    Yields:
        Embeddings by content hash, and content hashes by file state, for each part.

    Raises:
        DataError: A part is damaged.

    """
    for path in sorted(folder.glob("*.safetensors")):
        try:
            check_plain(path)
            with safe_open(path, "pt") as handle:
                facts = handle.metadata() or {}
                embeddings = handle.get_tensor("vectors")
            if facts.get("aligner") != digest:
                continue
            keys = KEYS.validate_python(parse_json(facts["keys"]))
            files = FILES.validate_python(parse_json(facts["files"]))
            if embeddings.ndim != 2 or not embeddings.is_floating_point() or not embeddings.isfinite().all():
                raise ValueError(f"embeddings of shape {list(embeddings.shape)} that are not finite numbers")
            if not {key for *_, key in files} <= set(keys):
                raise ValueError("files without an embedding")
            found = dict(zip(keys, embeddings.float(), strict=True)), {tuple(state): key for *state, key in files}
        except (SafetensorError, KeyError, ValueError, OSError) as error:
            raise DataError(
                f"{path} is damaged ({describe_error(error)}). Remove it and run the same command again: its images "
                "are encoded again."
            ) from error
        yield found  # type: ignore[misc]  # three values of a file make its state
