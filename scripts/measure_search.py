"""Measure what search could gain: hubs damped, and a confidence that knows when there is no good match.

python scripts/measure_search.py runs/sw [FOLDER OF TUX PAINT'S STAMPS]

Everything is fitted on validation queries; test queries only say how well it holds. The run and the captions must be in
languages of the starter corpus. A query counts as answered right where one of its own images stands first. Galleries
with one, two and five images of each thing are measured: drawings in two styles, and crops and mirror images of
drawings and photographs. Seed 0.
"""

import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageOps
from scipy.optimize import minimize
from scipy.stats import rankdata
from torch import Tensor

from polyclip.core.storage import hash_parts
from polyclip.data.corpus import load_corpus
from polyclip.data.types import ImageSource
from polyclip.evaluation.benchmarks import tuxpaint_stamps as stamps
from polyclip.evaluation.retrieval import Request
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.search.confidence import COEFFICIENTS, HIGH, MEDIUM, count_different, describe_scores

STYLES = ("noto", "fluent")
SPLITS = ("validation", "test")
SHARES = (0.15, 0.4, 1.0)  # of the things that a gallery shows
ROUNDS, QUERIES = 8, 60  # galleries drawn of each share below 1, and queries of each
COPIES = (1, 2, 5)  # images of each thing
BOXES = ((0, 0, 1, 1), (0.1, 0.1, 0.9, 0.9), (0, 0, 0.85, 0.85), (0.1, 0, 1, 0.9), (0.05, 0.15, 0.95, 1))
Trials = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class Case:
    """Queries and images of one set; text i describes every image [i, :]."""

    name: str
    split: str
    text: Float[Tensor, "item dim"]
    image: Float[Tensor, "item copy dim"]


def crop(source: ImageSource, number: int) -> Image.Image:
    """A box of an image, mirrored where its number is odd."""
    image, box = source.open(), BOXES[number]
    size = [image.width, image.height] * 2
    part = image.crop(tuple(round(share * side) for share, side in zip(box, size, strict=True)))
    return ImageOps.mirror(part) if number % 2 else part


def view(source: ImageSource, number: int) -> ImageSource:
    """An image as it is (0), or one of four crops of it."""
    if number == 0:
        return source
    return replace(source, key=hash_parts(source.key, f"measure_search {number}"), open=partial(crop, source, number))


def embed(model: PolyCLIP, copies: list[list[ImageSource]]) -> Float[Tensor, "item copy dim"]:
    """Embeddings of several images of each thing."""
    return torch.stack([model.vision.embed(images, "images", keep=True) for images in copies], dim=1)


def read_emoji(model: PolyCLIP) -> list[Case]:
    """Names and images of the starter corpus for each language of the run: two styles, then crops of them."""
    corpus, found = load_corpus("emoji"), []
    noto, fluent = (corpus.reader.pictures(corpus.folder, style) for style in STYLES)
    for split in SPLITS:
        for code in model.languages:
            rows = [
                row
                for row in corpus.reader.read(corpus.folder, code, split)
                if row.concept in noto and row.concept in fluent
            ]
            plan = [(noto, 0), (fluent, 0), (noto, 1), (fluent, 1), (noto, 2)]
            image = embed(model, [[view(style[row.concept], number) for row in rows] for style, number in plan])
            found.append(
                Case(f"emoji {code}", split, model.encode_text([row.captions[0] for row in rows], code), image)
            )
    return found


def read_stamps(model: PolyCLIP, folder: Path) -> list[Case]:
    """English sentences and photographs of Tux Paint's stamps, with four crops of each."""
    found = []
    for split in SPLITS:
        every = [each for each in stamps.read(Request(data=folder, split=split)) if each.kind == stamps.PHOTOGRAPHS]
        images = [stamps.make_image(each) for each in every]
        image = embed(model, [[view(one, number) for one in images] for number in range(len(BOXES))])
        found.append(
            Case("photographs en", split, model.encode_text([each.captions["en"] for each in every], "en"), image)
        )
    return found


def measure_hubs(case: Case) -> dict[str, float]:
    """recall@1 and @10 (percent) as it is, with the gallery centred, and with each image's mean score subtracted."""
    text, image = case.text.float(), case.image[:, 0].float()
    centred = image - image.mean(dim=0)
    names = text @ image.T
    near = (image @ image.T).topk(min(11, len(image)), dim=1).values[:, 1:].mean(dim=1)
    forms = {
        "plain": names,
        "centred": text @ (centred / centred.norm(dim=1, keepdim=True)).T,
        "csls": 2 * names - near,
    }
    found = {}
    for name, scores in forms.items():
        own = scores.diagonal()[:, None]
        rank = (scores >= own).sum(dim=1)
        found |= {f"{name} @{k}": 100 * (rank <= k).float().mean().item() for k in (1, 10)}
    return found


