"""Train/test overlap: whether a model is tested on what it was trained on.

A leak is an image that is on both sides: the same file, a near-duplicate (polyclip/data/image_hash.py), a file name
that identifies an image of a public dataset, a concept or group of one corpus, or an overlap that is known by name
(corpora/overlaps/known.toml).

The same caption is not a leak by itself. Short captions are words, and words have several meanings in every language (a
bat, an orange), so that two images may rightly share one; they are counted. Sentences of `LONG` letters or more hardly
ever occur twice by chance: if a share of `SHARE` of a benchmark's sentences is in the training data, its captions
leaked, whatever the images are.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import regex
from pydantic import Field

from polyclip.core.progress import Progress
from polyclip.core.toml import CORPORA, Pack, read_pack
from polyclip.data.corpus import Corpus
from polyclip.data.image_hash import BITS, NEAR, find_duplicates, hash_images, is_same_image
from polyclip.errors import DataError
from polyclip.evaluation.leakage.sources import Captions, DatasetContents, collect_corpus, normalize_name
from polyclip.languages.normalize import find_pack, fold
from polyclip.languages.schema import Language

KNOWN = CORPORA / "overlaps" / "known.toml"
LONG = 20  # letters; a caption of that length counts as a sentence
SHARE = 0.1  # of a benchmark's sentences that were trained on: then its captions leaked
FEWEST = 20  # sentences; with fewer their share is meaningless
COCO = re.compile(r"^(?:COCO_(?:train|val|test)20\d\d_)?(\d{12})$", re.IGNORECASE)
IDENTIFYING = re.compile(r"\d{6}|[0-9a-f]{16}", re.IGNORECASE)  # in a name that is an image's own, not just `1.jpg`


class KnownSet(Pack):
    """A set of images and all of its names."""

    name: str
    names: list[str] = Field(min_length=1)


class Overlap(Pack):
    """What any set of `first` shares with any of `second`, and the source of that knowledge."""

    first: list[str] = Field(min_length=1)
    second: list[str] = Field(min_length=1)
    shared: str
    source: str = Field(pattern=r"^https?://")
    checked: date


class Overlaps(Pack):
    """Contents of corpora/overlaps/known.toml: sets of images and their known overlaps."""

    sets: list[KnownSet]
    overlaps: list[Overlap]


@dataclass(frozen=True, slots=True, kw_only=True)
class Leak:
    """One item that is in the training data and in the benchmark."""

    kind: str  # known overlap, concept, identical image, near duplicate, file name, captions
    train: str
    other: str
    detail: str = ""
    source: str = ""  # of a known overlap


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Everything that a comparison of training data and benchmark found."""

    train: str
    other: str
    leaks: list[Leak]
    captions: dict[str, int]  # distinct captions of the benchmark: all, shared, sentences, shared_sentences
    compared: dict[str, list[int]]  # how many of the training data's and of the benchmark's
    notes: list[str]


def find_leaks(train: DatasetContents, other: DatasetContents) -> list[Leak]:
    """Find everything of `other` that is in `train`; empty where nothing is."""
    return compare(train, other).leaks


def compare(train: DatasetContents, other: DatasetContents) -> Findings:
    """Compare names, images, captions and concepts of training data and benchmark.

    Args:
        train: The training data.
        other: The benchmark or test split.

    Returns:
        Leaks, counts and notes.

    Raises:
        PolyclipError: The cache of image hashes cannot be written.

    """
    images, problems = find_image_leaks(train, other)
    named, differing = find_name_leaks(train, other, {leak.other for leak in images})
    counts = count_captions(train, other)
    told = find_caption_leaks(train, other, counts)
    notes = [*train.notes, *other.notes, *problems]
    notes += [f"{differing} file names are the same, but their images are not"] if differing else []
    compared = {
        "listed": [len(set(side.listed)) for side in (train, other)],
        "concepts": [len(set(side.concepts)) for side in (train, other)],
    }
    compared["pictures"] = [len({image.key for image in side.images}) for side in (train, other)]
    found = [*find_known_leaks(train, other), *find_concept_leaks(train, other), *images, *named, *told]
    return Findings(train=train.name, other=other.name, leaks=found, captions=counts, compared=compared, notes=notes)


def load_overlaps() -> Overlaps:
    """Load the known overlaps of public datasets."""
    return read_pack(Overlaps, KNOWN)


def list_known_names() -> list[str]:
    """List every name of a dataset with known overlaps."""
    return [name for known in load_overlaps().sets for name in (known.name, *known.names)]


