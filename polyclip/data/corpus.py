"""Corpora, opened by name or made from what people have."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

from polyclip.core.nearby import CORPUS_FOLDER, hint_folder
from polyclip.core.storage import is_file, is_folder
from polyclip.core.toml import CORPORA, read_pack
from polyclip.data.corpus_names import Part, is_joined, split_name
from polyclip.data.corpus_pack import CorpusPack
from polyclip.data.folds import open_part, split_part
from polyclip.data.joined import JoinedReader, describe_joined
from polyclip.data.opened import OpenedCorpus
from polyclip.errors import UnknownName


class Corpus(OpenedCorpus):
    """A corpus pack together with the reader of its format."""

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

        return _open_checked(build_from_csv(Path(path), image_column, caption_columns, split_column))

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

        Example:
            >>> corpus = Corpus.from_folder("photos", language="sw")

        """
        from polyclip.data.builders import build_from_folder

        return _open_checked(build_from_folder(Path(path), language))

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

        Example:
            >>> corpus = Corpus.from_datasets("saved/photos", captions={"sw": "maelezo"})

        """
        from polyclip.data.builders import build_from_shards
        from polyclip.languages.resolve import resolve_language

        columns = {resolve_language(code).code: column for code, column in captions.items()}
        shards = {"captions": columns, "image": image, "split": split, "revision": revision}
        where = str(Path(name).resolve()) if Path(name).exists() else name
        return load_corpus(str(build_from_shards("datasets", where, shards)))

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

        Example:
            >>> corpus = Corpus.from_webdataset("shards/{00000..00009}.tar", language="sw")

        """
        from polyclip.data.builders import build_from_shards

        given = [files] if isinstance(files, str) else list(files)
        where = [name if "://" in name else str(Path(name).resolve()) for name in given]
        return load_corpus(str(build_from_shards("webdataset", where, {"language": language})))


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
    whole, part = split_part(name)
    if part and not is_joined(whole):
        return open_part(load_corpus(whole), part)
    if is_joined(name):
        return _open_joined(name, tuple((part, load_corpus(part.name)) for part in split_name(name)))
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


@lru_cache(maxsize=32)
def _open_joined(name: str, parts: tuple[tuple[Part, Corpus], ...]) -> Corpus:
    """Several corpora as one, opened once as long as they stay as they are."""
    weights = [(corpus, part.weight) for part, corpus in parts]
    return Corpus(describe_joined(parts), Path(name), JoinedReader(parts), weights)


def _open_checked(pack: Path) -> Corpus:
    """The corpus of a pack whose captions were just written; every row is read and checked."""
    corpus = load_corpus(str(pack))
    corpus.reader.languages(corpus.folder)
    return corpus
