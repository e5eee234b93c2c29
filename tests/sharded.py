"""A corpus in shards made of the starter corpus: real drawings with real captions, written as tars or parquet."""

import io
import json
import tarfile
from collections.abc import Iterable
from pathlib import Path

import pyarrow as pa
from pyarrow.parquet import ParquetWriter

from polyclip.core.toml import CORPORA
from polyclip.data.readers import emoji

LANGUAGES = ("sw", "en")
Item = tuple[str, bytes, dict[str, list[str]]]  # key, picture, captions


def load_items(number: int, style: str = "fluent-flat") -> list[Item]:
    """Load the first drawings of a style that both languages name."""
    named = {code: emoji.read_captions(CORPORA / "emoji", code) for code in LANGUAGES}
    found: list[Item] = []
    with tarfile.open(CORPORA / "emoji" / f"{style}.tar") as shard:
        for member in shard:
            concept = member.name.removesuffix(".webp")
            if len(found) < number and all(concept in captions for captions in named.values()):
                found.append(
                    (
                        concept,
                        shard.extractfile(member).read(),
                        {code: list(captions[concept]) for code, captions in named.items()},
                    )
                )
    assert len(found) == number
    return found


def make_tar(members: Iterable[tuple[str, bytes]]) -> bytes:
    """Make a tar file of members."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return out.getvalue()


def make_sample(item: Item) -> list[tuple[str, bytes]]:
    """Return the members of a sample: English in .json, Swahili in .sw.txt."""
    key, image, captions = item
    return [
        (f"{key}.webp", image),
        (f"{key}.json", json.dumps({"captions": {"en": captions["en"]}}, ensure_ascii=False).encode()),
        (f"{key}.sw.txt", "\n".join(captions["sw"]).encode()),
    ]


def make_tars(found: list[Item], shards: int) -> list[bytes]:
    """Make shards of consecutive items."""
    size = -(-len(found) // shards)
    return [
        make_tar(member for item in found[start : start + size] for member in make_sample(item))
        for start in range(0, len(found), size)
    ]


def write_tars(folder: Path, found: list[Item], shards: int, extra: str = "") -> Path:
    """Write `00000.tar` ... and a pack."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, data in enumerate(make_tars(found, shards)):
        (folder / f"{number:05}.tar").write_bytes(data)
    return write_pack(folder, "webdataset", f"{{00000..{shards - 1:05}}}.tar", extra)


def write_parquet(path: Path, found: list[Item], group: int = 16) -> None:
    """Write one file with a column for each language and row groups of a few images."""
    rows = [
        {"image": {"bytes": picture, "path": None}, **{f"caption_{c}": captions[c] for c in LANGUAGES}}
        for _, picture, captions in found
    ]
    image = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    schema = pa.schema([("image", image), *((f"caption_{code}", pa.list_(pa.string())) for code in LANGUAGES)])
    with ParquetWriter(path, schema) as writer:
        for start in range(0, len(rows), group):
            writer.write_table(pa.Table.from_pylist(rows[start : start + group], schema=schema))


def write_pack(folder: Path, reader: str, files: str, extra: str = "") -> Path:
    """Write a pack that names the shards."""
    pack = folder / "sharded.toml"
    pack.write_text(
        f'name = "sharded"\nabout = "drawings"\nreader = "{reader}"\nfiles = "{files}"\n[shards]\n{extra}\n', "utf-8"
    )
    return pack
