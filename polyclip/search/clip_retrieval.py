"""The folder layout of clip-retrieval (https://github.com/rom1504/clip-retrieval, clip_inference/writer.py): other tools read and write it.

`img_emb/img_emb_N.npy` and `text_emb/text_emb_N.npy` hold a row each for every row of `metadata/metadata_N.parquet`, whose columns `image_path`
and `caption` say what it is. The layout does not say which model made the vectors: we write that beside it (`polyclip.json`), and where it is
not said, pictures are encoded again and compared before anything is believed.
"""

import io
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

from polyclip.core.storage import sha256, write_text, writing
from polyclip.data.images import readable
from polyclip.errors import DataError, PolyclipError
from polyclip.evaluation.zeroshot import unit
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.search._encode import seen
from polyclip.search._format import MANIFEST, Entry, check_out, check_paths, locked
from polyclip.search.build import Rows, write
from polyclip.search.index import Index

OURS = "polyclip.json"
CAPTIONS = 100_000  # bytes of a caption's file
CHECKED = 16  # pictures that are encoded again
SAME = 0.999  # cosine; half precision costs 1e-6


def export(index: Index, folder: Path, language: str = "") -> str:
    """Write the layout, in one part; returns a sentence on what is in it.

    `text_emb` is written where every picture has its caption beside it, in a text file of its name (the input layout of clip-retrieval).
    Raises PolyclipError where the folder holds something else or cannot be written.
    """
    if folder.exists() and (
        not folder.is_dir()
        or any(path.name not in (OURS, "img_emb", "text_emb", "metadata") for path in folder.iterdir())
    ):
        raise PolyclipError(
            f"{folder} exists and holds something else than clip-retrieval's folders; give another one."
        )
    columns: dict[str, Any] = {"image_path": [str(index.root / path) for path in index.paths]}
    captions = [caption_of(index.root / path) for path in index.paths]
    lacking = sum(not caption for caption in captions)
    write_array(folder / "img_emb" / "img_emb_0.npy", index.vectors.numpy())
    if not lacking:
        columns["caption"] = captions
        write_array(folder / "text_emb" / "text_emb_0.npy", index.aligner().encode_text(captions, language).numpy())
    else:
        (folder / "text_emb" / "text_emb_0.npy").unlink(missing_ok=True)
    with writing(folder / "metadata" / "metadata_0.parquet", what="the metadata") as temporary:
        pq.write_table(pa.table(columns), temporary)
    write_text(
        folder / OURS,
        json.dumps({"aligner": index.manifest.aligner, "dim": index.manifest.dim}) + "\n",
        what="which model it is",
    )
    texts = (
        "captions too"
        if not lacking
        else f"no text_emb: {lacking:,} of {len(index):,} pictures have no caption in a .txt file of their name"
    )
    return f"{len(index):,} pictures; {texts}"


def caption_of(picture: Path) -> str:
    """What stands in the text file beside a picture; empty where there is none.

    Raises DataError for one that is not UTF-8 or too long.
    """
    path = picture.with_suffix(".txt")
    if not path.is_file():
        return ""
    try:
        if path.stat().st_size > CAPTIONS:
            raise DataError(f"{path}: {path.stat().st_size:,} bytes, a caption has at most {CAPTIONS:,}.")
        return path.read_text("utf-8-sig").strip()
    except (UnicodeDecodeError, OSError) as error:
        raise DataError(f"{path} cannot be read as UTF-8 text ({error}).") from error


def write_array(path: Path, array: np.ndarray) -> None:
    """Whole or not at all."""
    with writing(path, what="vectors") as temporary, temporary.open("wb") as handle:
        np.save(handle, array, allow_pickle=False)


def take_over(folder: Path, images: Path, model: Path, out: Path) -> tuple[Index, str]:
    """Make the index `out` of vectors that the run `model` made elsewhere; returns it with a sentence on how that was checked.

    Paths of pictures are absolute and below `images`, or relative to it. Raises DataError for a folder of another layout or of another model,
    paths that lead elsewhere, and an `out` that already is an index.
    """
    root = images.resolve()
    if not root.is_dir():
        raise DataError(f"{images} is no folder; expected the one that the pictures of {folder} are in.")
    check_out(out)
    aligner = load_model(model)
    vectors, names = read_parts(folder)
    paths = [relative(name, root, folder) for name in names]
    if len(set(paths)) < len(paths):
        raise DataError(f"{folder} names a picture twice: {next(path for path in paths if paths.count(path) > 1)}.")
    how = same_model(folder, model, aligner, [root / path for path in paths], vectors)
    entries = [entry(root, path, number) for number, path in enumerate(paths)]
    with locked(out):
        if (out / MANIFEST).is_file():
            raise DataError(f"{out} is an index already; give another --out.")
        write(
            out, None, Rows(entries, vectors, len(entries)), root, model, sha256(model / "aligner.safetensors"), aligner
        )
    return Index.open(out, images, model), how


def entry(root: Path, path: str, number: int) -> Entry:
    """A row whose picture may be there or not; what it holds is not known, so that a change since then is not seen."""
    try:
        _, size, changed = seen(root, root / path)
    except DataError:
        size, changed = -1, 0
    return Entry(path=path, number=number, size=size, changed=changed, key="")


