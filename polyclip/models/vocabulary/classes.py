"""A vision encoder's classifier, and the vocabulary that its classes and their hypernyms make."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Int
from torch import Tensor

from polyclip.core.vectors import normalize
from polyclip.errors import WeightsError
from polyclip.models.vocabulary.translations import load_translations
from polyclip.models.vocabulary.wordnet import group_classes, load_synsets

IMAGENET_1K = Path(__file__).with_name("imagenet-1k.txt")  # its classes in their order
FEWEST = 20  # classes; a smaller classifier covers too little of what people search
MOST = 4096  # nodes, each a hidden unit of the text head
WIDEST = 0.25  # share of the classes below a hypernym; above more of them, as "object", it says nothing about an image


@dataclass(frozen=True)
class Classifier:
    """The last linear layer of a trained image classifier.

    Attributes:
        labels: Of each class: a WordNet synset id, or its names separated by ", ".
        rows: Weights [class, dim], over the encoder's features.

    """

    labels: Sequence[str]
    rows: Float[Tensor, "class dim"]


@dataclass(frozen=True)
class ClassVocabulary:
    """Names, and where an image of what they name lies.

    Attributes:
        names: English names, node by node, then names in other languages.
        node: The node that each name belongs to.
        english: How many of the names are English.
        prototypes: Unit vectors [node, dim]: the mean direction of the rows of a node's classes, around the mean of all
            rows.

    """

    names: Sequence[str]
    node: Int[Tensor, " name"]
    english: int
    prototypes: Float[Tensor, "node dim"]

    def __len__(self) -> int:
        """Number of nodes."""
        return len(self.prototypes)


@dataclass(frozen=True)
class Node:
    """A class or a hypernym of classes.

    Attributes:
        names: English names, the usual one first.
        classes: Numbers of the classes below it.
        synset: WordNet id; "" for a label that is not one.

    """

    names: tuple[str, ...]
    classes: Sequence[int]
    synset: str = ""


def build_vocabulary(
    classifier: Classifier, where: str, more: Sequence[Mapping[str, str]] = ()
) -> ClassVocabulary | None:
    """Build the nodes of a classifier: its classes and, for synsets, hypernyms above at most a quarter of the classes.

    Args:
        classifier: Labels and rows.
        where: The encoder, for errors.
        more: Names in further languages, by synset, one mapping a language.

    Returns:
        The vocabulary; None for a classifier of fewer than 20 classes.

    Raises:
        WeightsError: There are more or fewer rows than labels, or a row is not finite.

    """
    check_classifier(classifier, where)
    if len(classifier.labels) < FEWEST:
        return None
    nodes = list_nodes(classifier.labels)
    rows = classifier.rows.float() - classifier.rows.float().mean(0)
    prototypes = normalize(torch.stack([rows[list(node.classes)].mean(0) for node in nodes]))
    owned = [(name, number) for number, node in enumerate(nodes) for name in node.names]
    translated = [(name, number) for number, node in enumerate(nodes) for name in translate_node(node, more)]
    names, numbers = zip(*owned, *translated, strict=True)
    return ClassVocabulary(names, torch.tensor(numbers), len(owned), prototypes)


def translate_node(node: Node, more: Sequence[Mapping[str, str]]) -> Iterable[str]:
    """A node's names in other languages than English: those that polyclip ships, then those of `more`, each once."""
    added = (names[node.synset] for names in more if node.synset in names)
    return dict.fromkeys((*load_translations().get(node.synset, ()), *added))


def check_classifier(classifier: Classifier, where: str) -> None:
    """Check that the classifier's rows fit its labels.

    Args:
        classifier: Labels and rows.
        where: The encoder, for errors.

    Raises:
        WeightsError: There are more or fewer rows than labels, or a row is not finite.

    """
    if len(classifier.labels) != len(classifier.rows):
        raise WeightsError(
            f"{where}: its classifier has {len(classifier.rows)} rows and {len(classifier.labels)} class names; "
            "expected one name a row. "
            "Use the names that belong to these weights, or --no-class-names."
        )
    if not classifier.rows.isfinite().all():
        raise WeightsError(
            f"{where}: its classifier has values that are not finite; its weights are damaged. Load them again, or "
            "use --no-class-names."
        )


def list_nodes(labels: Sequence[str]) -> list[Node]:
    """Every node of these classes; plain labels make one node a class."""
    table = load_synsets()
    if not all(label in table for label in labels):
        return [Node(split_label(label), [number]) for number, label in enumerate(labels)]
    below = {synset: found for synset, found in group_classes(labels).items() if len(found) <= WIDEST * len(labels)}
    return [Node(table[synset].words, below[synset], synset) for synset in sorted(choose_nodes(below))]


def split_label(label: str) -> tuple[str, ...]:
    """Split a label that is not a synset into its names: "rose, red_rose" has two."""
    found = tuple(dict.fromkeys(name.strip().replace("_", " ") for name in label.split(", ") if name.strip()))
    return found or (label,)


def choose_nodes(below: dict[str, list[int]]) -> Iterable[str]:
    """Choose at most `MOST` synsets: those of ImageNet-1k and above them first, then those above the most classes."""
    if len(below) <= MOST:
        return below
    known = group_classes(list_synsets("imagenet-1k"))
    return sorted(below, key=lambda synset: (synset not in known, -len(below[synset]), synset))[:MOST]


def list_synsets(subset: str) -> list[str]:
    """Classes of a public classifier in the order of its rows: imagenet-1k, -12k, -22k.

    Those of ImageNet-1k are in a file beside this one, because timm, which lists them all, takes 1.5 s to import.

    Args:
        subset: The name that `timm.data.infer_imagenet_subset` gives.

    Returns:
        WordNet ids.

    """
    if subset == "imagenet-1k":
        return IMAGENET_1K.read_text(encoding="utf-8").split()
    from timm.data import ImageNetInfo

    return ImageNetInfo(subset).label_names()


def match_labels(names: Sequence[str]) -> Sequence[str]:
    """Replace class names by synset ids where they are those of ImageNet-1k in its order ("tench, Tinca tinca").

    Args:
        names: Of each class, as a model's configuration has them (`id2label`).

    Returns:
        Labels for `Classifier`: synset ids, or the names as they are.

    """
    known = list_synsets("imagenet-1k")
    if len(names) != len(known):
        return names
    table = load_synsets()
    same = sum(
        name.split(", ")[0].lower() in {word.lower() for word in table[synset].words}
        for name, synset in zip(names, known, strict=True)
    )
    return known if same >= 0.9 * len(known) else names
