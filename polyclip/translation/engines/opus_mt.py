"""OPUS-MT (https://aclanthology.org/2020.eamt-1.61), a Marian model for each pair or group of languages.

By hub name or folder. The default is Helsinki-NLP/opus-mt-en-XX, XX being the pack's `opus_mt`; models of several
target languages get their token (`>>swh<<`). The weights are CC-BY-4.0.
"""

from importlib.util import find_spec

from polyclip.errors import DataError
from polyclip.languages.schema import Language
from polyclip.translation.engine import TranslationOptions, Translator, require_languages
from polyclip.translation.engines import _direction

CONSTANT = True
LICENCE = "CC-BY-4.0"


def get_code(language: Language) -> str:
    """The part of the model's name that stands for a language, without a token after it; empty for none."""
    return language.codes.opus_mt.partition(":")[0] or ("en" if language.code == "en" else "")


def covers(language: Language) -> bool:
    """Whether the pack names OPUS-MT's code."""
    return bool(get_code(language))


def build(source: Language, target: Language, options: TranslationOptions) -> Translator:
    """Build the engine for two languages.

    Raises:
        DataError: OPUS-MT lacks a language, or sacremoses is not installed.
        WeightsError: The model cannot be loaded.

    """
    require_languages("opus-mt", source, target)
    if find_spec("sacremoses") is None:
        raise DataError(
            "Engine opus-mt normalises punctuation with sacremoses, which is not installed: pip install "
            "'polyclip[translation]'."
        )
    from polyclip.translation.engines import _seq2seq

    name = options.model or f"Helsinki-NLP/opus-mt-{get_code(source)}-{get_code(target)}"
    return _seq2seq.build(
        name,
        options,
        lambda tokenizer: _direction.direct_opus_mt(
            target, tokenizer.supported_language_codes if isinstance(tokenizer, _direction.TargetTokenizer) else ()
        ),
    )
