"""Image files below a folder; whatever is left out is named, with how many there are."""

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath

from polyclip.core.nearby import FOLDER, hint_folder
from polyclip.core.text import is_broken, show_name
from polyclip.data.images import SUFFIXES
from polyclip.errors import DataError

FOLLOW = "--follow-links"  # of index, search, classify and dedupe
INDEX = ".polyclip-index"  # the folder of an index inside the folder of its images
# Folders that storage servers and systems make for thumbnails, deleted and foreign files; hidden where they come from.
SERVICE = {"@eadir", "@recycle", "#recycle", "#snapshot", "$recycle.bin", "system volume information", "__macosx"}
# Formats of images that are not decoded. Not from the system's table of types, which differs between machines.
OTHER = {
    **dict.fromkeys((".svg", ".svgz"), "image/svg+xml"),
    **dict.fromkeys((".heic", ".heif"), "image/heic"),
    **dict.fromkeys((".dng", ".cr2", ".cr3", ".nef", ".arw", ".orf", ".rw2", ".raf"), "a camera's raw image"),
    **dict.fromkeys((".jp2", ".j2k", ".jpx"), "image/jp2"),
    **dict.fromkeys((".pbm", ".pgm", ".ppm", ".pnm"), "image/x-portable-anymap"),
    **dict.fromkeys((".psd", ".xcf", ".kra"), "a drawing program's file"),
    **dict.fromkeys((".eps", ".ai"), "application/postscript"),
    **{f".{name}": f"image/{name}" for name in ("avif", "jxl", "ico", "icns", "tga", "pcx", "xpm", "xbm", "qoi")},
}


@dataclass
class FolderScan:
    """What a walk through a folder found, and what it left out."""

    files: list[Path] = field(default_factory=list)
    outside: list[Path] = field(default_factory=list)  # links that lead out of the folder
    nowhere: list[Path] = field(default_factory=list)  # links whose target is missing
    hidden: list[Path] = field(default_factory=list)  # folders with images such as .thumbnails, .Trash-1000, @eaDir
    broken: list[str] = field(default_factory=list)  # files and folders whose name no index may hold
    odd: list[Path] = field(default_factory=list)  # pipes and devices
    closed: list[str] = field(default_factory=list)  # one sentence for each folder that may not be entered

    def describe_skipped(self, root: Path, option: str = FOLLOW) -> list[str]:
        """One sentence for each reason why files were left out, with their number and the first one.

        Args:
            root: The folder.
            option: The option that reads links to outside; empty where there is none.

        Returns:
            The sentences.

        """
        outside = [path for path in self.outside if path.suffix.lower() in SUFFIXES or path.is_dir()]
        nowhere = [path for path in self.nowhere if path.suffix.lower() in SUFFIXES]
        odd = [path for path in self.odd if path.suffix.lower() in SUFFIXES]
        said = [
            (outside, f"links that lead out of {root} (not followed{f'; {option} reads them' if option else ''})"),
            (odd, "pipes or devices, not files"),
            (nowhere, "links whose target is missing"),
            (self.hidden, "hidden folders with images (not searched)"),
        ]
        return [
            *(f"{len(paths):,} {what}, the first: {show_name(str(min(paths)))}" for paths, what in said if paths),
            *self.closed,
            *(
                f"{name}: the name is not UTF-8, or starts as a drive of Windows; rename it."
                for name in sorted(self.broken)
            ),
            *(
                f"{path}: {OTHER[path.suffix.lower()]} is not read; save it as PNG or JPEG."
                for path in self.files
                if path.suffix.lower() in OTHER
            ),
        ]


def find_images(folder: Path, *, follow_links: bool = False) -> list[Path]:
    """Find every image file below a folder.

    Args:
        folder: The folder.
        follow_links: Whether links that lead outside are followed.

    Returns:
        Paths in alphabetical order.

    Raises:
        DataError: There is no such folder, or no image in it.

    """
    return scan_folder(folder, follow_links=follow_links, option="")[0]


