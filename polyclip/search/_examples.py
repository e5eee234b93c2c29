"""Example queries of an index, chosen when it is written: captions of its images, and words that find one surely."""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

from jaxtyping import Float
from torch import Tensor

from polyclip.data.corpus import load_corpus
from polyclip.languages.normalize import find_pack
from polyclip.search._caption_embeddings import IndexCaptions
from polyclip.search.confidence import count_different, measure_confidence

MOST = 6  # of a language
LONGEST = 60  # characters of a caption
LONGEST_WORD = 20
LEAST = 1.0  # standard deviations above the mean
TRIED = 240  # texts: captions of each language, words of all
SCORED = 10_000  # rows, at most, that texts are compared with
SHOWN = ("Animals & Nature", "Food & Drink", "Objects", "Travel & Places", "Activities")  # what photographs show too
T = TypeVar("T")
Found = list[tuple[float, int, str]]  # how well each text finds a row: the row, and the text


def choose_examples(
    images: Float[Tensor, "row dim"],
    said: IndexCaptions,
    rows: Sequence[int],
    encode_text: Callable[..., Float[Tensor, "text dim"]],
    trained: Iterable[str],
) -> dict[str, list[str]]:
    """Choose up to six texts a language, each of which finds an image of the index by itself, and another one each.

    Args:
        images: Embeddings of the images.
        said: Captions of the images.
        rows: Row of each caption's image.
        encode_text: Embeds texts, given the code of their language.
        trained: Codes of the model's languages; words for things are tried in those without captions.

    Returns:
        Texts by code of a language that has a pack, the best first; none for a language in which nothing is sure.

    """
    found = {
        code: keep_best(rate_captions(images, said, rows, thin(places, TRIED)))
        for code, places in group_captions(said).items()
    }
    words = list_words(code for code in trained if code not in found)
    different = count_different(images.numpy())
    for code, texts in words.items():
        queries = encode_text(texts, code)
        found[code] = keep_best(rate_words(images, queries, texts, different))
    return {code: texts for code, texts in found.items() if texts}


def group_captions(said: IndexCaptions) -> dict[str, list[int]]:
    """Places of the short captions of each language that has a pack; each text once."""
    texts: dict[tuple[str, str], int] = {}
    for place, one in enumerate(said.captions):
        if len(one.text) <= LONGEST and one.language:
            texts.setdefault((one.language, one.text), place)
    found: dict[str, list[int]] = {}
    for (language, _), place in texts.items():
        found.setdefault(language, []).append(place)
    return {language: places for language, places in found.items() if find_pack(language) is not None}


def list_words(codes: Iterable[str]) -> dict[str, list[str]]:
    """Words for things in the languages that the starter corpus covers, from all over it."""
    corpus = load_corpus("emoji")
    locales = {code: corpus.get_locale(pack) for code in codes if (pack := find_pack(code)) is not None}
    known = set(corpus.reader.languages(corpus.folder)).intersection(locales.values())
    found = {}
    for code, locale in locales.items():
        if locale in known:
            rows = [row for row in corpus.reader.read(corpus.folder, locale, "train") if row.category in SHOWN]
            names = dict.fromkeys(row.captions[0] for row in rows)
            short = [name for name in names if len(name) <= LONGEST_WORD]
            found[code] = thin(short, TRIED // len(known))
    return found


def rate_captions(
    images: Float[Tensor, "row dim"], said: IndexCaptions, rows: Sequence[int], places: Sequence[int]
) -> Found:
    """How many standard deviations the image of each caption stands above the mean; low ones are left out."""
    sample = images[:: -(-len(images) // SCORED)]
    scores = said.embeddings[list(places)] @ sample.T
    own = (said.embeddings[list(places)] * images[[rows[place] for place in places]]).sum(dim=1)
    height = (own - scores.mean(dim=1)) / scores.std(dim=1, correction=0).clamp(min=1e-6)
    rated = zip(height.tolist(), places, strict=True)
    return [(high, rows[place], said.captions[place].text) for high, place in rated if high >= LEAST]


def rate_words(
    images: Float[Tensor, "row dim"], queries: Float[Tensor, "text dim"], texts: Sequence[str], different: float
) -> Found:
    """The confidence in the first image of each word, and which it is; those whose confidence is low are left out."""
    step = -(-len(images) // SCORED)
    found: Found = []
    for text, scores in zip(texts, queries @ images[::step].T, strict=True):
        row = int(scores.argmax())
        sure = measure_confidence(float(scores[row]), scores, len(images), different)
        if sure is not None and sure.level != "low":
            found.append((sure.confidence, row * step, text))
    return found


def keep_best(rated: Found) -> list[str]:
    """The best texts, one for each image."""
    best: dict[int, str] = {}
    for _, row, text in sorted(rated, key=lambda one: -one[0]):
        best.setdefault(row, text)
    return list(best.values())[:MOST]


def thin(items: Sequence[T], count: int) -> list[T]:
    """At most so many items, evenly from all over a list."""
    return [items[number * len(items) // count] for number in range(count)] if len(items) > count else list(items)
