"""xFlickrCO (IGLUE, Bugliarello et al. 2022, arXiv 2201.11732): 1,000 Flickr30k and 1,000 COCO pictures in each of 8 languages, one caption each.

Layouts below --data: `annotations/<lang>/test.jsonl` as distributed and the pictures in `images/` or COCO's own folders; or the hub's parquet
copy. Every language searches the pictures that its own file names.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from polyclip.data.types import ImageSource
from polyclip.errors import DataError
from polyclip.evaluation.benchmarks import _parquet
from polyclip.evaluation.benchmarks._files import album, file_name, json_lines, texts
from polyclip.evaluation.benchmarks._lines import complete, wanted
from polyclip.evaluation.captioned import Captions, Table, folder_of
from polyclip.evaluation.captioned import score as score_table
from polyclip.evaluation.facts import facts
from polyclip.evaluation.retrieval import Report, Request
from polyclip.models.aligner import PolyCLIP

NAME = "xflickrco"


def score(aligner: PolyCLIP, request: Request) -> Report:
    """See `_table`."""
    return score_table(aligner, request, read(request))


def read(request: Request) -> Table:
    """Pictures and captions.

    Raises DataError for files that are not the official ones, unless `request.partial` accepts a part.
    """
    folder = folder_of(request, NAME)
    official = facts(NAME).splits["test"]
    home = folder / "annotations" if (folder / "annotations").is_dir() else folder
    files: dict[str, list[Path]] = {
        code: [home / code / "test.jsonl"] for code in official.captions if (home / code / "test.jsonl").is_file()
    }
    copies = (
        {} if files else {code: paths for code, paths in _parquet.shards(folder).items() if code in official.captions}
    )
    lacking = complete(NAME, request, files or copies, list(official.captions), folder)
    captions, pictures, named = (
        from_jsonl(wanted(request, files), request) if files else from_parquet(wanted(request, copies))
    )
    check(named, official.captions, folder, partial=request.partial)
    kept = {code: [(key, caption) for key, caption in found if key in pictures] for code, found in captions.items()}
    galleries = {code: list(dict.fromkeys(key for key, _ in found)) for code, found in kept.items()}
    short = [
        f"{len(galleries[code])} of {official.captions[code]} pictures in {code}"
        for code in galleries
        if len(galleries[code]) < official.captions[code]
    ]
    notes = [
        f"read from {'annotations/' if files else _parquet.called(folder)}; every language searches the pictures of its own file"
    ]
    return Table(
        name=NAME,
        split="test",
        pictures=pictures,
        captions=kept,
        galleries=galleries,
        missing=lacking + short,
        notes=notes,
    )


def from_jsonl(
    files: Mapping[str, Sequence[Path]], request: Request
) -> tuple[Captions, dict[str, ImageSource], dict[str, int]]:
    """Captions by language, pictures, and how many pictures each file names."""
    captions: Captions = {}
    named: dict[str, str] = {}
    for code, paths in files.items():
        captions[code] = []
        own: dict[str, str] = {}
        for where, entry in json_lines(paths[0]):
            key = file_name(entry.get("img_path"), where)
            if key in own:
                raise DataError(
                    f"{where}: picture {key} is already on line {own[key].rpartition(':')[2]}; every picture has one line."
                )
            own[key] = where
            captions[code] += [(key, text) for text in texts(entry.get("sentences"), where, "sentences")]
        named |= own | named
    pictures = album(named, request.data, facts(NAME).places, partial=request.partial) if request.data and named else {}
    return captions, pictures, {code: len({key for key, _ in found}) for code, found in captions.items()}


def from_parquet(files: Mapping[str, Sequence[Path]]) -> tuple[Captions, dict[str, ImageSource], dict[str, int]]:
    """The same of the hub's copy, where pictures go by `id`."""
    captions: Captions = {}
    pictures: dict[str, ImageSource] = {}
    for code, paths in files.items():
        captions[code] = []
        own: set[str] = set()
        for path in paths:
            for where, row in _parquet.rows(path, ["id", "image", "sentences"]):
                key, said = str(row["id"]), row["sentences"]
                if key in own:
                    raise DataError(f"{where}: picture {key} is there already; every picture has one row.")
                own.add(key)
                pictures.setdefault(key, row["image"])
                captions[code] += [
                    (key, text) for text in texts([said] if isinstance(said, str) else said, where, "sentences")
                ]
    return captions, pictures, {code: len({key for key, _ in found}) for code, found in captions.items()}


def check(named: dict[str, int], official: dict[str, int], folder: Path, *, partial: bool) -> None:
    """Raises DataError where a language has another number of pictures than the official file, unless `partial`."""
    for code, count in named.items():
        if count != official[code] and not partial:
            raise DataError(
                f"{folder} has {count} pictures in {code}, the official file {official[code]}; give --partial to score what is there."
            )
