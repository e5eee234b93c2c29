"""Text that survives: the steps a language pack may name, applied once to every caption and query, so that one word has one spelling.

A tokenizer has a normaliser of its own (nmt_nfkc turns joiners into spaces); what is here decides what the corpus, the cache, comparisons and
every encoder see. Character properties come from the library regex. Sources: UAX #15 for normalisation, UAX #31 for where joiners carry meaning
(https://www.unicode.org/reports/tr31/tr31-10.html, section 2.3), CaseFolding.txt and SpecialCasing.txt for case.
"""

import unicodedata
from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import Any

import regex

from polyclip.errors import DataError, PackError, UnknownName
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Language, known_languages, load_language

Step = Callable[[str, Language], str]
SCRIPTS = {
    "Hans": ("Hani",),
    "Hant": ("Hani",),
    "Jpan": ("Hani", "Hira", "Kana"),
    "Kore": ("Hang", "Hani"),
}  # ISO 15924 codes of several scripts


def _letters(*scripts: str) -> str:
    """A class of the letters and marks that are used with any of these scripts."""
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
SIGNS = regex.compile(r"[\u00AD\u180E\u200B\u200C\u200D\u2060\uFEFF\p{Bidi_Control}]+", regex.V1)
# Between which characters a sign says something. In a cursive script letters that cannot join count too: writers of Persian put the
# non-joiner between the parts of a word whatever its letters are.
MEANT = {
    "\u200c": rf"{CURSIVE}.{CURSIVE}|{DEAD}.\p{{L}}|{INDIC}.{DEPENDENT}",  # non-joiner
    "\u200d": rf"{CURSIVE}..?|{DEAD}..?|{INDIC}.{DEPENDENT}|{EMOJI}.{EMOJI}",  # joiner
    "\u180e": rf"{MONGOLIAN}.{MONGOLIAN}",  # vowel separator
    "\u200b": rf"{SPACELESS}.{SPACELESS}",  # zero-width space between words: `unspaced` decides
}
CONTEXTS = {sign: regex.compile(pattern, regex.V1 | regex.DOTALL) for sign, pattern in MEANT.items()}
FORMS = regex.compile(r"[\uFB50-\uFDFF\uFE70-\uFEFE]")
TATWEEL = regex.compile(rf"(?<=[{ARABIC}--\u0640])\u0640+|\u0640+(?=[[{ARABIC}&&\p{{L}}]--\u0640])", regex.V1)
PERSIAN = str.maketrans("\u064a\u0649\u0643", "\u06cc\u06cc\u06a9")
TURKIC = str.maketrans("Iİ", "ıi")
WORDS_ALONE = regex.compile(r"[\p{L}\p{M}]+(?: [\p{L}\p{M}]+)*")  # in which Moses finds nothing to change
FULL_STOP = regex.compile("\u1361{2,}")
PREFACE_COLON = regex.compile("\u1361[-\u2010\u2011\u2013](?!\\p{N})")
WORD_SPACE = regex.compile(
    r"(?P<colon>(?<=\p{N})\u1361(?=\p{N}))|(?P<comma>(?<=[\p{L}\p{M}\p{N}])\u1361(?= +[^ \u1361]))|(?: *\u1361)+ *(?P<sign>[\u1360\u1362-\u1368])?"
)


def nfc(text: str, language: Language) -> str:
    """Canonical composition: é is one code point, however it was typed."""
    return unicodedata.normalize("NFC", text)


def spaces(text: str, language: Language) -> str:
    """Every run of Unicode white space as one space, none at the ends."""
    return SPACES.sub(" ", text).strip(" ")


def joiners(text: str, language: Language) -> str:
    """Without the invisible signs that say nothing where they stand.

    Soft hyphens, word joiners, byte order marks and signs of direction always go. Joiner and non-joiner stay in cursive scripts, after a
    virama and before a dependent sign of an Indic script, and inside an emoji; the vowel separator stays in Mongolian.
    """
    return SIGNS.sub(_meant, text)


def _meant(run: "regex.Match[str]") -> str:
    before, after = run.string[: run.start()][-1:], run.string[run.end() :][:1]
    return "".join(
        sign
        for sign in dict.fromkeys(run.group())
        if sign in CONTEXTS and CONTEXTS[sign].fullmatch(before + sign + after)
    )


def turkic_case(text: str, language: Language) -> str:
    """An i without the second dot that lower-casing İ by the rules of other languages leaves on it.

    Captions keep their case, as encoders are cased. That a pack names this step is also what makes `fold` pair I with ı and İ with i.
    """
    return text.replace("i\u0307", "i")


def arabic(text: str, language: Language) -> str:
    """Presentation forms as the letters they show, and no tatweel in words; one that stands alone is somebody's dash and stays.

    The isolated form of a vowel sign becomes the sign, without the space of its compatibility decomposition.
    """
    return TATWEEL.sub("", FORMS.sub(lambda form: unicodedata.normalize("NFKC", form.group()).lstrip(" "), text))


def persian(text: str, language: Language) -> str:
    """Arabic yeh, kaf and alef maksura as the Persian letters. For Persian and Urdu: Pashto, Sindhi and Uyghur tell some of these apart."""
    return text.translate(PERSIAN)


