"""What is to be translated and how, and what came of it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from polyclip.core.registry import find
from polyclip.errors import DataError
from polyclip.languages.schema import Language
from polyclip.models.backbone import describe
from polyclip.translation.engine import Options, require
from polyclip.translation.filters import Candidate, Thresholds

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
    options: Options = Options()
    splits: tuple[str, ...] = ("train",)
    keywords: bool = False  # whether captions after the first are translated too
    partial: bool = False  # whether a translation file may miss sentences
    without_human: bool = (
        False  # whether people's captions in the targets are left out where machine captions are added
    )
    limits: Thresholds = Thresholds()
    text_encoder: str = "e5-small"  # of the filter by similarity
    back_model: str = ""  # of the engine in the other direction, where one model does not know both

    @property
    def compares(self) -> bool:
        """Whether the text encoder is asked."""
        return self.limits.likeness is not None or self.limits.quantile is not None


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What came of one target language. Counts are of captions of concepts; several concepts may share a sentence."""

    language: Language
    engine: str  # provenance
    licence: str  # SPDX expression, NOASSERTION where it is not known
    sentences: int  # distinct ones
    remembered: int  # of these, translated before
    kept: list[Candidate]
    dropped: list[tuple[str, Candidate]]  # with the reason
    notes: list[str] = field(default_factory=list)
    refused: dict[str, int] = field(default_factory=dict)  # what the engine says it left out in this run, by reason


def check(job: Job) -> None:
    """What can be wrong before anything is loaded.

    Raises DataError for the test split, a language translated into itself and one the engine lacks, UnknownName for an engine or encoder.
    """
    for split in job.splits:
        if split not in SPLITS:
            raise DataError(
                f"Captions of split {split!r} are not translated; expected {' or '.join(SPLITS)}: what is tested is never a machine's."
            )
    if job.source in job.targets:
        raise DataError(
            f"{job.source.name} is to be translated into itself: leave --to {job.source.code} out, or name another --from."
        )
    find("translators", job.engine)
    require(job.engine, job.source, *job.targets)
    if job.engine == "file" and len(job.targets) > 1 and TARGET not in job.options.model:
        raise DataError(
            f"{job.options.model!r} is one file for {len(job.targets)} languages: put {TARGET} in its name, as in captions-{TARGET}.tsv."
        )
    if job.compares:
        describe("encoders", job.text_encoder)


def reasons(dropped: Sequence[tuple[str, Candidate]]) -> str:
    """`copy of the source 12, length 3`."""
    return ", ".join(f"{reason} {count}" for reason, count in Counter(reason for reason, _ in dropped).most_common())
