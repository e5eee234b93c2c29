"""The contract of translation engines, and which engine has which language."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from polyclip.core.fields import read_fields
from polyclip.core.registry import find, list_names
from polyclip.errors import DataError
from polyclip.languages.schema import Language


@dataclass(frozen=True, kw_only=True)
class TranslationOptions:
    """How to translate; an engine refuses options that it does not support.

    Raises:
        DataError: A value is out of range.

    """

    model: str = ""  # hub name, folder, file, or an engine's own names; empty: the engine's own default
    revision: str = ""  # of a hub name
    beams: int = 4  # 1 is greedy
    candidates: int = 1  # translations of each sentence
    sample: bool = False  # sample instead of beam search
    temperature: float = 1.0  # of sampling, > 0
    batch_size: int = 32
    max_tokens: int = 128  # of a translation
    seed: int = 0
    unknown: str = (
        "refuse"  # apertium, lexicon: a text with a word they lack is "refuse"d, or the word is kept ("keep") as it is
    )
    share: float = (
        1.0  # lexicon: of a text's words, how many are replaced at most, (0, 1]; below 1 the text is code-switched
    )

    def __post_init__(self) -> None:
        low = [
            f"{name} is {value}"
            for name, value in read_fields(self, ("beams", "candidates", "batch_size", "max_tokens")).items()
            if value < 1
        ]
        if low:
            raise DataError(f"Translation: {', '.join(low)}; expected at least 1.")
        if not self.temperature > 0 or not 0 < self.share <= 1:
            raise DataError(
                f"Translation: temperature is {self.temperature} and share {self.share}; expected more than 0, and a "
                "share of at most 1."
            )
        if self.unknown not in ("refuse", "keep"):
            raise DataError(f"Translation: unknown is {self.unknown!r}, expected refuse or keep.")


@runtime_checkable
class Translator(Protocol):
    """A translation engine for one source and one target language.

    A module of `polyclip/translation/engines`, or of the entry point group `polyclip.translators`, has

    - `build(source: Language, target: Language, options: TranslationOptions) -> Translator`, which raises PolyclipError
      where the engine lacks a language,
    - `covers(language: Language) -> bool`, from the pack alone, without loading anything,
    - `CONSTANT: bool`, whether the same sentence always gives the same translations,
    - `LICENCE: str`, the SPDX expression of its default model or data; NOASSERTION where it has none.

    An engine may count what it refuses (`RefusalCounter`), and have a licence of its own where that depends on the
    options (`Licensed`); its module may name its default model (`DefaultModel`). They are read with `count_refused` and
    `get_engine_licence`. An engine shows no progress: give it some hundred texts at a time.

    Attributes:
        name: Its provenance, such as `nllb-200-distilled-600M@<revision>`.

    """

    name: str  # as provenance: nllb-200-distilled-600M@<revision>

    def translate(self, texts: Sequence[str]) -> list[list[str]]:
        """Translate texts.

        Args:
            texts: Texts in the source language.

        Returns:
            Candidates of each text, the best first; an empty list where the engine has none.

        """
        ...


@runtime_checkable
class RefusalCounter(Protocol):
    """An engine that counts what it leaves out."""

    refused: Counter[str]  # texts or candidates by reason


@runtime_checkable
class Licensed(Protocol):
    """An engine whose licence depends on its options."""

    licence: str  # SPDX expression


@runtime_checkable
class DefaultModel(Protocol):
    """A module of an engine with a model that it takes unless the options name another one."""

    MODEL: str  # hub name


def count_refused(engine: Translator) -> dict[str, int]:
    """Count the texts and candidates that an engine has left out so far, by reason; empty for none."""
    refused = engine.refused if isinstance(engine, RefusalCounter) else {}
    return {reason: count for reason, count in refused.items() if count}


def get_engine_licence(name: str, engine: Translator) -> str:
    """The SPDX expression of what an engine translates with; that of its default model where it does not say."""
    return engine.licence if isinstance(engine, Licensed) else str(find("translators", name).LICENCE)


def list_engines(language: Language) -> list[str]:
    """List the names of the engines that have a language."""
    return [name for name in list_names("translators") if find("translators", name).covers(language)]


def require_languages(engine: str, *languages: Language) -> None:
    """Check that an engine has every one of the languages.

    Raises:
        DataError: It lacks one; the message names the engines that have it.

    """
    for language in languages:
        if not find("translators", engine).covers(language):
            raise DataError(
                f"Engine {engine} does not have {language.name}: languages/{language.code}.toml names no code for it "
                "under [codes]. "
                f"Engines that have it: {', '.join(list_engines(language))}."
            )


def deduplicate(texts: Sequence[str]) -> list[str]:
    """Strip texts and drop empty and repeated ones, in their order."""
    return list(dict.fromkeys(kept for text in texts if (kept := text.strip())))
