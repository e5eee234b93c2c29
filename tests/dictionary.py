"""A third-party translation engine, as an installed package brings it: looks up sentences in a tab-separated file."""

from pathlib import Path

MODULE = """
import os, time
from pathlib import Path

CONSTANT, LICENCE = True, "CC0-1.0"


class Dictionary:
    def __init__(self, source, target, options):
        path = Path(options.model)
        rows = [line.split("\\t") for line in path.read_text("utf-8").splitlines()]
        if source.code != "en":
            rows = [[row[0], row[2], row[1]] for row in rows if row[0] == source.code]
        else:
            rows = [row for row in rows if row[0] == target.code]
        self.name, self.options, self.table = f"dictionary@{path.stem}", options, {}
        for code, ours, theirs in rows:
            self.table.setdefault(ours, []).append(theirs)

    def translate(self, texts):
        time.sleep(float(os.environ.get("DICTIONARY_SECONDS", 0)))
        if "DICTIONARY_LOG" in os.environ:
            with open(os.environ["DICTIONARY_LOG"], "a", encoding="utf-8") as log:
                log.writelines(text + "\\n" for text in texts)
        return [self.table.get(text, [])[: self.options.candidates] for text in texts]


def covers(language):
    return language.code not in ("to", "kl")


def build(source, target, options):
    return Dictionary(source, target, options)
"""


def install(folder: Path) -> Path:
    """Write module and entry point below `folder`, which is to be put on the path."""
    facts = folder / "polyclip_dictionary-1.0.dist-info"
    facts.mkdir(parents=True)
    (folder / "polyclip_dictionary.py").write_text(MODULE, "utf-8")
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: polyclip-dictionary\nVersion: 1.0\n", "utf-8")
    (facts / "entry_points.txt").write_text("[polyclip.translators]\ndictionary = polyclip_dictionary\n", "utf-8")
    return folder


def write(path: Path, table: dict[str, dict[str, str | list[str]]]) -> Path:
    """Write lines of language code, English and translation, separated by tabs."""
    lines = [
        f"{code}\t{ours}\t{theirs}\n"
        for code, entries in table.items()
        for ours, found in entries.items()
        for theirs in ([found] if isinstance(found, str) else found)
    ]
    path.write_text("".join(lines), "utf-8")
    return path
