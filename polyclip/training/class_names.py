"""The class names of a vision encoder beside the heads: whether there are any, and how they are installed."""

from dataclasses import replace
from functools import lru_cache

from polyclip.core.progress import console
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
from polyclip.models.vocabulary.classes import ClassVocabulary, build_vocabulary
from polyclip.training.branch_data import BranchData

DIMENSIONS = 256  # principal directions of the classifier's rows that are kept


@lru_cache(maxsize=4)
def read_vocabulary(tower: BackboneSpec) -> ClassVocabulary | None:
    """Read the class names of a vision encoder.

    Args:
        tower: A vision encoder.

    Returns:
        None for an encoder without a classifier, or with one whose classes have no names or are fewer than 20.

    Raises:
        WeightsError: The classifier does not fit its names, or is damaged.

    """
    classifier = None if tower.classifier is None else tower.classifier()
    return None if classifier is None else build_vocabulary(classifier, tower.name)


def add_class_names(recipe: ModelConfig, method: Method, *, wanted: bool) -> ModelConfig:
    """Add the sizes of a joint head to the recipe, and of the class names if they are wanted and exist.

    Args:
        recipe: The model's configuration.
        method: Its method.
        wanted: Whether class names are to be used; a message says where there are none.

    Returns:
        The completed configuration.

    """
    text = describe("encoders", recipe.text_encoder)
    found = None
    if wanted and method.takes_names:
        tower = describe("towers", recipe.vision_tower)
        found = read_vocabulary(tower)
        if found is None:
            console.print(f"{tower.name} has no class names: aligned without them.", highlight=False, soft_wrap=True)
    units, dim = (0, 0) if found is None else (len(found), min(DIMENSIONS, len(found)))
    if not (units or method.hidden):
        return recipe
    total = recipe.dim * method.members + dim
    return replace(
        recipe, name_units=units, name_dim=dim, space=min(total, text.dim - 1)
    )  # an export to transformers has room for as many


def install_names(text: BranchData, vision: BranchData) -> None:
    """Solve the class names' part of both heads from the training captions' features and the classifier's rows."""
    head, other = text.side.head, vision.side.head
    if not (isinstance(head, JointHead) and isinstance(head.names, NameUnits) and isinstance(other.names, ClassRows)):
        return
    vocabulary = read_vocabulary(vision.side.tower)
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
