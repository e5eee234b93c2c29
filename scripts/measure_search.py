"""Measure what search could gain: hubs damped, and a confidence that knows when there is no good match.

python scripts/measure_search.py runs/sw [FOLDER OF TUX PAINT'S STAMPS]

Everything is fitted on validation queries; test queries only say how well it holds. The run and the captions must be in
languages of the starter corpus. A query counts as answered right where its own image stands first.
"""

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from scipy.stats import rankdata
from torch import Tensor

from polyclip.data.corpus import load_corpus
from polyclip.evaluation.benchmarks import tuxpaint_stamps as stamps
from polyclip.evaluation.retrieval import Request
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.search.confidence import COEFFICIENTS, HIGH, MEDIUM, describe_scores

STYLES = ("noto", "fluent")
SPLITS = ("validation", "test")
SHARES = (0.15, 0.4, 1.0)  # of the images that a gallery holds
ROUNDS = 20  # galleries drawn of each share below 1


@dataclass(frozen=True)
class Case:
    """Queries and images of one set; text i describes image i."""

    name: str
    split: str
    text: Float[Tensor, "item dim"]
    image: Float[Tensor, "item dim"]


def read_emoji(model: PolyCLIP) -> list[Case]:
    """Names and images of the starter corpus, for each language of the run and each of two styles."""
    corpus, found = load_corpus("emoji"), []
    for split in SPLITS:
        for style in STYLES:
            images = corpus.reader.pictures(corpus.folder, style)
            for code in model.languages:
                rows = [row for row in corpus.reader.read(corpus.folder, code, split) if row.concept in images]
                image = model.vision.embed([images[row.concept] for row in rows], style, keep=True)
                text = model.encode_text([row.captions[0] for row in rows], code)
                found.append(Case(f"emoji {style} {code}", split, text, image))
    return found


def read_stamps(model: PolyCLIP, folder: Path) -> list[Case]:
    """English sentences and photographs of Tux Paint's stamps."""
    found = []
    for split in SPLITS:
        every = [each for each in stamps.read(Request(data=folder, split=split)) if each.kind == stamps.PHOTOGRAPHS]
        image = model.vision.embed([stamps.make_image(each) for each in every], "stamps", keep=True)
        found.append(
            Case("photographs en", split, model.encode_text([each.captions["en"] for each in every], "en"), image)
        )
    return found


def measure_hubs(case: Case) -> dict[str, float]:
    """recall@1 and @10 (percent) as it is, with the gallery centred, and with each image's mean score subtracted."""
    text, image = case.text.float(), case.image.float()
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


def draw_trials(case: Case) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Facts about the scores of queries against galleries that hold their image or do not.

    Returns:
        Features [trial, feature] of `describe_scores`, the top cosine, and whether the top image is the right one.

    """
    random = np.random.default_rng(0)
    scores = (case.text.float() @ case.image.float().T).numpy()
    facts, tops, right = [], [], []
    for share in SHARES:
        size = max(8, round(share * len(scores)))
        for _ in range(ROUNDS if share < 1 else 1):
            chosen = random.permutation(len(scores))[:size]
            for query in random.permutation(len(scores))[: 120 if share < 1 else None]:
                without = chosen[chosen != query]
                for gallery in (without[: size - 1], np.append(without[: size - 1], query)):
                    row = scores[query, gallery]
                    first, second = np.sort(row)[[-1, -2]].tolist()
                    facts.append(describe_scores(first, second, torch.from_numpy(row), len(row)))
                    tops.append(row.max())
                    right.append(gallery[row.argmax()] == query)
    return np.array(facts), np.array(tops), np.array(right)


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


def print_confidence(name: str, weights: np.ndarray, trials: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
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


def main() -> None:
    """Print both measurements."""
    model = load_model(Path(sys.argv[1]))
    cases = read_emoji(model) + (read_stamps(model, Path(sys.argv[2])) if len(sys.argv) > 2 else [])
    for case in cases:
        print(case.split, case.name, len(case.text), {name: round(x, 1) for name, x in measure_hubs(case).items()})
    trials = {(case.split, case.name): draw_trials(case) for case in cases}
    known = [found for (split, _), found in trials.items() if split == "validation"]
    facts, right = np.concatenate([f for f, _, _ in known]), np.concatenate([r for _, _, r in known])
    weights = fit(facts, right)
    tops = np.concatenate([t for _, t, _ in known])
    more = np.column_stack([facts, tops])
    print("AUROC on validation with the cosine too:", round(measure_auroc(apply(fit(more, right), more), right), 3))
    print("fitted now:", weights.round(3).tolist(), "in use:", list(COEFFICIENTS))
    for (split, name), found in trials.items():
        print_confidence(f"{split} {name}", np.array(COEFFICIENTS), found)
    for split in SPLITS:
        mine = [found for (part, _), found in trials.items() if part == split]
        joined = (
            np.concatenate([f for f, _, _ in mine]),
            np.concatenate([t for _, t, _ in mine]),
            np.concatenate([r for _, _, r in mine]),
        )
        print_confidence(f"{split}, all", np.array(COEFFICIENTS), joined)


if __name__ == "__main__":
    main()
