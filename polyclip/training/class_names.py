"""The class names of a vision encoder beside the heads: whether there are any, and how they are installed."""

from dataclasses import replace
from functools import lru_cache
from pathlib import Path

from polyclip.core.progress import console
from polyclip.errors import DataError, PolyclipError
from polyclip.models import feature_cache
from polyclip.models.backbone import BackboneSpec, describe
from polyclip.models.components.joint_head import (
    CaptionFeatures,
    ClassRows,
    JointHead,
    NameFeatures,
    NameUnits,
    fold,
    spread_rows,
)
from polyclip.models.config import ModelConfig
from polyclip.models.method import Method
from polyclip.models.vocabulary.classes import ClassVocabulary, build_vocabulary, list_nodes
from polyclip.models.vocabulary.translations import read_wordnet
from polyclip.training.branch_data import BranchData

DIMENSIONS = 256  # principal directions of the classifier's rows that are kept


@lru_cache(maxsize=4)
def read_shipped_vocabulary(tower: BackboneSpec) -> ClassVocabulary | None:
    """Read the class names of a vision encoder in the languages that polyclip ships; see `read_vocabulary`."""
    classifier = None if tower.classifier is None else tower.classifier()
    return None if classifier is None else build_vocabulary(classifier, tower.name)


def read_vocabulary(tower: BackboneSpec, files: tuple[str, ...] = (), *, silent: bool = True) -> ClassVocabulary | None:
    """Read the class names of a vision encoder.

    Args:
        tower: A vision encoder.
        files: Wordnets or tables of names in further languages, see `read_wordnet`; read anew at each call, since
            people edit them.
        silent: False to say how many classes and hypernyms each file names.

    Returns:
        None for an encoder without a classifier, or with one whose classes have no names or are fewer than 20.

    Raises:
        WeightsError: The classifier does not fit its names, or is damaged.
        DataError: A file cannot be read, or names none of the encoder's classes.

    """
    classifier = tower.classifier() if files and tower.classifier is not None else None
    if classifier is None:
        return read_shipped_vocabulary(tower)
    more = [read_wordnet(Path(file)) for file in files]
    synsets = [node.synset for node in list_nodes(classifier.labels)]
    for file, names in zip(files, more, strict=True):
        named = sum(synset in names for synset in synsets)
        if not named:
            raise DataError(
                f"{file}: it names none of the {len(synsets):,} classes and hypernyms of {tower.name}; expected ids of "
                "WordNet 3.0, and a vision encoder whose classes are synsets, such as efficientnet-lite2."
            )
        if not silent:
            console.print(f"class names from {file}: {named:,} of {len(synsets):,}", highlight=False, soft_wrap=True)
    return build_vocabulary(classifier, tower.name, more)


def add_class_names(recipe: ModelConfig, method: Method, *, wanted: bool, files: tuple[str, ...] = ()) -> ModelConfig:
    """Add the sizes of a joint head to the recipe, and of the class names if they are wanted and exist.

    Args:
        recipe: The model's configuration.
        method: Its method.
        wanted: Whether class names are to be used; a message says where there are none.
        files: Names in further languages, see `read_vocabulary`.

    Returns:
        The completed configuration.

    Raises:
        PolyclipError: There are files, and no class names that they could add to.

    """
    text = describe("encoders", recipe.text_encoder)
    found = None
    if wanted and method.takes_names:
        tower = describe("towers", recipe.vision_tower)
        found = read_vocabulary(tower, files, silent=False)
        if found is None and not files:
            console.print(f"{tower.name} has no class names: aligned without them.", highlight=False, soft_wrap=True)
    if found is None and files:
        raise PolyclipError(
            f"--class-names-from {files[0]}: method {recipe.method} with {recipe.vision_tower} uses no class names; "
            "expected a method and a vision encoder that do, such as head-mlp and efficientnet-lite2, and no "
            "--no-class-names."
        )
    units, dim = (0, 0) if found is None else (len(found), min(DIMENSIONS, len(found)))
    if not (units or method.hidden):
        return recipe
    total = recipe.dim * method.members + dim
    return replace(
        recipe, name_units=units, name_dim=dim, space=min(total, text.dim - 1)
    )  # an export to transformers has room for as many


def install_names(text: BranchData, vision: BranchData, files: tuple[str, ...] = ()) -> None:
    """Solve the class names' part of both heads from the training captions' features and the classifier's rows.

    Args:
        text: The text side.
        vision: The vision side.
        files: Names in further languages, as they were given to `add_class_names`.

    """
    head, other = text.side.head, vision.side.head
    if not (isinstance(head, JointHead) and isinstance(head.names, NameUnits) and isinstance(other.names, ClassRows)):
        return
    vocabulary = read_vocabulary(vision.side.tower, files)
    if vocabulary is None or len(vocabulary) != len(head.names.inner):
        raise RuntimeError("The vision encoder's class names changed while the run was prepared.")
    own = feature_cache.encode(text.side.tower, vocabulary.names, "class names")
    rows = spread_rows(len(text.table))
    captions = CaptionFeatures(text.table[rows], text.train_pairs.caption_concept[rows])
    names = NameFeatures(own, vocabulary.node, vocabulary.english)
    head.names.solve(names, captions, other.names.solve(vocabulary.prototypes))
    for data in (text, vision):
        data.side.head.balance_names(data.table)


def fold_heads(text: BranchData, vision: BranchData) -> None:
    """Reduce both heads' embeddings to their final length, after training."""
    if isinstance(text.side.head, JointHead) and isinstance(vision.side.head, JointHead):
        for data in (text, vision):
            data.side.head.balance(data.table)
        fold(text.side.head, text.table, vision.side.head, vision.table)
