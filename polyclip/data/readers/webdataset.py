"""A corpus in WebDataset shards, `files = "s3://bucket/{00000..00099}.tar"`: tar files, read in place.

A sample is the files of one name: a picture (.jpg .jpeg .png .webp) and its captions, of every one of these that is there: `key.json`, an
object with "captions" by language, or "caption"; `key.sw.txt`, one caption a line in the language named; `key.txt`, in the one that the pack
names, where no .json has spoken for it. Whatever else is there, pickled members among it, is counted and not read.
"""

from collections import Counter
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from polyclip.data.corpus import CorpusPack
from polyclip.data.images import MAX_BYTES
from polyclip.data.shards import filesystem, tar
from polyclip.data.shards.filesystem import Shard, local
from polyclip.data.shards.sample import MAX_TEXT, Caption, Sample, from_json, from_lines
from polyclip.data.shards.scan import indexed
from polyclip.data.shards.schema import Stored
from polyclip.data.shards.table import languages, pictures, read, split_concepts, styles, table
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

PICTURES = ("jpg", "jpeg", "png", "webp")
Places = dict[str, tuple[int, int]]  # suffix -> offset and size


def located(pack: CorpusPack, base: Path) -> list[Shard]:
    """Its tar files.

    Raises what `files.located` raises.
    """
    return filesystem.located([pack.files] if isinstance(pack.files, str) else pack.files, base)


def samples(shard: Shard, stored: Stored) -> tuple[Iterator[Sample], Counter]:
    """Samples in the order in which their first files stand in the shard, and how many other members it has, by suffix.

    Raises DataError for a damaged shard, and for a member that is no plain file or whose path leads out.
    """
    path = local(shard)
    found: dict[str, Places] = {}
    ignored: Counter = Counter()
    for key, suffix, member in tar.members(path, shard.url):
        if suffix.lower() in (*PICTURES, "txt", "json") or suffix.lower().endswith(".txt"):
            places = found.setdefault(key, {})
            places[suffix if suffix not in places else f"{suffix} twice"] = (member.offset_data, member.size)
        else:
            ignored[f".{suffix.lower()[:20]}"] += 1
    return (_sample(path, key, places, stored) for key, places in found.items()), ignored


def content(shard: Shard, place: tuple[int, int], path: str) -> bytes:
    """Bytes of a picture."""
    return tar.at(local(shard), *place)


def _sample(path: Path, key: str, places: Places, stored: Stored) -> Sample:
    having = [suffix for suffix in places if suffix.lower().removesuffix(" twice") in PICTURES]
    place = places[having[0]] if having else (0, 0)

    def data() -> bytes:
        if len(having) != 1 or any(suffix.endswith(" twice") for suffix in places):
            raise DataError(
                f"its files are .{', .'.join(places)}, expected one picture (.{', .'.join(PICTURES)}) and each file once"
            )
        if place[1] > MAX_BYTES:
            raise DataError(f"picture of {place[1]:,} bytes, at most {MAX_BYTES:,} are read")
        return tar.at(path, *place)

    return Sample(key, place, "", data, partial(_captions, path, places, stored))


def _captions(path: Path, places: Places, stored: Stored) -> list[Caption]:
    size = sum(size for suffix, (_, size) in places.items() if suffix.lower().endswith(("txt", "json")))
    if size > MAX_TEXT:
        raise DataError(f"captions of {size:,} bytes, at most {MAX_TEXT:,} are read")
    text = {
        suffix: tar.at(path, *place) for suffix, place in places.items() if suffix.lower().endswith(("txt", "json"))
    }
    found = [
        caption for suffix, data in text.items() if suffix.lower() == "json" for caption in from_json(data, stored)
    ]
    found += [
        caption
        for suffix, data in text.items()
        if suffix.lower().endswith(".txt")
        for caption in from_lines(data, suffix[:-4])
    ]
    plain = [data for suffix, data in text.items() if suffix.lower() == "txt"]
    return found if found or not plain else from_lines(plain[0], stored.language)
