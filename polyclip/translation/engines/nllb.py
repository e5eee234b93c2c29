"""NLLB-200 (https://arxiv.org/abs/2207.04672), 200 languages, by hub name or folder.

The default weights are CC-BY-NC-4.0: what is made with them may not be used commercially. Their repository has the
safetensors in a pull request, which transformers finds while online; elsewhere name it as revision (refs/pr/N), or give
a folder.
"""

from polyclip.languages.schema import Language
from polyclip.translation.engine import TranslationOptions, Translator, require_languages
from polyclip.translation.engines import _direction

CONSTANT = True
LICENCE = "CC-BY-NC-4.0"
MODEL = "facebook/nllb-200-distilled-600M"


def covers(language: Language) -> bool:
    """Whether the pack names NLLB's token."""
    return bool(language.codes.nllb)


def build(source: Language, target: Language, options: TranslationOptions) -> Translator:
    """Build the engine for two languages.

    Raises:
        DataError: NLLB lacks a language, or an option is out of range.
        WeightsError: The model cannot be loaded.

    """
    require_languages("nllb", source, target)
    from polyclip.translation.engines import _seq2seq

    return _seq2seq.build(options.model or MODEL, options, lambda tokenizer: _direction.direct_nllb(source, target))
