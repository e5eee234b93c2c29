"""Finding the images that a table names, also where it was written on another machine."""

import re
import unicodedata
from collections import Counter
from functools import cached_property
from pathlib import Path, PurePosixPath

from polyclip.core.storage import is_inside
from polyclip.data.image_files import iterate_files
from polyclip.data.images import SUFFIXES

HOW = {
    "case": "differ from the file's in upper and lower case",
    "unicode": "are written with other Unicode forms (NFC, NFD) than the file's",
    "folder": "have other folders than the file has here",
    "suffix": "lack the file's ending, or have another",
}


def fold_name(name: str) -> str:
    """A file's name without regard to case and Unicode form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


class ImageFolder:
    """A folder in which images are looked up by name.

    Args:
        root: The folder.

    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.how: Counter[str] = Counter()  # names that were found although they differ, by a key of `HOW`
        self.ambiguous: dict[str, list[str]] = {}  # names that several files may have
        self.unread: set[str] = set()  # files of a kind that is not read
        self._resolved = root.resolve()

    def find(self, name: str) -> str | None:
        """Find an image.

        Args:
            name: A path as a table has it: relative, absolute, from another machine, with backslashes.

        Returns:
            Its path from the folder; None where it is missing, ambiguous or outside.

        """
        text = re.sub(r"^file://", "", name.strip().strip("\"'")).replace("\\", "/")
        path = Path(text)
        if path.is_absolute() and is_inside(path, self._resolved):
            text = path.resolve().relative_to(self._resolved).as_posix()
        exact = text.removeprefix("./")
        if self._exists(exact):
            return exact
        return self._search(name, PurePosixPath(text.split(":", 1)[-1]))

    def _exists(self, name: str) -> bool:
        """Whether the folder has the image under exactly this name; without a scan of the folder."""
        path = self.root / name
        try:
            kind = PurePosixPath(name).suffix.lower() in SUFFIXES
            return kind and path.is_file() and path.resolve().is_relative_to(self._resolved)
        except (OSError, ValueError):  # too long for a file's name, or with a zero byte
            return False

    @cached_property
    def _files(self) -> tuple[list[str], set[str]]:
        """Every image below the folder, and the folded names of the other files."""
        found = sorted(path.relative_to(self.root).as_posix() for path in iterate_files(self.root))
        images = [name for name in found if PurePosixPath(name).suffix.lower() in SUFFIXES]
        return images, {fold_name(name.rsplit("/", 1)[-1]) for name in set(found) - set(images)}

    @cached_property
    def _tails(self) -> dict[str, list[str]]:
        """Files by every end of their folded path, with and without suffix."""
        tails: dict[str, list[str]] = {}
        for name in self._files[0]:
            parts = fold_name(name).split("/")
            for start in range(len(parts)):
                tail = "/".join(parts[start:])
                tails.setdefault(tail, []).append(name)
                tails.setdefault(f"{tail.rsplit('.', 1)[0]}/", []).append(name)  # no file's name ends like this
        return tails

    def _search(self, name: str, path: PurePosixPath) -> str | None:
        """Search the ends of the path, the longest first; then the same without suffix."""
        parts = [fold_name(part) for part in path.parts if part not in ("/", ".", "..")]
        ends = ["/".join(parts[start:]) for start in range(len(parts))]
        for end in [*ends, *(f"{end.rsplit('.', 1)[0]}/" for end in ends), *(f"{end}/" for end in ends)]:
            found = self._tails.get(end, [])
            same = [one for one in found if one.endswith(path.as_posix())] or found
            if len(same) == 1:
                self.how[self._explain(path, same[0])] += 1
                return same[0]
            if same:
                self.ambiguous[name] = same
                return None
        if ends and ends[-1] in self._files[1]:
            self.unread.add(name)
        return None

    @staticmethod
    def _explain(path: PurePosixPath, found: str) -> str:
        own, theirs = PurePosixPath(found).name, path.name
        if own == theirs:
            return "folder"
        if unicodedata.normalize("NFC", own) == unicodedata.normalize("NFC", theirs):
            return "unicode"
        return "case" if fold_name(own) == fold_name(theirs) else "suffix"
