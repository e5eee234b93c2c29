"""Contenders for retrieval scores: the same vectors in, the same recalls out."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from speed._worker import Turn, peak, repeat

KS = (1, 5, 10)
BATCH = 64
DIRECTIONS = ("text_to_image", "image_to_text")
Recalls = dict[str, float]


def matrices(settings: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Captions, pictures and the picture of each caption; a caption is its picture with noise, so that recall is neither 0 nor 1.

    Captions of one picture stand together, as CLIP_benchmark's loader wants them.
    """
    torch.manual_seed(0)
    image = normalize(torch.randn(settings["pictures"], settings["dim"]), dim=1)
    own = torch.arange(settings["captions"]) * settings["pictures"] // settings["captions"]
    return normalize(image[own] + 0.25 * torch.randn(settings["captions"], settings["dim"]), dim=1), image, own


def measured(turn: Turn, work: Callable[[], Recalls]) -> None:
    """Rounds of `work`, the memory before it, and what it finds."""
    torch.randn(64, 64) @ torch.randn(64, 64)  # the library's own buffers
    before = peak()
    repeat(work, turn, recalls=work(), before_mb=before)


def clip_benchmark(settings: dict[str, Any], turn: Turn) -> None:
    """CLIP_benchmark's own function, whole: its loop over batches, its matrix of scores, its recalls."""
    from clip_benchmark.metrics.zeroshot_retrieval import evaluate

    text, image, own = matrices(settings)

    class Model:
        def encode_image(self, rows: Tensor) -> Tensor:
            return image[rows]

        def encode_text(self, rows: Tensor) -> Tensor:
            return text[rows]

    captions: list[list[int]] = [[] for _ in image]
    for row, picture in enumerate(own.tolist()):
        captions[picture].append(row)
    loader = [
        (torch.arange(start, min(start + BATCH, len(image))), captions[start : start + BATCH])
        for start in range(0, len(image), BATCH)
    ]

    def work() -> Recalls:
        found = evaluate(Model(), loader, torch.tensor, "cpu", amp=False, recall_k_list=list(KS))
        names = {"text_to_image": "image_retrieval_recall", "image_to_text": "text_retrieval_recall"}
        return {f"{direction} {k}": found[f"{names[direction]}@{k}"] for direction in DIRECTIONS for k in KS}

    measured(turn, work)


def recall_alone(settings: dict[str, Any], turn: Turn) -> None:
    """polyclip's metrics, asked for what CLIP_benchmark gives."""
    from polyclip.evaluation.metrics import ranks, recall

    text, image, own = matrices(settings)
    number = torch.arange(len(image))

    def work() -> Recalls:
        found = {"text_to_image": ranks(text, image, own, number), "image_to_text": ranks(image, text, number, own)}
        return {f"{direction} {k}": recall(found[direction], k).mean().item() for direction in DIRECTIONS for k in KS}

    measured(turn, work)


def everything(settings: dict[str, Any], turn: Turn) -> None:
    """What a benchmark of polyclip reports of one language under one protocol."""
    from polyclip.evaluation.retrieval import Items, both_directions

    text, image, own = matrices(settings)
    names = [str(number) for number in range(len(image))]
    keys = [names[number] for number in own.tolist()]
    sides = Items(text, keys, keys), Items(image, names, names)

    def work() -> Recalls:
        scores = both_directions(
            *sides, benchmark="random", protocol="all-captions", split="test", language="random", seen=False
        )
        return {
            f"{s.direction} {s.metric.removeprefix('recall@')}": s.value
            for s in scores
            if s.metric in {f"recall@{k}" for k in KS}
        }

    measured(turn, work)
