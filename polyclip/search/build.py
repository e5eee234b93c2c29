"""Create or update an index: drop deleted files, encode new or changed ones, and reuse embeddings of moved ones."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from shutil import rmtree
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.run_folder import read_settings
from polyclip.core.storage import is_file
from polyclip.data.corpus import load_corpus
from polyclip.data.image_files import scan_folder
from polyclip.data.image_hash import record_fingerprints
from polyclip.errors import DataError
from polyclip.languages.normalize import find_pack, normalize_text
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.model_identity import hash_model
from polyclip.search._alike import group_alike
from polyclip.search._caption_embeddings import (
    IndexCaptions,
    encode_captions,
    measure_usual_cosines,
    read_index_captions,
)
from polyclip.search._caption_table import Caption, write_captions
from polyclip.search._embeddings import read_embeddings, write_embeddings
from polyclip.search._encode import FileState, IndexEncoder, KnownEmbeddings, read_parts, split_changed_files
from polyclip.search._examples import choose_examples
from polyclip.search._format import (
    BESIDE,
    MANIFEST,
    Entry,
    Graph,
    Manifest,
    check_out,
    lock_index,
    read_entries,
    read_manifest,
    write_entries,
    write_manifest,
)
from polyclip.search._origin import check_run
from polyclip.search.captions import CaptionSource, choose_source, find_captions
from polyclip.search.confidence import count_different
from polyclip.search.query import read_trained_languages

EXACT = 50_000  # rows from which on a graph proposes candidates
QUERIES = 200  # of each kind, to measure the recall of a graph


@dataclass(frozen=True)
class FileChanges:
    """What an update did: counts, and one message for each skipped file."""

    encoded: int
    added: int
    removed: int
    problems: list[str]


@dataclass(frozen=True)
class IndexRows:
    """All rows of an index that is being written, and the captions of its images."""

    entries: list[Entry]
    embeddings: Float[Tensor, "row dim"]
    next: int
    captions: IndexCaptions = IndexCaptions()


@dataclass(frozen=True)
class IndexSources:
    """What an index is made of: the folder of images, the run and the hash of its model."""

    root: Path
    model: Path
    digest: str
    follow_links: bool = False
    captions: CaptionSource = CaptionSource()


def update_files(
    images: Path,
    model: Path,
    out: Path,
    *,
    follow_links: bool = False,
    captions: str | None = None,
    captions_language: str | None = None,
) -> FileChanges:
    """Create or update the files of an index; arguments and errors are those of `polyclip.search.index.update_index`,
    which opens it afterwards.

    Returns:
        What changed.

    """
    root = images.resolve()
    check_out(out)
    made = read_manifest(out) if (out / MANIFEST).is_file() else None
    follow_links = follow_links or (made is not None and made.follow_links)
    source = choose_caption_source(made, captions, captions_language)
    paths, problems = scan_folder(root, follow_links=follow_links)
    names = [path.relative_to(root).as_posix() for path in paths]
    said, unsaid = find_captions(root, names, source, read_trained_languages(model), follow_links=follow_links)
    aligner = load_model(model)
    with lock_index(out):
        old = read_manifest(out) if (out / MANIFEST).is_file() else None
        rows, digest = read_rows(out, old, model), hash_model(model / "aligner.safetensors")
        kept, fresh, unread = split_changed_files(root, paths, rows.entries)
        check_same_images(old, kept, rows.entries, root, out)
        known = collect_known_embeddings(rows, out / "parts", digest)
        with record_fingerprints() as seen:
            found, bad, encoded = IndexEncoder(aligner, digest, out / "parts", seen).encode(root, fresh, known)
        problems = [*problems, *unread, *bad, *unsaid]
        if not kept and not found:
            raise DataError(f"None of the {len(paths)} images below {images} can be read; the first: {problems[0]}")
        added = number_files(found, rows.next)
        new = IndexRows(
            [*kept, *added],
            join_embeddings(rows, kept, [known.embeddings[entry.key] for entry in added]),
            rows.next + len(added),
            encode_captions(sort_captions(said, [*kept, *added]), rows.captions, aligner),
        )
        problems += write_index(out, old, new, IndexSources(root, model, digest, follow_links, source), aligner)
        rmtree(out / "parts", ignore_errors=True)
    gone = len({entry.path for entry in rows.entries} - {entry.path for entry in new.entries})
    return FileChanges(encoded, len(added), gone, problems)


def read_rows(out: Path, manifest: Manifest | None, model: Path) -> IndexRows:
    """Read the rows of an index as it is; none where there is no index yet.

    Raises:
        RunError: It was made by another model.

    """
    if manifest is None:
        return IndexRows([], torch.empty(0, 0), 0)
    check_run(model, manifest.aligner, out)
    entries = read_entries(out, manifest)
    captions = read_index_captions(out, manifest, [entry.path for entry in entries])
    return IndexRows(entries, read_embeddings(out, manifest), manifest.next, captions)


def number_files(found: Sequence[tuple[FileState, str]], first: int) -> list[Entry]:
    """Number encoded files, given by their state and content, from `first` on."""
    return [
        Entry(path=path, size=size, changed=changed, key=key, number=first + number)
        for number, ((path, size, changed), key) in enumerate(found)
    ]


def choose_caption_source(made: Manifest | None, place: str | None, language: str | None) -> CaptionSource:
    """Where captions come from: as asked for, else as the index was made, else beside the images."""
    return CaptionSource(
        place=choose_source(place) if place else made.captions_from if made else BESIDE,
        language=language if language is not None else made.captions_language if made else "",
    )


def sort_captions(captions: Sequence[Caption], entries: Sequence[Entry]) -> list[Caption]:
    """Captions of the rows of an index, in their order."""
    place = {entry.path: row for row, entry in enumerate(entries)}
    return sorted((one for one in captions if one.path in place), key=lambda one: place[one.path])


def collect_known_embeddings(rows: IndexRows, parts: Path, digest: str) -> KnownEmbeddings:
    """Collect the embeddings of the old index and of an interrupted run."""
    known = KnownEmbeddings(
        {entry.key: rows.embeddings[row] for row, entry in enumerate(rows.entries) if entry.key}, {}
    )
    for embeddings, files in read_parts(parts, digest):
        known.embeddings.update(embeddings)
        known.keys.update(files)
    return known


def check_same_images(
    old: Manifest | None, kept: Sequence[Entry], entries: Sequence[Entry], root: Path, out: Path
) -> None:
    """Check that the index is of this folder, or shares at least one image with it.

    Raises:
        DataError: The index is of another folder, and none of its images is in this one.

    """
    if old is None or kept or not entries or not old.present:
        return
    before = (out / old.root).resolve()
    if before != root and not any(is_file(root / entry.path) for entry in entries):
        raise DataError(
            f"{out} is the index of {before}, and none of its {len(entries):,} images is in {root}; give another --out."
        )


def join_embeddings(rows: IndexRows, kept: Sequence[Entry], new: Sequence[Tensor]) -> Float[Tensor, "row dim"]:
    """Concatenate the embeddings of rows that stay and of new rows."""
    place = {entry.number: row for row, entry in enumerate(rows.entries)}
    stay = rows.embeddings[[place[entry.number] for entry in kept]] if kept else None
    return torch.cat([part for part in (stay, torch.stack(list(new)) if new else None) if part is not None])


def write_index(out: Path, old: Manifest | None, rows: IndexRows, of: IndexSources, aligner: PolyCLIP) -> list[str]:
    """Write the next generation of the index; only the manifest where no row and no caption changed.

    Returns one sentence for each thing that could not be found out.
    """
    root, model = of.root, of.model
    facts: dict[str, Any] = {
        "root": "/".join([".."] * count_levels_below(out, root)) or str(root),
        "model": str(model.resolve()),
        "follow_links": of.follow_links,
        "captions_from": of.captions.place,
        "captions_language": of.captions.language,
        "present": sum(is_file(root / entry.path) for entry in rows.entries),
    }
    same = old is not None and old.next == rows.next and old.rows == len(rows.entries)
    facts["alike"], problems = (
        (old.alike, []) if old is not None and same and old.alike is not None else group_alike(root, rows.entries)
    )
    changed = not same or rows.captions.changed
    facts["examples"] = old.examples if old is not None and not changed else None
    if facts["examples"] is None:
        trained = read_trained_languages(model)
        own = place_captions(rows)
        facts["examples"] = choose_examples(rows.embeddings, rows.captions, own, aligner.encode_text, trained)
    if old is not None and not changed:
        write_manifest(out, old.model_copy(update=facts))
    else:
        write_generation(out, old, rows, of, aligner, facts)
    return problems


def write_generation(
    out: Path, old: Manifest | None, rows: IndexRows, of: IndexSources, aligner: PolyCLIP, facts: dict[str, Any]
) -> None:
    """Write the files of the next generation, and a manifest with these facts."""
    model, said = of.model, rows.captions
    manifest = Manifest(
        aligner=of.digest,
        dim=rows.embeddings.shape[1],
        rows=len(rows.entries),
        next=rows.next,
        generation=old.generation + 1 if old else 1,
        bytes={},
        different=count_different(rows.embeddings.numpy()),
        captions=len(said.captions),
        **facts,
    )
    write_embeddings(out / manifest.file_name("vectors"), rows.embeddings)
    write_entries(out / manifest.file_name("pictures"), rows.entries)
    graph = build_graph(out, old, manifest, rows, aligner, model) if len(rows.entries) >= EXACT else None
    kinds = ["vectors", "pictures", *(["graph"] if graph else [])]
    found: dict[str, Any] = {"graph": graph}
    if said.captions:
        found["captions_usual"] = write_index_captions(out, manifest, rows, aligner, model)
        kinds += ["captions", "caption_vectors"]
    names = [manifest.file_name(kind) for kind in kinds]
    write_manifest(
        out, manifest.model_copy(update=found | {"bytes": {name: (out / name).stat().st_size for name in names}})
    )


def write_index_captions(
    out: Path, manifest: Manifest, rows: IndexRows, aligner: PolyCLIP, model: Path
) -> tuple[float, float]:
    """Write captions and their embeddings; returns the usual mean and deviation of a query's cosine with captions."""
    own = place_captions(rows)
    write_captions(out / manifest.file_name("captions"), rows.captions.captions, own)
    write_embeddings(out / manifest.file_name("caption_vectors"), rows.captions.embeddings)
    return measure_usual_cosines(rows.captions, own, aligner.encode_text(load_query_names(model)), len(rows.entries))


