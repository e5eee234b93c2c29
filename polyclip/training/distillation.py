"""Teachers of distillation, whose embeddings a text encoder learns: a run folder of polyclip, or a CLIP."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyclip.core.vectors import normalize
from polyclip.data.pairs import Pairs
from polyclip.errors import DataError
from polyclip.models import feature_cache
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.backbone import describe
from polyclip.models.components.heads import Head, IdentityHead
from polyclip.models.components.joint_head import JointHead
from polyclip.models.config import ModelConfig
from polyclip.models.method import Method


@dataclass(frozen=True)
class Teacher:
    """An aligned model: its text branch is the target, its vision branch is used unchanged."""

    name: str
    aligner: PolyCLIP | None  # None for a CLIP

    def adapt_recipe(self, recipe: ModelConfig) -> ModelConfig:
        """Adapt the student's configuration: the teacher's vision branch, and text embeddings of the teacher's length.

        Args:
            recipe: The student's configuration.

        Returns:
            The adapted configuration.

        Raises:
            DataError: Training changed the teacher's vision encoder itself.

        """
        if self.aligner is None:
            return replace(recipe, vision_tower=self.name, dim=describe("towers", self.name).dim, image_head="pass")
        own, method, head = self.aligner.config, self.aligner.method, self.aligner.vision.head
        if self.aligner.vision.encoder is not None or not isinstance(head, Head | JointHead | IdentityHead):
            raise DataError(
                f"Teacher {self.name} was made by method {own.method}, which changed its vision encoder or has no head "
                "of its own; "
                "expected one that leaves the vision encoder frozen, such as heads, or any with --train-towers text."
            )
        if method.taught:  # its vision branch is that of its own teacher
            return replace(recipe, vision_tower=own.vision_tower, dim=own.dim, image_head=own.image_head)
        dim, members = own.dim * method.members, method.members
        kind = "gated" if method.gated else "linear"
        if isinstance(head, JointHead):
            image_head = f"joint-{kind} {own.dim} {members} {own.space} {own.name_dim}"
            return replace(recipe, vision_tower=own.vision_tower, dim=own.space, image_head=image_head)
        return replace(recipe, vision_tower=own.vision_tower, dim=dim, image_head=f"{kind} {own.dim} {members}")

    def copy_head(self, head: nn.Module) -> None:
        """Copy the weights of the teacher's vision head into `head`."""
        if self.aligner is not None:
            head.load_state_dict(self.aligner.vision.head.state_dict())

    def embed_captions(self, captions: Sequence[str], sections: Sequence[int]) -> Float[Tensor, "caption dim"]:
        """Embeddings of captions by the teacher."""
        if self.aligner is not None:
            return self.aligner.text.embed(captions, "captions, as the teacher", keep=True, sections=sections)
        return normalize(
            feature_cache.encode(describe("encoders", self.name), captions, "captions, as the teacher", sections)
        )


def load_teacher(method: Method, name: str) -> Teacher | None:
    """Load the teacher of a distillation method.

    Args:
        method: The run's method.
        name: A run folder, or `clip:` or `open_clip:` with a model; empty for other methods.

    Returns:
        The teacher; None for other methods.

    Raises:
        DataError: A teacher is missing, cannot be read, or was named for a method that has none.
        WeightsError: The teacher's files are damaged.

    """
    if not method.taught:
        if name:
            raise DataError(
                f"--teacher {name} was given, but this method has no teacher: omit it, or choose --method m2m "
                "or distill."
            )
        return None
    if not name:
        raise DataError(
            "This method learns from an aligned teacher: add --teacher with a run folder, or "
            "clip:openai/clip-vit-base-patch32."
        )
    return open_teacher(name)


def open_teacher(name: str) -> Teacher:
    """Open a run folder, or `clip:` or `open_clip:` with a hub name or folder of an aligned model.

    Raises:
        DataError: It is neither.
        WeightsError: A file of the run folder is damaged.

    """
    if name.startswith(("clip:", "open_clip:")) and not Path(name).exists():
        return Teacher(name, None)
    if not Path(name).is_file() and not (Path(name) / "aligner.safetensors").is_file():
        raise DataError(
            f"Teacher {name!r} is not a run folder: aligner.safetensors not found. A hub name or folder of a CLIP is "
            f"written clip:{name}."
        )
    return Teacher(name, load_model(name))


class TeacherEmbeddings:
    """Training targets of distillation: the teacher's embedding of each training caption.

    English captions stand for themselves, others for the English name of their concept.
    """

    def __init__(self, teacher: Teacher, train: Pairs, languages: Sequence[str], english: Sequence[str]) -> None:
        concepts = train.caption_concept.tolist()
        each = zip(dict.fromkeys(languages), train.sections[0], strict=True)  # in the order in which the captions stand
        of_row = [language for language, length in each for _ in range(length)]
        spoken = [
            caption if of == "en" else english[concept]
            for caption, of, concept in zip(train.captions, of_row, concepts, strict=True)
        ]
        distinct = list(dict.fromkeys(spoken))
        place = {caption: row for row, caption in enumerate(distinct)}
        self.table = teacher.embed_captions(distinct, [len(distinct)])[
            torch.tensor([place[caption] for caption in spoken])
        ]

    def make_inputs(self, rows: Tensor) -> dict[str, Tensor]:
        """Embeddings of these caption rows, as the vision branch takes them."""
        return {"unit": self.table[rows]}
