"""Training under equal terms: the same pairs in the same order, the same clock, the same judge for every contender.

The clock runs from the moment when a step's pairs are put together until its update is done; validation is outside. One step more than is
measured is run at the end, under the counter of floating-point operations, which slows it.
"""

import json
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from polyclip.core.vectors import unit
from polyclip.data.corpus import load_corpus
from polyclip.data.pairs import NAMES, Pairs, Sample, training_pairs
from polyclip.data.types import ImageSource
from polyclip.evaluation.metrics import ranks, recall
from polyclip.languages.resolve import resolve_language
from polyclip.models.backbone import describe
from polyclip.models.text.e5_small import PREFIX
from speed._machine import counter
from speed._material import TOWER
from speed._worker import Spent, Turn, spending

TRAINED = ("sw", "en")
KS = (1, 5, 10)
STYLE = "openmoji"  # of the validation pictures
SAME = 0.999  # cosine
Encode = Callable[[Any], Tensor]


def tower_name(settings: dict[str, Any]) -> str:
    """The vision tower with the run's size of pictures."""
    return f"{TOWER}:,size={settings['pixels']}"


def sample_of(settings: dict[str, Any]) -> Sample:
    """All training concepts, or a share of them."""
    return Sample(share=float(settings["share"]))


def seed_of(number: int) -> int:
    """What polyclip's training loop (`fit.step`) draws step `number` with, at seed 0."""
    return number


def material_path(settings: dict[str, Any], suffix: str) -> Path:
    """Where `gather` leaves what all contenders read."""
    return Path(settings["work"]) / f"training.{suffix}"


def gather(settings: dict[str, Any], turn: Turn) -> None:
    """Draw the pairs of every step, as polyclip does, and the validation items; pictures as bytes of the size that is trained with."""
    corpus, languages = load_corpus("emoji"), [resolve_language(code) for code in TRAINED]
    train, held_out = (
        training_pairs(corpus, languages, "train", sample_of(settings)),
        training_pairs(corpus, languages, "validation", NAMES),
    )
    draws = [train.sample(settings["batch"], seed_of(number)) for number in range(settings["steps"] + 1)]
    rows = sorted({row for _, picture, _ in draws for row in picture.tolist()})
    names, judged = validation_items(held_out, settings["concepts"])
    turn(named=train.named, captions=len(train.captions), pictures=len(train.pictures))
    tower: Any = describe("towers", tower_name(settings)).build()
    place = {row: number for number, row in enumerate(rows)}
    with torch.inference_mode():
        seen = torch.cat([tower(**tower.prepare([picture])) for picture in judged])
    tensors = {
        "seen": seen,
        "pictures": torch.cat([tower.prepare([train.pictures[row]])["bytes"] for row in rows]),
        "drawn": torch.tensor([[place[row] for row in picture.tolist()] for _, picture, _ in draws]),
        "judged": tower.prepare(judged)["bytes"],
    }
    save_file(tensors, material_path(settings, "safetensors"))
    captions = [[PREFIX + train.captions[row] for row in caption.tolist()] for caption, _, _ in draws]
    material_path(settings, "json").write_text(
        json.dumps({"captions": captions, "names": [PREFIX + name for name in names]}), "utf-8"
    )


def validation_items(held_out: Pairs, count: int) -> tuple[list[str], list[ImageSource]]:
    """One name in each trained language of the first so many validation concepts that all of them name, and the concepts' pictures in one style.

    Names stand language after language, each in the pictures' order.
    """
    drawn = load_corpus("emoji").reader.pictures(load_corpus("emoji").folder, STYLE)
    first, names = 0, list[dict[int, str]]()
    for length in held_out.sections[0]:
        found: dict[int, str] = {}
        for row in range(first, first + length):
            if held_out.caption_weight[row] > 0:
                found.setdefault(int(held_out.caption_concept[row]), held_out.captions[row])
        names.append(found)
        first += length
    concepts = [
        n for n, concept in enumerate(held_out.concepts) if concept in drawn and all(n in found for found in names)
    ][:count]
    return [found[n] for found in names for n in concepts], [drawn[held_out.concepts[n]] for n in concepts]


@dataclass
class Material:
    """What `gather` left."""

    captions: list[list[str]]  # of each step, with the encoder's prefix
    names: list[str]
    pictures: Tensor  # bytes [picture, size, size, 3]
    drawn: Tensor  # [step, pair], rows of `pictures`
    judged: Tensor  # bytes of the validation pictures
    seen: Tensor  # what the locked tower says of them

    @staticmethod
    def read(settings: dict[str, Any]) -> "Material":
        """Pictures stay mapped on disk."""
        tensors, texts = (
            load_file(material_path(settings, "safetensors")),
            json.loads(material_path(settings, "json").read_text("utf-8")),
        )
        return Material(
            texts["captions"], texts["names"], tensors["pictures"], tensors["drawn"], tensors["judged"], tensors["seen"]
        )

    def bytes_of(self, number: int) -> Tensor:
        """Pictures of a step."""
        return self.pictures[self.drawn[number]]


def validation_recall(text: Tensor, image: Tensor) -> float:
    """Mean of text-to-image recall@1, 5 and 10, in [0, 1]; texts of each language stand in the order of the pictures. The only judge."""
    own = torch.arange(len(image))
    rank = ranks(unit(text.float()), unit(image.float()), own.repeat(len(text) // len(image)), own)
    return sum(recall(rank, k).mean().item() for k in KS) / len(KS)


def judge_of(
    model: Any, material: Material, pictures: Callable[[], Tensor], vectors: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> Callable[[], float]:
    """Validation recall of a model as it then is: `vectors` of the captions and of what its locked tower says of the `pictures`, which is asked once.

    Raises RuntimeError where that is not what the weights say: a tower that a library has damaged would be compared.
    """
    kept: list[Tensor] = []

    @torch.no_grad()
    def judge() -> float:
        model.eval()
        if not kept:
            kept.append(pictures())
            least = torch.cosine_similarity(kept[0], material.seen).min().item()
            if least < SAME:
                raise RuntimeError(
                    f"the locked tower's vectors have a cosine of {least:.3f} to those of the same weights in timm, expected {SAME} or more"
                )
        found = validation_recall(*vectors(kept[0]))
        model.train()
        return found

    return judge


class Trial:
    """Clock, judge and counter of one contender. Who trains calls `begin` before and `end` after each step, from 0 to `steps` inclusive."""

    def __init__(self, settings: dict[str, Any], turn: Turn, judge: Callable[[], float], **facts: Any) -> None:
        self.steps, self.every, self.turn, self.judge, self.facts = (
            settings["steps"],
            settings["every"],
            turn,
            judge,
            facts,
        )
        self.spent, self.running = Spent(), ExitStack()
        self.flops: Any = None

    def begin(self, number: int) -> None:
        """Starts the clock at the first step of a round, the counter at the step after the last."""
        if number == 0:
            self.turn(recall=self.judge(), **self.facts)
        if number == self.steps:
            self.flops = self.running.enter_context(counter())
        elif number % self.every == 0:
            self.spent = self.running.enter_context(spending(Spent()))

    def end(self, number: int) -> None:
        """Stops it at the last step of a round, and validates."""
        if number == self.steps:
            self.running.close()
            self.turn(flops=self.flops.get_total_flops())
        elif (number + 1) % self.every == 0:
            self.running.close()
            self.turn(steps=self.every, recall=self.judge(), **self.spent.record())
