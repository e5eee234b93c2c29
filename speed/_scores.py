"""Contenders for retrieval scores: the same embeddings in, the same recall out."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from speed._worker import Turn, measure_peak, repeat_rounds

KS = (1, 5, 10)
BATCH = 64
DIRECTIONS = ("text_to_image", "image_to_text")
Recalls = dict[str, float]


def make_matrices(settings: dict[str, Any]) -> tuple[Tensor, Tensor, Tensor]:
    """Make captions, images and the image of each caption; captions are noisy images, so that recall is neither 0 nor
    1.

    Captions of one image are adjacent, as CLIP_benchmark's loader requires.
    """
    torch.manual_seed(0)
    image = normalize(torch.randn(settings["pictures"], settings["dim"]), dim=1)
    own = torch.arange(settings["captions"]) * settings["pictures"] // settings["captions"]
    return normalize(image[own] + 0.25 * torch.randn(settings["captions"], settings["dim"]), dim=1), image, own


def measure_scoring(turn: Turn, work: Callable[[], Recalls]) -> None:
    """Measure rounds of `work`, the memory before it, and its recall values."""
    torch.randn(64, 64) @ torch.randn(64, 64)  # allocates the library's own buffers
    before = measure_peak()
    repeat_rounds(work, turn, recalls=work(), before_mb=before)


def clip_benchmark(settings: dict[str, Any], turn: Turn) -> None:
    """Score with CLIP_benchmark's own function: its batch loop, score matrix and recall."""
    from clip_benchmark.metrics.zeroshot_retrieval import evaluate

    text, image, own = make_matrices(settings)

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

    measure_scoring(turn, work)


def recall_alone(settings: dict[str, Any], turn: Turn) -> None:
    """Compute the recall values that CLIP_benchmark gives with polyclip's metrics."""
    from polyclip.evaluation.metrics import compute_ranks, recall

    text, image, own = make_matrices(settings)
    number = torch.arange(len(image))

    def work() -> Recalls:
        found = {
            "text_to_image": compute_ranks(text, image, own, number),
            "image_to_text": compute_ranks(image, text, number, own),
        }
        return {f"{direction} {k}": recall(found[direction], k).mean().item() for direction in DIRECTIONS for k in KS}

    measure_scoring(turn, work)


def everything(settings: dict[str, Any], turn: Turn) -> None:
    """Compute everything that a polyclip benchmark reports of one language under one protocol."""
    from polyclip.evaluation.retrieval import Items, score_both_directions

    text, image, own = make_matrices(settings)
    names = [str(number) for number in range(len(image))]
    keys = [names[number] for number in own.tolist()]
    branches = Items(text, keys, keys), Items(image, names, names)

    def work() -> Recalls:
        scores = score_both_directions(
            *branches, benchmark="random", protocol="all-captions", split="test", language="random", seen=False
        )
        return {
            f"{s.direction} {s.metric.removeprefix('recall@')}": s.value
            for s in scores
            if s.metric in {f"recall@{k}" for k in KS}
        }

    measure_scoring(turn, work)
