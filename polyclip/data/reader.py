"""What a corpus reader is: a module of `polyclip/data/readers`, or of a package that registers `polyclip.readers`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from polyclip.data.types import ImageSource, Row


@runtime_checkable
class Reader(Protocol):
    """Reads one format of corpora. A module whose functions are these is a reader; its file's name is the format's."""

    def languages(self, folder: Path) -> list[str]:
        """List the codes of languages with at least one caption.

        Args:
            folder: Where the corpus is.

        Returns:
            Codes in alphabetical order.

        Raises:
            DataError: The files are missing or invalid.

        """
        ...

    def styles(self, folder: Path) -> Sequence[str]:
        """List the kinds of images that show the same concept; corpora of photographs have one."""
        ...

    def split_concepts(self, folder: Path, split: str) -> dict[str, Row]:
        """Read the concepts of a split, without captions.

        Args:
            folder: Where the corpus is.
            split: `train`, `validation` or `test`.

        Returns:
            A row for each concept. Rows of one `group` are all in the same split.

        Raises:
            UnknownName: There is no such split.

        """
        ...

    def read(self, folder: Path, language: str, split: str) -> list[Row]:
        """Read the captions of one language and split, in a fixed order.

        Args:
            folder: Where the corpus is.
            language: A code that `languages` lists.
            split: `train`, `validation` or `test`.

        Returns:
            One row a concept; its first caption is the name.

        Raises:
            UnknownName: There are no captions in this language, or no such split.
            DataError: A file is invalid; the message says where.

        """
        ...

    def pictures(self, folder: Path, style: str) -> dict[str, ImageSource]:
        """Find the images of a style.

        Args:
            folder: Where the corpus is.
            style: One that `styles` lists.

        Returns:
            An image for each concept that has one; it is decoded when it is opened.

        Raises:
            UnknownName: There is no such style.

        """
        ...


@runtime_checkable
class LinkedReader(Protocol):
    """A reader of folders whose images may be links that lead out of them."""

    def follow_links(self, folder: Path) -> None:
        """Allow such links in a corpus' folder, from now on."""
        ...


@runtime_checkable
class ShardReader(Reader, Protocol):
    """A reader of corpora in shards, which may be far away and too many to be read whole."""

    def indexed(self, pack: Any, path: Path, max_bad: str = "") -> Path:
        """Make or find the index of the shards, which is the `folder` of the other functions.

        Args:
            pack: The corpus' pack (`polyclip.data.corpus_pack.CorpusPack`).
            path: The pack's file, from which relative paths count.
            max_bad: Share of samples that may be bad, from now on; by default the pack's.

        Returns:
            The index's folder.

        Raises:
            DataError: Shards cannot be read, or more samples are bad.

        """
        ...

    def table(self, folder: Path) -> Any:
        """Columns that training samples from, mapped from disk."""
        ...
