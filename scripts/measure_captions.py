"""Measure what search gains from captions that people wrote, in another language than the query's.

python scripts/measure_captions.py runs/sw [FOLDER OF TUX PAINT'S STAMPS]

The weight and three coefficients of the confidence are chosen on validation queries, with all images captioned and with
some of them; test queries only say how well they hold. Seed 0 draws the images without a caption, seeds 0 to 19 those
with one where there are few.
"""

import sys
from collections.abc import Iterator
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
from polyclip.search.build import load_query_names
from polyclip.search.confidence import (
    CAPTIONED,
    COEFFICIENTS,
    HIGH,
    MEDIUM,
    count_different,
    describe_scores,
    measure_confidence,
)
from polyclip.search.ranking import CAPTION_WEIGHT, measure_usual, score_images

WEIGHTS = (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
SPLITS = ("validation", "test")
PAIRS = (("en", "de"), ("en", "fr"), ("fr", "en"), ("es", "en"), ("sw", "en"), ("en", "sw"), ("ru", "en"), ("ja", "en"))
FITTED = ((1.0, 0.7), (0.5, 0.7), (0.2, 0.7), (1.0, 0.3), (1.0, 0.5), (1.0, 0.9), (0.5, 0.3))  # share, weight
REPORTED = ((1.0, 0.0), (0.5, 0.7), (1.0, 0.7), (1.0, 0.3), (0.2, 0.7))  # share, weight
FEWEST = 50  # images of a set that is measured


@dataclass(frozen=True)
class Case:
    """Queries, captions in another language and images: row i of each is one thing."""

    name: str
    split: str
    query: Float[Tensor, "item dim"]
    caption: Float[Tensor, "item dim"]
    image: Float[Tensor, "item dim"]
    usual: Float[Tensor, "text dim"]


def read_emoji(model: PolyCLIP) -> list[Case]:
    """Names of the starter corpus in two languages of the run, each way; words in place of sentences."""
    corpus, found, usual = load_corpus("emoji"), [], model.encode_text(load_query_names(Path(sys.argv[1])))
    images = corpus.reader.pictures(corpus.folder, "noto")
    for split in SPLITS:
        names = {
            code: {row.concept: row.captions[0] for row in corpus.reader.read(corpus.folder, code, split)}
            for code in ("en", "sw")
        }
        both = [concept for concept in names["en"] if concept in names["sw"] and concept in images]
        text = {code: model.encode_text([own[concept] for concept in both], code) for code, own in names.items()}
        image = model.vision.embed([images[concept] for concept in both], "images", keep=True)
        found += [
            Case(f"emoji {a} to {b}", split, text[a], text[b], image, usual) for a, b in (("sw", "en"), ("en", "sw"))
        ]
    return found


def read_stamps(model: PolyCLIP, folder: Path) -> list[Case]:
    """Sentences of Tux Paint's photographs in pairs of languages."""
    found, usual = [], model.encode_text(load_query_names(Path(sys.argv[1])))
    for split in SPLITS:
        every = [each for each in stamps.read(Request(data=folder, split=split)) if each.kind == stamps.PHOTOGRAPHS]
        image = model.vision.embed([stamps.make_image(each) for each in every], "images", keep=True)
        for a, b in PAIRS:
            rows = [row for row, each in enumerate(every) if a in each.captions and b in each.captions]
            rows = [row for row in rows if every[row].captions[a] != every[row].captions[b]]
            if len(rows) >= FEWEST:
                query, caption = (
                    model.encode_text([every[row].captions[code] for row in rows], code) for code in (a, b)
                )
                found.append(Case(f"photographs {a} to {b}", split, query, caption, image[rows], usual))
    return found


def score(case: Case, weight: float, rows: np.ndarray) -> np.ndarray:
    """Scores [query, image] where the images in `rows` have a caption."""
    image, caption = ((case.query @ table.T).numpy() for table in (case.image, case.caption[torch.from_numpy(rows)]))
    usual = measure_usual((case.usual @ case.caption[torch.from_numpy(rows)].T).numpy(), rows, len(case.query))
    return np.stack(
        [score_images(one, said, rows, weight, usual).total for one, said in zip(image, caption, strict=True)]
    )


def draw(case: Case, share: float, seed: int = 0) -> np.ndarray:
    """Rows of the images that have a caption: a share of them, or so many."""
    count = len(case.query)
    many = round(share * count) if share <= 1 else int(share)
    return np.sort(np.random.default_rng(seed).permutation(count)[:many])


def measure(case: Case, weight: float, share: float) -> tuple[float, float]:
    """recall@1 and @10 in percent where a share of the images has a caption."""
    total = score(case, weight, draw(case, share))
    ranks = (total >= total.diagonal()[:, None]).sum(axis=1)
    return 100 * float((ranks <= 1).mean()), 100 * float((ranks <= 10).mean())


def measure_few(case: Case, many: int) -> str:
    """recall@1 and @10 of the queries whose image has one of few captions, by images alone and with the captions."""
    found = []
    for weight in (0.0, CAPTION_WEIGHT):
        ranks = []
        for seed in range(20):
            rows = draw(case, many, seed)
            total = score(case, weight, rows)[rows]
            ranks.append((total >= total[np.arange(many), rows][:, None]).sum(axis=1))
        found += [100 * (np.concatenate(ranks) <= k).mean() for k in (1, 10)]
    return "{:.0f}/{:.0f} -> {:.0f}/{:.0f}".format(*found)


def try_queries(cases: list[Case], share: float, weight: float) -> Iterator[tuple[np.ndarray, float, bool]]:
    """Scores, how many things there are and whether the first image is right; half of the queries without theirs."""
    for case in cases:
        total, different = score(case, weight, draw(case, share)), count_different(case.image.float().numpy())
        for own, row in enumerate(total):
            yield row, different, bool(row.argmax() == own)
            yield np.delete(row, own), different, False


def fit_confidence(cases: list[Case]) -> np.ndarray:
    """Fit what captions add to the coefficients of the confidence, times their weight and the share that have one."""
    facts, counted, right = [], [], []
    for share, weight in FITTED:
        for scores, different, good in try_queries(cases, share, weight):
            facts.append((1.0, *describe_scores(float(scores.max()), scores, different)))
            counted.append(share * weight)
            right.append(good)
    table, sign = np.array(facts), 2 * np.array(right) - 1
    plain, more = table @ COEFFICIENTS, table * np.array(counted)[:, None]
    return np.asarray(minimize(lambda w: np.logaddexp(0, -sign * (plain + more @ w)).mean(), np.zeros(3)).x)


def describe_confidence(cases: list[Case], share: float, weight: float, captioned: float) -> str:
    """Calibration error, AUROC and the share right by level, half of the queries without their image.

    Args:
        cases: The sets.
        share: Share of the images with a caption.
        weight: Weight of the captions.
        captioned: How much the confidence counts them; 0 is the one for images alone.

    Returns:
        A line.

    """
    sure, right = [], []
    for scores, different, good in try_queries(cases, share, weight):
        found = measure_confidence(float(scores.max()), scores, len(scores), different, captioned)
        sure.append(found.confidence if found else 0.0)
        right.append(good)
    value, good = np.array(sure), np.array(right)
    bins = np.minimum((value * 10).astype(int), 9)
    error = sum(abs(good[bins == b].mean() - value[bins == b].mean()) * (bins == b).mean() for b in set(bins))
    levels = [(value >= HIGH), (value < HIGH) & (value >= MEDIUM), value < MEDIUM]
    said = ", ".join(f"{100 * good[one].mean():.0f} % of {100 * one.mean():.0f} %" for one in levels)
    ranks, many = rankdata(value), good.sum()
    auroc = (ranks[good].sum() - many * (many + 1) / 2) / (many * (len(good) - many))
    return (
        f"right {100 * good.mean():.1f} %, calibration error {error:.3f}, AUROC {auroc:.3f}, right where high, medium, "
        f"low: {said}"
    )


def print_confidence(cases: list[Case], split: str) -> None:
    """Print how well the confidence is calibrated, without and with counting the captions."""
    for share, weight in REPORTED:
        for captioned in (0.0, share * weight):
            line = describe_confidence(cases, share, weight, captioned)
            print(f"{split}, {share} captioned, weight {weight}, counted {captioned:.2f}: {line}")


def main() -> None:
    """Print recall by weight, and the weight with the best mean recall@1 and @10 on validation."""
    model = load_model(Path(sys.argv[1]))
    cases = read_emoji(model) + (read_stamps(model, Path(sys.argv[2])) if len(sys.argv) > 2 else [])
    for split in SPLITS:
        for share in (1.0, 0.5):
            mine = [case for case in cases if case.split == split]
            table = np.array([[measure(case, weight, share) for weight in WEIGHTS] for case in mine])
            print(f"{split}, {100 * share:.0f} % with a caption; recall@1 / @10 by weight of the captions")
            print(f"{'':28}" + " ".join(f"{weight:>9}" for weight in WEIGHTS))
            named = [f"{case.name} ({len(case.query)})" for case in mine]
            for name, row in zip([*named, "mean"], [*table, table.mean(0)], strict=True):
                print(f"{name:28}" + " ".join(f"{a:4.0f}/{b:4.0f}" for a, b in row))
            print("best weight by the mean of both:", WEIGHTS[int(table.mean((0, 2)).argmax())])
        print_confidence([case for case in cases if case.split == split], split)
    print("in use:", CAPTION_WEIGHT)
    fitted = fit_confidence([case for case in cases if case.split == "validation"])
    print("confidence, fitted:", *(f"{one:.3f}" for one in fitted), "in use:", *CAPTIONED)
    for many in (2, 5, 20):
        for case in cases:
            if case.split == "test":
                print(f"{many} captions, {case.name}, queries of these images:", measure_few(case, many))


if __name__ == "__main__":
    main()
