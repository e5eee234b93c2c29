"""Check that this machine has fonts for the text of a page, which is stored as text and not as images."""

import shutil
import subprocess
import unicodedata
from collections.abc import Iterable, Mapping

from polyclip.languages.schema import list_languages, load_language

CJK = {"Hani", "Hans", "Hant", "Jpan", "Kore", "Hang", "Hira", "Kana"}
LETTERS = "LMN"  # first letters of the Unicode categories that a font must have: letters, marks, numbers


def find_missing_fonts(texts: Mapping[str, Iterable[str]]) -> list[str]:
    """Find the languages with letters that no font here has.

    Uses fontconfig; where it is not installed, one sentence says that nothing was checked.

    Args:
        texts: Texts by language code.

    Returns:
        A sentence for each such language, with Debian's package that has the font.

    """
    if shutil.which("fc-list") is None:
        return [
            "fonts were not checked: fontconfig's fc-list is not installed here; if letters show as boxes, install "
            "Noto fonts"
        ]
    wanting = {
        code: find_uncovered(
            {letter for text in found for letter in text if unicodedata.category(letter)[0] in LETTERS}
        )
        for code, found in texts.items()
    }
    return [
        f"{code}: no font here has {len(letters)} of its letters, such as "
        f"{unicodedata.name(min(letters), 'U+' + format(ord(min(letters)), 'X'))}; "
        f"install {get_font_package(code)}"
        for code, letters in wanting.items()
        if letters
    ]


def find_uncovered(letters: set[str]) -> set[str]:
    """Find letters that no font has; each letter is looked up alone only if no single font has all."""
    plain = {letter for letter in letters if ord(letter) >= 0x80}
    if not plain or is_covered(plain):
        return set()
    return {letter for letter in plain if not is_covered({letter})}


def is_covered(letters: set[str]) -> bool:
    """Whether a single font has all of these letters."""
    pattern = ":charset=" + " ".join(f"{ord(letter):x}" for letter in sorted(letters))
    return bool(
        subprocess.run(["fc-list", pattern, "family"], capture_output=True, text=True, check=False).stdout.strip()
    )


def get_font_package(code: str) -> str:
    """Return Debian's font package for the script of a language."""
    script = load_language(code).script if code in list_languages() else ""
    return "fonts-noto-cjk" if script in CJK else "fonts-noto-core"
