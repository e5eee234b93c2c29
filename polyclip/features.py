"""Everything below the first trainable parameter is computed once and kept.

One file per chunk of rows, named by what made it (tower, rows): an interrupted run continues with the chunks that are missing,
two runs over the same captions share them, and reading maps files instead of copying them.
"""

import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, Int
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyclip.errors import WeightsError
from polyclip.progress import Progress
from polyclip.records import Picture
from polyclip.storage import cache_folder, digest, writing
from polyclip.tower import Tower

CHUNK = 1024  # rows a file: a few seconds of work on a laptop is the most that an interruption loses


Meter = Callable[[int], None]  # receives the number of rows just done


def encode(tower: Tower, items: Sequence[str] | Sequence[Picture], what: str, sections: Sequence[int] = ()) -> Float[Tensor, "row dim"]:
    """Pooled float32 vectors of captions or pictures, in their order; from the cache where they are there.

    `sections` are the lengths of runs that belong together, such as a language's captions or a style's pictures: no file of the cache
    holds rows of two, so that another choice of languages finds those it shares. Equal items of a section are computed once.
    Raises WeightsError for a damaged cache file or a value that is not finite, DataError for a picture that cannot be read,
    PolyclipError on a full disk.
    """
    if tower.parts:  # each part's features serve every other tower it is part of
        return torch.cat([encode(part, items, what, sections) for part in tower.parts], dim=1)
    plans = [plan(part) for part in split(items, sections)]
    paths = [[chunk_path(tower, chunk) for chunk in chunks] for chunks, _ in plans]
    wanted = {path: chunk for (chunks, _), found in zip(plans, paths, strict=True) for chunk, path in zip(chunks, found, strict=True)}
    missing = [(chunk, path) for path, chunk in wanted.items() if not path.exists()]
    if missing:
        compute(tower, missing, what)
    tables = [torch.cat([read(path, tower) for path in found])[order] for (_, order), found in zip(plans, paths, strict=True) if found]
    return torch.cat(tables) if tables else torch.empty(0, tower.dim)


def split(items: Sequence[Any], sections: Sequence[int]) -> list[Sequence[Any]]:
    """The runs of `items` whose lengths `sections` gives; all of them in one where it gives none."""
    ends = list(accumulate(sections or [len(items)]))
    return [items[end - length : end] for end, length in zip(ends, sections or [len(items)], strict=True)]


def plan(items: Sequence[Any]) -> tuple[list[Sequence[Any]], Int[Tensor, " row"]]:
    """Distinct items in chunks, and for each item the row where its vector will stand."""
    place: dict[str, int] = {}
    distinct: list[Any] = []
    for item in items:
        key = item if isinstance(item, str) else item.key
        if key not in place:
            place[key] = len(distinct)
            distinct.append(item)
    order = torch.tensor([place[item if isinstance(item, str) else item.key] for item in items], dtype=torch.long)
    return [distinct[start : start + CHUNK] for start in range(0, len(distinct), CHUNK)], order


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

    On a CPU each core takes batches of its own, one thread each: these models' operations are too small to be shared among cores.
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