def find_known_leaks(train: DatasetContents, other: DatasetContents) -> list[Leak]:
    """Find known overlaps between the datasets that the two sides are named after."""
    table = load_overlaps()
    mine, theirs = ({known.name for known in table.sets if is_named(known, side)} for side in (train, other))
    same = set() if train.home and train.home == other.home else mine & theirs
    found = [
        Leak(kind="known overlap", train=name, other=name, detail="the same set of images") for name in sorted(same)
    ]
    for overlap in table.overlaps:
        for first, second in ((overlap.first, overlap.second), (overlap.second, overlap.first)):
            pairs = [(a, b) for a in first for b in second if a in mine and b in theirs]
            found += [
                Leak(kind="known overlap", train=a, other=b, detail=overlap.shared, source=overlap.source)
                for a, b in pairs
            ]
    return found


def is_named(known: KnownSet, side: DatasetContents) -> bool:
    """Whether the side has one of the set's names."""
    return bool(
        {normalize_name(name) for name in (known.name, *known.names)} & {normalize_name(label) for label in side.labels}
    )


def find_concept_leaks(train: DatasetContents, other: DatasetContents) -> list[Leak]:
    """Find concepts and groups that are on both sides of one corpus."""
    both = sorted(train.concepts & other.concepts) if train.home and train.home == other.home else []
    return [Leak(kind="concept", train=name, other=name, detail="on both sides of a split") for name in both]


def find_image_leaks(train: DatasetContents, other: DatasetContents) -> tuple[list[Leak], list[str]]:
    """Find images of the benchmark that are in the training data, and list images that could not be read."""
    if not train.images or not other.images:
        return [], []
    mine, theirs = (
        hash_images(train.images, f"images of {train.name}"),
        hash_images(other.images, f"images of {other.name}"),
    )
    found = []
    for first, second, bits in find_duplicates(mine, theirs):
        same = first.key == second.key
        detail = "the same file" if same else f"{bits} of {BITS} bits of their hashes differ"
        found.append(
            Leak(
                kind="identical picture" if same else "near duplicate",
                train=first.name,
                other=second.name,
                detail=detail,
            )
        )
    return found, [f"not compared: {problem}" for problem in mine.problems + theirs.problems]


def identify_file(name: str) -> str:
    """Return what identifies the image in its file name; empty where nothing does, as in `1.jpg`.

    COCO's images have one number in every release: `COCO_train2014_000000000009.jpg` is `000000000009.jpg` of 2017.
    """
    stem = Path(name).stem
    coco = COCO.match(stem)
    if coco:
        return f"coco {coco.group(1)}"
    return stem.casefold() if IDENTIFYING.search(stem) else ""


def find_name_leaks(train: DatasetContents, other: DatasetContents, done: Iterable[str]) -> tuple[list[Leak], int]:
    """Find names of one image on both sides; where both files are available, the images decide.

    Args:
        train: The training data.
        other: The benchmark.
        done: Names that are reported already.

    Returns:
        The leaks, and the number of equal names whose images differ.

    """
    mine = {identify_file(name): name for name in reversed(train.listed)}
    theirs = {identify_file(name): name for name in reversed(other.listed)}
    at_hand = [{identify_file(image.name): image for image in side.images} for side in (train, other)]
    found, differing, seen = [], 0, {identify_file(name) for name in done}
    for key in sorted((mine.keys() & theirs.keys()) - seen - {""}):
        if all(key in images for images in at_hand) and not is_same_image(at_hand[0][key], at_hand[1][key], {}):
            differing += 1
        else:
            found.append(Leak(kind="file name", train=mine[key], other=theirs[key], detail=key))
    return found, differing


def fold_captions(captions: Captions, packs: Mapping[str, str], what: str) -> dict[str, set[str]]:
    """Fold captions to comparable keys, by language.

    Args:
        captions: Captions by language.
        packs: For each language, the code of the pack that folds it; empty for none.
        what: Name of the side, for the progress bar.

    Returns:
        Distinct folded captions by language.

    """
    found: dict[str, set[str]] = {}
    with Progress(f"reading captions of {what}", sum(map(len, captions.values()))) as progress:
        for code, texts in captions.items():
            pack = find_pack(packs[code]) if packs[code] else None
            found[code] = {fold(text, pack) for text in texts}
            progress.advance(len(texts))
    return found


