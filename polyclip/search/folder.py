"""Search the pictures of a folder with a query in any language."""

from dataclasses import dataclass
from pathlib import Path

from polyclip.aligner import load
from polyclip.errors import DataError
from polyclip.normalise import check_captions, written_in
from polyclip.origin import read_run
from polyclip.pictures import find_pictures, readable


@dataclass(frozen=True)
class Hit:
    """A picture and its cosine similarity with the query, in [-1, 1]."""

    path: Path
    similarity: float


@dataclass(frozen=True)
class Found:
    """The best pictures, how many were searched, and a sentence for each that could not be read."""

    query: str
    hits: list[Hit]
    searched: int
    problems: list[str]


def search(query: str, folder: Path, model: Path, top: int, language: str = "") -> Found:
    """The `top` pictures below `folder` that are most similar to `query`; features of unchanged pictures come from the cache.

    The query is normalised as the pack of its language says: the one given, else the first trained one in whose script it is written.
    Raises UnknownName for a language without a pack, DataError for an empty query, a folder without pictures, or one where none can be read.
    """
    check_captions([query])
    language = language or written_in(query, read_run(model)["languages"] if (model / "run.toml").is_file() else ())
    aligner = load(model)
    pictures, problems = readable(find_pictures(folder))
    if not pictures:
        raise DataError(f"None of the {len(problems)} pictures below {folder} can be read; the first: {problems[0]}")
    vectors = aligner.vision.embed(pictures, f"pictures of {folder}", keep=True)
    similarity = (vectors @ aligner.encode_text([query], language)[0]).tolist()
    order = sorted(range(len(pictures)), key=lambda row: -similarity[row])[:top]
    return Found(query, [Hit(Path(pictures[row].name), similarity[row]) for row in order], len(pictures), problems)
