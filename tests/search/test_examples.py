"""Example queries of an index find an image of it; dimension k of an embedding is thing k."""

from typing import Any

import pytest
import torch

from polyclip.search import _examples
from polyclip.search._caption_embeddings import IndexCaptions
from polyclip.search._caption_table import Caption
from polyclip.search._examples import choose_examples, list_words, thin
from polyclip.search.server.examples import mix_examples

THINGS = 40


def encode(texts: list[str], language: str) -> torch.Tensor:
    """Dimension k of "thing k"; of any other text, all things alike."""
    return torch.stack([embed(text) for text in texts])


def embed(text: str) -> torch.Tensor:
    known = [text == f"thing {number}" for number in range(THINGS)]
    return torch.nn.functional.normalize(torch.tensor(known).float() + (0.0 if any(known) else 1.0), dim=0)


def choose(captions: list[tuple[int, str, str]], trained: tuple[str, ...] = ()) -> dict[str, list[str]]:
    said = [Caption(f"{row}.png", text, language) for row, text, language in captions]
    embeddings = torch.stack([embed(one.text) for one in said]) if said else torch.empty(0, 0)
    return choose_examples(
        torch.eye(THINGS), IndexCaptions(said, embeddings), [row for row, _, _ in captions], encode, trained
    )


def test_captions_that_find_their_own_image_by_itself_are_shown_one_for_each_image() -> None:
    found = choose(
        [
            (0, "thing 0", "sw"),
            (0, "thing 0", "en"),
            (1, "thing 2", "sw"),  # finds another image
            (2, "anything", "sw"),  # finds nothing surely
            (3, "thing 3", "sw"),
            (3, "thing 3", "sw"),
            (4, "thing 4", "xx"),  # in a language without a pack
            (5, "thing 5", ""),
            (6, "thing 6" + " " * 60, "sw"),  # too long for the page
        ]
    )
    assert found == {"sw": ["thing 0", "thing 3"], "en": ["thing 0"]}


def test_there_are_six_at_most() -> None:
    assert len(choose([(row, f"thing {row}", "sw") for row in range(THINGS)])["sw"]) == 6


def test_words_are_shown_where_they_find_an_image_and_there_are_no_captions(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def list_some(codes: Any) -> dict[str, list[str]]:
        asked.extend(codes)
        return {"en": ["thing 7", "nothing", "thing 9"]}

    monkeypatch.setattr(_examples, "list_words", list_some)
    assert choose([(0, "thing 0", "sw")], ("sw", "en")) == {"sw": ["thing 0"], "en": ["thing 7", "thing 9"]}
    assert asked == ["en"]


def test_words_come_from_the_starter_corpus_in_the_languages_that_it_has() -> None:
    found = list_words(["sw", "xx", "en", "hsb"])
    assert {"sw", "en"} <= set(found) and sum(map(len, found.values())) <= _examples.TRIED
    for texts in found.values():
        assert len(texts) > 20 and max(map(len, texts)) <= _examples.LONGEST_WORD
        assert not any(":" in text for text in texts)  # as flags have it


def test_a_language_of_the_page_comes_first_and_others_are_shown_too() -> None:
    known = {"sw": ["a", "b", "c", "d", "e", "f"], "en": ["1", "2", "3"], "de": ["x"]}
    assert mix_examples(known, "sw") == [("sw", "a"), ("sw", "b"), ("sw", "c"), ("sw", "d"), ("en", "1"), ("de", "x")]
    assert mix_examples(known, "fr") == [("sw", "a"), ("en", "1"), ("de", "x"), ("sw", "b"), ("en", "2"), ("sw", "c")]
    assert mix_examples({"sw": known["sw"]}, "sw") == [("sw", text) for text in "abcdef"]
    assert mix_examples({}, "sw") == []


def test_thinning_takes_from_all_over() -> None:
    assert thin(list(range(10)), 4) == [0, 2, 5, 7] and thin([1, 2], 4) == [1, 2]
