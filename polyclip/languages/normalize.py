"""Text normalization: the steps that a language pack may name, applied once to every caption and query.

A tokenizer has a normalizer of its own (nmt_nfkc turns joiners into spaces); what is here decides what the corpus, the
cache, comparisons and every encoder see. Character properties come from the library regex. Sources: UAX #15 for
normalization, UAX #31 for where joiners carry meaning (https://www.unicode.org/reports/tr31/tr31-10.html, section 2.3),
CaseFolding.txt and SpecialCasing.txt for case.
"""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

import regex

from polyclip.errors import DataError, PackError, UnknownName
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Language, list_languages, load_language

Step = Callable[[str, Language], str]
SCRIPTS = {
    "Hans": ("Hani",),
    "Hant": ("Hani",),
    "Jpan": ("Hani", "Hira", "Kana"),
    "Kore": ("Hang", "Hani"),
}  # ISO 15924 codes of several scripts


def _letters(*scripts: str) -> str:
    """Build a character class of the letters and marks that are used with any of these scripts."""
    used = "".join(rf"\p{{scx={script}}}" for script in scripts)
    return rf"[[\p{{L}}\p{{M}}]&&[{used}]]"


MONGOLIAN = _letters("Mong")
ARABIC = _letters("Arab")
CURSIVE = _letters("Arab", "Syrc", "Mand", "Nkoo", "Mong", "Phag", "Adlm", "Rohg")
SPACELESS = _letters("Thai", "Laoo", "Khmr", "Mymr", "Lana", "Tale", "Talu", "Tavt")
INDIC = r"[[\p{L}\p{M}]--\p{InSC=Other}]"  # of every script that descends from Brahmi
DEPENDENT = r"[\p{M}--\p{InSC=Other}]"  # a vowel sign, virama or register shifter of these
DEAD = r"[\p{ccc=9}\p{InSC=Consonant_Dead}]"  # a virama, or a letter that has one in it, as a Malayalam chillu
EMOJI = r"[\p{Extended_Pictographic}\p{Emoji_Modifier}\uFE0F]"

# Mongolian writes U+202F before a suffix: there it is spelling.
SPACES = regex.compile(rf"(?:(?!\u202F{MONGOLIAN})\p{{White_Space}})+", regex.V1)
INVISIBLE = regex.compile(r"[\p{White_Space}\p{Default_Ignorable_Code_Point}\p{Cc}]*", regex.V1)
LETTER = regex.compile(r"\p{L}")
SIGNS = regex.compile(r"[\u00AD\u180E\u200B\u200C\u200D\u2060\uFEFF\p{Bidi_Control}]+", regex.V1)
# Between which characters a sign says something. In a cursive script letters that cannot join count too: writers of
# Persian put the
# non-joiner between the parts of a word whatever its letters are.
MEANT = {
    "\u200c": rf"{CURSIVE}.{CURSIVE}|{DEAD}.\p{{L}}|{INDIC}.{DEPENDENT}",  # non-joiner
    "\u200d": rf"{CURSIVE}..?|{DEAD}..?|{INDIC}.{DEPENDENT}|{EMOJI}.{EMOJI}",  # joiner
    "\u180e": rf"{MONGOLIAN}.{MONGOLIAN}",  # vowel separator
    "\u200b": rf"{SPACELESS}.{SPACELESS}",  # zero-width space between words: `drop_zero_width_spaces` decides
}
CONTEXTS = {sign: regex.compile(pattern, regex.V1 | regex.DOTALL) for sign, pattern in MEANT.items()}
FORMS = regex.compile(r"[\uFB50-\uFDFF\uFE70-\uFEFE]")
# of a run each is tried once: else a long one takes the square of its length
TATWEEL = regex.compile(
    rf"(?<=[{ARABIC}--\u0640])\u0640++|(?<!\u0640)\u0640++(?=[[{ARABIC}&&\p{{L}}]--\u0640])", regex.V1
)
PERSIAN = str.maketrans("\u064a\u0649\u0643", "\u06cc\u06cc\u06a9")
TURKIC = str.maketrans("Iİ", "ıi")
WORDS_ALONE = regex.compile(r"[\p{L}\p{M}]+(?: [\p{L}\p{M}]+)*")  # in which Moses finds nothing to change
FULL_STOP = regex.compile("\u1361{2,}")
PREFACE_COLON = regex.compile("\u1361[-\u2010\u2011\u2013](?!\\p{N})")
WORD_SPACE = regex.compile(
    r"(?P<colon>(?<=\p{N})\u1361(?=\p{N}))|(?P<comma>(?<=[\p{L}\p{M}\p{N}])\u1361(?= +[^ \u1361]))"
    r"|(?: *\u1361)+ *(?P<sign>[\u1360\u1362-\u1368])?"
)


