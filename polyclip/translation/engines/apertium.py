"""Apertium (https://www.apertium.org), rule-based translation, by the installed program.

Between closely related languages, and from English into a few. Program and language pairs are GPL, in Debian's packages
apertium-eng-spa, apertium-eng-cat, apertium-en-gl and so on. `model` may name the mode (`eng-spa`); else it follows
from the packs' codes.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from shutil import which

from polyclip.core.environment import read_variable
from polyclip.core.storage import hash_file, hash_parts
from polyclip.errors import DataError
from polyclip.languages.schema import Language
from polyclip.translation.engine import TranslationOptions, Translator, require_languages

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


def build(source: Language, target: Language, options: TranslationOptions) -> Translator:
    """Build the engine of the installed mode for two languages.

    Raises:
        DataError: Apertium or a mode for the two languages is not installed; the message names the packages.

    """
    require_languages("apertium", source, target)
    folder = find_data_folder()
    installed = sorted(path.stem for path in (folder / "modes").glob("*.mode"))
    wanted = [options.model] if options.model else list_modes(source, target)
    found = [mode for mode in wanted if mode in installed]
    if not found:
        raise DataError(
            f"Apertium has no mode for {source.name} to {target.name}: looked for {', '.join(wanted)}; installed: "
            f"{', '.join(installed) or 'none'}. "
            "Its package is called by both languages in one order or the other: apt-get install "
            f"{name_package(wanted[0])} "
            "('apt-cache search ^apertium-' lists them)."
        )
    return ApertiumTranslator(found[0], folder, options)


def find_data_folder() -> Path:
    """Find the folder of modes: `APERTIUM_DATADIR`, else share/apertium beside the program.

    Raises:
        DataError: The program is not installed.

    """
    program = which(PROGRAM)
    if program is None:
        raise DataError(
            "The program apertium is not installed: apt-get install apertium and a language pair such as "
            "apertium-eng-spa."
        )
    return Path(read_variable("APERTIUM_DATADIR") or Path(program).parents[1] / "share" / "apertium")


def list_modes(source: Language, target: Language) -> list[str]:
    """List the names a mode may have: pairs spell languages with two letters or with three."""
    ours, theirs = (list(dict.fromkeys((pack.codes.apertium, pack.iso639_3, pack.code))) for pack in (source, target))
    return [f"{one}-{other}" for one in ours for other in theirs]


def name_package(mode: str) -> str:
    """The names that a mode's package may have, as `apertium-eng-spa or apertium-spa-eng`."""
    return f"apertium-{mode} or apertium-{'-'.join(reversed(mode.split('-')))}"


class ApertiumTranslator:
    """One mode of the installed program.

    Texts with unknown words are left out, or kept without the marks, and counted in `refused`.
    """

    def __init__(self, mode: str, folder: Path, options: TranslationOptions) -> None:
        self.mode, self.folder, self.keep = mode, folder, options.unknown == "keep"
        rules = (folder / "modes" / f"{mode}.mode").read_text("utf-8")
        parts = [path for part in re.findall(r"'([^']+)'", rules) if (path := Path(part)).is_file()]
        self.name = f"apertium-{mode}@{hash_parts(rules, *(hash_file(path) for path in parts))[:12]}"
        self.refused: Counter[str] = Counter()

    def translate(self, texts: Sequence[str]) -> list[list[str]]:
        """Translate texts; each has at most one candidate."""
        lines = [" ".join(text.split()) for text in texts]
        flaws = [EMPTY if not line else MARKED if re.search(r"[*@#]", line) else "" for line in lines]
        self.refused.update(flaw for flaw in flaws if flaw)
        asked = [line for line, flaw in zip(lines, flaws, strict=True) if not flaw]
        answers = iter(self.translate_lines(asked) if asked else [])
        return [[] if flaw else self.accept(next(answers)) for flaw in flaws]

    def accept(self, answer: str | None) -> list[str]:
        """Accept a translation, without marks, unless it is incomplete."""
        if answer is None or (MARK.search(answer) and not self.keep):
            self.refused[LOST if answer is None else UNKNOWN] += 1
            return []
        if MARK.search(answer):
            self.refused[UNKNOWN + ", kept"] += 1
        return [" ".join(MARK.sub("", answer).split())]

    def translate_lines(self, lines: Sequence[str]) -> list[str | None]:
        """Translate lines by one call of the program.

        Where it merged or split paragraphs, the lines are halved until the culprit is alone.
        """
        marks = [str(FIRST + number) for number in range(len(lines))]
        parts = self.run("".join(f"{line}\n\n{mark}\n\n" for line, mark in zip(lines, marks, strict=True))).split(
            "\n\n"
        )
        if parts[1::2] == marks:
            return [*parts[:-1:2]]
        if len(lines) == 1:
            return [None]
        half = len(lines) // 2
        return self.translate_lines(lines[:half]) + self.translate_lines(lines[half:])

    def run(self, text: str) -> str:
        """Send a text through the program.

        Raises:
            DataError: The program fails.

        """
        command = [PROGRAM, "-d", str(self.folder), self.mode]
        try:
            done = subprocess.run(command, input=text.encode(), capture_output=True, timeout=SECONDS, check=True)  # noqa: S603 - a listed mode
            return done.stdout.decode("utf-8")
        except subprocess.CalledProcessError as error:
            raise DataError(
                f"'{' '.join(command)}' ended with {error.returncode}: "
                f"{error.stderr.decode(errors='replace').strip()[:200]}"
            ) from error
        except subprocess.TimeoutExpired as error:
            raise DataError(
                f"'{' '.join(command)}' did not end within {SECONDS} s; give fewer texts at once."
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise DataError(f"'{' '.join(command)}' cannot be used: {error}.") from error
