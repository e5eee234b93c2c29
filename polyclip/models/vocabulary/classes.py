"""A tower's classifier, and the vocabulary that its classes and their hypernyms make."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.core.vectors import unit
from polyclip.errors import WeightsError
from polyclip.models.vocabulary.wordnet import classes_below, synsets

FEWEST = 20  # classes; a classifier of fewer names too little of what people search
MOST = 4096  # nodes, each a hidden unit of the text head
WIDEST = 0.25  # share of the classes below a hypernym; what lies above more of them, such as "object", says nothing about an image


@dataclass(frozen=True)
class Classifier:
    """The last linear layer of a trained image classifier.

    Attributes:
        labels: Of each class: a WordNet synset id, or its names separated by ", ".
        rows: Weights [class, dim], over the tower's pooled vector.

    """

    labels: Sequence[str]
    rows: Float[Tensor, "class dim"]


@dataclass(frozen=True)
class Vocabulary:
    """Names, and where an image of what they name lies.

    Attributes:
        names: English names, node by node.
        node: The node that each name stands for.
        prototypes: Unit vectors [node, dim]: the mean direction of the rows of a node's classes, around the mean of all rows.

    """

    names: Sequence[str]
    node: Int[Tensor, " name"]
    prototypes: Float[Tensor, "node dim"]

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self.prototypes)


def vocabulary_of(classifier: Classifier, where: str) -> Vocabulary | None:
    """The nodes of a classifier: its classes, and for synsets the hypernyms that at most a quarter of the classes lie below.

    Args:
        classifier: Labels and rows.
        where: The tower, for errors.

    Returns:
        The vocabulary; None for a classifier of fewer than 20 classes.

    Raises:
        WeightsError: There are more or fewer rows than labels, or a row is not finite.

    """
    check(classifier, where)
    if len(classifier.labels) < FEWEST:
        return None
    nodes = named_nodes(classifier.labels)
    rows = classifier.rows.float() - classifier.rows.float().mean(0)
    prototypes = torch.stack([unit(rows[numbers].mean(0, keepdim=True))[0] for _, numbers in nodes])
    owned = [(name, number) for number, (names, _) in enumerate(nodes) for name in names]
    return Vocabulary([name for name, _ in owned], torch.tensor([number for _, number in owned]), prototypes)


def check(classifier: Classifier, where: str) -> None:
    """Raises WeightsError for rows that do not fit the labels, or are not finite."""
    if len(classifier.labels) != len(classifier.rows):
        raise WeightsError(
            f"{where}: its classifier has {len(classifier.rows)} rows and {len(classifier.labels)} class names; expected one name a row. "
            "Use the names that belong to these weights, or --no-class-names."
        )
    if not classifier.rows.isfinite().all():
        raise WeightsError(
            f"{where}: its classifier has values that are not finite; its weights are damaged. Load them again, or use --no-class-names."
        )


def named_nodes(labels: Sequence[str]) -> list[tuple[tuple[str, ...], list[int]]]:
    """Names and class numbers of every node, those of plain labels one a class."""
    table = synsets()
    if not all(label in table for label in labels):
        return [(plain_names(label), [number]) for number, label in enumerate(labels)]
    below = {synset: found for synset, found in classes_below(labels).items() if len(found) <= WIDEST * len(labels)}
    return [(table[synset].words, below[synset]) for synset in sorted(most_useful(below))]


def plain_names(label: str) -> tuple[str, ...]:
    """The names in a label that is no synset: "rose, red_rose" has two."""
    found = tuple(dict.fromkeys(name.strip().replace("_", " ") for name in label.split(", ") if name.strip()))
    return found or (label,)


def most_useful(below: dict[str, list[int]]) -> Iterable[str]:
    """At most `MOST` synsets: those of ImageNet-1k and above them first, then those that most classes lie below."""
    if len(below) <= MOST:
        return below
    known = classes_below(synsets_of("imagenet-1k"))
    return sorted(below, key=lambda synset: (synset not in known, -len(below[synset]), synset))[:MOST]


def synsets_of(subset: str) -> list[str]:
    """The classes of a public classifier, in the order of its rows: imagenet-1k, -12k, -22k, as timm lists them.

    Args:
        subset: The name that `timm.data.infer_imagenet_subset` gives.

    Returns:
        WordNet ids.

    """
    from timm.data import ImageNetInfo

    return ImageNetInfo(subset).label_names()


def labels_of(names: Sequence[str]) -> Sequence[str]:
    """Synset ids where names are those of ImageNet-1k in its order ("tench, Tinca tinca"), else the names as they are.

    Args:
        names: Of each class, as a model's configuration has them (`id2label`).

    Returns:
        Labels for `Classifier`.

    """
    known = synsets_of("imagenet-1k")
    if len(names) != len(known):
        return names
    table = synsets()
    same = sum(
        name.split(", ")[0].lower() in {word.lower() for word in table[synset].words}
        for name, synset in zip(names, known, strict=True)
    )
    return known if same >= 0.9 * len(known) else names