def compose(text: str, language: Language) -> str:
    """Apply canonical composition (NFC): é is one code point, however it was typed."""
    return unicodedata.normalize("NFC", text)


def collapse_spaces(text: str, language: Language) -> str:
    """Replace every run of Unicode white space by one space, and strip the ends."""
    return SPACES.sub(" ", text).strip(" ")


def drop_joiners(text: str, language: Language) -> str:
    """Remove invisible characters that carry no meaning where they stand.

    Soft hyphens, word joiners, byte order marks and direction marks are always removed. Joiner and non-joiner stay in
    cursive scripts, after a virama and before a dependent sign of an Indic script, and inside an emoji; the vowel
    separator stays in Mongolian.
    """
    return SIGNS.sub(_meant, text)


def _meant(run: "regex.Match[str]") -> str:
    before, after = run.string[: run.start()][-1:], run.string[run.end() :][:1]
    return "".join(
        sign
        for sign in dict.fromkeys(run.group())
        if sign in CONTEXTS and CONTEXTS[sign].fullmatch(before + sign + after)
    )


def fix_turkic_case(text: str, language: Language) -> str:
    """Remove the second dot that lower-casing İ by the rules of other languages leaves on an i.

    Captions keep their case, since encoders are cased. That a pack names this step also makes `fold` pair I with ı and
    İ with i.
    """
    return text.replace("i\u0307", "i")


def unify_arabic(text: str, language: Language) -> str:
    """Replace presentation forms by the letters they show, and remove tatweel in words; elsewhere it is a dash.

    The isolated form of a vowel sign becomes the sign, without the space of its compatibility decomposition.
    """
    return TATWEEL.sub("", FORMS.sub(lambda form: unicodedata.normalize("NFKC", form.group()).lstrip(" "), text))


def unify_persian(text: str, language: Language) -> str:
    """Replace Arabic yeh, kaf and alef maksura by the Persian letters.

    For Persian and Urdu only: Pashto, Sindhi and Uyghur distinguish some of them.
    """
    return text.translate(PERSIAN)


def unify_ethiopic(text: str, language: Language) -> str:
    """Replace Ethiopic word spaces by spaces, with none before a punctuation sign; ፡፡ becomes ። and ፡- becomes ፦.

    The word space is punctuation and stays between digits, as the colon of a time of day (1፡00), and where a space
    follows it, as a comma (ዓቢ፡ ቆልዓ). A text of nothing but word spaces stays as well.
    """
    signs = PREFACE_COLON.sub("\u1366", FULL_STOP.sub("\u1362", text))
    return (
        WORD_SPACE.sub(lambda found: found["colon"] or found["comma"] or found["sign"] or " ", signs).strip(" ") or text
    )


def drop_zero_width_spaces(text: str, language: Language) -> str:
    """Remove zero-width spaces, for scripts written without spaces: few writers type them and no reader sees them."""
    return text.replace("\u200b", "")


def normalize_punctuation(text: str, language: Language) -> str:
    """Normalize punctuation as Moses does for the pack's codes.moses, repeated until nothing changes.

    Moses turns U+00A0 between digits into a point or comma: name the step `spaces` before it where numbers must not
    change.

    Raises:
        PackError: The pack has no codes.moses.

    """
    code = get_moses_code(language)
    if WORDS_ALONE.fullmatch(text):
        return text
    normaliser = _moses(code)
    while (after := normaliser.normalize(text)) != text:
        text = after
    return text


def get_moses_code(language: Language) -> str:
    """The pack's language code for Moses.

    Raises:
        PackError: The pack has no codes.moses.

    """
    if not language.codes.moses:
        raise PackError(
            f"languages/{language.code}.toml: normalise names step 'moses', but [codes] has no moses. Add the code, "
            "or take the step out."
        )
    return language.codes.moses


@cache
def _moses(code: str) -> Any:
    return _sacremoses().MosesPunctNormalizer(lang=code)


@cache
def _sacremoses() -> Any:
    """The file of sacremoses that normalises punctuation, without its tokenizer, whose import takes half a second."""
    found: Any = find_spec("sacremoses")
    spec: Any = spec_from_file_location("sacremoses.normalize", Path(found.origin).with_name("normalize.py"))
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


STEPS: dict[str, Step] = {
    "nfc": compose,
    "spaces": collapse_spaces,
    "joiners": drop_joiners,
    "turkic-case": fix_turkic_case,
    "arabic": unify_arabic,
    "persian": unify_persian,
    "ethiopic": unify_ethiopic,
    "unspaced": drop_zero_width_spaces,
    "moses": normalize_punctuation,
}


