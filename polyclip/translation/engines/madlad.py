"""MADLAD-400 (https://arxiv.org/abs/2309.04662), over 400 languages, by hub name or folder.

The default weights are Apache-2.0.
"""

from polyclip.languages.schema import Language
from polyclip.translation.engine import TranslationOptions, Translator, require_languages
from polyclip.translation.engines import _direction

CONSTANT = True
LICENCE = "Apache-2.0"
MODEL = "google/madlad400-3b-mt"


def covers(language: Language) -> bool:
    """Whether the pack names MADLAD's target token."""
    return bool(language.codes.madlad)


def build(source: Language, target: Language, options: TranslationOptions) -> Translator:
    """Build the engine for a target language; the model detects the source language.

    Raises:
        DataError: MADLAD lacks a language, or an option is out of range.
        WeightsError: The model cannot be loaded.

    """
    require_languages("madlad", source, target)
    from polyclip.translation.engines import _seq2seq

    return _seq2seq.build(options.model or MODEL, options, lambda tokenizer: _direction.direct_madlad(target))
