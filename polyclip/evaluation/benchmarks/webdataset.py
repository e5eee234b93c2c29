"""WebDataset shards: `<split>/0.tar`, `1.tar` ... below --data, or the tar files themselves, read without unpacking.

A sample is the files of one name: an image (.jpg .jpeg .png .webp) with .txt, its captions one per line in the language
of --lang, or with .json, an object whose "captions" has lists by language. This is CLIP_benchmark's layout:
`nshards.txt`, if present, gives the number of shards, and `dataset_type.txt` must say retrieval.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from polyclip.core.json import parse_json
from polyclip.core.progress import Progress
from polyclip.data.images import MAX_BYTES, decode_image
from polyclip.data.shards.tar import FAULTS, PICTURES, TEXTS, group_samples, read_at, read_members
from polyclip.data.types import ImageSource
from polyclip.errors import DataError
from polyclip.evaluation.benchmarks._files import group_by_pack, read_lines
from polyclip.evaluation.captioned import CaptionedDataset, Captions
from polyclip.evaluation.captioned import score as score_table
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.languages.schema import Language
from polyclip.models.aligner import PolyCLIP

NAME = "webdataset"
MAX_TEXT = 1_000_000  # bytes of one sample's captions
Sample = dict[str, bytes | ImageSource]  # suffix -> content


def score(aligner: PolyCLIP, request: Request) -> BenchmarkReport:
    """Score the requested languages; see `polyclip.evaluation.captioned.score`."""
    return score_table(aligner, request, read(request))


def read(request: Request) -> CaptionedDataset:
    """Read the images and captions of every sample.

    Args:
        request: Folder, split and languages.

    Returns:
        The images and captions.

    Raises:
        DataError: A sample is malformed, a shard is missing (unless `request.partial`), or captions have no language.

    """
    paths, missing = find_shards(request)
    captions: Captions = {}
    images: dict[str, ImageSource] = {}
    codes: dict[str, str] = {}
    with Progress("reading shards", len(paths)) as progress:
        for path in paths:
            for key, sample in read_samples(path).items():
                where = f"{path}, sample {key}"
                if key in images:
                    raise DataError(
                        f"{where}: an earlier shard has a sample of this name; every image must occur once."
                    )
                images[key] = get_image(sample, where)
                for code, own in read_captions(sample, where, request.languages, codes):
                    captions.setdefault(code, []).extend((key, text) for text in own)
            progress.advance(1)
    return CaptionedDataset(name=NAME, split=request.split, images=images, captions=captions, missing=missing)


def find_shards(request: Request) -> tuple[list[Path], list[str]]:
    """Find the tar files in the order of their numbers.

    Args:
        request: Folder and split.

    Returns:
        The files, and a note on missing ones.

    Raises:
        DataError: There is none, one is missing, or they are not for retrieval.

    """
    if request.data is None or not request.data.is_dir():
        raise DataError(
            f"webdataset requires --data DIR with {request.split}/0.tar ... or tar files; found "
            f"{request.data or 'no --data'}."
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
    if kind.is_file() and read_lines(kind)[:1] != ["retrieval"]:
        raise DataError(
            f"{kind} says {' '.join(read_lines(kind))[:40]!r}, expected 'retrieval': these shards are no captioned "
            "images."
        )
    count = folder / "nshards.txt"
    said = read_lines(count)[0].strip() if count.is_file() and read_lines(count) else str(len(found))
    if not (said.isascii() and said.isdigit() and len(said) < 20):
        raise DataError(f"{count} says {said[:40]!r}, expected the number of shards.")
    if int(said) == len(found):
        return found, []
    if not request.partial:
        raise DataError(
            f"{folder} has {len(found)} shards, nshards.txt says {said}; download the others, or give --partial."
        )
    return found, [f"{len(found)} of {said} shards"]


def read_samples(path: Path) -> dict[str, Sample]:
    """Read one shard; images are read again when they are opened.

    Args:
        path: The tar file.

    Returns:
        Samples by name.

    Raises:
        DataError: The shard is damaged, or a member is too large, not a plain file, or has a path that leads outside.

    """
    found: dict[str, Sample] = {}
    try:
        groups, _ = group_samples(read_members(path, str(path)))
    except FAULTS as error:
        raise DataError(f"{path}: damaged or not a tar file ({error}); download it again.") from error
    for key, places in groups.items():
        for suffix, (start, size) in places.items():
            if suffix not in (*PICTURES, *TEXTS):
                if suffix.endswith(" twice"):
                    raise DataError(f"{path}: {key}.{suffix.removesuffix(' twice')} is there twice.")
                continue
            most = MAX_BYTES if suffix in PICTURES else MAX_TEXT
            if size > most:
                raise DataError(f"{path}: {key}.{suffix} has {size:,} bytes, at most {most:,} are read.")
            data = read_at(path, start, size)
            found.setdefault(key, {})[suffix] = (
                data if suffix in TEXTS else make_image(path, start, data, f"{path}, {key}.{suffix}")
            )
    return found


def make_image(path: Path, start: int, data: bytes, where: str) -> ImageSource:
    """Return an image that is stored in a shard."""
    return ImageSource(where, hashlib.sha256(data).hexdigest(), partial(open_image, path, start, len(data), where))


def open_image(path: Path, start: int, size: int, where: str) -> Image.Image:
    """Decode the image at this position of a shard."""
    with path.open("rb") as handle:
        handle.seek(start)
        return decode_image(handle.read(size), where)


def get_image(sample: Sample, where: str) -> ImageSource:
    """Return the one image of a sample; DataError where it has none or several."""
    found = [content for content in sample.values() if isinstance(content, ImageSource)]
    if len(found) != 1:
        raise DataError(f"{where}: {len(found)} images, expected one, .{', .'.join(PICTURES)}.")
    return found[0]


def read_captions(
    sample: Sample, where: str, languages: Sequence[Language], codes: dict[str, str]
) -> Iterator[tuple[str, list[str]]]:
    """Yield captions by the code of their pack: those of .json where it has any, else the lines of .txt.

    Args:
        sample: Files of the sample.
        where: Where the sample is, for error messages.
        languages: Requested languages; exactly one is required for .txt.
        codes: Cache of what each language code stands for.

    Yields:
        Code of the pack, and captions.

    Raises:
        DataError: There are no captions, they have no language, or are not UTF-8.

    """
    try:
        text = {suffix: content.decode("utf-8") for suffix, content in sample.items() if isinstance(content, bytes)}
        entry = parse_json(text["json"]) if "json" in text else {}
    except UnicodeDecodeError as error:
        raise DataError(f"{where}: not UTF-8 ({error}).") from error
    except json.JSONDecodeError as error:
        raise DataError(f"{where}: .json is not JSON ({error}).") from error
    if isinstance(entry, dict) and isinstance(entry.get("captions"), dict):
        yield from group_by_pack(entry["captions"], where, codes)
    elif "txt" not in text:
        raise DataError(f"{where}: no captions; expected .txt, or .json with captions by language.")
    elif len(languages) != 1:
        raise DataError(
            f"{where}: captions in .txt name no language: say it once with --lang, or give .json with captions by "
            "language."
        )
    else:
        yield languages[0].code, [line.removesuffix("\r") for line in text["txt"].removesuffix("\n").split("\n")]
