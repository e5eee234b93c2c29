"""The class names of a vision tower beside the heads: whether there are any, and how they are put there."""

from dataclasses import replace
from functools import lru_cache

from polyclip.core.progress import console
from polyclip.models import feature_cache
from polyclip.models.backbone import BackboneSpec, describe
from polyclip.models.branch import ModelConfig
from polyclip.models.components.joint_head import (
    Captioned,
    ClassRows,
    JointHead,
    NameFeatures,
    NameUnits,
    fold,
    spread_rows,
)
from polyclip.models.method import Method
from polyclip.models.vocabulary.classes import Vocabulary, vocabulary_of
from polyclip.training.branch_data import BranchData

DIMENSIONS = 256  # principal directions of the classifier's rows that are kept


@lru_cache(maxsize=4)
def read_vocabulary(tower: BackboneSpec) -> Vocabulary | None:
    """The names that a vision tower has for what it sees.

    Args:
        tower: A vision tower.

    Returns:
        None for a tower without a classifier, or with one whose classes have no names or are fewer than 20.

    Raises:
        WeightsError: The classifier does not fit its names, or is damaged.

    """
    classifier = None if tower.classifier is None else tower.classifier()
    return None if classifier is None else vocabulary_of(classifier, tower.name)


def with_names(recipe: ModelConfig, method: Method, *, wanted: bool) -> ModelConfig:
    """The recipe with the sizes of a joint head, and of the class names where they are wanted and there are any; says so where there are none."""
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
    """Set the class names' part of both heads in closed form, from the training captions' features and the classifier's rows."""
    head, other = text.side.head, vision.side.head
    if not (isinstance(head, JointHead) and isinstance(head.names, NameUnits) and isinstance(other.names, ClassRows)):
        return
    vocabulary = read_vocabulary(vision.side.tower)
    if vocabulary is None or len(vocabulary) != len(head.names.inner):
        raise RuntimeError("The vision tower's class names changed while the run was prepared.")
    own = feature_cache.encode(text.side.tower, vocabulary.names, "class names")
    rows = spread_rows(len(text.table))
    captions = Captioned(text.table[rows], text.train_pairs.caption_concept[rows])
    head.names.solve(NameFeatures(own, vocabulary.node), captions, other.names.solve(vocabulary.prototypes))


def fold_heads(text: BranchData, vision: BranchData) -> None:
    """Bring both heads' vectors to their final length, once training has ended."""
    if isinstance(text.side.head, JointHead) and isinstance(vision.side.head, JointHead):
        for data in (text, vision):
            data.side.head.balance(data.table)
        fold(text.side.head, text.table, vision.side.head, vision.table)
