"""xFlickrCO (IGLUE, Bugliarello et al. 2022, arXiv 2201.11732): Flickr30k and COCO images in 8 languages.

Each language has 2,000 images with one caption each. Layouts below --data: `annotations/<lang>/test.jsonl` as
distributed and the images in `images/` or COCO's own folders; or the Hub's parquet copy. Every language searches its
own images.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from polyclip.data.types import ImageSource
from polyclip.errors import DataError
from polyclip.evaluation.benchmarks import _parquet
from polyclip.evaluation.benchmarks._files import check_texts, collect_images, parse_file_name, read_json_lines
from polyclip.evaluation.benchmarks._lines import check_complete, select_files
from polyclip.evaluation.captioned import CaptionedDataset, Captions, get_data_folder
from polyclip.evaluation.captioned import score as score_table
from polyclip.evaluation.facts import load_facts
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.models.aligner import PolyCLIP

NAME = "xflickrco"


def score(aligner: PolyCLIP, request: Request) -> BenchmarkReport:
    """Score the requested languages; see `polyclip.evaluation.captioned.score`."""
    return score_table(aligner, request, read(request))


def read(request: Request) -> CaptionedDataset:
    """Read images and captions.

    Args:
        request: Folder, split and languages.

    Returns:
        The images and captions.

    Raises:
        DataError: The files differ from the official ones, unless `request.partial` accepts a part.

    """
    folder = get_data_folder(request, NAME)
    official = load_facts(NAME).splits["test"]
    home = folder / "annotations" if (folder / "annotations").is_dir() else folder
    files: dict[str, list[Path]] = {
        code: [home / code / "test.jsonl"] for code in official.captions if (home / code / "test.jsonl").is_file()
    }
    copies = (
        {}
        if files
        else {code: paths for code, paths in _parquet.find_shards(folder).items() if code in official.captions}
    )
    lacking = check_complete(NAME, request, files or copies, list(official.captions), folder)
    captions, images, named = (
        read_jsonl(select_files(request, files), request) if files else read_parquet(select_files(request, copies))
    )
    check_counts(named, official.captions, folder, partial=request.partial)
    kept = {code: [(key, caption) for key, caption in found if key in images] for code, found in captions.items()}
    galleries = {code: list(dict.fromkeys(key for key, _ in found)) for code, found in kept.items()}
    short = [
        f"{len(galleries[code])} of {official.captions[code]} images in {code}"
        for code in galleries
        if len(galleries[code]) < official.captions[code]
    ]
    notes = [
        f"read from {'annotations/' if files else _parquet.describe_copy(folder)}; every language searches the images "
        "of its own file"
    ]
    return CaptionedDataset(
        name=NAME,
        split="test",
        images=images,
        captions=kept,
        galleries=galleries,
        missing=lacking + short,
        notes=notes,
    )


def read_jsonl(
    files: Mapping[str, Sequence[Path]], request: Request
) -> tuple[Captions, dict[str, ImageSource], dict[str, int]]:
    """Read captions by language, images, and the number of images that each file names."""
    captions: Captions = {}
    named: dict[str, str] = {}
    for code, paths in files.items():
        captions[code] = []
        own: dict[str, str] = {}
        for where, entry in read_json_lines(paths[0]):
            key = parse_file_name(entry.get("img_path"), where)
            if key in own:
                raise DataError(
                    f"{where}: image {key} is already on line {own[key].rpartition(':')[2]}; every image has one line."
                )
            own[key] = where
            captions[code] += [(key, text) for text in check_texts(entry.get("sentences"), where, "sentences")]
        named |= own | named
    images = (
        collect_images(named, request.data, load_facts(NAME).places, partial=request.partial)
        if request.data and named
        else {}
    )
    return captions, images, {code: len({key for key, _ in found}) for code, found in captions.items()}


def read_parquet(files: Mapping[str, Sequence[Path]]) -> tuple[Captions, dict[str, ImageSource], dict[str, int]]:
    """Read the same from the Hub's copy, where images have an `id`."""
    captions: Captions = {}
    images: dict[str, ImageSource] = {}
    for code, paths in files.items():
        captions[code] = []
        own: set[str] = set()
        for path in paths:
            for where, row in _parquet.read_rows(path, ["id", "image", "sentences"]):
                key, said = str(row["id"]), row["sentences"]
                if key in own:
                    raise DataError(f"{where}: image {key} occurs twice; every image must have one row.")
                own.add(key)
                images.setdefault(key, row["image"])
                captions[code] += [
                    (key, text) for text in check_texts([said] if isinstance(said, str) else said, where, "sentences")
                ]
    return captions, images, {code: len({key for key, _ in found}) for code, found in captions.items()}


def check_counts(named: dict[str, int], official: dict[str, int], folder: Path, *, partial: bool) -> None:
    """Check the number of images of each language; DataError if it is not the official one, unless `partial`."""
    for code, count in named.items():
        if count != official[code] and not partial:
            raise DataError(
                f"{folder} has {count} images in {code}, the official file {official[code]}; give --partial to score "
                "what is there."
            )
