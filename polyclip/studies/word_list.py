"""Captions made from a word list: English ones in which every second word that it translates is replaced."""

from pathlib import Path

from polyclip.core.storage import hash_parts
from polyclip.data.corpus import load_corpus
from polyclip.languages.schema import load_language
from polyclip.studies.runner import Setting
from polyclip.training.shots import read_source_rows
from polyclip.translation.config import Job
from polyclip.translation.engine import TranslationOptions
from polyclip.translation.filters import Thresholds
from polyclip.translation.run import translate

SWITCHED = 0.5  # share of an English caption's words that the word list replaces
UNFILTERED = Thresholds(
    script=None, language=None, length=None, copies=None, repeats=None, quantile=None
)  # since half of each caption stays English


def build_word_list(setting: Setting, code: str) -> Path:
    """Write a corpus of code-switched captions: English ones whose words are replaced by a word list."""
    job = Job(
        corpus=setting.corpus,
        engine="lexicon",
        source=load_language("en"),
        targets=[load_language(code)],
        out=setting.folder / "lexicon" / code,
        options=TranslationOptions(model="names", share=SWITCHED),
        keywords=True,
        limits=UNFILTERED,
    )
    return translate(job)[1]


def hash_captions(setting: Setting, code: str, source: str) -> str:
    """Return a hash of a source's captions, so that other captions make another cell."""
    rows = read_source_rows(load_corpus(setting.corpus), load_language(code), source)
    return hash_parts(*(f"{row.concept} {caption}" for row in rows for caption in row.captions))[:16]
