"""What looks wrong in captions: lost letters, one caption for many images, mixed scripts, another language."""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import regex

from polyclip.data.opened import OpenedCorpus
from polyclip.data.types import Row
from polyclip.languages.identify import get_identifier_code, list_labels, load_identifier
from polyclip.languages.normalize import SCRIPTS, find_pack
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Language

Captions = Mapping[str, Sequence[str]]  # captions of one language by image

GONE = r"\ufffd|(?<!\S)\?{2,}(?!\S)"  # U+FFFD, or words of nothing but question marks
LOST = re.compile(rf"{GONE}|[^\W\d_]\?+[^\W\d_]|(?<![\w?=&/])\?[^\W\d_]")  # a letter on the right of a question mark
URL = re.compile(r"(?<!\S)\S+://\S+")  # from the start of a word: else a long one takes the square of its length
UNSPACED = {"Hans", "Hant", "Jpan", "Thai", "Laoo", "Khmr", "Mymr", "Tibt"}  # scripts in which it ends a sentence
MOJIBAKE = re.compile(r"(?:[\u00c3\u00c4\u00c5\u00c6\u00c9\u00d0\u00d8\u00d9\u00e0\u00e1][\u0080-\u00bf\u0152-\u2122])")
LETTER = regex.compile(r"\p{L}")
LOGO = 4  # letters up to which a word may stand in any script, such as USB
WORD = regex.compile(r"[\p{L}\p{M}]+")
DEFECT = 0.02  # share of captions with lost letters from which every figure is doubtful
REPEATED, SHARE = 3, 0.05  # images that one caption stands for, at least, and their share
SENTENCE = 3  # words from which a further caption is no keyword
CHUNK, SURE, MOST = 12, 0.98, 0.6  # captions identified together, probability, share of the chunks
SAMPLE = 600  # captions by which a language is identified
ALIKE = 0.2  # share of images with the same caption in two languages


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Something that looks wrong in a corpus.

    Attributes:
        kind: What it is, such as `lost-letters`.
        sentence: What was found, where, and what to do.
        defect: Whether training on it makes no sense.

    """

    kind: str
    sentence: str
    defect: bool = False


def check_captions(captions: Mapping[str, Captions]) -> list[Suspicion]:
    """Check the captions of a corpus.

    Args:
        captions: Captions by language code and image.

    Returns:
        What looks wrong, the worst first.

    """
    found: list[Suspicion | None] = []
    for code, own in captions.items():
        language = resolve_language(code)
        texts = [(image, text) for image, written in own.items() for text in written]
        if texts:
            found += [
                check_letters(language, texts),
                check_mojibake(language, texts),
                check_language(language, texts),
                check_script(language, texts),
                check_alphabets(language, texts),
                check_repeated(language, own),
            ]
    found += [check_same(captions, one, other) for one in captions for other in captions if one < other]
    return sorted((one for one in found if one is not None), key=lambda one: not one.defect)


def quote(found: Sequence[tuple[str, str]], limit: int = 2) -> str:
    """Quote the first captions with their images."""
    return "; ".join(f"{text[:60]!r} ({image})" for image, text in found[:limit])


def check_letters(language: Language, texts: Sequence[tuple[str, str]]) -> Suspicion | None:
    """Find captions in which letters became `?` or U+FFFD when the table was exported."""
    pattern = re.compile(GONE) if language.script in UNSPACED else LOST
    lost = [(image, text) for image, text in texts if pattern.search(URL.sub("", text))]
    if not lost:
        return None
    return Suspicion(
        "lost-letters",
        f"{language.name}: letters have become '?' or U+FFFD inside the words of {len(lost)} of {len(texts)} captions: "
        f"{quote(lost)}. They were lost on export; save the table again as .xlsx or 'CSV UTF-8'.",
        len(lost) >= DEFECT * len(texts),
    )


def check_mojibake(language: Language, texts: Sequence[tuple[str, str]]) -> Suspicion | None:
    """Find UTF-8 that was read as a Windows code page."""
    wrong = [(image, text) for image, text in texts if MOJIBAKE.search(text) and is_mojibake(text)]
    if not wrong:
        return None
    return Suspicion(
        "mojibake",
        f"{language.name}: {len(wrong)} of {len(texts)} captions are UTF-8 that was read as Windows-1252: "
        f"{quote(wrong)}. Open the original as UTF-8 and save it again.",
        len(wrong) >= DEFECT * len(texts),
    )


def is_mojibake(text: str) -> bool:
    """Whether a text becomes UTF-8 when it is written in Windows-1252."""
    try:
        data = bytes(ord(one) if ord(one) < 256 else one.encode("cp1252")[0] for one in text)
        return len(data.decode("utf-8")) < len(text)
    except UnicodeError:
        return False


def check_script(language: Language, texts: Sequence[tuple[str, str]]) -> Suspicion | None:
    """Find captions without a letter of the language's script."""
    scripts = SCRIPTS.get(language.script, (language.script,))
    own = regex.compile("|".join(rf"\p{{sc={script}}}|\p{{scx={script}}}" for script in scripts))
    other = [(image, text) for image, text in texts if len(LETTER.findall(text)) > LOGO and not own.search(text)]
    if len(other) <= DEFECT * len(texts):
        return None
    return Suspicion(
        "other-script",
        f"{language.name}: {len(other)} of {len(texts)} captions have no letter of its script ({language.script}): "
        f"{quote(other)}.",
        len(other) > MOST * len(texts),
    )


