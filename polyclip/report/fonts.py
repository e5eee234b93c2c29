"""Whether this machine has letters for what a page shows. The page holds words, not drawings of words: who opens it elsewhere uses their own fonts."""

import shutil
import subprocess
import unicodedata
from collections.abc import Iterable, Mapping

from polyclip.languages.schema import list_languages, load_language

CJK = {"Hani", "Hans", "Hant", "Jpan", "Kore", "Hang", "Hira", "Kana"}
LETTERS = "LMN"  # first letters of the Unicode categories that a font must have: letters, marks, numbers


def find_missing_fonts(texts: Mapping[str, Iterable[str]]) -> list[str]:
    """A sentence for every language whose letters no font here has: which, and Debian's package that brings them. `texts` by language code.

    It asks fontconfig; where there is none, one sentence says that nothing was checked.
    """
    if shutil.which("fc-list") is None:
        return [
            "fonts were not checked: fontconfig's fc-list is not installed here; if letters show as boxes, install Noto fonts"
        ]
    wanting = {
        code: find_uncovered({letter for text in found for letter in text if unicodedata.category(letter)[0] in LETTERS})
        for code, found in texts.items()
    }
    return [
        f"{code}: no font here has {len(letters)} of its letters, such as {unicodedata.name(min(letters), 'U+' + format(ord(min(letters)), 'X'))}; "
        f"install {get_font_package(code)}"
        for code, letters in wanting.items()
        if letters
    ]


def find_uncovered(letters: set[str]) -> set[str]:
    """Letters that no font has. One font with all of them is enough; else each is asked for alone, since a browser mixes fonts."""
    plain = {letter for letter in letters if ord(letter) >= 0x80}
    if not plain or is_covered(plain):
        return set()
    return {letter for letter in plain if not is_covered({letter})}


def is_covered(letters: set[str]) -> bool:
    """Whether a single font has all of them."""
    pattern = ":charset=" + " ".join(f"{ord(letter):x}" for letter in sorted(letters))
    return bool(
        subprocess.run(["fc-list", pattern, "family"], capture_output=True, text=True, check=False).stdout.strip()
    )


def get_font_package(code: str) -> str:
    """Debian's package with the script of a language."""
    script = load_language(code).script if code in list_languages() else ""
    return "fonts-noto-cjk" if script in CJK else "fonts-noto-core"
