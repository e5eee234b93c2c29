"""Zero-shot classification: each class is the mean of what the text side says of its names in every prompt; a picture belongs to the nearest.

Prompt ensembles as in CLIP (Radford et al. 2021, arXiv 2103.00020, section 3.1.4): unit vectors, their mean, made a unit vector again.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import normalize

from polyclip.core.progress import Progress
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, WeightsError
from polyclip.evaluation.results import Score
from polyclip.languages.normalize import typed
from polyclip.models.aligner import PolyCLIP

DIRECTION = "classification"
BLOCK = 4096  # pictures compared at once: bounds memory, changes no figure
TIE = 1e-6  # cosine; what float32 may add or lose between two vectors that are the same
BUCKETS = 3  # own class first; among the first five; neither
DRAWS = 1000
GAPS = ("{}", "{c}")  # where the name goes: Babel-ImageNet and our packs, CLIP_benchmark


@dataclass(frozen=True, kw_only=True)
class Task:
    """The classes of one language and the prompts their names are put into."""

    language: str  # the score's: a pack's code, else the benchmark's own code
    pack: str  # code of the pack that normalises the names; empty: none, NFC alone
    protocol: str
    classes: Sequence[str]
    names: Sequence[Sequence[str]]  # of each class, at least one
    prompts: Sequence[str]
    seen: bool = False  # whether the language was trained


@dataclass(frozen=True)
class Gallery:
    """Pictures and the class of each."""

    pictures: Sequence[ImageSource]
    classes: Sequence[str]


def classify(aligner: PolyCLIP, gallery: Gallery, tasks: Sequence[Task], benchmark: str, split: str) -> list[Score]:
    """Scores of every task on the pictures of its classes.

    Raises DataError for a task that cannot be scored, WeightsError where the model gives values that are not finite.
    """
    check(gallery, tasks)
    pictures = unit(aligner.vision.embed(gallery.pictures, f"{benchmark} pictures", keep=True), "pictures")
    scores: list[Score] = []
    with Progress("scoring", len(tasks)) as progress:
        for task in tasks:
            number = {key: row for row, key in enumerate(task.classes)}
            rows = [row for row, key in enumerate(gallery.classes) if key in number]
            label = torch.tensor([number[gallery.classes[row]] for row in rows])
            rank = class_ranks(
                pictures[rows], class_vectors(aligner, task, f"{benchmark} class names ({task.language})"), label
            )
            facts = {
                "benchmark": benchmark,
                "protocol": task.protocol,
                "split": split,
                "language": task.language,
                "seen": task.seen,
            }
            scores += summarised(rank, label, [gallery.pictures[row].key for row in rows], len(task.classes), facts)
            progress.advance(1)
    return scores


def check(gallery: Gallery, tasks: Sequence[Task]) -> None:
    """Raises DataError for a class twice or without a name, prompts without a gap, fewer than two classes, and no picture of any class."""
    present = set(gallery.classes)
    for task in tasks:
        where = f"{task.protocol}, language {task.language!r}"
        if len(task.classes) < 2:
            raise DataError(
                f"{where}: {len(task.classes)} class has a name, classification needs two or more; name further classes in this language."
            )
        if len(set(task.classes)) != len(task.classes) or len(task.names) != len(task.classes):
            raise DataError(
                f"{where}: expected each class once with its names, found {len(task.classes)} classes and {len(task.names)} lists of names."
            )
        unnamed = [key for key, names in zip(task.classes, task.names, strict=True) if not names]
        if unnamed:
            raise DataError(f"{where}: class {unnamed[0]!r} has no name; name it, or leave it out.")
        wrong = [prompt for prompt in task.prompts if sum(prompt.count(gap) for gap in GAPS) != 1]
        if wrong or not task.prompts:
            raise DataError(
                f"{where}: expected prompts with one {{}} or {{c}} each, found {repr(wrong[0]) if wrong else 'none'}."
            )
        if not present & set(task.classes):
            raise DataError(f"{where}: there is no picture of any of its {len(task.classes)} classes.")


def filled(prompt: str, name: str) -> str:
    """The prompt with the name in its gap."""
    gap = next(gap for gap in GAPS if gap in prompt)
    return prompt.replace(gap, name)


def class_vectors(aligner: PolyCLIP, task: Task, what: str) -> Float[Tensor, "class dim"]:
    """One unit vector for each class: the mean over its names and all prompts, each normalised as the language's pack says."""
    texts = [filled(prompt, name) for names in task.names for name in names for prompt in task.prompts]
    owner = [row for row, names in enumerate(task.names) for _ in range(len(names) * len(task.prompts))]
    found = unit(aligner.text.embed(typed(texts, task.pack), what, keep=True), "class names")
    return ensemble(found, torch.tensor(owner), len(task.classes))


def ensemble(
    vectors: Float[Tensor, "text dim"], owner: Int[Tensor, " text"], classes: int
) -> Float[Tensor, "class dim"]:
    """Mean of each owner's vectors, made a unit vector; added up in float64, so that equal vectors have their own value as mean."""
    total = torch.zeros(classes, vectors.shape[1], dtype=torch.float64).index_add_(0, owner, vectors.double())
    return normalize(total, dim=1).float()


