"""Cells of `speed.scale`: one large piece of work each, done once."""

from dataclasses import replace
from itertools import cycle, islice
from time import monotonic, process_time
from typing import Any

import torch
from torch.nn.functional import normalize

from polyclip.models.aligner import PolyCLIP
from polyclip.models.config import ModelConfig
from speed._material import load_captions, load_images
from speed._scores import make_matrices
from speed._worker import Turn

WORDS = 1200  # distinct captions, before they are numbered
IMAGES = 1000
DIM = 383  # of the default method's embeddings
RECIPE = ModelConfig(method="heads", vision_tower="efficientnet-lite0")


def captions(settings: dict[str, Any], turn: Turn) -> None:
    """Encode real captions, each with its number."""
    numbered = enumerate(islice(cycle(load_captions(WORDS)), settings["at"]))
    encode(settings, turn, PolyCLIP(RECIPE).text, [f"{text} {number}" for number, text in numbered])


def images(settings: dict[str, Any], turn: Turn) -> None:
    """Open and encode images of the starter corpus, again and again under names of their own."""
    several = cycle(load_images(IMAGES, "noto"))
    items = [
        replace(image, name=f"{number}", key=f"{image.key}{number}")
        for number, image in enumerate(islice(several, settings["at"]))
    ]
    encode(settings, turn, PolyCLIP(RECIPE).vision, items)


def encode(settings: dict[str, Any], turn: Turn, branch: Any, items: list[Any]) -> None:
    """Encode items in a format, after some that build the encoder."""
    branch.precision = settings["format"]
    branch.encode_features(items[:64], "items", keep=False)
    turn()
    started, used = monotonic(), process_time()
    branch.encode_features(items, "items", keep=False)
    turn(seconds=monotonic() - started, cpu=process_time() - used)


def index(settings: dict[str, Any], turn: Turn) -> None:
    """Link random embeddings in the graph that an index of their number has."""
    from polyclip.search._graph import create_graph
    from polyclip.search._hnsw import add_rows

    rows = normalize(torch.randn(settings["at"], DIM, generator=torch.Generator().manual_seed(0)), dim=1)
    number = torch.arange(len(rows)).numpy()
    turn()
    started, used = monotonic(), process_time()
    add_rows(create_graph(DIM), rows, number.astype("uint64"), number)
    turn(seconds=monotonic() - started, cpu=process_time() - used)


def score(settings: dict[str, Any], turn: Turn) -> None:
    """Rank all images for each caption, and all captions for each image."""
    from polyclip.core.matmul import multiply_at_full_rate
    from polyclip.evaluation.metrics import compute_ranks

    text, image, own = make_matrices({"captions": settings["at"], "pictures": settings["pictures"], "dim": DIM})
    number = torch.arange(len(image))
    turn()
    started, used = monotonic(), process_time()
    with multiply_at_full_rate():
        compute_ranks(text, image, own, number)
        compute_ranks(image, text, number, own)
    turn(seconds=monotonic() - started, cpu=process_time() - used)
