"""Corpus packs, and the corpora that they describe."""

from collections.abc import Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import Field

from polyclip.core.nearby import CORPUS_FOLDER, hint_folder
from polyclip.core.registry import find
from polyclip.core.storage import is_file, is_folder
from polyclip.core.toml import CORPORA, Pack, read_pack
from polyclip.data.reader import LinkedReader, Reader, ShardReader
from polyclip.data.shards.schema import ShardOptions
from polyclip.data.types import Row
from polyclip.errors import PackError, UnknownName
from polyclip.languages.schema import Language

PACK = "corpus.toml"  # of a corpus in a folder of its own
BETWEEN = "\t"  # a corpus' name and a group, where several corpora are used together


class Licence(Pack):
    """The licence of one part of a corpus: SPDX identifier, holder and address."""

    part: str
    spdx: str
    holder: str
    url: str = Field(pattern=r"^https?://")


class Translation(Pack):
    """[translation] of a pack that `polyclip translate` made.

    It names the corpus that machine-translated captions are added to, and how they were made.
    """

    base: str  # a corpus' name, or the path of a pack, from this pack's folder
    engine: str  # value of --with
    names: list[str]  # of engine, model and revision: the provenance of its captions
    source: str  # code of the language it was translated from
    languages: list[str] = Field(min_length=1)  # codes
    splits: list[Literal["train", "validation"]] = Field(min_length=1)  # splits that get captions; never the test split
    without_human: bool = False  # whether human captions in `languages` are left out of `splits`
    captions_sha256: str  # of captions.jsonl
    options: dict[str, Any] = {}  # the engine's
    filters: dict[str, Any] = {}  # thresholds; a filter that is switched off is not named


class CorpusPack(Pack):
    """corpora/<name>.toml: where a corpus is, how to read it, its licences and expected sizes."""

    name: str
    about: str
    reader: str
    folder: str = ""  # relative to the pack
    follow_links: bool = False  # whether images may be links that lead out of the folder; of the reader `jsonl`
    images: str = ""  # in corpus.toml of the reader `jsonl`: folder of the images, where they are not in `folder`
    files: (
        str | list[str]
    ) = []  # in place of a folder: shards, as paths from the pack's folder or addresses that fsspec knows
    shards: ShardOptions = ShardOptions()  # how samples are found in them
    rows: dict[str, int] = {}  # split -> rows in English, checked when it is read
    licences: list[Licence] = []
    translation: Translation | None = None  # of the reader `translated`


class Corpus:
    """A corpus pack together with the reader of its format."""

    def __init__(
        self, pack: CorpusPack, path: Path, reader: Reader | None = None, weights: Mapping[str, float] | None = None
    ) -> None:
        self.pack = pack
        self.name = pack.name
        self.path = path
        self.reader: Reader = reader or _reader(pack, path)
        self.weights = weights  # sampling weights of joined corpora by their names, see polyclip/data/joined.py

    @classmethod
    def open(cls, name: str | Path) -> "Corpus":
        """Open a corpus by its name, or by the path of a pack.

        Args:
            name: A name such as `emoji` (`polyclip corpora` lists them), or a path that ends in `.toml`.

        Returns:
            The corpus.

        Raises:
            UnknownName: There is no such corpus.
            PackError: The pack is invalid.

        Example:
            >>> Corpus.open("emoji").languages[:3]
            ['af', 'am', 'ar']

        """
        return load_corpus(str(name))

    @classmethod
    def from_csv(
        cls,
        path: str | Path,
        *,
        image_column: str | None = None,
        caption_columns: Mapping[str, str | Sequence[str]] | None = None,
        split_column: str | None = None,
    ) -> "Corpus":
        """Make a corpus of a table: one row an image, one column of captions a language.

        Writes `captions.jsonl` and a pack beside the table, which `polyclip align --corpus` takes too. Rows of one
        image are joined. Without a split column images are split by their hash: 70 % training, 10 % validation, 20 %
        test.

        Args:
            path: The table with a header: CSV, TSV or XLSX in any usual encoding, JSON lines, COCO's captions or a
                token file of Flickr30k. Images are looked up in its folder.
            image_column: Column that names the images; found by itself by its name or by the file names in it.
            caption_columns: Columns of captions by language; found by themselves where they have a language's name.
            split_column: Column that says train, validation or test.

        Returns:
            The corpus.

        Raises:
            DataError: The table cannot be read, an image is missing or outside the table's folder, or `captions.jsonl`
                holds something else already.
            UnknownName: There is no such column, or no pack for a language.

        Example:
            >>> corpus = Corpus.from_csv("photos.csv", image_column="file", caption_columns={"sw": "caption_sw"})

        """
        from polyclip.data.builders import build_from_csv

        return build_from_csv(Path(path), image_column, caption_columns, split_column)

    @classmethod
    def from_folder(cls, path: str | Path, *, language: str | None = None) -> "Corpus":
        """Make a corpus of a folder of images.

        Args:
            path: The folder. `dog.jpg` has its captions in `dog.sw.txt`, one a line; a file for each language.
            language: The language of captions in `dog.txt`, and of the names of folders whose images have no such file.

        Returns:
            The corpus; `captions.jsonl` and a pack are written into the folder.

        Raises:
            DataError: There are no captions, or an image cannot be read.
            UnknownName: There is no pack for a language.

        """
        from polyclip.data.builders import build_from_folder

        return build_from_folder(Path(path), language)

    @classmethod
    def from_datasets(
        cls,
        name: str,
        *,
        captions: Mapping[str, str],
        image: str = "image",
        split: str = "train",
        revision: str = "",
    ) -> "Corpus":
        """Open a data set of the `datasets` library as a corpus.

        Args:
            name: OWNER/NAME on the hub, or a folder that `save_to_disk` wrote.
            captions: Column of captions by language.
            image: Column of images.
            split: Split of the data set; polyclip divides it into training, validation and test by the images' hashes.
            revision: Commit on the hub, which a hub name requires.

        Returns:
            The corpus; its rows are read when they are first used.

        Raises:
            UnknownName: There is no pack for a language.
            PackError: The columns are not what a pack may say.

        """
        from polyclip.data.builders import build_from_shards
        from polyclip.languages.resolve import resolve_language

        columns = {resolve_language(code).code: column for code, column in captions.items()}
        shards = {"captions": columns, "image": image, "split": split, "revision": revision}
        return build_from_shards("datasets", str(Path(name).resolve()) if Path(name).exists() else name, shards)

    @classmethod
    def from_webdataset(cls, files: str | Sequence[str], *, language: str = "") -> "Corpus":
        """Open WebDataset shards as a corpus.

        Args:
            files: Paths or addresses (`s3://bucket/{00000..00099}.tar`), one or several.
            language: Code of captions that do not name theirs.

        Returns:
            The corpus; its samples are read when they are first used.

        Raises:
            PackError: `language` is not what a pack may say.

        """
        from polyclip.data.builders import build_from_shards

        given = [files] if isinstance(files, str) else list(files)
        where = [name if "://" in name else str(Path(name).resolve()) for name in given]
        return build_from_shards("webdataset", where, {"language": language})

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


