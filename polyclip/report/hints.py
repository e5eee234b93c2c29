"""What to type next after a run: commands with its own folder, corpus and language."""

import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import regex

from polyclip.core.run_folder import read_settings
from polyclip.data.captions import normalize_captions
from polyclip.data.corpus import load_corpus
from polyclip.data.corpus_names import split_name
from polyclip.data.sampling_weights import select_human
from polyclip.data.types import Row
from polyclip.evaluation.held_out import FEWEST, list_locales
from polyclip.evaluation.results import Score
from polyclip.languages.schema import load_language

LONGEST = 60  # characters of a query in a command
WORD = regex.compile(r"[\p{L}\p{M}]{2,}")
WORDS = regex.compile(r"[\p{L}\p{M}]+([ '’-][\p{L}\p{M}]+)+")
STOPS = " .。।။።"  # at the end of a sentence
SPLITS = ("test", "validation", "train")  # where a query is looked for, in this order


def format_next_steps(run: dict[str, Any], folder: Path, scored: Sequence[Score]) -> list[str]:
    """Format the commands that score and search with a run.

    Args:
        run: Settings of the run.
        folder: Its folder.
        scored: Its scores; a corpus all of whose languages are among them needs no further command.

    Returns:
        Lines, each with what it is for.

    """
    model = shlex.quote(str(folder))
    corpora = [part.name for part in split_name(run["corpus"]) if has_more_languages(part.name, scored)]
    lines = [f"every language: polyclip eval {name_benchmark(name)} --model {model}" for name in corpora]
    query = choose_query(run)
    return [*lines, f"search: polyclip search {shlex.quote(query)} --images IMAGES --model {model}"]


def name_benchmark(corpus: str) -> str:
    """The arguments of `polyclip eval` that name a corpus' own test split."""
    return "emoji" if corpus == "emoji" else f"held-out --corpus {shlex.quote(corpus)}"


def format_own_score(folder: Path) -> str:
    """Format the command that scores a run on its own newest corpus, in its own first language.

    Raises:
        RunError: The folder has no settings.

    """
    run = read_settings(folder, "corpus")
    code = (run.get("continued", {}).get("new") or run["languages"])[0]
    corpus = split_name(run["corpus"])[-1].name
    return f"polyclip eval {name_benchmark(corpus)} --lang {code} --model {shlex.quote(str(folder))}"


def has_more_languages(name: str, scored: Sequence[Score]) -> bool:
    """Whether a corpus has languages with enough test captions that were not scored yet."""
    corpus = load_corpus(name)
    done = {score.language for score in scored if score.benchmark == corpus.name}
    others = (locale for code, locale in list_locales(corpus).items() if code not in done)
    return any(len(corpus.reader.read(corpus.folder, locale, "test")) >= FEWEST for locale in others)


def choose_query(run: dict[str, Any]) -> str:
    """Choose a caption of the run's own test images in its first language, as people search: the shortest one of
    several words without signs, each of which other captions have too, if there is one.

    Args:
        run: Settings of the run.

    Returns:
        The caption; the language's name where the corpora have none.

    """
    code = (run.get("continued", {}).get("new") or run["languages"])[0]
    for found in read_captions(run, code):
        captions = [row.captions[0].rstrip(STOPS) for row in found]
        if short := [caption for caption in captions if len(caption) <= LONGEST]:
            known = Counter(word for caption in captions for word in set(caption.split()))
            several = [caption for caption in short if " " in caption]
            words = [caption for caption in several if WORDS.fullmatch(caption) and not has_capitals(caption)]
            common = [caption for caption in words if min(known[word] for word in caption.split()) > 1]
            single = [caption for caption in short if WORD.fullmatch(caption)]  # and sentences of unspaced scripts
            return min(common or words or single or several or short, key=len)
    return load_language(code).own_name


def has_capitals(caption: str) -> bool:
    """Whether a word is in capitals, as on a button."""
    return any(word.isupper() for word in caption.split())


def read_captions(run: dict[str, Any], code: str) -> Iterator[list[Row]]:
    """Read human captions in a language, test split first; the last corpus first, which is the newest."""
    language = load_language(code)
    for split in SPLITS:
        for part in reversed(split_name(run["corpus"])):
            corpus = load_corpus(part.name)
            locale = corpus.get_locale(language)
            if locale in corpus.languages:
                yield normalize_captions(select_human(corpus.reader.read(corpus.folder, locale, split)), language)