def scan_folder(folder: Path, *, follow_links: bool = False, option: str = FOLLOW) -> tuple[list[Path], list[str]]:
    """Find every image file below a folder, and say what is left out.

    Left out are hidden folders, folders that may not be entered, links that lead nowhere or, unless they are followed,
    out of the folder, and formats that are not supported, such as SVG.

    Args:
        folder: The folder.
        follow_links: Whether links that lead outside are followed.
        option: The option of the command that follows them, for messages; empty where it has none.

    Returns:
        Paths in alphabetical order, and one sentence for each reason and each unsupported file.

    Raises:
        DataError: There is no such folder, or no supported image in it.

    """
    if not folder.is_dir():
        raise DataError(f"{folder} is not a folder.{hint_folder(folder, FOLDER)}")
    scan = walk_folder(folder, follow_links=follow_links)
    found = [path for path in scan.files if path.suffix.lower() in SUFFIXES]
    skipped = scan.describe_skipped(folder, option)
    if not found:
        aside = f" Left out: {'; '.join(skipped[:3])}" if skipped else ""
        raise DataError(f"{folder} has no image; expected files ending in {', '.join(sorted(SUFFIXES))}.{aside}")
    return found, skipped


def walk_folder(folder: Path, *, follow_links: bool = False) -> FolderScan:
    """List the files below a folder in alphabetical order, each folder once, however links lead."""
    root, scan = folder.resolve(), FolderScan()
    seen = {str(root)}

    def refuse(error: OSError) -> None:
        scan.closed.append(f"{error.filename}: the folder cannot be entered ({error.strerror or error}).")

    for place, folders, names in os.walk(folder, onerror=refuse, followlinks=True):
        paths = [Path(place, name) for name in sorted(folders) if not is_hidden(name)]
        scan.hidden += [path for name in folders if holds_images(path := Path(place, name))]
        kept = {path.name: os.path.realpath(path) for path in paths if enter(path, root, scan, follow=follow_links)}
        folders[:] = [name for name, real in kept.items() if real not in seen]
        seen.update(kept.values())
        scan.files += [path for name in names if enter(path := Path(place, name), root, scan, follow=follow_links)]
    scan.odd = sorted(path for path in scan.files if not path.is_file())
    scan.files = sorted(path for path in scan.files if path.is_file())
    return scan


def is_hidden(name: str) -> bool:
    """Whether a folder of this name is hidden: by a point, or since a storage server or a system made it for itself."""
    return name.startswith(".") or name.lower() in SERVICE


def holds_images(folder: Path) -> bool:
    """Whether an image file lies below a folder that is hidden and no index."""
    return (
        is_hidden(folder.name)
        and folder.name != INDEX
        and any(Path(name).suffix.lower() in SUFFIXES for _, _, names in os.walk(folder) for name in names)
    )


def has_drive(name: str) -> bool:
    r"""Whether a name would lead to another place on Windows, as `C:\a.png`; `8:15.png` is a name everywhere else."""
    if ":" not in name and not name.startswith(("/", "\\")):
        return False
    return PureWindowsPath(name).drive != "" and PureWindowsPath(name).is_absolute()


def enter(path: Path, root: Path, scan: FolderScan, *, follow: bool) -> bool:
    """Whether a file or folder is to be read; if not, the scan keeps why."""
    if is_broken(path.name) or has_drive(path.name):
        scan.broken.append(show_name(str(path)))
        return False
    if not path.is_symlink():
        return True
    try:
        target = path.resolve(strict=True)
    except (OSError, RuntimeError):  # removed, or a circle of links
        scan.nowhere.append(path)
        return False
    if not follow and not target.is_relative_to(root):
        scan.outside.append(path)
        return False
    return True


def iterate_files(folder: Path) -> Iterator[Path]:
    """Iterate over the files below a folder, without unreadable ones and those that links lead to outside it."""
    return iter(walk_folder(folder).files)
