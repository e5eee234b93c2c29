"""The pictures of a folder, encoded once by one model and kept in a folder of their own."""

import json
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Float
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyclip.aligner import load
from polyclip.errors import DataError
from polyclip.pictures import find_pictures, readable
from polyclip.storage import write_text, writing


@dataclass(frozen=True)
class Hit:
    """A picture and its cosine similarity with the query, in [-1, 1]."""

    path: Path
    similarity: float


@dataclass(frozen=True, eq=False)
class Index:
    """Unit vectors of pictures, one row each, and their files below `root`."""

    root: Path
    paths: list[str]
    model: Path  # run folder that made it
    vectors: Float[Tensor, "picture dim"]

    @classmethod
    def open(cls, folder: Path, images: Path | None = None) -> "Index":
        """The index in `folder`; `images` says where its pictures are now. Raises DataError where it is none, or damaged."""
        try:
            table = json.loads((folder / "index.json").read_text("utf-8"))
            vectors = load_file(folder / "vectors.safetensors")["vectors"]
        except (OSError, ValueError, KeyError, SafetensorError) as error:
            raise DataError(f"{folder} holds no index that can be read ({error}). Make one again: polyclip index PICTURES --model RUN.") from error
        return cls(images or Path(table["root"]), table["paths"], Path(table["model"]), vectors)

    def search(self, vectors: Float[Tensor, "query dim"], top: int) -> list[list[Hit]]:
        """For each unit vector its `top` most similar pictures, best first; paths are absolute."""
        best = (vectors @ self.vectors.T).topk(min(top, len(self)))
        return [
            [Hit(self.root / self.paths[row], value) for row, value in zip(rows, values, strict=True)]
            for rows, values in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def __len__(self) -> int:
        return len(self.paths)


def build(images: Path, model: Path, out: Path) -> Index:
    """Encode every picture below `images` and write the index to `out`. Raises what `find_pictures` and `load` raise."""
    pictures, problems = readable(find_pictures(images))
    if not pictures:
        raise DataError(f"None of the {len(problems)} pictures below {images} can be read; the first: {problems[0]}")
    root = images.resolve()
    paths = [Path(picture.name).absolute().relative_to(images.absolute()).as_posix() for picture in pictures]
    vectors = load(model).vision.embed(pictures, f"pictures of {images}", keep=True)
    with writing(out / "vectors.safetensors", what="the index") as temporary:
        save_file({"vectors": vectors.contiguous()}, temporary)
    write_text(out / "index.json", json.dumps({"root": str(root), "paths": paths, "model": str(model.resolve())}, ensure_ascii=False), what="the index")
    return Index.open(out)
