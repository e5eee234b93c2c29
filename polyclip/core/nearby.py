"""Which folder was meant: the one hint behind every option that takes a run, an index, a corpus or a folder."""

from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path

RUN_FOLDER, INDEX_FOLDER, CORPUS_FOLDER, FOLDER = "run folder", "index", "corpus", "folder"
# a file that only such a folder has
MARKS = {RUN_FOLDER: "run.toml", INDEX_FOLDER: "index.json", CORPUS_FOLDER: "corpus.toml"}
OPTIONS = {RUN_FOLDER: "--model", INDEX_FOLDER: "--index", CORPUS_FOLDER: "--corpus"}
HOMES = (Path("runs"), Path("corpora"))  # looked through beside the folder that the name is in
SHOWN = 3  # suggestions


def find_kind(path: Path) -> str:
    """Say what a folder is: one of `MARKS`, else "folder"; empty where there is none."""
    if not path.is_dir():
        return ""
    return next((kind for kind, mark in MARKS.items() if (path / mark).is_file()), FOLDER)


def hint_folder(given: str | Path, wanted: str = "", fits: Callable[[Path], bool] | None = None) -> str:
    """Hint at what a name was meant for: a folder of another kind, or one of the wanted kind nearby.

    Args:
        given: The name that was not found, or is not of the wanted kind.
        wanted: Kind of folder, as `find_kind` says it; empty where no folder was expected.
        fits: What may be suggested; by default folders of the wanted kind.

    Returns:
        A sentence with a space before it; empty where nothing is near.

    """
    path = Path(given)
    try:
        kind = find_kind(path)
        if kind in OPTIONS and kind != wanted:
            return f" {path} is {'an' if kind == INDEX_FOLDER else 'a'} {kind}: it goes with {OPTIONS[kind]} {path}."
        near = [] if kind or not wanted else list_near(path, fits or (lambda other: find_kind(other) == wanted))
    except (OSError, ValueError):  # a name too long for a file, or with a null character
        return ""
    return f" Did you mean {' or '.join(map(str, near))}?" if near else ""


def list_near(path: Path, fits: Callable[[Path], bool]) -> list[Path]:
    """List what has the same name elsewhere, else a similar one: beside the path, then in `runs` and `corpora`."""
    there = list(dict.fromkeys(list_candidates(path)))
    names = [other.stem if other.is_file() else other.name for other in there]
    same = [other for other, name in zip(there, names, strict=True) if name == path.name]
    close = get_close_matches(path.name, names, n=SHOWN, cutoff=0.6)
    similar = [other for name in close for other, own in zip(there, names, strict=True) if own == name]
    return [other for other in dict.fromkeys(same or similar) if fits(other)][:SHOWN]


def list_candidates(path: Path) -> Iterator[Path]:
    """List files and folders that may have been meant."""
    for home in (path.parent, *HOMES):
        if home.is_dir():
            yield from sorted(entry for entry in home.iterdir() if not entry.name.startswith("."))
