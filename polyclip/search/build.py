"""Bring an index up to date: what is gone is dropped, what is new or changed encoded, what is known kept, wherever it was moved to."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.run_folder import read_run
from polyclip.core.storage import sha256
from polyclip.data.corpus import load_corpus
from polyclip.data.images import look_through
from polyclip.errors import DataError
from polyclip.languages.normalize import normalise, pack_of
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.search import index as index_module
from polyclip.search._encode import Encoder, Known, read_parts, sorted_out
from polyclip.search._format import (
    MANIFEST,
    Entry,
    Graph,
    Manifest,
    check_out,
    locked,
    read_entries,
    read_manifest,
    read_vectors,
    write_entries,
    write_manifest,
    write_vectors,
)
from polyclip.search.index import Index, check_run

QUERIES = 200  # of each kind, by which the recall of a graph is measured


@dataclass(frozen=True)
class Changes:
    """The index and what happened to it; `problems` has a sentence for each file that was skipped."""

    index: Index
    encoded: int
    added: int
    removed: int
    problems: list[str]


@dataclass(frozen=True)
class Rows:
    """Everything of an index that is being written."""

    entries: list[Entry]
    vectors: Float[Tensor, "row dim"]
    next: int


def update(images: Path, model: Path, out: Path) -> Changes:
    """Make or update the index `out` of the pictures below `images` by the run `model`.

    An interrupted call goes on where it was. Raises DataError for a folder without pictures or with none that can be read, an `out` that is
    no index or another process is writing, or that is of other pictures; RunError for an index of another model.
    """
    root = images.resolve()
    paths, problems = look_through(root)
    check_out(out)
    aligner = load_model(model)
    with locked(out):
        old = read_manifest(out) if (out / MANIFEST).is_file() else None
        rows, digest = Rows([], torch.empty(0, 0), 0), sha256(model / "aligner.safetensors")
        if old is not None:
            check_run(model, old.aligner, out)
            rows = Rows(read_entries(out, old), read_vectors(out, old), old.next)
        kept, fresh, unread = sorted_out(root, paths, rows.entries)
        check_same_pictures(old, kept, rows.entries, root, out)
        known = known_vectors(rows, out / "parts", digest)
        found, bad, encoded = Encoder(aligner, digest, out / "parts").encode(root, fresh, known)
        numbered = [
            Entry(path=p, size=s, changed=c, key=k, number=rows.next + n) for n, ((p, s, c), k) in enumerate(found)
        ]
        problems = [*problems, *unread, *bad]
        if not kept and not numbered:
            raise DataError(f"None of the {len(paths)} pictures below {images} can be read; the first: {problems[0]}")
        new = Rows(
            [*kept, *numbered],
            joined(rows, kept, [known.vectors[entry.key] for entry in numbered]),
            rows.next + len(numbered),
        )
        write(out, old, new, root, model, digest, aligner)
        rmtree(out / "parts", ignore_errors=True)
    gone = len({entry.path for entry in rows.entries} - {entry.path for entry in new.entries})
    return Changes(Index.open(out, images, model), encoded, len(numbered), gone, problems)


def known_vectors(rows: Rows, parts: Path, digest: str) -> Known:
    """Vectors of the index as it was, and of what an interrupted call kept."""
    known = Known({entry.key: rows.vectors[row] for row, entry in enumerate(rows.entries) if entry.key}, {})
    for vectors, files in read_parts(parts, digest):
        known.vectors.update(vectors)
        known.keys.update(files)
    return known


def check_same_pictures(
    old: Manifest | None, kept: Sequence[Entry], entries: Sequence[Entry], root: Path, out: Path
) -> None:
    """Raises DataError where the index is of another folder, and none of its pictures is in this one."""
    if old is None or kept or not entries or not old.present:
        return
    before = (out / old.root).resolve()
    if before != root and not any((root / entry.path).is_file() for entry in entries):
        raise DataError(
            f"{out} is the index of {before}, and none of its {len(entries):,} pictures is in {root}; give another --out."
        )


def joined(rows: Rows, kept: Sequence[Entry], new: Sequence[Tensor]) -> Float[Tensor, "row dim"]:
    """Vectors of the rows that stay, then of the new ones."""
    place = {entry.number: row for row, entry in enumerate(rows.entries)}
    stay = rows.vectors[[place[entry.number] for entry in kept]] if kept else None
    return torch.cat([part for part in (stay, torch.stack(list(new)) if new else None) if part is not None])


def write(out: Path, old: Manifest | None, rows: Rows, root: Path, model: Path, digest: str, aligner: PolyCLIP) -> None:
    """The next generation of the index, the manifest last; only the manifest where no row changed."""
    facts: dict[str, Any] = {
        "root": "/".join([".."] * depth_below(out, root)) or str(root),
        "model": str(model.resolve()),
        "present": sum((root / entry.path).is_file() for entry in rows.entries),
    }
    if old is not None and old.next == rows.next and old.rows == len(rows.entries):
        write_manifest(out, old.model_copy(update=facts))
        return
    manifest = Manifest(
        aligner=digest,
        dim=rows.vectors.shape[1],
        rows=len(rows.entries),
        next=rows.next,
        generation=old.generation + 1 if old else 1,
        bytes={},
        **facts,
    )
    write_vectors(out / manifest.file("vectors"), rows.vectors)
    write_entries(out / manifest.file("pictures"), rows.entries)
    graph = linked(out, old, manifest, rows, aligner, model) if len(rows.entries) >= index_module.EXACT else None
    names = [manifest.file(kind) for kind in ("vectors", "pictures", *(["graph"] if graph else []))]
    write_manifest(
        out,
        manifest.model_copy(update={"graph": graph, "bytes": {name: (out / name).stat().st_size for name in names}}),
    )


def depth_below(out: Path, root: Path) -> int:
    """How many folders `out` lies below `root`; 0 where it does not."""
    place = out.resolve()
    return len(place.relative_to(root).parts) if place.is_relative_to(root) else 0


def linked(out: Path, old: Manifest | None, manifest: Manifest, rows: Rows, aligner: PolyCLIP, model: Path) -> Graph:
    """Write the graph and measure it: with pictures of the index, and with names of things in the languages of the run."""
    from polyclip.search._hnsw import grown, measured, saved

    numbers = torch.tensor([entry.number for entry in rows.entries], dtype=torch.long)
    graph = grown(rows.vectors, numbers, out / old.file("graph") if old is not None and old.graph is not None else None)
    saved(graph, out / manifest.file("graph"))
    step = max(1, len(rows.entries) // QUERIES)
    queries: Mapping[str, Tensor] = {
        "pictures": rows.vectors[::step][:QUERIES],
        "texts": aligner.encode_text(names_of_things(model)),
    }
    return measured(graph, rows.vectors, numbers, queries)


def names_of_things(model: Path) -> list[str]:
    """What people call emoji, in the languages of the run that the starter corpus has, else in English."""
    corpus = load_corpus("emoji")
    codes = read_run(model)["languages"] if (model / "run.toml").is_file() else []
    have = [code for code in codes if code in corpus.reader.languages(corpus.folder)] or ["en"]
    texts = [
        normalise(row.captions[0], pack_of(code))
        for code in have
        for row in corpus.reader.read(corpus.folder, code, "test")
    ]
    return texts[:: max(1, len(texts) // QUERIES)][:QUERIES]
