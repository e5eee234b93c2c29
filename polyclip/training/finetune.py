"""A run that goes on from another: its weights and towers, new languages beside those it knows, and what that changed."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyclip.core.registry import find
from polyclip.core.run_folder import read_run
from polyclip.core.storage import sha256
from polyclip.core.vectors import unit
from polyclip.data.corpus import Corpus
from polyclip.data.types import Row
from polyclip.errors import RunError
from polyclip.evaluation.forgetting import PIVOTS, compared, found, line
from polyclip.evaluation.held_out import pictures, pooled_names
from polyclip.evaluation.metrics import ranks, recall
from polyclip.evaluation.results import Retention
from polyclip.languages.schema import Language, load_language
from polyclip.models.aligner import PolyCLIP, load_model, read_aligner
from polyclip.models.branch import ModelConfig
from polyclip.training.shots import Shots

K = 10  # of the recall that is compared


@dataclass(frozen=True, kw_only=True)
class Continued:
    """Where a run begins, and what it is given."""

    start: Path  # a run folder
    old: list[Language]  # trained there
    new: list[Language]
    shots: Shots = Shots()

    @property
    def trained(self) -> list[Language]:
        """All that the run knows in the end; without shots it stays as it was."""
        return (
            self.old
            if self.shots.count == 0
            else self.new + [language for language in self.old if language not in self.new]
        )

    @property
    def drawn(self) -> list[Language]:
        """What captions are drawn from in training."""
        return self.trained if self.shots.rehearse or self.shots.count == 0 else self.new


def going_on(start: Path, new: list[Language], shots: Shots) -> Continued:
    """Check that a run can go on with these languages.

    Raises RunError for a folder that is no finished run, a method that takes no further step, and few shots of a language that the run
    was trained on: it has seen them all, and more captions of it need no --shots.
    """
    facts = read_run(start)
    method = find("methods", recipe_of(start).method).METHOD
    if method.solve is not None or method.english:
        why = "is solved in closed form" if method.solve is not None else "learns from English captions alone"
        raise RunError(
            f"{start} was made by method {facts['recipe']['method']}, which {why} and cannot go on: align all languages together instead."
        )
    old = [load_language(code) for code in facts["languages"]]
    known = [language.code for language in new if language in old]
    if known and shots.count is not None:
        raise RunError(
            f"{start} was trained on {', '.join(known)} already, with all there was: leave --shots out to train it further, or name a new language."
        )
    return Continued(start=start, old=old, new=new, shots=shots)


def recipe_of(start: Path) -> ModelConfig:
    """What a run's aligner is made of.

    Raises RunError when the folder holds none.
    """
    path = start / "aligner.safetensors"
    if not path.is_file():
        raise RunError(
            f"{start} is no finished run: it has no aligner.safetensors. Make one with: polyclip align --lang en --out {start}"
        )
    return ModelConfig(**json.loads(read_aligner(path)[0]["recipe"]))


def facts_of(continued: Continued) -> dict[str, Any]:
    """The table `continued` of run.toml."""
    shots = continued.shots
    return {
        "from": str(continued.start),
        "weights": sha256(continued.start / "aligner.safetensors")[:16],
        "new": [language.code for language in continued.new],
        "shots": "all" if shots.count is None else shots.count,
        "shots_by": shots.by,
        "seed": shots.seed,
        "rehearse": shots.rehearse,
        "source": shots.source,
    }


def changes(
    continued: Continued, now: PolyCLIP, corpus: Corpus, rows: dict[str, list[Row]], split: str
) -> list[Retention]:
    """What going on changed: pictures found by languages trained before, new, and never trained; captions that find their translation.

    `rows` are the split's by language; before is the run that this one goes on from.
    """
    was = load_model(continued.start)
    old, trained = ({language.code for language in languages} for languages in (continued.old, continued.trained))
    groups = {
        "trained before": [code for code in rows if code in old],
        "new": [code for code in rows if code in trained - old],
        "never trained": [code for code in rows if code not in trained | old],
    }
    before, after = (hits(aligner, corpus, rows, split) for aligner in (was, now))
    lines = [
        compare(f"{name} ({len(codes)}), recall@{K}", before, after, rows, codes)
        for name, codes in groups.items()
        if codes
    ]
    pivot = next((code for code in PIVOTS if code in groups["never trained"]), None)
    if pivot is None:
        return lines
    groups["never trained"].remove(pivot)
    first, then = (spoken(aligner, rows) for aligner in (was, now))
    return lines + [
        compared(
            part,
            f"{name} ({len(codes)}) -> {pivot}",
            found(first[part], rows, codes, pivot),
            found(then[part], rows, codes, pivot),
            rows,
            codes,
            pivot,
        )
        for part in first
        for name, codes in groups.items()
        if codes
    ]


def compare(
    question: str,
    before: Mapping[str, Tensor],
    after: Mapping[str, Tensor],
    rows: dict[str, list[Row]],
    codes: list[str],
) -> Retention:
    """One line: concept groups are redrawn with all their languages."""
    clusters = [row.group for code in codes for row in rows[code]]
    was, now = (torch.cat([table[code] for code in codes]).numpy() for table in (before, after))
    return line("text to image", question, was, now, clusters)


def hits(aligner: PolyCLIP, corpus: Corpus, rows: dict[str, list[Row]], split: str) -> dict[str, Tensor]:
    """For each name 1 where its picture is among the first ten of the headline's gallery, else 0, by language."""
    gallery = next(iter(pictures(aligner, corpus, split)[0].values()))
    place = {concept: number for number, concept in enumerate(gallery.keys)}
    own = torch.arange(len(place))
    vectors = {code: aligner.text.unit(pooled) for code, pooled in pooled_names(aligner, rows).items()}
    return {
        code: recall(ranks(vectors[code], gallery.vectors, torch.tensor([place[row.concept] for row in named]), own), K)
        for code, named in rows.items()
    }


def spoken(aligner: PolyCLIP, rows: dict[str, list[Row]]) -> dict[str, dict[str, Tensor]]:
    """Unit vectors of names by language: aligned, and the encoder's own where something in it was trained."""
    pooled = pooled_names(aligner, rows)
    parts = {"aligned captions": {code: aligner.text.unit(vectors) for code, vectors in pooled.items()}}
    inside = (
        {"text encoder": {code: unit(vectors) for code, vectors in pooled.items()}}
        if aligner.text.encoder is not None
        else {}
    )
    return inside | parts
