"""Aligned models that teach a text encoder their vectors: a run folder of polyclip, or a CLIP of transformers."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor, nn

from polyclip.core.vectors import unit
from polyclip.data.pairs import Pairs
from polyclip.errors import DataError
from polyclip.models import feature_cache
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.backbone import describe
from polyclip.models.branch import ModelConfig
from polyclip.models.components.heads import Head, Pass
from polyclip.models.components.joint_head import JointHead
from polyclip.models.method import Method


@dataclass(frozen=True)
class Teacher:
    """An aligned model: its text side speaks, its vision side is taken over as it is."""

    name: str
    aligner: PolyCLIP | None  # None for a CLIP

    def recipe(self, recipe: ModelConfig) -> ModelConfig:
        """The student's: the teacher's vision side, and a text head as long as the teacher's vectors.

        Raises DataError for a teacher whose vision tower was itself changed by training.
        """
        if self.aligner is None:
            return replace(recipe, vision_tower=self.name, dim=describe("towers", self.name).dim, image_head="pass")
        own, method, head = self.aligner.recipe, self.aligner.method, self.aligner.vision.head
        if self.aligner.vision.encoder is not None or not isinstance(head, Head | JointHead | Pass):
            raise DataError(
                f"Teacher {self.name} was made by method {own.method}, which changed its vision tower or has no head of its own; "
                "expected one that leaves the vision tower as it is, such as heads, or any with --tune text."
            )
        if method.taught:  # its vision side is that of its own teacher
            return replace(recipe, vision_tower=own.vision_tower, dim=own.dim, image_head=own.image_head)
        dim, members = own.dim * method.members, method.members
        kind = "gated" if method.gated else "linear"
        if isinstance(head, JointHead):
            image_head = f"joint-{kind} {own.dim} {members} {own.space} {own.name_dim}"
            return replace(recipe, vision_tower=own.vision_tower, dim=own.space, image_head=image_head)
        return replace(recipe, vision_tower=own.vision_tower, dim=dim, image_head=f"{kind} {own.dim} {members}")

    def hand_over(self, head: nn.Module) -> None:
        """The teacher's vision head, trained no further."""
        if self.aligner is not None:
            head.load_state_dict(self.aligner.vision.head.state_dict())

    def says(self, captions: Sequence[str], sections: Sequence[int]) -> Float[Tensor, "caption dim"]:
        """Unit vectors of captions."""
        if self.aligner is not None:
            return self.aligner.text.embed(captions, "captions, as the teacher", keep=True, sections=sections)
        return unit(
            feature_cache.encode(describe("encoders", self.name), captions, "captions, as the teacher", sections)
        )


def teacher_of(method: Method, name: str) -> Teacher | None:
    """Who teaches a taught method; none for any other.

    Raises DataError when a teacher is missing, or was named for a method that has none, and what `open_teacher` raises.
    """
    if not method.taught:
        if name:
            raise DataError(
                f"--teacher {name} was given, but this method has no teacher: leave it out, or choose --method m2m or distill."
            )
        return None
    if not name:
        raise DataError(
            "This method learns from an aligned teacher: add --teacher with a run folder, or clip:openai/clip-vit-base-patch32."
        )
    return open_teacher(name)


def open_teacher(name: str) -> Teacher:
    """A run folder, or `clip:` or `open_clip:` with a hub name or folder of an aligned model.

    Raises DataError for what is neither, and what `load_model` raises.
    """
    if name.startswith(("clip:", "open_clip:")) and not Path(name).exists():
        return Teacher(name, None)
    if not Path(name).is_file() and not (Path(name) / "aligner.safetensors").is_file():
        raise DataError(
            f"Teacher {name!r} is no run folder: it has no aligner.safetensors. A hub name or folder of a CLIP is written clip:{name}."
        )
    return Teacher(name, load_model(name))


class Taught:
    """In place of pictures: what the teacher says of each training caption.

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
        self.table = teacher.says(distinct, [len(distinct)])[torch.tensor([place[caption] for caption in spoken])]

    def inputs(self, rows: Tensor) -> dict[str, Tensor]:
        """Of these caption rows."""
        return {"unit": self.table[rows]}
