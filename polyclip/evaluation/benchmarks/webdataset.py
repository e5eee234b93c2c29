"""WebDataset shards: `<split>/0.tar`, `1.tar` ... below --data, or the tar files themselves, read in place; nothing is unpacked.

A sample is the files of one name: a picture (.jpg .jpeg .png .webp) with .txt, its captions one a line in the language of --lang, or with
.json, an object whose "captions" has lists by language. This is CLIP_benchmark's layout: `nshards.txt`, where it is there, says how many shards
there must be, `dataset_type.txt` that they are for retrieval.
"""

import hashlib
import json
import tarfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from polyclip.core.progress import Progress
from polyclip.data.images import MAX_BYTES, decoded
from polyclip.data.shards.tar import ended, placed
from polyclip.data.types import ImageSource
from polyclip.errors import DataError
from polyclip.evaluation.benchmarks._files import by_pack, lines
from polyclip.evaluation.captioned import Captions, Table
from polyclip.evaluation.captioned import score as score_table
from polyclip.evaluation.retrieval import Report, Request
from polyclip.languages.schema import Language
from polyclip.models.aligner import PolyCLIP

NAME = "webdataset"
PICTURES = ("jpg", "jpeg", "png", "webp")
TEXTS = ("txt", "json")
MAX_TEXT = 1_000_000  # bytes of one sample's captions
Sample = dict[str, bytes | ImageSource]  # suffix -> content


def score(aligner: PolyCLIP, request: Request) -> Report:
    """See `_table`."""
    return score_table(aligner, request, read(request))


def read(request: Request) -> Table:
    """Pictures and captions of every sample.

    Raises DataError, with shard and sample, for what is not such a sample, for a missing shard unless `request.partial`, and for captions
    without a language.
    """
    paths, missing = shards(request)
    captions: Captions = {}
    pictures: dict[str, ImageSource] = {}
    codes: dict[str, str] = {}
    with Progress("reading shards", len(paths)) as progress:
        for path in paths:
            for key, sample in samples(path).items():
                where = f"{path}, sample {key}"
                if key in pictures:
                    raise DataError(
                        f"{where}: an earlier shard has a sample of this name; every picture is there once."
                    )
                pictures[key] = picture_in(sample, where)
                for code, own in spoken(sample, where, request.languages, codes):
                    captions.setdefault(code, []).extend((key, text) for text in own)
            progress.advance(1)
    return Table(name=NAME, split=request.split, pictures=pictures, captions=captions, missing=missing)


def shards(request: Request) -> tuple[list[Path], list[str]]:
    """Tar files in the order of their numbers, and what is missing of them.

    Raises DataError where there is none, one is missing, or they are not for retrieval.
    """
    if request.data is None or not request.data.is_dir():
        raise DataError(
            f"webdataset needs --data DIR with {request.split}/0.tar ... or tar files; found {request.data or 'no --data'}."
        )
    folder = request.data / request.split if (request.data / request.split).is_dir() else request.data
    found = sorted(folder.glob("*.tar"), key=lambda path: (len(path.stem), path.stem))
    if not found:
        packed = (
            " Packed shards (.tar.gz) are to be unpacked to .tar first."
            if any(folder.glob("*.tar.gz")) or any(folder.glob("*.tgz"))
            else ""
        )
        raise DataError(f"{folder} has no .tar file.{packed}")
    kind = request.data / "dataset_type.txt"
    if kind.is_file() and lines(kind)[:1] != ["retrieval"]:
        raise DataError(
            f"{kind} says {' '.join(lines(kind))[:40]!r}, expected 'retrieval': these shards are no captioned pictures."
        )
    count = folder / "nshards.txt"
    said = lines(count)[0].strip() if count.is_file() and lines(count) else str(len(found))
    if said == str(len(found)):
        return found, []
    if not request.partial:
        raise DataError(
            f"{folder} has {len(found)} shards, nshards.txt says {said}; download the others, or give --partial."
        )
    return found, [f"{len(found)} of {said} shards"]


def samples(path: Path) -> dict[str, Sample]:
    """Content of one shard by sample; pictures are read again when they are opened.

    Raises DataError for a damaged shard, a member that is no plain file or whose path leads out, and one that is too large.
    """
    found: dict[str, Sample] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                key, suffix = placed(member, str(path))
                suffix = suffix.lower()
                if suffix not in PICTURES + TEXTS:
                    continue
                most = MAX_BYTES if suffix in PICTURES else MAX_TEXT
                if member.size > most:
                    raise DataError(f"{path}: {member.name} has {member.size:,} bytes, at most {most:,} are read.")
                if suffix in found.setdefault(key, {}):
                    raise DataError(f"{path}: {member.name} is there twice.")
                data = archive.extractfile(member).read()  # type: ignore[union-attr]
                found[key][suffix] = data if suffix in TEXTS else picture_at(path, member, data)
        ended(path)
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"{path}: damaged or no tar file ({error}); download it again.") from error
    return found


def picture_at(path: Path, member: tarfile.TarInfo, data: bytes) -> ImageSource:
    """A picture that lies in a shard."""
    where = f"{path}, {member.name}"
    return ImageSource(
        where, hashlib.sha256(data).hexdigest(), partial(open_at, path, member.offset_data, member.size, where)
    )


def open_at(path: Path, start: int, size: int, where: str) -> Image.Image:
    """Decode the picture that lies there."""
    with path.open("rb") as handle:
        handle.seek(start)
        return decoded(handle.read(size), where)


def picture_in(sample: Sample, where: str) -> ImageSource:
    """Its one picture.

    Raises DataError where it has none or several.
    """
    found = [content for content in sample.values() if isinstance(content, ImageSource)]
    if len(found) != 1:
        raise DataError(f"{where}: {len(found)} pictures, expected one, .{', .'.join(PICTURES)}.")
    return found[0]


def spoken(
    sample: Sample, where: str, languages: Sequence[Language], codes: dict[str, str]
) -> Iterator[tuple[str, list[str]]]:
    """Captions by pack's code: those of .json where it has any, else the lines of .txt.

    Raises DataError for captions without a language, in another encoding than UTF-8, or none.
    """
    try:
        text = {suffix: content.decode("utf-8") for suffix, content in sample.items() if isinstance(content, bytes)}
        entry = json.loads(text["json"]) if "json" in text else {}
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 ({error}).") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: .json is not JSON ({error}).") from error
    if isinstance(entry, dict) and isinstance(entry.get("captions"), dict):
        yield from by_pack(entry["captions"], where, codes)
    elif "txt" not in text:
        raise DataError(f"{where}: no captions; expected .txt, or .json with captions by language.")
    elif len(languages) != 1:
        raise DataError(
            f"{where}: captions in .txt name no language: say it once with --lang, or give .json with captions by language."
        )
    else:
        yield languages[0].code, [line.removesuffix("\r") for line in text["txt"].removesuffix("\n").split("\n")]
