"""Zero-shot classification: an image gets the class whose mean text embedding over names and prompts is nearest.

Prompt ensembles as in CLIP (Radford et al. 2021, arXiv 2103.00020, section 3.1.4): the mean of embeddings, normalized
again.
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
from polyclip.languages.normalize import normalize_input
from polyclip.models.aligner import PolyCLIP

DIRECTION = "classification"
BLOCK = 4096  # images compared at once: bounds memory, changes no figure
TIE = 1e-6  # cosine; rounding error of float32 between equal embeddings
BUCKETS = 3  # own class first; among the first five; neither
DRAWS = 1000
GAPS = ("{}", "{c}")  # where the name goes: Babel-ImageNet and our packs, CLIP_benchmark


@dataclass(frozen=True, kw_only=True)
class Task:
    """The classes of one language, their names, and the prompts.

    Attributes:
        language: Language of the scores: code of a pack, else the benchmark's own code.
        pack: Code of the pack that normalizes the names; empty means NFC only.
        protocol: Name of the protocol, for the scores.
        classes: Keys of the classes.
        names: Names of each class, at least one.
        prompts: Templates with one {} or {c} each.
        seen: Whether the language was trained.

    """

    language: str  # the score's: a pack's code, else the benchmark's own code
    pack: str  # code of the pack that normalises the names; empty: none, NFC alone
    protocol: str
    classes: Sequence[str]
    names: Sequence[Sequence[str]]  # of each class, at least one
    prompts: Sequence[str]
    seen: bool = False  # whether the language was trained


@dataclass(frozen=True)
class LabeledImages:
    """Images and the class of each."""

    images: Sequence[ImageSource]
    classes: Sequence[str]


def classify(
    aligner: PolyCLIP, gallery: LabeledImages, tasks: Sequence[Task], benchmark: str, split: str
) -> list[Score]:
    """Score every task on the images of its classes.

    Args:
        aligner: The model to score.
        gallery: Images with their classes.
        tasks: Languages with their classes, names and prompts.
        benchmark: Name of the benchmark, for the scores.
        split: Name of the split, for the scores.

    Returns:
        Accuracy scores of every task with 95 % intervals.

    Raises:
        DataError: A task cannot be scored.
        WeightsError: The model gives values that are not finite.

    """
    check_tasks(gallery, tasks)
    images = normalize_embeddings(aligner.vision.embed(gallery.images, f"{benchmark} images", keep=True), "images")
    scores: list[Score] = []
    with Progress("scoring", len(tasks)) as progress:
        for task in tasks:
            number = {key: row for row, key in enumerate(task.classes)}
            rows = [row for row, key in enumerate(gallery.classes) if key in number]
            label = torch.tensor([number[gallery.classes[row]] for row in rows])
            rank = rank_classes(
                images[rows], embed_classes(aligner, task, f"{benchmark} class names ({task.language})"), label
            )
            facts = {
                "benchmark": benchmark,
                "protocol": task.protocol,
                "split": split,
                "language": task.language,
                "seen": task.seen,
            }
            scores += summarize_ranks(rank, label, [gallery.images[row].key for row in rows], len(task.classes), facts)
            progress.advance(1)
    return scores


def check_tasks(gallery: LabeledImages, tasks: Sequence[Task]) -> None:
    """Check that every task can be scored.

    Args:
        gallery: Images with their classes.
        tasks: Languages with their classes, names and prompts.

    Raises:
        DataError: A class occurs twice or has no name, a prompt has no placeholder, there are fewer than two classes,
            or no image of any class.

    """
    present = set(gallery.classes)
    for task in tasks:
        where = f"{task.protocol}, language {task.language!r}"
        if len(task.classes) < 2:
            raise DataError(
                f"{where}: {len(task.classes)} class has a name, classification requires two or more; name further "
                "classes in this language."
            )
        if len(set(task.classes)) != len(task.classes) or len(task.names) != len(task.classes):
            raise DataError(
                f"{where}: expected each class once with its names, found {len(task.classes)} classes and "
                f"{len(task.names)} lists of names."
            )
        unnamed = [key for key, names in zip(task.classes, task.names, strict=True) if not names]
        if unnamed:
            raise DataError(f"{where}: class {unnamed[0]!r} has no name; name it, or remove it.")
        wrong = [prompt for prompt in task.prompts if sum(prompt.count(gap) for gap in GAPS) != 1]
        if wrong or not task.prompts:
            raise DataError(
                f"{where}: expected prompts with one {{}} or {{c}} each, found {repr(wrong[0]) if wrong else 'none'}."
            )
        if not present & set(task.classes):
            raise DataError(f"{where}: there is no image of any of its {len(task.classes)} classes.")


def fill_prompt(prompt: str, name: str) -> str:
    """Insert the name into the prompt's placeholder."""
    gap = next(gap for gap in GAPS if gap in prompt)
    return prompt.replace(gap, name)


