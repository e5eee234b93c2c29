"""Benchmarks of captioned images: the dataset that every reader returns, and how it is scored.

Protocols: `first-caption`, one caption per image (as in the tables of CLIP_benchmark and open_clip), and, where an
image has several captions, `all-captions`, where each caption is a query (as in big_vision, Babel-ImageNet and mteb).
Where images have a region, the queries of `all-captions/home` are the images from where the language is spoken and
their captions, those of `all-captions/away` are the others; the gallery is the same for both.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import Tensor

from polyclip.core.progress import Progress
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, UnknownName
from polyclip.evaluation import retrieval
from polyclip.evaluation.facts import load_facts
from polyclip.evaluation.results import Score
from polyclip.evaluation.retrieval import BenchmarkReport, Items, Request, score_both_directions
from polyclip.languages.normalize import find_pack, is_visible, normalize_text
from polyclip.models.aligner import PolyCLIP

FIRST, ALL = "first-caption", "all-captions"
TOGETHER = 16_384  # captions encoded at once: bounds memory, changes no figure
Captions = dict[str, list[tuple[str, str]]]  # language -> image and caption, in the files' order


@dataclass(frozen=True)
class Pool:
    """A smaller gallery on which published figures were reported.

    Attributes:
        keys: Keys of the images in the gallery.
        languages: Codes of the languages that were scored on it.
        note: What a reader of the scores must know about it.

    """

    keys: frozenset[str]
    languages: frozenset[str]
    note: str


@dataclass(frozen=True, kw_only=True)
class CaptionedDataset:
    """Images and captions of one split of a benchmark; every reader of `evaluation/benchmarks` returns one.

    Languages have the code of their pack, or the benchmark's own code where there is no pack.

    Attributes:
        name: Name of the benchmark, as it stands in the scores.
        split: Name of the split, as it stands in the scores.
        images: Image by key.
        captions: By language, pairs of image key and caption in the order of the files.
        galleries: By language, keys of the images to search, for languages that do not search all images.
        homes: By image key, the language of the region that the image is from.
        groups: By image key, the cluster that is resampled with it; by default each image is its own cluster.
        pools: By protocol, a smaller gallery to score as well.
        notes: What a reader of the scores must know.
        missing: What a partial folder lacks; not empty means that the scores are marked PARTIAL.

    """

    name: str
    split: str
    images: dict[str, ImageSource]
    captions: Captions
    galleries: dict[str, list[str]] = field(default_factory=dict)  # of languages that do not search all the images
    homes: dict[str, str] = field(default_factory=dict)  # image -> language of its region
    # image -> cluster it is resampled with; default: the image itself
    groups: dict[str, str] = field(default_factory=dict)
    pools: dict[str, Pool] = field(default_factory=dict)  # protocol -> gallery
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # what a partial folder lacks

    def clusters(self, keys: list[str]) -> list[str]:
        """Return the cluster that each image is resampled with."""
        return [self.groups.get(key, key) for key in keys]


def score(aligner: PolyCLIP, request: Request, table: CaptionedDataset) -> BenchmarkReport:
    """Score the requested languages of a dataset, or all that it has.

    Args:
        aligner: The model to score.
        request: Languages and split; languages that the model was trained on.
        table: The images and captions, as a reader returns them.

    Returns:
        Scores of every language under every protocol and in both directions, counts, and notes.

    Raises:
        UnknownName: A requested language is not in the dataset.
        DataError: Nothing is left to score.

    """
    table = select_languages(drop_blank_captions(table), request)
    keys = list(table.images)
    image = Items(
        aligner.vision.embed(list(table.images.values()), f"{table.name} images", keep=True),
        keys,
        table.clusters(keys),
    )
    scores: list[Score] = []
    for embeddings in encode_captions(aligner, table):  # each in a bar of its own, before that of the scores
        with Progress("scoring", len(embeddings)) as progress:
            for code, own in embeddings.items():
                keys = [key for key, _ in table.captions[code]]
                gallery = image.select(set(table.galleries[code])) if code in table.galleries else image
                common = {
                    "benchmark": table.name,
                    "split": table.split,
                    "language": code,
                    "seen": request.is_seen(code),
                }
                scores += score_protocols(Items(own, keys, table.clusters(keys)), gallery, table, common)
                progress.advance(1)
    counts = {"captions": sum(map(len, table.captions.values())), "pictures": len(table.images)}
    return BenchmarkReport(scores, counts, collect_notes(table))


def encode_captions(aligner: PolyCLIP, table: CaptionedDataset) -> Iterator[dict[str, Tensor]]:
    """Encode the captions of several languages at a time; yields embeddings by language."""
    waiting: dict[str, list[str]] = {}
    last = list(table.captions)[-1]
    for code, found in table.captions.items():
        pack = find_pack(code)
        waiting[code] = [normalize_text(caption, pack) for _, caption in found]
        if code == last or sum(map(len, waiting.values())) >= TOGETHER:
            lengths = [len(captions) for captions in waiting.values()]
            flat = [caption for captions in waiting.values() for caption in captions]
            embeddings = aligner.text.embed(
                flat, f"{table.name} captions ({format_code_range(list(waiting))})", keep=True, sections=lengths
            )
            yield dict(zip(waiting, embeddings.split(lengths), strict=True))
            waiting = {}


def format_code_range(codes: list[str]) -> str:
    """Format a list of language codes as `sw`, or `ar to el`."""
    return codes[0] if len(codes) == 1 else f"{codes[0]} to {codes[-1]}"


def score_protocols(text: Items, image: Items, table: CaptionedDataset, common: dict[str, Any]) -> list[Score]:
    """Score one language under every protocol, the headline protocol first."""
    first = select_rows(text, find_first_rows(list(text.keys)))
    scores = score_both_directions(first, image, protocol=FIRST, **common)
    if len(first.keys) < len(text.keys):
        scores += score_both_directions(text, image, protocol=ALL, **common)
    if table.homes:
        scores += score_home_and_away(text, image, table, common)
    for protocol, pool in table.pools.items():
        if common["language"] in pool.languages and pool.keys & set(text.keys):
            scores += score_both_directions(
                text.select(set(pool.keys)), image.select(set(pool.keys)), protocol=protocol, **common
            )
    return scores


def score_home_and_away(text: Items, image: Items, table: CaptionedDataset, common: dict[str, Any]) -> list[Score]:
    """Score queries from the language's own region and all other queries apart, each against the whole gallery."""
    home = {key for key in image.keys if table.homes.get(key) == common["language"]}
    captioned = set(text.keys)
    scores: list[Score] = []
    for side, keys in (("home", home), ("away", set(image.keys) - home)):
        named = common | {"protocol": f"{ALL}/{side}"}
        if keys & captioned:
            scores += retrieval.score_direction(text.select(keys), image, named | {"direction": "text_to_image"})
            scores += retrieval.score_direction(
                image.select(keys & captioned), text, named | {"direction": "image_to_text"}
            )
    return scores