def place_captions(rows: IndexRows) -> list[int]:
    """Row of the image of each caption."""
    place = {entry.path: row for row, entry in enumerate(rows.entries)}
    return [place[one.path] for one in rows.captions.captions]


def count_levels_below(out: Path, root: Path) -> int:
    """Return how many folders `out` lies below `root`; 0 where it does not."""
    place = out.resolve()
    return len(place.relative_to(root).parts) if place.is_relative_to(root) else 0


def build_graph(
    out: Path, old: Manifest | None, manifest: Manifest, rows: IndexRows, aligner: PolyCLIP, model: Path
) -> Graph:
    """Write the graph and measure its recall with images of the index and with concept names in the run's languages."""
    from polyclip.search._hnsw import measure_recall, save_graph, update_graph

    numbers = torch.tensor([entry.number for entry in rows.entries], dtype=torch.long)
    graph = update_graph(
        rows.embeddings, numbers, out / old.file_name("graph") if old is not None and old.graph is not None else None
    )
    save_graph(graph, out / manifest.file_name("graph"))
    step = max(1, len(rows.entries) // QUERIES)
    queries: Mapping[str, Tensor] = {
        "pictures": rows.embeddings[::step][:QUERIES],
        "texts": aligner.encode_text(load_query_names(model)),
    }
    return measure_recall(graph, rows.embeddings, numbers, queries)


def load_query_names(model: Path) -> list[str]:
    """Return emoji names in the run's languages that the starter corpus covers, else in English."""
    corpus = load_corpus("emoji")
    codes = read_settings(model)["languages"] if (model / "run.toml").is_file() else []
    have = [code for code in codes if code in corpus.reader.languages(corpus.folder)] or ["en"]
    texts = [
        normalize_text(row.captions[0], find_pack(code))
        for code in have
        for row in corpus.reader.read(corpus.folder, code, "test")
    ]
    return texts[:: max(1, len(texts) // QUERIES)][:QUERIES]
