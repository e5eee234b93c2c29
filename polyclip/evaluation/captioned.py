"""What every reader of captioned pictures gives, and how such a table is scored.

Protocols: `first-caption`, one caption a picture (as CLIP_benchmark and open_clip's tables do), and, where a picture has several,
`all-captions`, every one a query (as big_vision, Babel-ImageNet and mteb do). Where pictures have a region, `all-captions/home` asks only with
the pictures from where the language is spoken and with their captions, `all-captions/away` with the others; what is searched stays whole.
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
from polyclip.evaluation.facts import facts
from polyclip.evaluation.results import Score
from polyclip.evaluation.retrieval import Items, Report, Request, both_directions
from polyclip.languages.normalize import normalise, pack_of, visible
from polyclip.models.aligner import PolyCLIP

FIRST, ALL = "first-caption", "all-captions"
TOGETHER = 16_384  # captions encoded at once: bounds memory, changes no figure
Captions = dict[str, list[tuple[str, str]]]  # language -> picture and caption, in the files' order


@dataclass(frozen=True)
class Pool:
    """A smaller gallery that somebody reported on."""

    keys: frozenset[str]
    languages: frozenset[str]
    note: str


@dataclass(frozen=True, kw_only=True)
class Table:
    """Pictures and captions of a benchmark, languages under their pack's code, or the benchmark's own where there is no pack."""

    name: str
    split: str
    pictures: dict[str, ImageSource]
    captions: Captions
    galleries: dict[str, list[str]] = field(default_factory=dict)  # of languages that do not search all the pictures
    homes: dict[str, str] = field(default_factory=dict)  # picture -> language of its region
    groups: dict[str, str] = field(default_factory=dict)  # picture -> what is redrawn with it, itself otherwise
    pools: dict[str, Pool] = field(default_factory=dict)  # protocol -> gallery
    notes: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)  # what a partial folder lacks

    def clusters(self, keys: list[str]) -> list[str]:
        """What each picture is redrawn with."""
        return [self.groups.get(key, key) for key in keys]


def score(aligner: PolyCLIP, request: Request, table: Table) -> Report:
    """Score the requested languages, or all the table has.

    Raises UnknownName for a language that it lacks, DataError where nothing is left to score.
    """
    table = asked(without_blank(table), request)
    keys = list(table.pictures)
    image = Items(
        aligner.vision.embed(list(table.pictures.values()), f"{table.name} pictures", keep=True),
        keys,
        table.clusters(keys),
    )
    scores: list[Score] = []
    for vectors in encoded(aligner, table):  # each in a bar of its own, before that of the scores
        with Progress("scoring", len(vectors)) as progress:
            for code, own in vectors.items():
                keys = [key for key, _ in table.captions[code]]
                gallery = image.only(set(table.galleries[code])) if code in table.galleries else image
                common = {"benchmark": table.name, "split": table.split, "language": code, "seen": request.seen(code)}
                scores += protocols(Items(own, keys, table.clusters(keys)), gallery, table, common)
                progress.advance(1)
    counts = {"captions": sum(map(len, table.captions.values())), "pictures": len(table.pictures)}
    return Report(scores, counts, notes(table))


def encoded(aligner: PolyCLIP, table: Table) -> Iterator[dict[str, Tensor]]:
    """Unit vectors of captions by language, several languages at a time."""
    waiting: dict[str, list[str]] = {}
    last = list(table.captions)[-1]
    for code, found in table.captions.items():
        pack = pack_of(code)
        waiting[code] = [normalise(caption, pack) for _, caption in found]
        if code == last or sum(map(len, waiting.values())) >= TOGETHER:
            lengths = [len(captions) for captions in waiting.values()]
            flat = [caption for captions in waiting.values() for caption in captions]
            vectors = aligner.text.embed(
                flat, f"{table.name} captions ({span(list(waiting))})", keep=True, sections=lengths
            )
            yield dict(zip(waiting, vectors.split(lengths), strict=True))
            waiting = {}


def span(codes: list[str]) -> str:
    """`sw`, or `ar to el`."""
    return codes[0] if len(codes) == 1 else f"{codes[0]} to {codes[-1]}"


def protocols(text: Items, image: Items, table: Table, common: dict[str, Any]) -> list[Score]:
    """Scores of one language under every protocol, the headline's first."""
    first = taken(text, first_rows(list(text.keys)))
    scores = both_directions(first, image, protocol=FIRST, **common)
    if len(first.keys) < len(text.keys):
        scores += both_directions(text, image, protocol=ALL, **common)
    if table.homes:
        scores += home_and_away(text, image, table, common)
    for protocol, pool in table.pools.items():
        if common["language"] in pool.languages and pool.keys & set(text.keys):
            scores += both_directions(
                text.only(set(pool.keys)), image.only(set(pool.keys)), protocol=protocol, **common
            )
    return scores


