"""Names of the folds of one corpus or of several; of several only small ones without a test split are in folds."""

from dataclasses import replace

from polyclip.data.corpus import load_corpus
from polyclip.data.corpus_names import JOIN, is_joined, split_name
from polyclip.data.folds import ALL, has_own_test, read_concepts
from polyclip.data.splits import FOLDED


def list_folded(corpus: str) -> list[str]:
    """List the corpora that are tested in folds.

    Args:
        corpus: Name of a corpus, or of several together.

    Returns:
        The corpus itself; of several the names of the small ones that have no test split of their own.

    """
    return [part.name for part in split_name(corpus) if is_small(part.name)] if is_joined(corpus) else [corpus]


def is_small(name: str) -> bool:
    """Whether a corpus is small and says nothing about what is tested."""
    corpus = load_corpus(name)
    return not corpus.pack.files and len(read_concepts(corpus)) < FOLDED and not has_own_test(corpus)


def name_fold(corpus: str, number: int, count: int) -> str:
    """Name of a fold, for `load_corpus`; the first is number 1. Of several corpora, some keep their own splits."""
    return name_part(corpus, f"fold-{number}-of-{count}")


def name_whole(corpus: str) -> str:
    """Name of a corpus of which everything is trained on, for `load_corpus`; of several, some keep their own splits."""
    return name_part(corpus, ALL)


def name_part(corpus: str, part: str) -> str:
    """Name of a part of those corpora that are tested in folds."""
    if not is_joined(corpus):
        return f"{corpus}#{part}"
    folded = list_folded(corpus)
    own = (replace(one, name=f"{one.name}#{part}") if one.name in folded else one for one in split_name(corpus))
    return JOIN.join(map(str, own))
