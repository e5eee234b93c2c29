"""Everything below the first trainable parameter is computed once and kept.

One file per chunk of rows, named by what made it (encoder, rows): an interrupted run continues with the chunks that are
missing, two runs over the same captions share them, and reading maps files instead of copying them.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from random import randrange
from types import MappingProxyType
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from safetensors.torch import save_file
from torch import Tensor

from polyclip.core import distributed
from polyclip.core.device import current_device
from polyclip.core.encode_precision import current_encode_precision
from polyclip.core.progress import Progress
from polyclip.core.storage import write_atomically
from polyclip.data.types import ImageSource
from polyclip.errors import WeightsError
from polyclip.models.backbone import BackboneSpec
from polyclip.models.batches import get_device, use_batch_size
from polyclip.models.encoding import (
    build_encoder,
    encode_items,
    encode_states,
    finish_states,
    get_inference_form,
)
from polyclip.models.feature_files import (
    POOLED,
    check_states,
    count_rows,
    find_rows,
    get_folder,
    get_key,
    name_chunk,
    pack_states,
    plan_chunks,
    split_sections,
    unpack_state,
    vectors_of,
)
from polyclip.models.finite import describe_damaged
from polyclip.models.trunk import State

NOTHING: Mapping[str, dict[str, Tensor]] = MappingProxyType({})
_remembered = ContextVar("_remembered", default=NOTHING)  # features by tower and item, see `remember`
_built: ContextVar[dict[str, Any] | None] = ContextVar("_built", default=None)  # see `keep_encoders`


def encode(
    tower: BackboneSpec, items: Sequence[str] | Sequence[ImageSource], what: str, sections: Sequence[int] = ()
) -> Float[Tensor, "row dim"]:
    """Features of captions or images, read from the cache where they are there and kept in it where they are not.

    Args:
        tower: The frozen encoder.
        items: Captions or image sources; equal ones of a section are computed once.
        what: What is encoded, for the progress bar and errors.
        sections: Lengths of runs that belong together, such as a language's captions or a style's images. No file of
            the cache holds rows of two, so that another choice of languages finds those it shares.

    Returns:
        Pooled float32 features, one row an item, in their order.

    Raises:
        WeightsError: A file of the cache is damaged, or a value is not finite.
        DataError: An image cannot be read.
        PolyclipError: The disk is full.

    """
    if tower.parts:  # each part's features serve every other tower it is part of
        return torch.cat([encode(part, items, what, sections) for part in tower.parts], dim=1)
    known = _remembered.get().get(name_memory(tower), {})
    if known and items:
        absent: dict[str, Any] = {key: item for item in items if (key := get_key(item)) not in known}
        with forget():
            rest: list[Any] = list(absent.values())
            found = known | dict(zip(absent, encode(tower, rest, what), strict=True))
        return torch.stack([found[get_key(item)] for item in items])
    tables = [
        torch.cat([vectors_of(path, tower, rows) for path, rows in zip(paths, count_rows(order), strict=True)])[order]
        for paths, order in ensure_cached(tower, POOLED, items, what, sections)
        if paths
    ]
    return torch.cat(tables) if tables else torch.empty(0, tower.dim)


@contextmanager
def remember(tower: BackboneSpec, items: Sequence[Any], what: str, sections: Sequence[int] = ()) -> Iterator[None]:
    """Encode items, and give their features to every `encode` inside the block, however they are grouped there.

    Files of the cache hold runs of items: without this each fold of a corpus would encode its captions again.

    Args:
        tower: The frozen encoder.
        items: Captions or image sources.
        what: What is encoded, for the progress bar and errors.
        sections: As in `encode`.

    """
    if tower.parts:
        with ExitStack() as stack:
            for part in tower.parts:
                stack.enter_context(remember(part, items, what, sections))
            yield
        return
    table = encode(tower, items, what, sections)
    own = {get_key(item): row for item, row in zip(items, table, strict=True)}
    before = _remembered.get()
    token = _remembered.set({**before, name_memory(tower): before.get(name_memory(tower), {}) | own})
    try:
        yield
    finally:
        _remembered.reset(token)


@contextmanager
def forget() -> Iterator[None]:
    """Encode as if nothing were remembered."""
    token = _remembered.set(NOTHING)
    try:
        yield
    finally:
        _remembered.reset(token)


def name_memory(tower: BackboneSpec) -> str:
    """Name of what is remembered of an encoder in the format that it is run in now."""
    return f"{tower.identity} {current_encode_precision()}"


@dataclass(frozen=True)
class States:
    """Hidden states of many items at one position of a trunk, mapped from disk and joined when a batch is asked for."""

    tower: BackboneSpec
    position: int
    rows: list[tuple[Path, int]]  # file and row of each item

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, row: int) -> State:
        """The state of one item."""
        path, number = self.rows[row]
        return unpack_state(path, number)


def states(
    tower: BackboneSpec,
    position: int,
    items: Sequence[str] | Sequence[ImageSource],
    what: str,
    sections: Sequence[int] = (),
) -> States:
    """Hidden states of items at a position of the frozen encoder's trunk, from the cache where they are there.

    Args:
        tower: The frozen encoder.
        position: Layers of the trunk that are run.
        items: Captions or image sources.
        what: What is encoded, for the progress bar and errors.
        sections: As in `encode`.

    Returns:
        One state an item, in their order.

    Raises:
        WeightsError: As `encode` does.

    """
    found = ensure_cached(tower, position, items, what, sections)
    for paths, order in found:
        for path, rows in zip(paths, count_rows(order) if paths else [], strict=True):
            check_states(path, rows)
    return States(tower, position, [place for paths, order in found for place in find_rows(paths, order)])


def ensure_cached(
    tower: BackboneSpec, position: int, items: Sequence[Any], what: str, sections: Sequence[int]
) -> list[tuple[list[Path], Int[Tensor, " row"]]]:
    """For each section its cache files, all of which exist now, and the row of each item in them."""
    plans = [plan_chunks(part) for part in split_sections(items, sections)]
    folder = get_folder(tower, position)
    paths = [[folder / name_chunk(chunk) for chunk in chunks] for chunks, _ in plans]
    wanted = {
        path: chunk
        for (chunks, _), found in zip(plans, paths, strict=True)
        for chunk, path in zip(chunks, found, strict=True)
    }
    places = distributed.broadcast(
        [place for place, path in enumerate(wanted) if not path.exists()]
    )  # others may see what was written meanwhile
    every = list(wanted.items())
    absent = [(every[place][1], every[place][0]) for place in places]
    if absent:
        own = distributed.share_items(absent)
        if own:
            compute(tower, own, what, position)
        distributed.wait_for(absent[-1][1])
    return [(found, order) for (_, order), found in zip(plans, paths, strict=True)]


def missing(tower: BackboneSpec, position: int, items: Sequence[Any], sections: Sequence[int] = ()) -> int:
    """How many rows `states` would have to compute for these items."""
    chunks = [chunk for part in split_sections(items, sections) for chunk in plan_chunks(part)[0]]
    folder = get_folder(tower, position)
    return sum(len(chunk) for chunk in chunks if not (folder / name_chunk(chunk)).exists())


def compute(tower: BackboneSpec, missing: Sequence[tuple[Sequence[Any], Path]], what: str, position: int) -> None:
    """Build the tower, encode chunk by chunk, keep each chunk as soon as it is whole.

    Other programs may be at the same chunks: each begins at one of its own, and skips those that exist by then.
    """
    encoder = get_encoder(tower)
    first = randrange(len(missing))
    turn = (*missing[first:], *missing[:first])
    with (
        Progress(f"encoding {what} with {tower.name}", sum(len(chunk) for chunk, _ in missing)) as progress,
        torch.inference_mode(),
    ):
        for chunk, path in turn:
            if path.exists():
                progress.advance(len(chunk))
                continue
            if position == POOLED:
                found = encode_items(encoder, chunk, progress.advance)
                tensors, finite = {"vectors": found}, find_finite(encoder, chunk, found)
            else:
                rows = encode_states(encoder, chunk, position, progress.advance)
                finite = torch.tensor([all(tensor.isfinite().all() for tensor in row.values()) for row in rows])
                tensors = pack_states(rows)
            if bad := describe_damaged(finite, chunk, what):
                raise WeightsError(
                    f"{tower.name} gave NaN or infinity for {bad}; its weights are damaged or do not fit, or overflow: "
                    "try --encode-precision fp32."
                )
            with write_atomically(path, what="features") as temporary:
                save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, temporary)


@contextmanager
def keep_encoders() -> Iterator[None]:
    """Build each frozen encoder once within the block, on a CPU, rather than for each kind of items."""
    token = _built.set({})
    try:
        yield
    finally:
        _built.reset(token)


def get_encoder(tower: BackboneSpec) -> Any:
    """A frozen encoder: one that was built before in the block of `keep_encoders`, or a new one."""
    built = _built.get()
    if built is None or current_device().type != "cpu":  # the memory of a GPU is for the model that is trained
        return build_encoder(tower)
    name = name_memory(tower)
    if name not in built:
        built[name] = build_encoder(tower)
    return built[name]


def find_finite(encoder: Any, items: Sequence[Any], found: Float[Tensor, "row dim"]) -> Bool[Tensor, " row"]:
    """Find which items have finite features; those that are not are encoded again, each by itself.

    Captions of a batch are encoded without padding between them, so that NaN in one reaches the others.
    """
    finite = found.isfinite().all(dim=1)
    bad = (~finite).nonzero()[:, 0].tolist()
    if bad:
        with use_batch_size(1):
            alone = encode_items(encoder, [items[row] for row in bad], lambda rows: None)
        finite[bad] = alone.isfinite().all(dim=1)
        finite[bad[0]] &= not finite.all()  # where none is at fault by itself
    return finite


def forward(encoder: Any, items: Sequence[Any], what: str) -> Float[Tensor, "row dim"]:
    """Encode items past the cache with an encoder that is already built; several processes share the work.

    Args:
        encoder: A built encoder.
        items: Captions, or image sources.
        what: What is encoded, for the progress bar.

    Returns:
        Features in float32 on the CPU, one row an item.

    """
    mine = items[distributed.get_own_rows(len(items))]
    with Progress(f"encoding {what}", len(mine)) as progress:
        form = get_inference_form(encoder, current_encode_precision(get_device(encoder)))
        found = encode_items(form, mine, progress.advance)
    return distributed.gather_rows(found, distributed.count_own_rows(len(items)))


def finish(encoder: Any, found: States, what: str) -> Float[Tensor, "row dim"]:
    """Features of items whose hidden states are kept: only what lies above the cut is run, by several processes."""
    mine = range(len(found))[distributed.get_own_rows(len(found))]
    rows = [found[row] for row in mine]
    return distributed.gather_rows(
        finish_states(encoder, rows, found.position, what), distributed.count_own_rows(len(found))
    )