def _reader(pack: CorpusPack, path: Path) -> Reader:
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


def list_corpora() -> list[str]:
    """List the names of the corpora that come with polyclip."""
    return sorted(path.stem for path in CORPORA.glob("*.toml"))


def load_corpus(name: str) -> Corpus:
    """Load a corpus by name, or by the path of a pack of your own.

    Args:
        name: A name such as "emoji", a path that ends in .toml, what a corpus can be made of (a table such as
            photos.xlsx, or a folder), or several of these joined by " + ".

    Returns:
        The corpus.

    Raises:
        UnknownName: There is no such corpus; the message lists the nearest names.
        PackError: The pack is invalid.
        DataError: No corpus can be made of the table or folder.

    Example:
        >>> load_corpus("emoji").name
        'emoji'

    """
    from polyclip.data.folds import open_part, split_part
    from polyclip.data.joined import is_joined, open_joined

    whole, part = split_part(name)
    if part:
        return open_part(load_corpus(whole), part)
    if is_joined(name):
        return open_joined(name)
    path = find_pack_file(name)
    stamp = path.stat()
    found = _open_pack(path, (stamp.st_mtime_ns, stamp.st_size))
    return Corpus(found.pack, path) if found.pack.files else found  # shards may have changed: look again


def find_pack_file(name: str) -> Path:
    """Find the pack of a corpus, or make one of a table or folder.

    Args:
        name: As for `load_corpus`.

    Returns:
        Path of the pack.

    Raises:
        UnknownName: There is no such corpus, table or folder.
        DataError: No corpus can be made of the table or folder.

    """
    from polyclip.data.tables.create import find_or_make_pack
    from polyclip.data.tables.read import SUFFIXES

    given = Path(name)
    if given.suffix == ".toml" and is_file(given):
        return given
    if name in list_corpora():
        return CORPORA / f"{name}.toml"
    if is_folder(given) or (is_file(given) and given.suffix.lower() in SUFFIXES):
        return find_or_make_pack(given)
    near = hint_folder(name, CORPUS_FOLDER, lambda other: other.is_dir() or other.suffix.lower() in SUFFIXES)
    raise UnknownName(
        "corpus",
        name,
        list_corpora(),
        "A corpus of your own is a table such as photos.xlsx, a folder, or the path of a pack, such as my/corpus.toml."
        f"{near}",
    )


@lru_cache(maxsize=16)
def _open_pack(path: Path, stamp: tuple[int, int]) -> Corpus:
    """The corpus of a pack, opened once as long as its file stays as it is."""
    return Corpus(read_pack(CorpusPack, path), path)
