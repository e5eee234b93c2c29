"""M2M-100 (https://arxiv.org/abs/2010.11125), 100 languages, by hub name or folder. The default weights are MIT."""

from polyclip.languages.schema import Language
from polyclip.translation.engine import TranslationOptions, Translator, require_languages
from polyclip.translation.engines import _direction

CONSTANT = True
LICENCE = "MIT"
MODEL = "facebook/m2m100_418M"


def covers(language: Language) -> bool:
    """Whether the pack names M2M-100's code."""
    return bool(language.codes.m2m100)


def build(source: Language, target: Language, options: TranslationOptions) -> Translator:
    """Build the engine for two languages.

    Raises:
        DataError: M2M-100 lacks a language, or an option is out of range.
        WeightsError: The model cannot be loaded.

    """
    require_languages("m2m100", source, target)
    from polyclip.translation.engines import _seq2seq

    return _seq2seq.build(options.model or MODEL, options, lambda tokenizer: _direction.direct_m2m100(source, target))
