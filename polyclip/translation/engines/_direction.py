"""How each family of models is told the languages.

On the tokenizer, as a token before the text, or as the first token of the translation. Sources: the transformers
documentation of NLLB, M2M100, MADLAD-400 (a `<2xx>` token before the text) and MarianMT (`>>xxx<<` for models with
several target languages).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from polyclip.errors import DataError
from polyclip.languages.schema import Language


@runtime_checkable
class TargetTokenizer(Protocol):
    """A tokenizer of OPUS-MT (transformers' MarianTokenizer)."""

    supported_language_codes: list[str]  # target tokens; empty for a model of one target language


@dataclass(frozen=True, kw_only=True)
class Direction:
    """From one language into another; empty where a family has no such place."""

    source: str = ""  # the tokenizer's `src_lang`
    prefix: str = ""  # one token, put before every text
    forced: str = ""  # the first token of every translation
    tokens: tuple[str, ...] = ()  # tokens that the tokenizer must know


def direct_nllb(source: Language, target: Language) -> Direction:
    """Direction of NLLB-200: `eng_Latn` on the tokenizer, `swh_Latn` in the decoder."""
    ours, theirs = source.codes.nllb, target.codes.nllb
    return Direction(source=ours, forced=theirs, tokens=(ours, theirs))


def direct_m2m100(source: Language, target: Language) -> Direction:
    """Direction of M2M-100: `en` on the tokenizer, `__sw__` in the decoder."""
    ours, theirs = source.codes.m2m100, target.codes.m2m100
    return Direction(source=ours, forced=f"__{theirs}__", tokens=(f"__{ours}__", f"__{theirs}__"))


def direct_madlad(target: Language) -> Direction:
    """Direction of MADLAD-400: `<2sw>` before the text; the source language is not given."""
    token = f"<2{target.codes.madlad}>"
    return Direction(prefix=token, tokens=(token,))


def direct_opus_mt(target: Language, offered: Iterable[str]) -> Direction:
    """Direction of OPUS-MT: nothing for a model of one target language, else the token `>>swh<<` before the text.

    A pack may name the token after the model, as in `opus_mt = "mul:swh"`; else codes, aliases and ISO 639-3 are tried,
    with the script first.

    Args:
        target: The target language.
        offered: The model's target tokens.

    Returns:
        The direction.

    Raises:
        DataError: The model has target tokens, and none is the target's.

    """
    known = sorted(offered)
    if not known:
        return Direction()
    named = target.codes.opus_mt.partition(":")[2]
    spellings = [named] if named else [target.iso639_3, target.code, *target.aliases]
    tokens = [f">>{spelling}{script}<<" for script in (f"_{target.script}", "") for spelling in spellings]
    found = [token for token in tokens if token in known]
    if not found:
        raise DataError(
            f"This OPUS-MT model translates into several languages and has no token for {target.name}; tried "
            f"{', '.join(tokens)}, "
            f"it has {', '.join(known[:20])} ({len(known)} in all). Give another model, or name the token in the "
            'pack: opus_mt = "mul:swh".'
        )
    return Direction(prefix=found[0], tokens=(found[0],))


def list_missing_tokens(tokenizer: Any, direction: Direction) -> list[str]:
    """List the tokens of a direction that a tokenizer does not know."""
    return [
        token
        for token in direction.tokens
        if not token or tokenizer.convert_tokens_to_ids(token) in (None, tokenizer.unk_token_id)
    ]


def set_languages(tokenizer: Any, direction: Direction, model: str) -> None:
    """Set the source language on a tokenizer.

    Raises:
        DataError: The tokenizer lacks a token of the direction.

    """
    if missing := list_missing_tokens(tokenizer, direction):
        raise DataError(
            f"{model} has no token {' and no token '.join(missing)}, so the languages cannot be set; give a model of "
            "this engine's family."
        )
    if direction.source:
        tokenizer.src_lang = direction.source
