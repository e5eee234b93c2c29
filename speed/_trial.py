"""Training under equal conditions: the same pairs in the same order, the same clock, the same validation for every
contender.

The clock runs from the assembly of a step's pairs until its update is done; validation is excluded. One additional step
runs at the end
under the FLOP counter, which slows it down.
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

from polyclip.core.vectors import normalize
from polyclip.data.corpus import load_corpus
from polyclip.data.pairs import NAMES, Pairs, SamplingConfig
from polyclip.data.training_pairs import make_training_pairs
from polyclip.data.types import ImageSource
from polyclip.evaluation.metrics import compute_ranks, recall
from polyclip.languages.resolve import resolve_language
from polyclip.models.backbone import describe
from polyclip.models.e5_file import PREFIX
from polyclip.training.flops import make_flop_counter
from speed._material import TOWER
from speed._worker import Spent, Turn, measure_spending

TRAINED = ("sw", "en")
KS = (1, 5, 10)
STYLE = "openmoji"  # of the validation images
SAME = 0.999  # cosine
Encode = Callable[[Any], Tensor]


def name_tower(settings: dict[str, Any]) -> str:
    """Return the vision encoder's name with the run's image size."""
    return f"{TOWER}:,size={settings['pixels']}"


def make_sample(settings: dict[str, Any]) -> SamplingConfig:
    """Return the sampling of all training concepts, or of a share of them."""
    return SamplingConfig(share=float(settings["share"]))


def step_seed(number: int) -> int:
    """Return the seed with which polyclip's training loop samples step `number`, at seed 0."""
    return number


def material_path(settings: dict[str, Any], suffix: str) -> Path:
    """Return the path where `gather` stores the inputs of all contenders."""
    return Path(settings["work"]) / f"training.{suffix}"


def gather(settings: dict[str, Any], turn: Turn) -> None:
    """Sample the pairs of every step as polyclip does, and the validation items; images are stored as bytes at the
    training size.
    """
    corpus, languages = load_corpus("emoji"), [resolve_language(code) for code in TRAINED]
    train, held_out = (
        make_training_pairs(corpus, languages, "train", make_sample(settings)),
        make_training_pairs(corpus, languages, "validation", NAMES),
    )
    draws = [train.sample(settings["batch"], step_seed(number)) for number in range(settings["steps"] + 1)]
    rows = sorted({row for _, image, _ in draws for row in image.tolist()})
    names, judged = choose_validation_items(held_out, settings["concepts"])
    turn(named=train.named, captions=len(train.captions), pictures=len(train.images))
    tower: Any = describe("towers", name_tower(settings)).build()
    place = {row: number for number, row in enumerate(rows)}
    with torch.inference_mode():
        seen = torch.cat([tower(**tower.prepare([image])) for image in judged])
    tensors = {
        "seen": seen,
        "pictures": torch.cat([tower.prepare([train.images[row]])["bytes"] for row in rows]),
        "drawn": torch.tensor([[place[row] for row in image.tolist()] for _, image, _ in draws]),
        "judged": tower.prepare(judged)["bytes"],
    }
    save_file(tensors, material_path(settings, "safetensors"))
    captions = [[PREFIX + train.captions[row] for row in caption.tolist()] for caption, _, _ in draws]
    material_path(settings, "json").write_text(
        json.dumps({"captions": captions, "names": [PREFIX + name for name in names]}), "utf-8"
    )


def choose_validation_items(held_out: Pairs, count: int) -> tuple[list[str], list[ImageSource]]:
    """Return one name per trained language of the first validation concepts that all name, and their images in one
    style.

    Names are grouped by language, in the order of the images.
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
    """Inputs stored by `gather`."""

    captions: list[list[str]]  # of each step, with the encoder's prefix
    names: list[str]
    images: Tensor  # bytes [image, size, size, 3]
    drawn: Tensor  # [step, pair], rows of `images`
    judged: Tensor  # bytes of the validation images
    seen: Tensor  # their features by the frozen encoder

    @staticmethod
    def read(settings: dict[str, Any]) -> "Material":
        """Load the inputs; images stay memory-mapped."""
        tensors, texts = (
            load_file(material_path(settings, "safetensors")),
            json.loads(material_path(settings, "json").read_text("utf-8")),
        )
        return Material(
            texts["captions"], texts["names"], tensors["pictures"], tensors["drawn"], tensors["judged"], tensors["seen"]
        )

    def step_images(self, number: int) -> Tensor:
        """Return the images of a step."""
        return self.images[self.drawn[number]]


def compute_validation_recall(text: Tensor, image: Tensor) -> float:
    """Return the mean of text-to-image recall@1, 5 and 10, in [0, 1]; texts of each language are in the order of the
    images.
    """
    own = torch.arange(len(image))
    rank = compute_ranks(normalize(text.float()), normalize(image.float()), own.repeat(len(text) // len(image)), own)
    return sum(recall(rank, k).mean().item() for k in KS) / len(KS)


def build_judge(
    model: Any, material: Material, images: Callable[[], Tensor], vectors: Callable[[Tensor], tuple[Tensor, Tensor]]
) -> Callable[[], float]:
    """Build a function that returns the validation recall of a model in its current state.

    Args:
        model: The model; it is set to evaluation mode and back.
        material: Inputs.
        images: Features of the validation images by the frozen encoder, called once.
        vectors: Embeddings of the captions and of those features.

    Returns:
        A function without arguments.

    Raises:
        RuntimeError: The features differ from the reference: a library has changed the frozen encoder.

    """
    kept: list[Tensor] = []

    @torch.no_grad()
    def judge() -> float:
        model.eval()
        if not kept:
            kept.append(images())
            least = torch.cosine_similarity(kept[0], material.seen).min().item()
            if least < SAME:
                raise RuntimeError(
                    f"the locked tower's vectors have a cosine of {least:.3f} to those of the same weights in timm, "
                    f"expected {SAME} or more"
                )
        found = compute_validation_recall(*vectors(kept[0]))
        model.train()
        return found

    return judge


class Trial:
    """Clock, validation and FLOP counter of one contender, which calls `begin` before and `end` after each step, 0 to
    `steps` inclusive.
    """

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
        """Start the clock at the first step of a round, the FLOP counter at the step after the last."""
        if number == 0:
            self.turn(recall=self.judge(), **self.facts)
        if number == self.steps:
            self.flops = self.running.enter_context(make_flop_counter())
        elif number % self.every == 0:
            self.spent = self.running.enter_context(measure_spending(Spent()))

    def end(self, number: int) -> None:
        """Stop the clock at the last step of a round, and validate."""
        if number == self.steps:
            self.running.close()
            self.turn(flops=self.flops.get_total_flops())
        elif (number + 1) % self.every == 0:
            self.running.close()
            self.turn(steps=self.every, recall=self.judge(), **self.spent.to_json())
