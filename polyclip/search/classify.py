"""Zero-shot labels for images, in any language; like polyclip/evaluation/zeroshot.py, without ground truth."""

from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.core.storage import read_plain_text
from polyclip.errors import DataError
from polyclip.evaluation.zeroshot import Task, embed_classes, normalize_embeddings
from polyclip.languages.normalize import find_pack, is_visible, match_script
from polyclip.languages.schema import NEUTRAL
from polyclip.models.aligner import PolyCLIP
from polyclip.search.gallery import SearchGallery

MOST = 10_000_000  # bytes of a file of labels
MEANING = (
    "share: softmax of the similarities with these labels, through the model's own scale. It is not the probability "
    "that the label is right: "
    "an image that matches no label still gets the nearest one."
)
UNTRAINED = "Method {method} has no trained temperature, so shares show which label is nearer, but not by how much."


@dataclass(frozen=True)
class LabelledImage:
    """An image's best label: cosine in [-1, 1], softmax share in [0, 1], and the runner-up."""

    path: Path
    label: str
    similarity: float
    share: float
    second: str
    second_share: float


def read_labels(path: Path) -> dict[str, list[str]]:
    """Read labels, one per line, synonyms after tabs; empty lines are ignored.

    Args:
        path: A UTF-8 text file.

    Returns:
        All names of each label, the label itself first.

    Raises:
        DataError: The file cannot be read, is not UTF-8, repeats a label, or has fewer than two.

    """
    try:
        if path.stat().st_size > MOST:
            raise DataError(
                f"{path}: {path.stat().st_size:,} bytes, at most {MOST:,} are read; expected one label per line."
            )
        lines = read_plain_text(path, "utf-8-sig").splitlines()
    except OSError as error:
        raise DataError(
            f"{path} cannot be read: {error.strerror or error}; expected a text file with one label per line."
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{path} is not UTF-8 ({error}); save it as UTF-8.") from error
    found: dict[str, list[str]] = {}
    for number, line in enumerate(lines, 1):
        names = [name.strip() for name in line.split("\t") if is_visible(name)]
        if not names:
            continue
        if names[0] in found:
            raise DataError(
                f"{path}:{number}: label {names[0]!r} is already on an earlier line; put its synonyms on that one, "
                "after tabs."
            )
        found[names[0]] = names
    if len(found) < 2:
        raise DataError(f"{path} has {len(found)} label(s), expected two or more, one per line.")
    return found


def choose_language(labels: dict[str, list[str]], language: str, trained: list[str]) -> str:
    """Return the language whose prompts are used: the given one, else the first trained one in the labels' script, else
    "".
    """
    return language or match_script(" ".join(labels), trained)


def label_images(gallery: SearchGallery, labels: dict[str, list[str]], language: str) -> list[LabelledImage]:
    """Assign each image its nearest label; of equal ones, the label listed first.

    Args:
        gallery: Images and their embeddings.
        labels: All names of each label, as `read_labels` returns them.
        language: Code of the language whose prompts are used; "" for none.

    Returns:
        One result for each image, in the gallery's order.

    """
    pack = find_pack(language) if language else None
    task = Task(
        language=language,
        pack=pack.code if pack else "",
        protocol="labels",
        classes=list(labels),
        names=list(labels.values()),
        prompts=pack.prompts if pack else [NEUTRAL],
    )
    classes = embed_classes(gallery.aligner, task, "labels")
    similarity = normalize_embeddings(gallery.embeddings, "images") @ classes.T
    share = compute_shares(gallery.aligner, similarity)
    order = share.sort(dim=1, descending=True, stable=True).indices[:, :2].tolist()
    names = list(labels)
    return [
        LabelledImage(path, names[a], float(similarity[row, a]), float(share[row, a]), names[b], float(share[row, b]))
        for row, (path, (a, b)) in enumerate(zip(gallery.paths, order, strict=True))
    ]


def compute_shares(aligner: PolyCLIP, similarity: Float[Tensor, "image label"]) -> Float[Tensor, "image label"]:
    """Softmax over the labels, at the model's temperature."""
    with torch.inference_mode():
        return (aligner.scale() * similarity).softmax(dim=1)


def describe_shares(aligner: PolyCLIP) -> str:
    """Explain what a share means and what it does not."""
    trained = aligner.log_scale.requires_grad
    return MEANING if trained else f"{MEANING} {UNTRAINED.format(method=aligner.config.method)}"