def find_shared_captions(
    train: DatasetContents, other: DatasetContents
) -> tuple[set[tuple[str, str]], set[tuple[str, str]]]:
    """Find the benchmark's captions that are in the training data.

    Captions are compared within a language. Where the language of one side is unknown, they are compared with all
    captions of the other side, folded without a pack.

    Args:
        train: The training data.
        other: The benchmark.

    Returns:
        All captions of the benchmark as (language, folded text), and those that are in the training data.

    """
    trained = set(train.captions)
    source = {
        code: code if code in trained else "" for code in other.captions if code in trained | {""} or "" in trained
    }
    mine_by = {code: train.captions[code] for code in set(source.values()) - {""}}
    if "" in source.values():
        mine_by[""] = [text for texts in train.captions.values() for text in texts]
    mine = fold_captions(mine_by, {code: code for code in mine_by}, train.name)
    theirs = fold_captions(other.captions, {code: source.get(code, code) for code in other.captions}, other.name)
    every = {(code, text) for code, texts in theirs.items() for text in texts}
    return every, {(code, text) for code, text in every if code in source and text in mine[source[code]]}


def count_captions(train: DatasetContents, other: DatasetContents) -> dict[str, int]:
    """Count the distinct captions and sentences of the benchmark, and how many of each are in the training data."""
    every, shared = find_shared_captions(train, other)
    counts = {"captions": len(every), "shared": len(shared)}
    return counts | {
        "sentences": sum(is_sentence(text) for _, text in every),
        "shared_sentences": sum(is_sentence(text) for _, text in shared),
    }


def is_sentence(text: str) -> bool:
    """Whether a caption is so long that it hardly ever occurs twice by chance."""
    return len(regex.findall(r"[\p{L}\p{M}]", text)) >= LONG


def find_caption_leaks(train: DatasetContents, other: DatasetContents, counts: dict[str, int]) -> list[Leak]:
    """Report one leak where many of the benchmark's sentences are in the training data."""
    found, total = counts["shared_sentences"], counts["sentences"]
    if total < FEWEST or found < SHARE * total or (train.home and train.home == other.home):
        return []
    return [
        Leak(
            kind="captions",
            train=train.name,
            other=other.name,
            detail=f"{found:,} of {total:,} captions of {LONG} letters or more",
        )
    ]


def to_record(findings: Findings, reason: str = "") -> dict[str, Any]:
    """Convert findings to JSON (schema 1).

    Args:
        findings: The findings of one comparison.
        reason: Why the leaks are allowed; empty where they are not.

    Returns:
        An object for `json.dumps`.

    """
    limits = {"near_bits": NEAR, "of_bits": BITS, "sentence_letters": LONG, "sentence_share": SHARE}
    return {
        "schema": 1,
        **asdict(findings),
        "limits": limits,
        "leaked": bool(findings.leaks),
        "allowed": reason or None,
    }


def check_leakage(corpus: Corpus, languages: Sequence[Language], reason: str = "") -> dict[str, Any]:
    """Check that the test split of a corpus does not overlap with its training split.

    Args:
        corpus: The corpus.
        languages: The languages that are trained.
        reason: Why leaks are allowed; empty where they are not.

    Returns:
        What was compared and found, for result.json.

    Raises:
        DataError: Something leaked and no reason is given.

    """
    found = compare(collect_corpus(corpus, "train", languages), collect_corpus(corpus, "test", languages))
    refuse_leaks([found], reason)
    counts = Counter(leak.kind for leak in found.leaks)
    return {"compared": found.compared, "leaks": dict(counts), "allowed": reason if counts else None}


def describe_leakage(leaked: dict[str, Any]) -> list[str]:
    """Return a note for readers of a result whose leaks were allowed."""
    counts = leaked["leaks"]
    kinds = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    return (
        [f"Not unseen: the test split shares {kinds} with the training split; allowed: {leaked['allowed']}"]
        if counts
        else []
    )


def refuse_leaks(findings: Sequence[Findings], reason: str = "") -> None:
    """Refuse to continue with leaks that are not allowed.

    Args:
        findings: Findings of all comparisons.
        reason: Why leaks are allowed; empty where they are not.

    Raises:
        DataError: Something leaked and no reason is given.

    """
    leaked = [found for found in findings if found.leaks]
    if leaked and not reason:
        first, count = leaked[0].leaks[0], sum(len(found.leaks) for found in leaked)
        raise DataError(
            f"{leaked[0].other} is not unseen: {count} leaks from {leaked[0].train}, the first: {first.kind} "
            f"({first.train}, {first.other}). "
            "Take them out of the training data, or give --allow-leakage REASON, which is recorded."
        )