def check_alphabets(language: Language, texts: Sequence[tuple[str, str]]) -> Suspicion | None:
    """Find words with Latin, Cyrillic and Greek letters in one, which look alike and are different tokens."""
    mixed = [(image, text) for image, text in texts if any(has_two_alphabets(word) for word in WORD.findall(text))]
    if not mixed:
        return None
    return Suspicion(
        "mixed-scripts",
        f"{language.name}: {len(mixed)} of {len(texts)} captions mix Latin, Cyrillic or Greek letters in one word: "
        f"{quote(mixed)}. Letters that look alike are different tokens.",
    )


def has_two_alphabets(word: str) -> bool:
    """Whether a word has letters of two of the alphabets that share shapes."""
    if word.isascii():
        return False
    return sum(regex.search(rf"\p{{{name}}}", word) is not None for name in ("Latin", "Cyrillic", "Greek")) > 1


def check_repeated(language: Language, own: Captions) -> Suspicion | None:
    """Find captions that stand for many images: retrieval cannot tell these apart."""
    counts: Counter[str] = Counter()
    for written in own.values():
        kept = {text.casefold() for place, text in enumerate(written) if not place or len(text.split()) >= SENTENCE}
        counts.update(kept)
    often = [(text, count) for text, count in counts.most_common() if count >= max(REPEATED, SHARE * len(own))]
    if not often:
        return None
    shown = "; ".join(f"{text[:60]!r} ({count} images)" for text, count in often[:2])
    return Suspicion(
        "repeated-caption",
        f"{language.name}: {len(often)} caption(s) stand for many images: {shown}. A search cannot tell these images "
        "apart; say what differs, or leave placeholders out.",
    )


def check_language(language: Language, texts: Sequence[tuple[str, str]]) -> Suspicion | None:
    """Identify the language of captions, several together, and compare it with the one that is claimed."""
    own = get_identifier_code(language)
    if own not in list_labels():
        return None
    step = max(1, len(texts) // SAMPLE)
    sample = [text for _, text in texts[::step]]
    chunks = [" ".join(sample[start : start + CHUNK]) for start in range(0, len(sample), CHUNK)]
    guesses = [load_identifier().rank(chunk)[0] for chunk in chunks]
    sure = Counter(code for code, share in guesses if share >= SURE and code != own)
    if not sure or any(code == own for code, _ in guesses):
        return None
    code, count = sure.most_common(1)[0]
    pack = find_pack(code)
    if count < MOST * len(chunks) or pack is None or pack.code == language.code:
        return None
    return Suspicion(
        "other-language",
        f"{language.name}: its captions look like {pack.name}: {quote(texts)}. If columns were swapped, name them "
        "again with --lang.",
    )


def check_same(captions: Mapping[str, Captions], one: str, other: str) -> Suspicion | None:
    """Find images whose captions are the same in two languages, as copied columns are."""
    both = captions[one].keys() & captions[other].keys()
    same = [(image, captions[one][image][0]) for image in sorted(both) if is_same(captions, one, other, image)]
    if len(same) < max(REPEATED, ALIKE * len(both)):
        return None
    names = f"{resolve_language(one).name} and {resolve_language(other).name}"
    return Suspicion(
        "same-in-two", f"{names} have the same caption for {len(same)} of {len(both)} images: {quote(same)}."
    )


def is_same(captions: Mapping[str, Captions], one: str, other: str, image: str) -> bool:
    """Whether an image has the same caption of several words in two languages."""
    first = captions[one][image][0]
    return len(first.split()) > 1 and first.casefold() == captions[other][image][0].casefold()


def check_corpus(corpus: OpenedCorpus, rows: Mapping[str, Sequence[Row]]) -> list[Suspicion]:
    """Check captions and images of a corpus.

    Args:
        corpus: The corpus. Copies of images are looked for where it has one image for each concept, and no shards.
        rows: Rows by language code.

    Returns:
        What looks wrong, the worst first.

    """
    captions: dict[str, dict[str, list[str]]] = {}
    for code, own in rows.items():
        for row in own:
            captions.setdefault(code, {}).setdefault(row.concept, []).extend(row.captions)
    found = check_captions(captions)
    styles = corpus.reader.styles(corpus.folder)
    if corpus.pack.files or len(styles) > 1:
        return found
    groups = {row.concept: row.group for own in rows.values() for row in own}
    keys: dict[str, list[str]] = {}
    for concept, image in corpus.reader.pictures(corpus.folder, styles[0]).items():
        if concept in groups:
            keys.setdefault(image.key, []).append(concept)
    copies = [same for same in keys.values() if len({groups[concept] for concept in same}) > 1]
    if not copies:
        return found
    sentence = f"{len(copies)} image(s) are in the corpus several times, such as {' and '.join(copies[0][:2])}."
    return [*found, Suspicion("double-images", f"{sentence} Give them one group, or remove the copies.")]