def unit(vectors: Float[Tensor, "row dim"], what: str) -> Float[Tensor, "row dim"]:
    """Unit vectors in float32, of whatever length a model gives.

    Raises WeightsError for a value that is not finite: NaN compares false and would count as right.
    """
    if not vectors.isfinite().all():
        raise WeightsError(
            f"The model gives {int((~vectors.isfinite()).any(1).sum())} of {len(vectors)} {what} values that are not finite; it is damaged."
        )
    return normalize(vectors.double(), dim=1).float()


def class_ranks(
    picture: Float[Tensor, "picture dim"], classes: Float[Tensor, "class dim"], label: Int[Tensor, " picture"]
) -> Int[Tensor, " picture"]:
    """How many classes stand before a picture's own (0 is best), by cosine in float32.

    Ties count against the model, and similarities within `TIE` are ties: a constant model, or two classes of the same name, are always wrong.
    """
    found = []
    for start in range(0, len(picture), BLOCK):
        similarity = picture[start : start + BLOCK] @ classes.T
        own = label[start : start + BLOCK, None]
        before = similarity >= similarity.gather(1, own) - TIE
        found.append(before.scatter(1, own, False).sum(1))
    return torch.cat(found)


def summarised(
    rank: Int[Tensor, " picture"],
    label: Int[Tensor, " picture"],
    clusters: Sequence[str],
    classes: int,
    facts: dict[str, Any],
) -> list[Score]:
    """acc1, acc5 (with six classes or more), mean_per_class_recall and acc1_corrected, with 95 % intervals over pictures.

    acc1_corrected is (acc1 - chance) / (1 - chance) with chance 1 / classes: 0 at chance, 1 at best, and the same for any number of classes;
    a model worse than chance is below 0, down to -1 / (classes - 1).
    """
    value = figures(cells(rank, label, classes)[None], classes)[0]
    low, high = np.nanpercentile(figures(redrawn(rank, label, clusters, classes), classes), [2.5, 97.5], axis=0)
    chance = [1 / classes, min(1.0, 5 / classes), 1 / classes, 0.0]
    common = facts | {"direction": DIRECTION, "queries": len(rank), "gallery": classes}
    rows = zip(("acc1", "acc5", "mean_per_class_recall", "acc1_corrected"), value, low, high, chance, strict=True)
    return [
        Score(metric=metric, value=float(v), low=float(a), high=float(b), chance=c, **common)
        for metric, v, a, b, c in rows
        if metric != "acc5" or classes > 5
    ]


def bucket(rank: Int[Tensor, " picture"]) -> Int[Tensor, " picture"]:
    """0 where the own class is first, 1 where it is among the first five, else 2."""
    return (rank > 0).long() + (rank > 4).long()


def cells(rank: Int[Tensor, " picture"], label: Int[Tensor, " picture"], classes: int) -> np.ndarray:
    """Pictures by class and bucket [class * BUCKETS]: all that the figures need to know."""
    return np.bincount((label * BUCKETS + bucket(rank)).numpy(), minlength=classes * BUCKETS)


def figures(counts: np.ndarray, classes: int) -> np.ndarray:
    """acc1, acc5, mean per-class recall and corrected acc1 [draw, 4] of counts [draw, class * BUCKETS]; classes without a picture have no recall."""
    table = counts.reshape(len(counts), classes, BUCKETS).astype(float)
    total = table.sum(2)
    acc1 = table[:, :, 0].sum(1) / total.sum(1)
    acc5 = table[:, :, :2].sum((1, 2)) / total.sum(1)
    recall = np.divide(table[:, :, 0], total, out=np.full_like(total, np.nan), where=total > 0)
    return np.stack([acc1, acc5, np.nanmean(recall, 1), (acc1 - 1 / classes) / (1 - 1 / classes)], axis=1)


def redrawn(
    rank: Int[Tensor, " picture"], label: Int[Tensor, " picture"], clusters: Sequence[str], classes: int
) -> np.ndarray:
    """Counts [draw, class * BUCKETS] when whole clusters are drawn again: a picture that stands in several classes is drawn with all of them.

    Clusters of the same outcome are exchangeable, so how often each outcome is drawn is multinomial: the bootstrap itself, at the cost of
    a table of outcomes instead of one of pictures. Seed 0.
    """
    outcome: dict[str, list[int]] = defaultdict(list)
    for cell, cluster in zip((label * BUCKETS + bucket(rank)).tolist(), clusters, strict=True):
        outcome[cluster].append(cell)
    patterns = sorted(Counter(tuple(sorted(found)) for found in outcome.values()).items())
    often = np.array([count for _, count in patterns])
    drawn = np.random.default_rng(0).multinomial(len(outcome), often / often.sum(), size=DRAWS)
    counts = np.zeros((DRAWS, classes * BUCKETS), dtype=np.int64)
    for column, (pattern, _) in enumerate(patterns):
        for cell in pattern:
            counts[:, cell] += drawn[:, column]
    return counts


def twins(task: Task) -> int:
    """How many classes have the same names as another: no model can tell them apart, and all of their pictures count as wrong."""
    known = Counter(frozenset(typed(names, task.pack)) for names in task.names)
    return sum(count for count in known.values() if count > 1)


def twin_notes(tasks: Sequence[Task]) -> list[str]:
    """One line that names the languages with classes of the same name, empty where there is none."""
    found = {task.language: count for task in tasks if (count := twins(task))}
    listed = ", ".join(f"{code} {count}" for code, count in sorted(found.items()))
    return (
        [f"classes of the same name as another (no model can tell them apart, ties count as wrong): {listed}"]
        if found
        else []
    )
