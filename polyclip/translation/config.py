"""Configuration and outcome of a translation."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from polyclip.core.registry import find
from polyclip.errors import DataError
from polyclip.languages.schema import Language
from polyclip.models.backbone import describe
from polyclip.translation.engine import TranslationOptions, require_languages
from polyclip.translation.filters import Thresholds, TranslationCandidate

SPLITS = ("train", "validation")
TARGET = "{to}"  # in --model: the target language's code


@dataclass(frozen=True, kw_only=True)
class Job:
    """One translation of a corpus: everything that decides what is written, and where."""

    corpus: str
    engine: str
    source: Language
    targets: list[Language]
    out: Path
    options: TranslationOptions = TranslationOptions()
    splits: tuple[str, ...] = ("train",)
    keywords: bool = False  # whether captions after the first are translated too
    partial: bool = False  # whether a translation file may miss sentences
    without_human: bool = (
        False  # whether human captions in the targets are left out of the splits that get translations
    )
    limits: Thresholds = Thresholds()
    text_encoder: str = "e5-small"  # of the filter by similarity
    back_model: str = ""  # of the engine in the other direction, where one model does not know both

    @property
    def uses_text_encoder(self) -> bool:
        """Whether a filter uses the text encoder."""
        return self.limits.likeness is not None or self.limits.quantile is not None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The result for one target language.

    Counts are of captions of concepts; several concepts may share a sentence.
    """

    language: Language
    engine: str  # provenance
    licence: str  # SPDX expression, NOASSERTION where it is not known
    sentences: int  # distinct ones
    remembered: int  # of these, from the cache
    kept: list[TranslationCandidate]
    dropped: list[tuple[str, TranslationCandidate]]  # with the reason
    notes: list[str] = field(default_factory=list)
    # texts and candidates that the engine left out in this run, by reason
    refused: dict[str, int] = field(default_factory=dict)


def check_job(job: Job) -> None:
    """Check a job before anything is loaded.

    Args:
        job: The job.

    Raises:
        DataError: The job has the test split, translates a language into itself, or the engine lacks a language.
        UnknownName: There is no such engine or text encoder.

    """
    for split in job.splits:
        if split not in SPLITS:
            raise DataError(
                f"Captions of split {split!r} are not translated; expected {' or '.join(SPLITS)}: test captions are "
                "never machine-translated."
            )
    if job.source in job.targets:
        raise DataError(
            f"{job.source.name} cannot be translated into itself: remove --to {job.source.code}, or give another "
            "--from."
        )
    find("translators", job.engine)
    require_languages(job.engine, job.source, *job.targets)
    if job.engine == "file" and len(job.targets) > 1 and TARGET not in job.options.model:
        raise DataError(
            f"{job.options.model!r} is one file for {len(job.targets)} languages: put {TARGET} in its name, as in "
            f"captions-{TARGET}.tsv."
        )
    if job.uses_text_encoder:
        describe("encoders", job.text_encoder)


def format_reasons(dropped: Sequence[tuple[str, TranslationCandidate]]) -> str:
    """Count the reasons for dropped candidates, as in `copy of the source 12, length 3`."""
    return ", ".join(f"{reason} {count}" for reason, count in Counter(reason for reason, _ in dropped).most_common())
