"""Label pictures with the nearest of some labels, in any language: zero-shot classification (polyclip/evaluation/zeroshot.py) without a right answer."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.errors import DataError
from polyclip.evaluation.zeroshot import Task, class_vectors, unit
from polyclip.languages.normalize import pack_of, visible, written_in
from polyclip.languages.schema import NEUTRAL
from polyclip.models.aligner import PolyCLIP
from polyclip.search.gallery import Gallery

MOST = 10_000_000  # bytes of a file of labels
MEANING = (
    "share: softmax of the similarities with these labels, through the model's own scale. It is no probability that the label is right: "
    "a picture of none of them still gets the nearest one."
)
UNTRAINED = "Method {method} has no trained scale, so shares say which label is nearer, and not by how much."


@dataclass(frozen=True)
class Labelled:
    """A picture's nearest label: cosine in [-1, 1], share among the labels in [0, 1], and the next one."""

    path: Path
    label: str
    similarity: float
    share: float
    second: str
    second_share: float


def read_labels(path: Path) -> dict[str, list[str]]:
    """Each label with all of its names, itself first. One a line, synonyms after tabs; empty lines count for nothing.

    Raises DataError for a file that cannot be read, is not UTF-8, has a label twice, or fewer than two.
    """
    try:
        if path.stat().st_size > MOST:
            raise DataError(
                f"{path}: {path.stat().st_size:,} bytes, at most {MOST:,} are read; expected one label a line."
            )
        lines = path.read_text("utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}; expected a text file with one label a line."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error}); save it as UTF-8.") from error
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        names = [name.strip() for name in line.split("\t") if visible(name)]
        if not names:
            continue
        if names[0] in found:
            raise DataError(
                f"{path}:{number}: label {names[0]!r} is already on an earlier line; put its synonyms on that one, after tabs."
            )
        found[names[0]] = names
    if len(found) < 2:
        raise DataError(f"{path} has {len(found)} label(s), expected two or more, one a line.")
    return found


def spelling(labels: dict[str, list[str]], language: str, trained: list[str]) -> str:
    """The language whose pack has the prompts: the one named, else the first trained in whose script the labels are; empty for none."""
    return language or written_in(" ".join(labels), trained)


def label(gallery: Gallery, labels: dict[str, list[str]], language: str) -> list[Labelled]:
    """The nearest label of each picture, in the order of the pictures; of two that are as near, the one named first."""
    pack = pack_of(language) if language else None
    task = Task(
        language=language,
        pack=pack.code if pack else "",
        protocol="labels",
        classes=list(labels),
        names=list(labels.values()),
        prompts=pack.prompts if pack else [NEUTRAL],
    )
    classes = class_vectors(gallery.aligner, task, "labels")
    similarity = unit(gallery.vectors, "pictures") @ classes.T
    share = shares(gallery.aligner, similarity)
    order = share.sort(dim=1, descending=True, stable=True).indices[:, :2].tolist()
    names = list(labels)
    return [
        Labelled(path, names[a], float(similarity[row, a]), float(share[row, a]), names[b], float(share[row, b]))
        for row, (path, (a, b)) in enumerate(zip(gallery.paths, order, strict=True))
    ]


def shares(aligner: PolyCLIP, similarity: Float[Tensor, "picture label"]) -> Float[Tensor, "picture label"]:
    """Softmax over the labels, through the model's scale."""
    with torch.inference_mode():
        return (aligner.scale() * similarity).softmax(dim=1)


def meaning(aligner: PolyCLIP) -> str:
    """What a share says, and what not."""
    trained = aligner.log_scale.requires_grad
    return MEANING if trained else f"{MEANING} {UNTRAINED.format(method=aligner.recipe.method)}"