def embed_classes(aligner: PolyCLIP, task: Task, what: str) -> Float[Tensor, "class dim"]:
    """Compute one embedding per class: the normalized mean over its names in all prompts.

    Args:
        aligner: The model whose text encoder is used.
        task: Classes, names and prompts; texts are normalized by the language's pack.
        what: Label of the progress bar.

    Returns:
        Embeddings of the classes.

    Raises:
        WeightsError: The model gives values that are not finite.

    """
    texts = [fill_prompt(prompt, name) for names in task.names for name in names for prompt in task.prompts]
    owner = [row for row, names in enumerate(task.names) for _ in range(len(names) * len(task.prompts))]
    found = normalize_embeddings(aligner.text.embed(normalize_input(texts, task.pack), what, keep=True), "class names")
    return average_embeddings(found, torch.tensor(owner), len(task.classes))


def average_embeddings(
    embeddings: Float[Tensor, "text dim"], owner: Int[Tensor, " text"], classes: int
) -> Float[Tensor, "class dim"]:
    """Average the embeddings of each class and normalize the mean.

    Sums are in float64, so that the mean of equal embeddings is the embedding itself.

    Args:
        embeddings: Embeddings of texts.
        owner: Class number of each text.
        classes: Number of classes.

    Returns:
        Embeddings of the classes.

    """
    total = torch.zeros(classes, embeddings.shape[1], dtype=torch.float64).index_add_(0, owner, embeddings.double())
    return normalize(total, dim=1).float()


def normalize_embeddings(embeddings: Float[Tensor, "row dim"], what: str) -> Float[Tensor, "row dim"]:
    """Scale embeddings of any length to length one, in float32.

    Args:
        embeddings: Rows of any length.
        what: What the rows are, for the error message.

    Returns:
        Rows of length one.

    Raises:
        WeightsError: A value is not finite; NaN compares false and would count as a hit.

    """
    if not embeddings.isfinite().all():
        raise WeightsError(
            f"The model gives {int((~embeddings.isfinite()).any(1).sum())} of {len(embeddings)} {what} values that "
            "are not finite; it is damaged."
        )
    return normalize(embeddings.double(), dim=1).float()


def rank_classes(
    image: Float[Tensor, "image dim"], classes: Float[Tensor, "class dim"], label: Int[Tensor, " image"]
) -> Int[Tensor, " image"]:
    """Number of classes that rank before an image's own class, by cosine in float32.

    Ties count against the model, and similarities within `TIE` are ties: with a constant model, or two classes of the
    same name, the prediction is always wrong.

    Args:
        image: Embeddings of images.
        classes: Embeddings of classes.
        label: Class number of each image.

    Returns:
        Rank of each image's own class, 0 is best.

    """
    found = []
    for start in range(0, len(image), BLOCK):
        similarity = image[start : start + BLOCK] @ classes.T
        own = label[start : start + BLOCK, None]
        before = similarity >= similarity.gather(1, own) - TIE
        found.append(before.scatter(1, own, False).sum(1))
    return torch.cat(found)


