"""Continuing from a run: its weights, new languages beside those it was trained on, and what that changed."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyclip.core.nearby import RUN_FOLDER, hint_folder
from polyclip.core.registry import find
from polyclip.core.run_folder import read_settings
from polyclip.core.storage import hash_file
from polyclip.core.vectors import normalize
from polyclip.data.corpus import Corpus
from polyclip.data.types import Row
from polyclip.errors import RunError
from polyclip.evaluation.forgetting import PIVOTS, compare_hits, find_pivot_hits, summarize_change
from polyclip.evaluation.held_out import build_galleries, encode_names
from polyclip.evaluation.metrics import compute_ranks, recall
from polyclip.evaluation.results import Retention
from polyclip.languages.schema import Language, load_language
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.config import ModelConfig
from polyclip.models.model_file import read_parts
from polyclip.training.shots import Shots

K = 10  # of the recall that is compared


@dataclass(frozen=True, kw_only=True)
class Continuation:
    """The run that training continues from, and what is added to it."""

    start: Path  # a run folder
    old: list[Language]  # trained there
    new: list[Language]
    shots: Shots = Shots()

    @property
    def trained(self) -> list[Language]:
        """All languages that the final model was trained on; without captions of the new ones those of the earlier
        run.
        """
        named = self.new if self.shots.count != 0 or self.shots.words else []
        found = [*named, *map(load_language, self.shots.related)]
        return found + [language for language in self.old if language not in found]

    @property
    def sampled_languages(self) -> list[Language]:
        """Languages whose captions in the corpus are sampled in training, beside the helpers of the shots."""
        if self.shots.count == 0:
            return self.old
        return self.new + [language for language in self.old if self.shots.rehearse and language not in self.new]


def plan_continuation(start: Path, new: list[Language], shots: Shots) -> Continuation:
    """Check that a run can be continued with these languages.

    Args:
        start: The run folder.
        new: Languages to train.
        shots: How many captions of each new language, and whether those trained before are replayed.

    Returns:
        The plan of the continuation.

    Raises:
        RunError: The folder is not a finished run, its method has no training steps, or few shots were asked of a
            language that the run was trained on with all its captions.

    """
    facts = read_settings(start, "recipe")
    method = find("methods", read_recipe(start).method).METHOD
    if method.solve is not None or method.english:
        why = "is solved in closed form" if method.solve is not None else "learns from English captions alone"
        raise RunError(
            f"{start} was made by method {facts['recipe']['method']}, which {why} and cannot be continued: align all "
            "languages together instead."
        )
    old = [load_language(code) for code in facts["languages"]]
    known = [language.code for language in new if language in old]
    if known and shots.count is not None:
        raise RunError(
            f"{start} was trained on {', '.join(known)} already, with all its captions: omit --shots to train it "
            "further, or name a new language."
        )
    return Continuation(start=start, old=old, new=new, shots=shots)


def read_recipe(start: Path) -> ModelConfig:
    """Read the model configuration of a finished run.

    Raises:
        RunError: The folder holds no model.

    """
    path = start / "aligner.safetensors"
    if not path.is_file():
        raise RunError(
            f"{start} is not a finished run: aligner.safetensors not found.{hint_folder(start, RUN_FOLDER)} Make one "
            f"with: polyclip align --lang en --out {start}"
        )
    return read_parts(path).config


def describe_continuation(continued: Continuation) -> dict[str, Any]:
    """The table `continued` of run.toml."""
    shots = continued.shots
    return {
        "from": str(continued.start),
        "weights": hash_file(continued.start / "aligner.safetensors")[:16],
        "new": [language.code for language in continued.new],
        "shots": "all" if shots.count is None else shots.count,
        "shots_by": shots.by,
        "seed": shots.seed,
        "rehearse": shots.rehearse,
        "source": shots.source,
        **({"related": list(shots.related)} if shots.related else {}),
        **({"words": shots.words} if shots.words else {}),
    }


def measure_retention(
    continued: Continuation, now: PolyCLIP, corpus: Corpus, rows: dict[str, list[Row]], split: str
) -> list[Retention]:
    """Measure what the continuation changed, for languages trained before, new and unseen ones.

    Args:
        continued: The plan of the continuation; its start is the model before.
        now: The model after.
        corpus: Whose split is scored.
        rows: Of the split, by language.
        split: Its name.

    Returns:
        Recall of images before and after, and of captions that find their translation.

    """
    was = load_model(continued.start)
    old, trained = ({language.code for language in languages} for languages in (continued.old, continued.trained))
    groups = {
        "trained before": [code for code in rows if code in old],
        "new": [code for code in rows if code in trained - old],
        "never trained": [code for code in rows if code not in trained | old],
    }
    before, after = (compute_hits(aligner, corpus, rows, split) for aligner in (was, now))
    lines = [
        compare_languages(f"{name} ({len(codes)}), recall@{K}", before, after, rows, codes)
        for name, codes in groups.items()
        if codes
    ]
    pivot = next((code for code in PIVOTS if code in groups["never trained"]), None)
    if pivot is None:
        return lines
    groups["never trained"].remove(pivot)
    first, then = (embed_names(aligner, rows) for aligner in (was, now))
    return lines + [
        compare_hits(
            part,
            f"{name} ({len(codes)}) -> {pivot}",
            find_pivot_hits(first[part], rows, codes, pivot),
            find_pivot_hits(then[part], rows, codes, pivot),
            rows,
            codes,
            pivot,
        )
        for part in first
        for name, codes in groups.items()
        if codes
    ]


def compare_languages(
    question: str,
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    rows: dict[str, list[Row]],
    codes: list[str],
) -> Retention:
    """Compare recall before and after over some languages; the bootstrap resamples concept groups with all their
    languages.
    """
    clusters = [row.group for code in codes for row in rows[code]]
    was, now = (torch.cat([table[code] for code in codes]).numpy() for table in (before, after))
    return summarize_change("text to image", question, was, now, clusters)


def compute_hits(aligner: PolyCLIP, corpus: Corpus, rows: dict[str, list[Row]], split: str) -> dict[str, Tensor]:
    """For each name 1 where its image is among the first K of the gallery, else 0, by language."""
    gallery = next(iter(build_galleries(aligner, corpus, split)[0].values()))
    place = {concept: number for number, concept in enumerate(gallery.keys)}
    own = torch.arange(len(place))
    vectors = {code: aligner.text.unit(pooled) for code, pooled in encode_names(aligner, rows).items()}
    return {
        code: recall(
            compute_ranks(vectors[code], gallery.embeddings, torch.tensor([place[row.concept] for row in named]), own),
            K,
        )
        for code, named in rows.items()
    }


def embed_names(aligner: PolyCLIP, rows: dict[str, list[Row]]) -> dict[str, dict[str, Tensor]]:
    """Embeddings of names by language, and the encoder's features where something in it was trained."""
    pooled = encode_names(aligner, rows)
    parts = {"aligned captions": {code: aligner.text.unit(vectors) for code, vectors in pooled.items()}}
    inside = (
        {"text encoder": {code: normalize(vectors) for code, vectors in pooled.items()}}
        if aligner.text.encoder is not None
        else {}
    )
    return inside | parts
