"""Apertium (https://www.apertium.org), rule-based translation between near languages and from English into a few, by the installed program.

Program and language pairs are GPL, in Debian's packages apertium-eng-spa, apertium-eng-cat, apertium-en-gl and so on. `model` may name the mode
(`eng-spa`); else it follows from the packs' codes.
"""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from shutil import which

from polyclip.core.storage import digest, sha256
from polyclip.errors import DataError
from polyclip.languages.schema import Language
from polyclip.translation.engine import Options, Translator, require

CONSTANT = True
LICENCE = "GPL-2.0-or-later"
PROGRAM = "apertium"
UNKNOWN = "text with a word Apertium does not know"
MARKED = "text with one of Apertium's own marks, * @ #"
EMPTY = "empty text"
LOST = "text that Apertium merged or split"
MARK = re.compile(r"[*@#](?=\w)")  # unknown to the analyser, to the dictionary, to the generator
FIRST = 90_000_000  # numbers pass through unchanged: one between two texts tells where each ended
SECONDS = 600


def covers(language: Language) -> bool:
    """Whether the pack names Apertium's code."""
    return bool(language.codes.apertium)


def build(source: Language, target: Language, options: Options) -> Translator:
    """Raises DataError where Apertium or a mode for the two languages is not installed; the message names the packages."""
    require("apertium", source, target)
    folder = data()
    installed = sorted(path.stem for path in (folder / "modes").glob("*.mode"))
    wanted = [options.model] if options.model else modes(source, target)
    found = [mode for mode in wanted if mode in installed]
    if not found:
        raise DataError(
            f"Apertium has no mode for {source.name} to {target.name}: looked for {', '.join(wanted)}; installed: {', '.join(installed) or 'none'}. "
            f"Its package is called by both languages in one order or the other: apt-get install {package(wanted[0])} "
            "('apt-cache search ^apertium-' lists them)."
        )
    return Apertium(found[0], folder, options)


def data() -> Path:
    """Where the program looks for modes: `APERTIUM_DATADIR`, else share/apertium beside it.

    Raises DataError where the program is not installed.
    """
    program = which(PROGRAM)
    if program is None:
        raise DataError(
            "The program apertium is not installed: apt-get install apertium and a language pair such as apertium-eng-spa."
        )
    return Path(os.environ.get("APERTIUM_DATADIR") or Path(program).parents[1] / "share" / "apertium")


def modes(source: Language, target: Language) -> list[str]:
    """Names a mode may have: pairs spell languages with two letters or with three."""
    ours, theirs = (list(dict.fromkeys((pack.codes.apertium, pack.iso639_3, pack.code))) for pack in (source, target))
    return [f"{one}-{other}" for one in ours for other in theirs]


def package(mode: str) -> str:
    """`apertium-eng-spa or apertium-spa-eng`."""
    return f"apertium-{mode} or apertium-{'-'.join(reversed(mode.split('-')))}"


class Apertium:
    """One mode of the installed program. Texts with unknown words are left out, or kept without the marks, and counted in `refused`."""

    def __init__(self, mode: str, folder: Path, options: Options) -> None:
        self.mode, self.folder, self.keep = mode, folder, options.unknown == "keep"
        rules = (folder / "modes" / f"{mode}.mode").read_text("utf-8")
        parts = [path for part in re.findall(r"'([^']+)'", rules) if (path := Path(part)).is_file()]
        self.name = f"apertium-{mode}@{digest(rules, *(sha256(path) for path in parts))[:12]}"
        self.refused: Counter[str] = Counter()

    def translate(self, texts: Sequence[str]) -> list[list[str]]:
        """At most one candidate of each text."""
        lines = [" ".join(text.split()) for text in texts]
        flaws = [EMPTY if not line else MARKED if re.search(r"[*@#]", line) else "" for line in lines]
        self.refused.update(flaw for flaw in flaws if flaw)
        asked = [line for line, flaw in zip(lines, flaws, strict=True) if not flaw]
        answers = iter(self.several(asked) if asked else [])
        return [[] if flaw else self.accept(next(answers)) for flaw in flaws]

    def accept(self, answer: str | None) -> list[str]:
        """A translation without marks, if it is one."""
        if answer is None or (MARK.search(answer) and not self.keep):
            self.refused[LOST if answer is None else UNKNOWN] += 1
            return []
        if MARK.search(answer):
            self.refused[UNKNOWN + ", kept"] += 1
        return [" ".join(MARK.sub("", answer).split())]

    def several(self, lines: Sequence[str]) -> list[str | None]:
        """Translations of lines, by one call of the program; where paragraphs were merged or split, by halves until the culprit is alone."""
        marks = [str(FIRST + number) for number in range(len(lines))]
        parts = self.run("".join(f"{line}\n\n{mark}\n\n" for line, mark in zip(lines, marks, strict=True))).split(
            "\n\n"
        )
        if parts[1::2] == marks:
            return [*parts[:-1:2]]
        if len(lines) == 1:
            return [None]
        half = len(lines) // 2
        return self.several(lines[:half]) + self.several(lines[half:])

    def run(self, text: str) -> str:
        """Send text through the program.

        Raises DataError in one sentence where it fails.
        """
        command = [PROGRAM, "-d", str(self.folder), self.mode]
        try:
            done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=SECONDS, check=True)  # noqa: S603 - a listed mode
            return done.stdout.decode("utf-8")
        except subprocess.CalledProcessError as error:
            raise DataError(
                f"'{' '.join(command)}' ended with {error.returncode}: {error.stderr.decode(errors='replace').strip()[:200]}"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise DataError(
                f"'{' '.join(command)}' did not end within {SECONDS} s; give fewer texts at once."
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"'{' '.join(command)}' cannot be used: {error}.") from error