def summarize_ranks(
    rank: Int[Tensor, " image"],
    label: Int[Tensor, " image"],
    clusters: Sequence[str],
    classes: int,
    facts: dict[str, Any],
) -> list[Score]:
    """Compute acc1, acc5 (with six classes or more), mean_per_class_recall and acc1_corrected with 95 % intervals.

    acc1_corrected is (acc1 - chance) / (1 - chance) with chance 1 / classes: 0 at chance level, 1 at best, whatever the
    number of classes; below 0, down to -1 / (classes - 1), for a model worse than chance.

    Args:
        rank: Rank of each image's own class, 0 is best.
        label: Class number of each image.
        clusters: Cluster that each image is resampled with.
        classes: Number of classes.
        facts: Benchmark, protocol, split, language and seen, for the scores.

    Returns:
        One score per metric.

    """
    value = compute_accuracies(count_cells(rank, label, classes)[None], classes)[0]
    low, high = np.nanpercentile(
        compute_accuracies(resample_counts(rank, label, clusters, classes), classes), [2.5, 97.5], axis=0
    )
    chance = [1 / classes, min(1.0, 5 / classes), 1 / classes, 0.0]
    common = facts | {"direction": DIRECTION, "queries": len(rank), "gallery": classes}
    rows = zip(("acc1", "acc5", "mean_per_class_recall", "acc1_corrected"), value, low, high, chance, strict=True)
    return [
        Score(metric=metric, value=float(v), low=float(a), high=float(b), chance=c, **common)
        for metric, v, a, b, c in rows
        if metric != "acc5" or classes > 5
    ]


def assign_buckets(rank: Int[Tensor, " image"]) -> Int[Tensor, " image"]:
    """Return 0 where the own class is first, 1 where it is among the first five, else 2."""
    return (rank > 0).long() + (rank > 4).long()


def count_cells(rank: Int[Tensor, " image"], label: Int[Tensor, " image"], classes: int) -> np.ndarray:
    """Count images by class and bucket, [class * BUCKETS]; all metrics follow from these counts."""
    return np.bincount((label * BUCKETS + assign_buckets(rank)).numpy(), minlength=classes * BUCKETS)


def compute_accuracies(counts: np.ndarray, classes: int) -> np.ndarray:
    """Compute acc1, acc5, mean per-class recall and corrected acc1.

    Args:
        counts: Counts by class and bucket, [draw, class * BUCKETS].
        classes: Number of classes.

    Returns:
        The four metrics of each draw, [draw, 4]; classes without an image are left out of the mean recall.

    """
    table = counts.reshape(len(counts), classes, BUCKETS).astype(float)
    total = table.sum(2)
    acc1 = table[:, :, 0].sum(1) / total.sum(1)
    acc5 = table[:, :, :2].sum((1, 2)) / total.sum(1)
    recall = np.divide(table[:, :, 0], total, out=np.full_like(total, np.nan), where=total > 0)
    return np.stack([acc1, acc5, np.nanmean(recall, 1), (acc1 - 1 / classes) / (1 - 1 / classes)], axis=1)


def resample_counts(
    rank: Int[Tensor, " image"], label: Int[Tensor, " image"], clusters: Sequence[str], classes: int
) -> np.ndarray:
    """Resample the counts by whole clusters; an image with several classes is resampled with all of them.

    Clusters with the same outcome are exchangeable, so the number of times that each outcome is drawn is multinomial.
    This equals the bootstrap over clusters, but needs a table of outcomes instead of images. Seed 0.

    Args:
        rank: Rank of each image's own class, 0 is best.
        label: Class number of each image.
        clusters: Cluster of each image.
        classes: Number of classes.

    Returns:
        Counts by class and bucket, [draw, class * BUCKETS].

    """
    outcome: dict[str, list[int]] = defaultdict(list)
    for cell, cluster in zip((label * BUCKETS + assign_buckets(rank)).tolist(), clusters, strict=True):
        outcome[cluster].append(cell)
    patterns = sorted(Counter(tuple(sorted(found)) for found in outcome.values()).items())
    often = np.array([count for _, count in patterns])
    drawn = np.random.default_rng(0).multinomial(len(outcome), often / often.sum(), size=DRAWS)
    counts = np.zeros((DRAWS, classes * BUCKETS), dtype=np.int64)
    for column, (pattern, _) in enumerate(patterns):
        for cell in pattern:
            counts[:, cell] += drawn[:, column]
    return counts


def count_same_named(task: Task) -> int:
    """Count the classes that have the same names as another; no model can tell them apart."""
    known = Counter(frozenset(normalize_input(names, task.pack)) for names in task.names)
    return sum(count for count in known.values() if count > 1)


def describe_same_named(tasks: Sequence[Task]) -> list[str]:
    """Return one line that lists the languages with classes of the same name; empty where there is none."""
    found = {task.language: count for task in tasks if (count := count_same_named(task))}
    listed = ", ".join(f"{code} {count}" for code, count in sorted(found.items()))
    return (
        [f"classes of the same name as another (no model can tell them apart, ties count as wrong): {listed}"]
        if found
        else []
    )