def ethiopic(text: str, language: Language) -> str:
    """Word spaces as spaces, with none before a punctuation sign; ፡፡ and ፡- are typed for ። and ፦ and become that one sign.

    The word space is punctuation, and stays, between figures, as the colon of a time of day (1፡00), and where a space follows it in its place, as a
    comma (ዓቢ፡ ቆልዓ). A text of nothing but word spaces stays as well.
    """
    signs = PREFACE_COLON.sub("\u1366", FULL_STOP.sub("\u1362", text))
    return (
        WORD_SPACE.sub(lambda found: found["colon"] or found["comma"] or found["sign"] or " ", signs).strip(" ") or text
    )


def unspaced(text: str, language: Language) -> str:
    """Without zero-width spaces, for scripts that are written without spaces: few writers type them and no reader sees them."""
    return text.replace("\u200b", "")


def moses(text: str, language: Language) -> str:
    """Punctuation as Moses normalises it for the pack's codes.moses, until nothing changes: once is not always enough.

    Moses makes a point or comma of U+00A0 between figures: put `spaces` before it where numbers are not to change.
    Raises PackError where the pack has no codes.moses.
    """
    code = moses_code(language)
    if WORDS_ALONE.fullmatch(text):
        return text
    normaliser = _moses(code)
    while (after := normaliser.normalize(text)) != text:
        text = after
    return text


def moses_code(language: Language) -> str:
    """The pack's code for Moses.

    Raises PackError where it has none.
    """
    if not language.codes.moses:
        raise PackError(
            f"languages/{language.code}.toml: normalise names step 'moses', but [codes] has no moses. Add the code, or take the step out."
        )
    return language.codes.moses


@cache
def _moses(code: str) -> Any:
    from sacremoses import MosesPunctNormalizer  # half a second

    return MosesPunctNormalizer(lang=code)


STEPS: dict[str, Step] = {
    "nfc": nfc,
    "spaces": spaces,
    "joiners": joiners,
    "turkic-case": turkic_case,
    "arabic": arabic,
    "persian": persian,
    "ethiopic": ethiopic,
    "unspaced": unspaced,
    "moses": moses,
}


def steps_of(language: Language) -> list[Step]:
    """The steps that a pack names, in its order.

    Raises UnknownName, with the list of steps, for a name that is none of them; PackError for moses without its code.
    """
    for name in language.normalise:
        if name not in STEPS:
            raise UnknownName(f"step in languages/{language.code}.toml, normalise,", name, STEPS)
    if "moses" in language.normalise:
        moses_code(language)
    return [STEPS[name] for name in language.normalise]


def normalise(text: str, language: Language | None) -> str:
    """The text as its pack wants it: the steps in their order, over again until nothing changes; NFC where there is no pack.

    Doing it twice is doing it once. What has something visible in it never comes out empty. Raises what `steps_of` raises.
    """
    if language is None:
        return unicodedata.normalize("NFC", text)
    steps, before = steps_of(language), None
    while text != before:
        before = text
        for step in steps:
            text = step(text, language)
    return text


def fold(text: str, language: Language | None) -> str:
    """A key for comparison only: equal for texts that differ in case, white space or in what normalising evens out.

    Canonical caseless matching (Unicode core specification, D145); I is ı and İ is i where the pack names turkic-case.
    """
    before = None
    while text != before:
        before = text
        text = unicodedata.normalize("NFC", SPACES.sub(" ", normalise(text, language)).strip(" "))
        if language is not None and "turkic-case" in language.normalise:
            text = text.translate(TURKIC)
        text = unicodedata.normalize("NFC", unicodedata.normalize("NFD", text).casefold())
    return text


def visible(text: str) -> bool:
    """Whether there is anything to see: more than white space, control characters and what Unicode lets a font ignore."""
    return INVISIBLE.fullmatch(text) is None


def check_captions(texts: Sequence[str]) -> None:
    """Raises DataError for a caption without text, and for a single text where a list of them is expected."""
    if isinstance(texts, str):
        raise DataError(f"Expected a list of captions, found one text: write [{texts!r}].")
    for number, text in enumerate(texts):
        if not visible(text):
            raise DataError(
                f"Caption {number} of {len(texts)} is empty; a caption needs at least one character that is not a space."
            )


def typed(texts: Sequence[str], language: str = "") -> list[str]:
    """What a person gave, normalised: by the pack of the language named (any of its codes or names), NFC where none is.

    Raises UnknownName for a language without a pack, and what `check_captions` and `steps_of` raise.
    """
    check_captions(texts)
    pack = resolve_language(language) if language else None
    return [normalise(text, pack) for text in texts]


def pack_of(locale: str) -> Language | None:
    """The pack of a corpus' locale: its own, or its language's where it is a variety in the same script (en-GB, not pa-Arab); else None."""
    known = known_languages()
    base, *parts = locale.split("-")
    if locale in known or base not in known:
        return load_language(locale) if locale in known else None
    pack = load_language(base)
    return pack if all(part == pack.script for part in parts if len(part) == 4 and part.isalpha()) else None


def written_in(text: str, codes: Iterable[str]) -> str:
    """The first of these languages in whose script most letters of the text are; empty where there is none."""
    letters = len(regex.findall(r"\p{L}", text))
    for pack in filter(None, map(pack_of, codes)):
        own = "".join(rf"\p{{sc={script}}}" for script in SCRIPTS.get(pack.script, (pack.script,)))
        if 2 * len(regex.findall(rf"[\p{{L}}&&[{own}]]", text, regex.V1)) > letters:
            return pack.code
    return ""
