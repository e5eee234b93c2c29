"""A corpus that is open: its pack, and the reader of its format."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import cast

from polyclip.core.registry import find
from polyclip.data.corpus_pack import PACK, CorpusPack
from polyclip.data.reader import LinkedReader, Reader, ShardReader
from polyclip.data.types import Row
from polyclip.errors import PackError, UnknownName
from polyclip.languages.schema import Language

BETWEEN = "\t"  # a corpus' name and a group, where several corpora are used together


class OpenedCorpus:
    """A corpus pack together with the reader of its format; `polyclip.data.corpus.Corpus` adds how to open one.

    Args:
        pack: The pack.
        path: Its file, from which relative paths count.
        reader: What reads the corpus; by default the reader that the pack names.
        parts: The corpora that it joins, by their sampling weights; none for a corpus alone.

    """

    def __init__(
        self,
        pack: CorpusPack,
        path: Path,
        reader: Reader | None = None,
        parts: Sequence[tuple["OpenedCorpus", float]] = (),
    ) -> None:
        self.pack = pack
        self.name = pack.name
        self.path = path
        self.reader: Reader = reader or find_reader(pack, path)
        self.parts = tuple(corpus for corpus, _ in parts)
        self.weights = {corpus.name: weight for corpus, weight in parts} or None  # of joined corpora, by their names

    def __repr__(self) -> str:
        """One line that reads no file."""
        return f"{type(self).__name__}({self.name!r}, {str(self.path)!r})"

    @property
    def languages(self) -> list[str]:
        """Codes under which the corpus keeps its languages."""
        return self.reader.languages(self.folder)

    @cached_property
    def folder(self) -> Path:
        """The folder that the reader reads. A corpus in shards has an index in the cache, made on first use.

        Raises:
            DataError: Shards cannot be read, or hold more bad samples than the pack allows.

        """
        return (
            cast(ShardReader, self.reader).indexed(self.pack, self.path)
            if self.pack.files
            else self.path.parent / self.pack.folder
        )

    def allow_bad_samples(self, max_bad: str) -> None:
        """Allow a share of bad samples, now and whenever the corpus is read again.

        Args:
            max_bad: The share, such as `0.1%` or `0.001`.

        Raises:
            PackError: The corpus is not in shards.
            DataError: `max_bad` is not a share, shards cannot be read, or more samples are bad.

        """
        if not self.pack.files:
            raise PackError(
                f"--max-bad {max_bad} requires a corpus in shards; with the reader {self.pack.reader!r} of "
                f"{self.path} every row must be good."
            )
        cast(ShardReader, self.reader).indexed(self.pack, self.path, max_bad)

    def get_weight(self, row: Row) -> float:
        """The sampling weight of a caption's corpus, where several are used together.

        Args:
            row: A row of captions that the corpus' reader returned.

        Returns:
            The weight relative to other corpora, > 0; 1 for a corpus alone.

        """
        return 1.0 if self.weights is None else self.weights[row.group.partition(BETWEEN)[0]]

    def get_locale(self, language: Language) -> str:
        """The name under which this corpus keeps the language: its CLDR locale, else its code."""
        return language.cldr if language.cldr in self.reader.languages(self.folder) else language.code


def find_reader(pack: CorpusPack, path: Path) -> Reader:
    """Find the reader that a pack names, and check what it requires of the pack.

    Raises:
        PackError: There is no such reader, or the pack lacks what it requires.

    """
    try:
        reader = find("readers", pack.reader)
    except UnknownName as error:
        raise PackError(f"{path}: reader: {error}") from error
    if pack.images and (pack.reader, path.name, pack.folder) != ("jsonl", PACK, "."):
        raise PackError(
            f'{path}: images requires the name {PACK}, reader = "jsonl" and folder = "."; leave images out.'
        )
    wanted, other = ("files", "folder") if isinstance(reader, ShardReader) else ("folder", "files")
    given = dict(pack)
    if given[other] or not given[wanted]:
        raise PackError(
            f"{path}: reader {pack.reader!r} requires {wanted}; found {other if given[other] else 'none'}. "
            f"Write {wanted} = ... in the pack."
        )
    if pack.follow_links:
        if not isinstance(reader, LinkedReader):
            raise PackError(f"{path}: follow_links: reader {pack.reader!r} has no links to follow; remove it.")
        reader.follow_links(path.parent / pack.folder)
    return cast(Reader, reader)
