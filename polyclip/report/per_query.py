"""Ranks of every query beside a result: `result.json` has `result.ranks.safetensors`, read by `polyclip compare`."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from polyclip.core.fields import read_fields
from polyclip.core.json import parse_json
from polyclip.core.storage import hash_file, read_plain_text
from polyclip.core.tensor_files import sort_metadata
from polyclip.core.text import describe_error
from polyclip.errors import DataError
from polyclip.evaluation.results import PerQueryScore, QueryOutcomes, Score
from polyclip.report.schema import WrittenOutcome

OUTCOMES: TypeAdapter[Any] = TypeAdapter(list[WrittenOutcome])
FACTS = ("benchmark", "protocol", "split", "language", "seen", "direction", "gallery", "queries")


def collect_outcomes(scores: Iterable[Score]) -> list[QueryOutcomes]:
    """Collect the per-query outcomes of scores, each once, in their order."""
    return list({id(score.outcome): score.outcome for score in scores if isinstance(score, PerQueryScore)}.values())


def get_ranks_path(result: Path) -> Path:
    """Return the path of the ranks that belong to a result file."""
    return result.with_suffix(".ranks.safetensors")


def write_outcomes(path: Path, outcomes: list[QueryOutcomes]) -> str:
    """Write outcomes.

    Args:
        path: The file to write, a temporary one that is moved into place together with its result.
        outcomes: The outcomes.

    Returns:
        The file's hash, for result.json.

    """
    number = {name: n for n, name in enumerate(dict.fromkeys(name for outcome in outcomes for name in outcome.cluster))}
    tensors: dict[str, np.ndarray] = {}
    for n, outcome in enumerate(outcomes):
        cluster = np.array([number[name] for name in outcome.cluster], dtype=np.int32)
        tensors |= {
            f"{n}.rank": outcome.rank.astype(np.int32),
            f"{n}.gain": outcome.gain.astype(np.float32),
            f"{n}.cluster": cluster,
        }
    facts = [read_fields(outcome, FACTS) for outcome in outcomes]
    metadata = {
        "outcomes": json.dumps(facts, ensure_ascii=False),
        "clusters": json.dumps(list(number), ensure_ascii=False),
    }
    save_file(tensors, path, metadata)
    sort_metadata(path)
    return hash_file(path)


def read_outcomes(result: Path) -> list[QueryOutcomes]:
    """Read the outcomes of a run folder or of a file that `polyclip eval --json` wrote.

    Args:
        result: Run folder or result file.

    Returns:
        The outcomes in the order of the scores.

    Raises:
        DataError: There are none, or they are damaged or belong to another result.

    """
    path = result / "result.json" if result.is_dir() else result
    found = get_ranks_path(path)
    expected = read_digest(path)
    if not expected or not found.is_file():
        raise DataError(
            f"{path} has no ranks of single queries beside it ({found.name}), which a paired comparison requires; "
            "evaluate again with 'polyclip eval BENCHMARK --model RUN --json FILE', or give run folders and "
            "--benchmark."
        )
    if hash_file(found) != expected:
        raise DataError(
            f"{found} is damaged or does not belong to {path.name}: other contents than the result says. Evaluate "
            "again."
        )
    try:
        with safe_open(found, "np") as handle:
            facts, names = (parse_json((handle.metadata() or {})[key]) for key in ("outcomes", "clusters"))
            tables = [table.model_dump() for table in OUTCOMES.validate_python(facts)]
            outcomes = [read_outcome(handle, n, table, names) for n, table in enumerate(tables)]
    except (SafetensorError, KeyError, TypeError, ValueError, IndexError) as error:
        raise DataError(
            f"{found} is not what polyclip writes ({type(error).__name__}: {describe_error(error)}). Evaluate again."
        ) from error
    if not outcomes:
        raise DataError(f"{found} holds no queries. Evaluate again.")
    return outcomes


def read_outcome(handle: Any, n: int, facts: dict[str, Any], names: list[str]) -> QueryOutcomes:
    """Read the outcome that was written as number `n`."""
    rank, gain, cluster = (handle.get_tensor(f"{n}.{part}") for part in ("rank", "gain", "cluster"))
    kinds = [(part.dtype.kind, part.shape) for part in (rank, gain, cluster)]
    if kinds != [(kind, (len(rank),)) for kind in "ifi"] or not len(rank) or min(rank.min(), cluster.min()) < 0:
        raise ValueError(f"outcome {n} has ranks, gains and clusters of other types or lengths")
    if not np.isfinite(gain).all():
        raise ValueError(f"outcome {n} has gains that are not finite")
    return QueryOutcomes(**facts, cluster=tuple(str(names[row]) for row in cluster), rank=rank, gain=gain)


def read_digest(path: Path) -> str:
    """Read the hash of its ranks from a result file; empty where it has none, DataError if it is not a result."""
    try:
        table = parse_json(read_plain_text(path))
        return str(table["origin"].get("ranks", "")) if table["schema"] == 1 else ""
    except FileNotFoundError as error:
        raise DataError(
            f"{path} does not exist; expected a run folder with result.json, or a file that 'polyclip eval --json' "
            "wrote."
        ) from error
    except OSError as error:
        raise DataError(f"{path} cannot be read: {error.strerror or error}.") from error
    except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError, AttributeError) as error:
        raise DataError(
            f"{path} is not a result of polyclip ({type(error).__name__}: {error}); expected result.json or what "
            "'polyclip eval --json' wrote."
        ) from error