def read_parts(folder: Path) -> tuple[Float[Tensor, "row dim"], list[str]]:
    """Unit vectors and `image_path` of all parts, in their order.

    Raises DataError where there are none, or arrays and metadata do not belong together.
    """
    files = sorted((folder / "img_emb").glob("img_emb_*.npy"), key=number_of)
    if not files:
        raise DataError(
            f"{folder} has no img_emb/img_emb_0.npy; expected the folder that clip-retrieval's inference writes."
        )
    tables, names = [], []
    for path in files:
        array = read_array(path)
        some = read_names(folder / "metadata" / f"metadata_{path.stem.rpartition('_')[2]}.parquet")
        texts = folder / "text_emb" / f"text_emb_{path.stem.rpartition('_')[2]}.npy"
        if len(some) != len(array) or (texts.is_file() and len(read_array(texts)) != len(array)):
            raise DataError(
                f"{path} has {len(array):,} rows, but its metadata has {len(some):,}, or its text_emb another number; they belong together."
            )
        tables.append(torch.from_numpy(array))
        names += some
    if len({table.shape[1] for table in tables}) > 1:
        raise DataError(
            f"{folder / 'img_emb'} holds vectors of several lengths: {sorted({table.shape[1] for table in tables})}."
        )
    return unit(torch.cat(tables), f"rows of {folder}"), names


def number_of(path: Path) -> int:
    """The number at the end of a part's name.

    Raises DataError where there is none.
    """
    text = path.stem.rpartition("_")[2]
    if not text.isdecimal():
        raise DataError(f"{path} has no number at the end of its name; expected such as img_emb_0.npy.")
    return int(text)


def read_array(path: Path) -> np.ndarray:
    """Vectors [row, dim] as float32.

    Raises DataError for a file that is damaged, holds Python objects, or no table of floating point numbers.
    """
    try:
        array = np.load(io.BytesIO(path.read_bytes()), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise DataError(f"{path} is damaged or no plain array ({error}).") from error
    if not isinstance(array, np.ndarray) or array.ndim != 2 or array.dtype.kind != "f" or not len(array):
        raise DataError(
            f"{path}: expected rows of floating point numbers, found {getattr(array, 'shape', type(array).__name__)}."
        )
    return array.astype(np.float32)


def read_names(path: Path) -> list[str]:
    """The column `image_path`.

    Raises DataError where there is none.
    """
    try:
        names = pq.read_table(path, columns=["image_path"]).to_pydict()["image_path"]
    except (pa.ArrowException, OSError, KeyError) as error:
        raise DataError(f"{path}: no column image_path can be read ({error}).") from error
    if not all(isinstance(name, str) and name for name in names):
        raise DataError(f"{path}: image_path is empty or no text in some rows.")
    return names


def relative(name: str, root: Path, folder: Path) -> str:
    """A picture's path from the root.

    Raises DataError for one that leads elsewhere.
    """
    path = Path(name)
    if path.is_absolute() and not path.is_relative_to(root):
        raise DataError(
            f"{folder} names {name}, which is not below {root}; give the folder that its pictures are in as DIR."
        )
    found = path.relative_to(root).as_posix() if path.is_absolute() else path.as_posix()
    check_paths([found], folder)
    return found


def same_model(
    folder: Path, model: Path, aligner: PolyCLIP, paths: Sequence[Path], vectors: Float[Tensor, "row dim"]
) -> str:
    """How it is known that `model` made the vectors: by the file we write, else by encoding some of the pictures again.

    Raises DataError where it did not make them, or where nothing is left to tell.
    """
    mine = folder / OURS
    if mine.is_file():
        try:
            stated = json.loads(mine.read_text("utf-8"))["aligner"]
        except (ValueError, KeyError, TypeError, OSError) as error:
            raise DataError(
                f"{mine} is damaged ({error}); remove it, and pictures are encoded again to see which model made the vectors."
            ) from error
        if stated != (own := sha256(model / "aligner.safetensors")):
            raise DataError(
                f"{folder} was made by another model than {model}: its aligner begins {str(stated)[:12]}, that of {model} {own[:12]}."
            )
        return f"made by {model}, as {OURS} says"
    there = [row for row, path in enumerate(paths) if path.is_file()]
    rows = there[:: max(1, len(there) // CHECKED)][:CHECKED]
    found, _ = readable([paths[row] for row in rows])
    if not found:
        raise DataError(
            f"{folder} does not say which model made it, and none of its pictures can be read to find out; give the folder they are in as DIR."
        )
    place = {str(paths[row]): row for row in rows}
    again = aligner.vision.embed(found, "some pictures again", keep=False)
    if again.shape[1] != vectors.shape[1]:
        raise DataError(
            f"{folder} was made by another model than {model}: its vectors have length {vectors.shape[1]}, those of {model} {again.shape[1]}."
        )
    least = float((again * vectors[[place[picture.name] for picture in found]]).sum(1).min())
    if least < SAME:
        raise DataError(
            f"{folder} was made by another model than {model}, or of other pictures: encoded again, the cosine of one of {len(found)} is {least:.4f}, "
            f"expected {SAME} or more."
        )
    return f"{len(found)} pictures encoded again have a cosine of {least:.6f} or more"