def home_and_away(text: Items, image: Items, table: Table, common: dict[str, Any]) -> list[Score]:
    """Queries from the language's own region, and the others, against everything: pictures and captions of both."""
    home = {key for key in image.keys if table.homes.get(key) == common["language"]}
    captioned = set(text.keys)
    scores: list[Score] = []
    for side, keys in (("home", home), ("away", set(image.keys) - home)):
        named = common | {"protocol": f"{ALL}/{side}"}
        if keys & captioned:
            scores += retrieval._scores(text.only(keys), image, named | {"direction": "text_to_image"})
            scores += retrieval._scores(image.only(keys & captioned), text, named | {"direction": "image_to_text"})
    return scores


def taken(items: Items, rows: list[int]) -> Items:
    """Some rows."""
    return Items(items.vectors[rows], [items.keys[row] for row in rows], [items.clusters[row] for row in rows])


def first_rows(keys: list[str]) -> list[int]:
    """The row of each picture's first caption."""
    first = {key: row for row, key in reversed(list(enumerate(keys)))}
    return sorted(first.values())


def without_blank(table: Table) -> Table:
    """The table without captions in which nothing is to be seen; a note counts them."""
    blank = Counter({code: sum(not visible(caption) for _, caption in found) for code, found in table.captions.items()})
    blank = +blank
    if not blank:
        return table
    kept = {
        code: [(key, caption) for key, caption in found if visible(caption)] for code, found in table.captions.items()
    }
    told = f"{blank.total()} blank caption(s) dropped: {', '.join(f'{code} {count}' for code, count in blank.items())}"
    return replace(table, captions=kept, notes=[*table.notes, told])


def asked(table: Table, request: Request) -> Table:
    """The table with the requested languages alone.

    Raises UnknownName for one that it lacks, unless a part was asked for and another is there; DataError where nothing is left.
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


def folder_of(request: Request, name: str) -> Path:
    """The folder of --data.

    Raises DataError where none was given or it is none, UnknownName for a split that the benchmark does not have.
    """
    known = facts(name)
    wanted = ", ".join(file.path for file in known.layouts[0].files)
    if request.data is None:
        raise DataError(
            f"{name} needs --data DIR with {wanted}; 'polyclip corpora show {name}' says where they come from."
        )
    if not request.data.is_dir():
        raise DataError(f"{request.data} is no folder; {name} needs --data DIR with {wanted}.")
    if known.splits and request.split not in known.splits:
        raise UnknownName(f"split of {name}", request.split, known.splits)
    return request.data


def notes(table: Table) -> list[str]:
    """What a reader of the scores must know, what is missing first."""
    found = [f"PARTIAL: {text}" for text in table.missing]
    if found:
        found[0] += "; these figures cannot stand beside published ones"
    found += table.notes
    several = any(len(captions) > len({key for key, _ in captions}) for captions in table.captions.values())
    found += [] if several else [f"one caption a picture: {FIRST} and {ALL} are the same"]
    if table.homes:
        found += [
            f"{ALL}/home: only pictures of the language's own region and their captions ask, {ALL}/away: only the others; all are searched"
        ]
    found += [
        f"{protocol}: {pool.note}" for protocol, pool in table.pools.items() if pool.languages & set(table.captions)
    ]
    plain = [code for code in table.captions if pack_of(code) is None]
    return found + ([f"no language pack, normalised by NFC alone: {', '.join(plain)}"] if plain else [])
