"""MADLAD-400 (https://arxiv.org/abs/2309.04662), over 400 languages, by hub name or folder. The default weights are Apache-2.0."""

from polyclip.languages.schema import Language
from polyclip.translation.engine import Options, Translator, require
from polyclip.translation.engines import _direction

CONSTANT = True
LICENCE = "Apache-2.0"
MODEL = "google/madlad400-3b-mt"


def covers(language: Language) -> bool:
    """Whether the pack names MADLAD's target token."""
    return bool(language.codes.madlad)


def build(source: Language, target: Language, options: Options) -> Translator:
    """From any language MADLAD has, which it recognises by itself.

    Raises DataError for a language MADLAD lacks, WeightsError for a model that cannot be had.
    """
    require("madlad", source, target)
    from polyclip.translation.engines import _seq2seq

    return _seq2seq.build(options.model or MODEL, options, lambda tokenizer: _direction.madlad(target))
