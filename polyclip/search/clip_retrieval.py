"""Read and write the folder layout of clip-retrieval (https://github.com/rom1504/clip-retrieval,
clip_inference/writer.py).

`img_emb/img_emb_N.npy` and `text_emb/text_emb_N.npy` hold one row for each row of `metadata/metadata_N.parquet`, whose
columns
`image_path` and `caption` describe it. The layout does not name the model: we store it beside (`polyclip.json`); where
it is missing,
some images are encoded again and compared.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.json import parse_json
from polyclip.core.storage import check_plain, is_file, read_plain_text, write_atomically, write_text
from polyclip.core.text import describe_error
from polyclip.errors import DataError, PolyclipError
from polyclip.evaluation.zeroshot import normalize_embeddings
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.model_identity import hash_model
from polyclip.search._encode import read_file_state
from polyclip.search._format import MANIFEST, Entry, check_out, check_paths, lock_index
from polyclip.search._images import embed_files
from polyclip.search.build import IndexRows, IndexSources, write_index
from polyclip.search.index import Index

OURS = "polyclip.json"
CAPTIONS = 100_000  # bytes of a caption's file
CHECKED = 16  # images that are encoded again
SAME = 0.999  # cosine; half precision costs 1e-6


def export_index(index: Index, folder: Path, language: str = "") -> str:
    """Write an index in clip-retrieval's layout, in one part.

    Args:
        index: The index.
        folder: Folder to write; new, empty, or written by this function before.
        language: Code of the captions' language; "" for none.

    Returns:
        A sentence that says what was written. `text_emb` is written only where every image has a caption in a `.txt`
            file of its name.

    Raises:
        PolyclipError: The folder holds something else or cannot be written.

    """
    if folder.exists() and (
        not folder.is_dir()
        or any(path.name not in (OURS, "img_emb", "text_emb", "metadata") for path in folder.iterdir())
    ):
        raise PolyclipError(f"{folder} exists and is not a clip-retrieval folder; choose another one.")
    columns: dict[str, Any] = {"image_path": [str(index.root / path) for path in index.paths]}
    captions = [read_caption(index.root / path) for path in index.paths]
    lacking = sum(not caption for caption in captions)
    write_array(folder / "img_emb" / "img_emb_0.npy", index.embeddings.numpy())
    if not lacking:
        columns["caption"] = captions
        write_array(
            folder / "text_emb" / "text_emb_0.npy", index.load_aligner().encode_text(captions, language).numpy()
        )
    else:
        (folder / "text_emb" / "text_emb_0.npy").unlink(missing_ok=True)
    with write_atomically(folder / "metadata" / "metadata_0.parquet", what="the metadata") as temporary:
        pq.write_table(pa.table(columns), temporary)
    write_text(
        folder / OURS,
        json.dumps({"aligner": index.manifest.aligner, "dim": index.manifest.dim}) + "\n",
        what="which model it is",
    )
    texts = (
        "captions too"
        if not lacking
        else f"no text_emb: {lacking:,} of {len(index):,} images have no caption in a .txt file of their name"
    )
    return f"{len(index):,} images; {texts}"


def read_caption(image: Path) -> str:
    """Read the text file beside an image; empty where there is none.

    Raises:
        DataError: The file is not UTF-8 or too long.

    """
    path = image.with_suffix(".txt")
    if not path.is_file():
        return ""
    try:
        if path.stat().st_size > CAPTIONS:
            raise DataError(f"{path}: {path.stat().st_size:,} bytes, a caption has at most {CAPTIONS:,}.")
        return read_plain_text(path, "utf-8-sig").strip()
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text ({error}).") from error


def write_array(path: Path, array: np.ndarray) -> None:
    """Write an array atomically."""
    with write_atomically(path, what="vectors") as temporary, temporary.open("wb") as handle:
        np.save(handle, array, allow_pickle=False)


def import_embeddings(folder: Path, images: Path, model: Path, out: Path) -> tuple[Index, str]:
    """Create the index `out` from embeddings in clip-retrieval's layout that the run `model` made.

    Args:
        folder: Folder in clip-retrieval's layout.
        images: Folder of the images; paths in the metadata are relative to it, or absolute and below it.
        model: Run folder of the model.
        out: Folder of the new index.

    Returns:
        The index, and a sentence that says how the model was verified.

    Raises:
        DataError: The layout or the model differs, paths lead elsewhere, or `out` is an index already.

    """
    root = images.resolve()
    if not root.is_dir():
        raise DataError(f"{images} is not a folder; expected the folder of the images of {folder} are in.")
    check_out(out)
    aligner = load_model(model)
    embeddings, names = read_parts(folder)
    paths = [resolve_relative_path(name, root, folder) for name in names]
    if len(set(paths)) < len(paths):
        raise DataError(f"{folder} names an image twice: {next(path for path in paths if paths.count(path) > 1)}.")
    how = check_same_model(folder, model, aligner, [root / path for path in paths], embeddings)
    entries = [make_entry(root, path, number) for number, path in enumerate(paths)]
    with lock_index(out):
        if (out / MANIFEST).is_file():
            raise DataError(f"{out} is an index already; give another --out.")
        write_index(
            out,
            None,
            IndexRows(entries, embeddings, len(entries)),
            IndexSources(root, model, hash_model(model / "aligner.safetensors")),
            aligner,
        )
    return Index.open(out, images, model), how


def make_entry(root: Path, path: str, number: int) -> Entry:
    """Make a row whose image may be missing; its content hash is unknown, so later changes go unnoticed."""
    try:
        _, size, changed = read_file_state(root, root / path)
    except DataError:
        size, changed = -1, 0
    return Entry(path=path, number=number, size=size, changed=changed, key="")


def read_parts(folder: Path) -> tuple[Float[Tensor, "row dim"], list[str]]:
    """Read embeddings (normalized) and `image_path` of all parts, in order.

    Raises:
        DataError: There are no parts, or arrays and metadata do not match.

    """
    files = sorted((folder / "img_emb").glob("img_emb_*.npy"), key=parse_part_number)
    if not files:
        raise DataError(
            f"{folder} has no img_emb/img_emb_0.npy; expected a folder written by clip-retrieval's inference."
        )
    tables, names = [], []
    for path in files:
        array = read_array(path)
        some = read_names(folder / "metadata" / f"metadata_{path.stem.rpartition('_')[2]}.parquet")
        texts = folder / "text_emb" / f"text_emb_{path.stem.rpartition('_')[2]}.npy"
        if len(some) != len(array) or (texts.is_file() and len(read_array(texts)) != len(array)):
            raise DataError(
                f"{path} has {len(array):,} rows, but its metadata has {len(some):,}, or its text_emb another "
                "number; they belong together."
            )
        tables.append(torch.from_numpy(array))
        names += some
    if len({table.shape[1] for table in tables}) > 1:
        raise DataError(
            f"{folder / 'img_emb'} holds embeddings of several lengths: {sorted({table.shape[1] for table in tables})}."
        )
    return normalize_embeddings(torch.cat(tables), f"rows of {folder}"), names


def parse_part_number(path: Path) -> int:
    """Return the number at the end of a part's file name.

    Raises:
        DataError: There is none.

    """
    text = path.stem.rpartition("_")[2]
    if not text.isdecimal():
        raise DataError(f"{path} has no number at the end of its name; expected a name such as img_emb_0.npy.")
    return int(text)


def read_array(path: Path) -> np.ndarray:
    """Read embeddings [row, dim] as float32.

    Raises:
        DataError: The file is damaged, holds Python objects, or is not a matrix of floats.

    """
    try:
        check_plain(path)
        array = np.load(path, mmap_mode="r", allow_pickle=False)  # a header may name any size
    except Exception as error:  # numpy parses the header as Python, and raises what that raises
        raise DataError(f"{path} is damaged or not a plain array ({describe_error(error)}).") from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f" or not len(array):
        found = array.shape if isinstance(array, np.ndarray) else type(array).__name__
        raise DataError(f"{path}: expected rows of floating point numbers, found {found}.")
    return array.astype(np.float32)


def read_names(path: Path) -> list[str]:
    """Read the column `image_path`.

    Raises:
        DataError: There is none, or it has empty or non-text values.

    """
    try:
        names = pq.read_table(path, columns=["image_path"]).to_pydict()["image_path"]
    except (pa.ArrowException, OSError, KeyError, ValueError) as error:
        raise DataError(f"{path}: no column image_path can be read ({describe_error(error)}).") from error
    if not all(isinstance(name, str) and name for name in names):
        raise DataError(f"{path}: image_path is empty or not text in some rows.")
    return names


def resolve_relative_path(name: str, root: Path, folder: Path) -> str:
    """Return an image's path relative to the root.

    Raises:
        DataError: The path leads elsewhere.

    """
    path = Path(name)
    if path.is_absolute() and not path.is_relative_to(root):
        raise DataError(f"{folder} names {name}, which is not below {root}; give the folder of its images as DIR.")
    found = path.relative_to(root).as_posix() if path.is_absolute() else path.as_posix()
    check_paths([found], folder)
    return found


def check_same_model(
    folder: Path, model: Path, aligner: PolyCLIP, paths: Sequence[Path], embeddings: Float[Tensor, "row dim"]
) -> str:
    """Verify that `model` made the embeddings: by `polyclip.json`, else by encoding some images again.

    Args:
        folder: Folder in clip-retrieval's layout.
        model: Run folder.
        aligner: Its model.
        paths: Image file of each row.
        embeddings: Embeddings [row, dim].

    Returns:
        A sentence that says how this was verified.

    Raises:
        DataError: Another model made them, or there is no way to tell.

    """
    if embeddings.shape[1] != aligner.dim:
        raise DataError(
            f"{folder} was made by another model than {model}: its embeddings have length {embeddings.shape[1]}, "
            f"those of {model} {aligner.dim}."
        )
    mine = folder / OURS
    if mine.is_file():
        try:
            stated = parse_json(read_plain_text(mine))["aligner"]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DataError(
                f"{mine} is damaged ({error}); remove it, and images are encoded again to see which model made the "
                "vectors."
            ) from error
        if stated != (own := hash_model(model / "aligner.safetensors")):
            raise DataError(
                f"{folder} was made by another model than {model}: its aligner begins {str(stated)[:12]}, that of "
                f"{model} {own[:12]}."
            )
        return f"made by {model}, as {OURS} says"
    there = [row for row, path in enumerate(paths) if is_file(path)]
    rows = there[:: max(1, len(there) // CHECKED)][:CHECKED]
    found, recomputed, _ = embed_files(aligner, [paths[row] for row in rows], "some images again")
    if not found:
        raise DataError(
            f"{folder} does not say which model made it, and none of its images can be read to find out; give the "
            "folder of the images as DIR."
        )
    place = {paths[row]: row for row in rows}
    least = float((recomputed * embeddings[[place[path] for path in found]]).sum(1).min())
    if least < SAME:
        raise DataError(
            f"{folder} was made by another model than {model}, or of other images: encoded again, the cosine of one "
            f"of {len(found)} is {least:.4f}, "
            f"expected {SAME} or more."
        )
    return f"{len(found)} images encoded again have a cosine of {least:.6f} or more"