def select_rows(items: Items, rows: list[int]) -> Items:
    """Return the items with these row numbers."""
    return Items(items.embeddings[rows], [items.keys[row] for row in rows], [items.clusters[row] for row in rows])


def find_first_rows(keys: list[str]) -> list[int]:
    """Find the row of each image's first caption."""
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    return sorted(first.values())


def drop_blank_captions(table: CaptionedDataset) -> CaptionedDataset:
    """Drop captions without any visible character; a note counts them."""
    blank = Counter(
        {code: sum(not is_visible(caption) for _, caption in found) for code, found in table.captions.items()}
    )
    blank = +blank
    if not blank:
        return table
    kept = {
        code: [(key, caption) for key, caption in found if is_visible(caption)]
        for code, found in table.captions.items()
    }
    told = f"{blank.total()} blank caption(s) dropped: {', '.join(f'{code} {count}' for code, count in blank.items())}"
    return replace(table, captions=kept, notes=[*table.notes, told])


def select_languages(table: CaptionedDataset, request: Request) -> CaptionedDataset:
    """Keep only the requested languages of a dataset.

    Args:
        table: The images and captions of all languages.
        request: The languages to keep; none means all.

    Returns:
        The dataset with these languages; its name ends in PARTIAL where something is missing.

    Raises:
        UnknownName: A requested language is missing, unless a partial dataset is accepted and another one is there.
        DataError: No caption is left.

    """
    having = {code: found for code, found in table.captions.items() if found}
    wanted = [language.code for language in request.languages] or list(having)
    absent = [code for code in wanted if code not in having]
    if absent and (len(absent) == len(wanted) or not request.partial):
        raise UnknownName(f"language of {table.name} in {request.data}", absent[0], having)
    if not having:
        raise DataError(f"{request.data} has no caption to score.")
    missing = [*table.missing, *([f"no caption in {', '.join(absent)}"] if absent else [])]
    name = f"{table.name} PARTIAL" if missing else table.name
    return replace(
        table, name=name, captions={code: having[code] for code in wanted if code in having}, missing=missing
    )


def get_data_folder(request: Request, name: str) -> Path:
    """Return the folder given with `--data`.

    Args:
        request: Folder and split that the user asked for.
        name: Name of the benchmark.

    Returns:
        The folder with the benchmark's files.

    Raises:
        DataError: No folder was given, or it is not a folder.
        UnknownName: The benchmark does not have the requested split.

    """
    known = load_facts(name)
    wanted = ", ".join(file.path for file in known.layouts[0].files)
    if request.data is None:
        raise DataError(
            f"{name} requires --data DIR with {wanted}; 'polyclip corpora show {name}' says where they come from."
        )
    if not request.data.is_dir():
        raise DataError(f"{request.data} is not a folder; {name} requires --data DIR with {wanted}.")
    if known.splits and request.split not in known.splits:
        raise UnknownName(f"split of {name}", request.split, known.splits)
    return request.data


def collect_notes(table: CaptionedDataset) -> list[str]:
    """List what a reader of the scores must know, first what is missing."""
    found = [f"PARTIAL: {text}" for text in table.missing]
    if found:
        found[0] += "; these figures are not comparable with published ones"
    found += table.notes
    several = any(len(captions) > len({key for key, _ in captions}) for captions in table.captions.values())
    found += [] if several else [f"one caption per image: {FIRST} and {ALL} are the same"]
    if table.homes:
        found += [
            f"{ALL}/home: only images of the language's own region and their captions ask, {ALL}/away: only the "
            "others; all are searched"
        ]
    found += [
        f"{protocol}: {pool.note}" for protocol, pool in table.pools.items() if pool.languages & set(table.captions)
    ]
    plain = [code for code in table.captions if find_pack(code) is None]
    return found + ([f"no language pack, normalised by NFC alone: {', '.join(plain)}"] if plain else [])
