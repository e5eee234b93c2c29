"""Download a benchmark's parquet files from the Hugging Face Hub, pinned by revision."""

import re
from pathlib import Path

from polyclip.errors import DataError, PolyclipError
from polyclip.evaluation.facts import Hub, load_facts
from polyclip.languages.schema import Language

SPEC = re.compile(r"hub(:(?P<repository>[\w.-]+/[\w.-]+)(@(?P<revision>\w+))?)?")


def parse_hub_copy(benchmark: str, text: str) -> Hub:
    """Parse `hub`, `hub:OWNER/NAME` or `hub:OWNER/NAME@REVISION`.

    Args:
        benchmark: Name of the benchmark.
        text: The value of `--data`.

    Returns:
        Repository and revision.

    Raises:
        PolyclipError: The text has another form, the benchmark has no known copy, or the revision is not known.

    """
    found = SPEC.fullmatch(text)
    copies = load_facts(benchmark).hub
    if found is None:
        raise PolyclipError(
            f"--data {text}: write hub, hub:OWNER/NAME or hub:OWNER/NAME@REVISION, the revision being a commit of 40 "
            "hex digits."
        )
    if not found["repository"] and not copies:
        raise PolyclipError(
            f"--data {text}: {benchmark} has no known copy on the hub; 'polyclip corpora show {benchmark}' says where "
            "its files are."
        )
    repository = found["repository"] or copies[0].repository
    revision = found["revision"] or next((copy.revision for copy in copies if copy.repository == repository), "")
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise PolyclipError(
            f"--data {text}: the revision of {repository} is {revision or 'not known'}: name a commit, "
            f"hub:{repository}@<40 hex digits>."
        )
    return Hub(repository=repository, revision=revision)


def fetch(benchmark: str, text: str, languages: list[Language]) -> Path:
    """Download the files of the requested languages into the Hub's cache.

    Args:
        benchmark: Name of the benchmark.
        text: `hub`, `hub:OWNER/NAME` or `hub:OWNER/NAME@REVISION`.
        languages: Languages to download; none means all.

    Returns:
        The folder of the snapshot.

    Raises:
        PolyclipError: `text` does not name a copy with a revision.
        DataError: The Hub cannot be reached and the snapshot is not in its cache.

    """
    from huggingface_hub import snapshot_download

    copy = parse_hub_copy(benchmark, text)
    patterns = [f"data/{language.codes.xm3600 or language.code}-*.parquet" for language in languages] or [
        "data/*.parquet"
    ]
    try:
        return Path(
            snapshot_download(copy.repository, repo_type="dataset", revision=copy.revision, allow_patterns=patterns)
        )
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().split("\n")[0][:160]
        raise DataError(
            f"Cannot fetch {copy.repository} at {copy.revision[:12]} from the hub ({type(error).__name__}: {reason}). "
            "Go online with HF_HUB_OFFLINE unset, or download its data/*.parquet elsewhere and give that folder with "
            "--data."
        ) from error
