"""A corpus in WebDataset shards, `files = "s3://bucket/{00000..00099}.tar"`: tar files, read in place.

A sample is the files of one name: an image and its captions, from each of these that is there: `key.json`, an object
with "captions" by language, or "caption"; `key.sw.txt`, one caption a line in the language named; `key.txt`, in the
language that the pack names (without one it is read only where no .json has captions). Other members, such as pickled
ones, are counted and not read.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from polyclip.data.corpus_pack import CorpusPack
from polyclip.data.images import MAX_BYTES
from polyclip.data.shards import filesystem, tar
from polyclip.data.shards.filesystem import Shard, local
from polyclip.data.shards.sample import MAX_TEXT, Caption, Sample, parse_json_captions, parse_lines
from polyclip.data.shards.scan import indexed
from polyclip.data.shards.schema import ShardOptions
from polyclip.data.shards.table import languages, pictures, read, split_concepts, styles, table
from polyclip.data.shards.tar import PICTURES, Places, group_samples
from polyclip.errors import DataError

__all__ = [
    "content",
    "indexed",
    "languages",
    "local",
    "located",
    "pictures",
    "read",
    "samples",
    "split_concepts",
    "styles",
    "table",
]


def located(pack: CorpusPack, base: Path) -> list[Shard]:
    """List the tar files that the pack names.

    Raises:
        PackError: A pattern is invalid, or a file is named twice.
        DataError: A file is missing.

    """
    return filesystem.locate_shards([pack.files] if isinstance(pack.files, str) else pack.files, base)


def samples(shard: Shard, stored: ShardOptions) -> tuple[Iterator[Sample], Counter]:
    """Iterate over the samples of a shard, in the order of their first files.

    Args:
        shard: The shard.
        stored: [shards] of the pack.

    Returns:
        The samples, and the number of other members by suffix.

    Raises:
        DataError: The shard is damaged, or a member is not a plain file or its path leads out.

    """
    path = local(shard)
    found, ignored = group_samples(tar.iterate_members(path, shard.url))
    return (_sample(path, key, places, stored) for key, places in found.items()), ignored


def content(shard: Shard, place: tuple[int, int], path: str) -> bytes:
    """Read the bytes of an image."""
    return tar.read_at(local(shard), *place)


def _sample(path: Path, key: str, places: Places, stored: ShardOptions) -> Sample:
    having = [suffix for suffix in places if suffix.lower().removesuffix(" twice") in PICTURES]
    place = places[having[0]] if having else (0, 0)

    def data() -> bytes:
        if len(having) != 1 or any(suffix.endswith(" twice") for suffix in places):
            raise DataError(
                f"its files are .{', .'.join(places)}, expected one image (.{', .'.join(PICTURES)}) and each file once"
            )
        if place[1] > MAX_BYTES:
            raise DataError(f"image of {place[1]:,} bytes, at most {MAX_BYTES:,} are read")
        return tar.read_at(path, *place)

    return Sample(key, place, "", data, partial(_captions, path, places, stored))


def _captions(path: Path, places: Places, stored: ShardOptions) -> list[Caption]:
    size = sum(size for suffix, (_, size) in places.items() if suffix.lower().endswith(("txt", "json")))
    if size > MAX_TEXT:
        raise DataError(f"captions of {size:,} bytes, at most {MAX_TEXT:,} are read")
    text = {
        suffix: tar.read_at(path, *place)
        for suffix, place in places.items()
        if suffix.lower().endswith(("txt", "json"))
    }
    found = [
        caption
        for suffix, data in text.items()
        if suffix.lower() == "json"
        for caption in parse_json_captions(data, stored)
    ]
    found += [
        caption
        for suffix, data in text.items()
        if suffix.lower().endswith(".txt")
        for caption in parse_lines(data, suffix[:-4])
    ]
    plain = [data for suffix, data in text.items() if suffix.lower() == "txt"]
    if plain and (stored.language or not any(suffix.lower() == "json" for suffix in text) or not found):
        found += parse_lines(plain[0], stored.language)
    return found