def parse_steps(language: Language) -> list[Step]:
    """Look up the steps that a pack names, in its order.

    Args:
        language: The pack.

    Returns:
        The steps as functions of text and pack.

    Raises:
        UnknownName: A name is not a step; the message lists the steps.
        PackError: The pack names `moses` without codes.moses.

    """
    for name in language.normalise:
        if name not in STEPS:
            raise UnknownName(f"step in languages/{language.code}.toml, normalise,", name, STEPS)
    if "moses" in language.normalise:
        get_moses_code(language)
    return [STEPS[name] for name in language.normalise]


def normalize_text(text: str, language: Language | None) -> str:
    r"""Normalize a text as its language pack says: its steps in order, repeated until nothing changes.

    Idempotent. A text with a visible character never becomes empty.

    Args:
        text: A caption or query.
        language: The pack of its language; None applies NFC only.

    Returns:
        The normalized text.

    Raises:
        UnknownName: The pack names an unknown step.
        PackError: The pack names `moses` without codes.moses.

    Example:
        >>> normalize_text("  a\u00a0cat ", load_language("en"))
        'a cat'

    """
    if language is None:
        return unicodedata.normalize("NFC", text)
    steps, before = parse_steps(language), None
    while text != before:
        before = text
        for step in steps:
            text = step(text, language)
    return text


def fold(text: str, language: Language | None) -> str:
    """Make a key for comparison only: equal for texts that differ in case, white space or what normalization unifies.

    Canonical caseless matching (Unicode core specification, D145); I is ı and İ is i where the pack names turkic-case.

    Args:
        text: A caption or query.
        language: The pack of its language; None for none.

    Returns:
        The key, which is not meant to be shown.

    """
    before = None
    while text != before:
        before = text
        text = unicodedata.normalize("NFC", SPACES.sub(" ", normalize_text(text, language)).strip(" "))
        if language is not None and "turkic-case" in language.normalise:
            text = text.translate(TURKIC)
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
    return text


def is_visible(text: str) -> bool:
    """Whether a text has a visible character: more than white space, control and default-ignorable characters."""
    return INVISIBLE.fullmatch(text) is None


def check_captions(texts: Sequence[str]) -> None:
    """Check that captions are a list of texts, each with a visible character.

    Raises:
        DataError: A caption is empty or no text, or one text was given where a list is expected.

    """
    if isinstance(texts, str):
        raise DataError(f"Expected a list of captions, found one text: write [{texts!r}].")
    for number, text in enumerate(texts):
        if not isinstance(text, str):
            raise DataError(f"Caption {number} of {len(texts)} is a {type(text).__name__}, expected a text.")
        if not is_visible(text):
            raise DataError(
                f"Caption {number} of {len(texts)} is empty; a caption requires at least one visible character."
            )


def normalize_input(texts: Sequence[str], language: str = "") -> list[str]:
    """Normalize texts that a user gave.

    Args:
        texts: Captions or queries.
        language: Any code or name of their language; empty applies NFC only.

    Returns:
        The normalized texts, in their order.

    Raises:
        UnknownName: The language has no pack, or its pack names an unknown step.
        AmbiguousName: The language could be several.
        DataError: A caption is empty, or one text was given where a list is expected.
        PackError: The pack names `moses` without codes.moses.

    """
    check_captions(texts)
    pack = resolve_language(language) if language else None
    return [normalize_text(text, pack) for text in texts]


def find_pack(locale: str) -> Language | None:
    """Find the pack of a corpus' locale; None where there is none.

    It is the locale's own, or its language's where the locale is a variety in the same script (en-GB, not pa-Arab).
    """
    known = list_languages()
    base, *parts = locale.split("-")
    if locale in known or base not in known:
        return load_language(locale) if locale in known else None
    pack = load_language(base)
    return pack if all(part == pack.script for part in parts if len(part) == 4 and part.isalpha()) else None


def match_script(text: str, codes: Iterable[str]) -> str:
    """Return the first of these languages in whose script most letters of the text are; empty for none."""
    return next((pack.code for pack in filter(None, map(find_pack, codes)) if is_in_script(text, pack.script)), "")


def is_in_script(text: str, script: str) -> bool:
    """Whether most letters of a text are in a script, given as a pack gives it (ISO 15924)."""
    return 2 * len(compile_script(script).findall(text)) > len(LETTER.findall(text))


@cache
def compile_script(script: str) -> regex.Pattern[str]:
    """Compile a pattern of one letter of a script."""
    own = "".join(rf"\p{{sc={each}}}" for each in SCRIPTS.get(script, (script,)))
    return regex.compile(rf"[\p{{L}}&&[{own}]]", regex.V1)
