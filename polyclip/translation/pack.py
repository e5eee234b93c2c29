"""The folder that is written: `captions.jsonl`, and `corpus.toml`, which any command takes as a corpus."""

import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import tomli_w

from polyclip.core.run_folder import list_strangers
from polyclip.core.storage import hash_file, write_atomically
from polyclip.core.toml import read_pack
from polyclip.data.corpus import list_corpora, load_corpus
from polyclip.data.corpus_pack import CorpusPack, Licence, Translation
from polyclip.errors import PackError, RunError
from polyclip.translation.config import Job, Outcome

PACK, CAPTIONS = "corpus.toml", "captions.jsonl"
SPDX = "https://spdx.org/licenses/"
SAME = (
    "base",
    "engine",
    "source",
    "languages",
    "splits",
    "without_human",
    "options",
)  # what a folder's translation must share to be replaced


def check_out(job: Job) -> None:
    """Check that `job.out` may be written; writes nothing.

    A translation that differs in its filters alone is replaced.

    Raises:
        RunError: The folder holds anything else.

    """
    folder, pack = job.out, job.out / PACK
    if not folder.exists() or (folder.is_dir() and not list_strangers(folder)):
        return
    if not pack.is_file():
        raise RunError(f"{folder} exists and is not a translation; choose another --out.")
    try:
        found = read_pack(CorpusPack, pack).translation
    except PackError as error:
        raise RunError(f"{folder} contains an unreadable corpus, choose another --out: {error}") from error
    if found is None:
        raise RunError(f"{pack} is a corpus but not a translation; choose another --out.")
    was, now = found.model_dump(), describe_translation(job, [], "").model_dump()
    different = [f"{key} was {was[key]}, is now {now[key]}" for key in SAME if was[key] != now[key]]
    if different:
        raise RunError(f"{folder} holds another translation: {'; '.join(different)}. Choose another --out.")


def write_pack(job: Job, outcomes: Sequence[Outcome]) -> Path:
    """Write both files: `corpus.toml`, which holds the hash of the other, takes its place first.

    Whoever is killed in between leaves a corpus that is refused when it is read, and that the same command replaces.

    Args:
        job: The job.
        outcomes: The result for each target language.

    Returns:
        Path of `corpus.toml`.

    """
    text = "".join(
        json.dumps(line, ensure_ascii=False) + "\n" for outcome in outcomes for line in format_lines(outcome)
    )
    with (
        write_atomically(job.out / CAPTIONS, what="translated captions") as captions,
        write_atomically(job.out / PACK, what="the translated corpus") as pack,
    ):
        captions.write_text(text, encoding="utf-8", newline="\n")
        facts = describe_pack(job, outcomes, hash_file(captions))
        pack.write_text(tomli_w.dumps(facts.model_dump(exclude_none=True)), encoding="utf-8")
    return job.out / PACK


def describe_pack(job: Job, outcomes: Sequence[Outcome], captions: str) -> CorpusPack:
    """Make the pack of the new corpus; `captions` is the hash of its captions."""
    base = load_corpus(job.corpus).pack
    codes = [outcome.language.code for outcome in outcomes]
    engines = list(dict.fromkeys(outcome.engine for outcome in outcomes))
    return CorpusPack(
        name=f"{base.name}-{'-'.join(codes)}-{job.engine}",
        about=f"{base.about.rstrip('.')}; with captions in {', '.join(codes)} translated from {job.source.code} "
        f"by {', '.join(engines)}.",
        reader="translated",
        folder=".",
        rows={} if "en" in codes else base.rows,
        licences=[*base.licences, *list_licences(outcomes)],
        translation=describe_translation(job, engines, captions),
    )


def describe_translation(job: Job, engines: Sequence[str], captions: str) -> Translation:
    """Make [translation] of the pack: how the captions were made."""
    named = job.corpus in list_corpora()
    base = load_corpus(job.corpus).path.resolve()
    limits: dict[str, Any] = {
        key: list(value) if isinstance(value, tuple) else value
        for key, value in asdict(job.limits).items()
        if value is not None
    }
    return Translation(
        base=job.corpus if named else Path(os.path.relpath(base, job.out.resolve())).as_posix(),
        engine=job.engine,
        names=list(engines),
        source=job.source.code,
        languages=[language.code for language in job.targets],
        splits=list(job.splits),  # type: ignore[arg-type]  # checked by the pack
        without_human=job.without_human,
        captions_sha256=captions,
        options={key: value for key, value in asdict(job.options).items() if key != "batch_size"},
        filters={**limits, "text_encoder": job.text_encoder},
    )


def list_licences(outcomes: Sequence[Outcome]) -> list[Licence]:
    """List the licence of the engine for each language."""
    return [
        Licence(
            part=f"captions: {each.language.code}, machine translated", spdx=each.licence, holder=each.engine, url=SPDX
        )
        for each in outcomes
    ]


def format_lines(outcome: Outcome) -> Iterator[dict[str, Any]]:
    """Make one line for each translated caption, with all its translations that were kept."""
    found: dict[tuple[str, int], dict[str, Any]] = {}
    for c in outcome.kept:
        facts = {"concept": c.concept, "language": outcome.language.code, "place": c.place, "source": c.source}
        line = found.setdefault(
            (c.concept, c.place), facts | {"provenance": outcome.engine, "captions": [], "scores": []}
        )
        line["captions"].append(c.text)
        line["scores"].append(dict(c.scores))
    yield from found.values()