def draw_trials(case: Case, copies: int) -> Trials:
    """Facts about the scores of queries against galleries that hold their images or do not.

    Args:
        case: The set.
        copies: Images of each thing in a gallery.

    Returns:
        Features [trial, feature] of `describe_scores`, the top cosine, and whether the top image is a right one.

    """
    random = np.random.default_rng(0)
    count, images = len(case.text), case.image[:, :copies].float().numpy()
    scores = np.einsum("qd,icd->qic", case.text.float().numpy(), images)
    facts, tops, right = [], [], []
    for chosen, queries in draw_galleries(random, count):
        different = count_different(images[chosen].reshape(-1, images.shape[2]))
        for query in queries:
            without = chosen[chosen != query][: len(chosen) - 1]
            for gallery in (without, np.append(without, query)):
                row = scores[query, gallery].reshape(-1)
                facts.append(describe_scores(float(row.max()), row, different))
                tops.append(row.max())
                right.append(gallery[row.argmax() // copies] == query)
    return np.array(facts), np.array(tops), np.array(right)


def draw_galleries(random: np.random.Generator, count: int) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Draw the things of a gallery, and queries."""
    for share in SHARES:
        for _ in range(ROUNDS if share < 1 else 1):
            yield (
                random.permutation(count)[: max(8, round(share * count))],
                random.permutation(count)[: QUERIES if share < 1 else None],
            )


def measure_auroc(value: np.ndarray, right: np.ndarray) -> float:
    """The chance that a right answer has the higher value than a wrong one."""
    ranks, many = rankdata(value), right.sum()
    return float((ranks[right].sum() - many * (many + 1) / 2) / (many * (len(right) - many)))


def fit(facts: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Logistic regression: intercept and one coefficient for each feature."""
    table = np.column_stack([np.ones(len(facts)), facts])
    sign = np.where(right, 1.0, -1.0)
    loss = lambda w: np.logaddexp(0, -sign * (table @ w)).mean()  # noqa: E731
    return np.asarray(minimize(loss, np.zeros(table.shape[1])).x)


def apply(weights: np.ndarray, facts: np.ndarray) -> np.ndarray:
    """Confidence in [0, 1]."""
    return np.asarray(1 / (1 + np.exp(-(weights[0] + facts @ weights[1:]))))


def print_confidence(name: str, weights: np.ndarray, trials: Trials) -> None:
    """AUROC of confidence and of the cosine, calibration error, and the share that is right at each level."""
    facts, top, right = trials
    found = apply(weights, facts)
    bins = np.minimum((found * 10).astype(int), 9)
    error = sum(abs((right[bins == b]).mean() - found[bins == b].mean()) * (bins == b).mean() for b in set(bins))
    levels = []
    for level, inside in (
        ("high", found >= HIGH),
        ("medium", (found < HIGH) & (found >= MEDIUM)),
        ("low", found < MEDIUM),
    ):
        levels.append(f"{level} {100 * inside.mean():.0f} % of queries, {100 * right[inside].mean():.0f} % right")
    print(
        f"{name}: AUROC {measure_auroc(found, right):.3f} (cosine {measure_auroc(top, right):.3f}), right "
        f"{right.mean():.3f}, calibration error {error:.3f}; {'; '.join(levels)}"
    )


def join(trials: list[Trials]) -> Trials:
    """Several sets as one."""
    facts, tops, right = zip(*trials, strict=True)
    return np.concatenate(facts), np.concatenate(tops), np.concatenate(right)


def main() -> None:
    """Print both measurements."""
    model = load_model(Path(sys.argv[1]))
    cases = read_emoji(model) + (read_stamps(model, Path(sys.argv[2])) if len(sys.argv) > 2 else [])
    for case in cases:
        print(case.split, case.name, len(case.text), {name: round(x, 1) for name, x in measure_hubs(case).items()})
    trials = {(case.split, case.name, many): draw_trials(case, many) for case in cases for many in COPIES}
    facts, _, right = join([found for (split, *_), found in trials.items() if split == "validation"])
    print("fitted now:", fit(facts, right).round(3).tolist(), "in use:", list(COEFFICIENTS))
    for split in SPLITS:
        for many in COPIES:
            mine = {name: found for (part, name, n), found in trials.items() if (part, n) == (split, many)}
            for name, found in mine.items():
                print_confidence(f"{split} {name}, {many} of each", np.array(COEFFICIENTS), found)
            print_confidence(f"{split}, all, {many} of each", np.array(COEFFICIENTS), join(list(mine.values())))
        every = join([found for (part, *_), found in trials.items() if part == split])
        print_confidence(f"{split}, all", np.array(COEFFICIENTS), every)


if __name__ == "__main__":
    main()
