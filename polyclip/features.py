"""Everything below the first trainable parameter is computed once and kept.

One file per chunk of rows, named by what made it (tower, rows): an interrupted run continues with the chunks that are missing,
two runs over the same captions share them, and reading maps files instead of copying them.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyclip.errors import WeightsError
from polyclip.progress import Progress
from polyclip.records import Picture
from polyclip.storage import cache_folder, digest, writing
from polyclip.tower import Tower

CHUNK = 1024  # rows a file: a few seconds of work on a laptop is the most that an interruption loses


Meter = Callable[[int], None]  # receives the number of rows just done


def encode(tower: Tower, items: Sequence[str] | Sequence[Picture], what: str) -> Float[Tensor, "row dim"]:
    """Pooled float32 vectors of captions or pictures, in their order; from the cache where they are there.

    Equal items are computed once. Raises WeightsError for a damaged cache file or a value that is not finite, DataError for a
    picture that cannot be read, PolyclipError on a full disk.
    """
    keys = [item if isinstance(item, str) else item.key for item in items]
    first = {key: number for number, key in reversed(list(enumerate(keys)))}
    order = {key: row for row, key in enumerate(sorted(first, key=first.__getitem__))}
    unique = [items[first[key]] for key in order]
    chunks = [unique[start : start + CHUNK] for start in range(0, len(unique), CHUNK)]
    paths = [chunk_path(tower, chunk) for chunk in chunks]
    missing = [(chunk, path) for chunk, path in zip(chunks, paths, strict=True) if not path.exists()]
    if missing:
        compute(tower, missing, what)
    vectors = [read(path, tower) for path in paths]
    table = torch.cat(vectors) if vectors else torch.empty(0, tower.dim)
    return table if len(unique) == len(items) else table[[order[key] for key in keys]]


def chunk_path(tower: Tower, chunk: Sequence[str | Picture]) -> Path:
    """Cache file of a chunk."""
    rows = digest(*(f"text {item}" if isinstance(item, str) else f"picture {item.key}" for item in chunk))
    return cache_folder() / "features" / tower.identity[:16] / f"{rows[:32]}.safetensors"


def read(path: Path, tower: Tower) -> Float[Tensor, "row dim"]:
    """Vectors of one chunk, mapped from disk."""
    try:
        vectors = load_file(path)["vectors"]
    except Exception as error:  # safetensors raises its own type for a truncated header and for a wrong length
        raise WeightsError(f"{path} is damaged ({error}). Run 'polyclip cache clear' and try again.") from error
    if vectors.shape[1:] != (tower.dim,):
        raise WeightsError(f"{path} holds vectors of shape {tuple(vectors.shape[1:])}, {tower.name} makes ({tower.dim},). Run 'polyclip cache clear'.")
    return vectors


def compute(tower: Tower, missing: Sequence[tuple[Sequence[Any], Path]], what: str) -> None:
    """Build the tower, encode chunk by chunk, keep each chunk as soon as it is whole."""
    encoder = inference_form(tower.build())
    with Progress(f"encoding {what} with {tower.name}", sum(len(chunk) for chunk, _ in missing)) as progress:
        for chunk, path in missing:
            vectors = in_batches(encoder, chunk, progress.advance)
            if not vectors.isfinite().all():
                raise WeightsError(f"{tower.name} gave values that are not finite for {what}; its weights are damaged or do not fit it.")
            with writing(path, what="features") as temporary:
                save_file({"vectors": vectors}, temporary)


def inference_form(encoder: Any) -> Any:
    """The same function in the form that is fastest without gradients, where the encoder has one."""
    return encoder.folded() if hasattr(encoder, "folded") else encoder


def forward(encoder: Any, items: Sequence[Any], what: str) -> Float[Tensor, "row dim"]:
    """Vectors of `items` by an encoder that is already built; nothing is read from or written to the cache."""
    with Progress(f"encoding {what}", len(items)) as progress:
        return in_batches(inference_form(encoder), items, progress.advance)


def in_batches(encoder: Any, items: Sequence[Any], meter: Meter) -> Float[Tensor, "row dim"]:
    """Vectors of `items`, in batches of similar cost.

    On a CPU each core takes batches of its own, one thread each: these models' operations are too small to be shared among
    cores (1.3 to 1.8 times as fast as one batch on all cores; see benchmarks/).
    """
    out = torch.empty(len(items), encoder.dim)
    batches = in_budget(encoder.costs(items), encoder.budget)
    lock = threading.Lock()

    def work() -> None:
        torch.set_num_threads(1)
        with torch.inference_mode():
            while True:
                with lock:
                    batch = next(batches, None)
                if batch is None:
                    return
                inputs = encoder.prepare([items[row] for row in batch])
                out[batch] = encoder(**inputs).float()
                with lock:
                    meter(len(batch))

    threads = torch.get_num_threads()
    with ThreadPoolExecutor(threads) as pool:
        running = [pool.submit(work) for _ in range(threads)]
        for future in running:
            future.result()
    torch.set_num_threads(threads)
    return out


def in_budget(costs: Sequence[int], budget: int) -> Iterator[list[int]]:
    """Rows in batches, dearest first, each batch's padded cost (rows x dearest) within `budget` or a single row."""
    batch: list[int] = []
    for row in sorted(range(len(costs)), key=lambda row: -costs[row]):
        if batch and (len(batch) + 1) * costs[batch[0]] > budget:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
