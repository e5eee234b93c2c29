"""What was understood of a table, in lines for a terminal."""

from collections.abc import Iterator, Sequence

from polyclip.data.splits import FOLDED
from polyclip.data.tables.build import Draft
from polyclip.languages.resolve import resolve_language

SHOWN = 48  # characters of an example


def format_columns(columns: Sequence[tuple[str, str, str]]) -> Iterator[str]:
    """Say what each column was understood as: its name, its use (`image`, `split`, a language or none), an example."""
    width = max((len(name) for name, *_ in columns), default=0)
    for name, use, example in columns:
        told = use if use in ("image", "split") else f"captions in {resolve_language(use).name}" if use else "not read"
        short = example if len(example) <= SHOWN else f"{example[:SHOWN]}..."
        yield f"  {name:<{width}}  {told}, such as {short!r}" if example else f"  {name:<{width}}  {told}"


def describe_draft(draft: Draft) -> Iterator[str]:
    """Say what a corpus was made of: file, columns, images, languages, splits, and what looks wrong.

    Args:
        draft: The corpus.

    Yields:
        Lines without markup.

    """
    yield f"{draft.source}: {draft.about}"
    yield from format_columns(draft.columns)
    found = draft.found
    named = len(found) + len(draft.missing) - ("" in draft.missing)
    bad = ", ".join(f"{count:,} {why}" for why, count in draft.unused.items())
    used = f", {draft.rows - draft.unused.total():,} of them used ({bad})" if bad else ""
    yield f"{draft.rows:,} rows{used}; {len(found):,} images with captions found in {draft.images}" + (
        f", {named - len(found):,} of {named:,} missing" if named > len(found) else ""
    )
    for code, own in draft.captions.items():
        total = sum(map(len, own.values()))
        yield f"{resolve_language(code).name} ({code}): {total:,} captions of {len(own):,} images"
    folds = f"; align tests fewer than {FOLDED} images in folds instead" if len(found) < FOLDED else ""
    how = "as the table says" if draft.splits else f"by hash{folds}"
    yield "splits: " + ", ".join(f"{count:,} {split}" for split, count in draft.count_splits().items()) + f" ({how})"
    if draft.suspicions:
        yield "What looks wrong:"
    for one in draft.suspicions:
        yield f"  {'DEFECT: ' if one.defect else ''}{one.sentence}"
