"""Example queries on the page: those of an index, most of them in the page's language."""

from collections.abc import Mapping, Sequence

MOST = 6  # texts


def mix_examples(by_language: Mapping[str, Sequence[str]], first: str) -> list[tuple[str, str]]:
    """Mix examples of several languages: most of them in one, where there are some, then all languages in turn.

    Args:
        by_language: Texts by code of their language.
        first: The language of the page.

    Returns:
        Up to six pairs of a code and a text.

    """
    own = [(first, text) for text in by_language.get(first, ())]
    others = [[(code, text) for text in texts] for code, texts in by_language.items() if code != first]
    turns = [texts[turn] for turn in range(MOST) for texts in others if turn < len(texts)]
    few = min(len(turns), MOST // 3) if own else MOST
    return (own[: MOST - few] + turns)[:MOST]
