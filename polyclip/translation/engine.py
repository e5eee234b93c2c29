"""What every translation engine offers, and which engine has which language."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from polyclip.core.registry import find, names
from polyclip.errors import DataError
from polyclip.languages.schema import Language


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to translate; an engine refuses what it cannot do. Raises DataError for a value out of range."""

    model: str = ""  # hub name, folder, file, or an engine's own names; empty: the engine's own default
    revision: str = ""  # of a hub name
    beams: int = 4  # 1 is greedy
    candidates: int = 1  # translations of each sentence
    sample: bool = False  # draw them instead of taking the likeliest
    temperature: float = 1.0  # of drawing, > 0
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
            for name in ("beams", "candidates", "batch_size", "max_tokens")
            if (value := getattr(self, name)) < 1
        ]
        if low:
            raise DataError(f"Translation: {', '.join(low)}; expected at least 1.")
        if not self.temperature > 0 or not 0 < self.share <= 1:
            raise DataError(
                f"Translation: temperature is {self.temperature} and share {self.share}; expected more than 0, and a share of at most 1."
            )
        if self.unknown not in ("refuse", "keep"):
            raise DataError(f"Translation: unknown is {self.unknown!r}, expected refuse or keep.")


@runtime_checkable
class Translator(Protocol):
    """One engine, one source and one target language.

    A module of `polyclip/translation/engines` has

    - `build(source: Language, target: Language, options: Options) -> Translator`, which raises PolyclipError where the engine lacks a language,
    - `covers(language: Language) -> bool`, from the pack alone, without loading anything,
    - `CONSTANT: bool`, whether the same sentence always gives the same translations,
    - `LICENCE: str`, the SPDX expression of its default model or data; NOASSERTION where it has none.

    An engine may have `refused: Counter[str]`, how many texts or candidates it left out, by reason, and `licence: str`, where that depends on
    the options; they are read with `refused` and `licence`. It shows no progress: give it some hundred texts at a time.
    """

    name: str  # as provenance: nllb-200-distilled-600M@<revision>

    def translate(self, texts: Sequence[str]) -> list[list[str]]:
        """Candidates of each text, the best first; an empty list where the engine has none."""
        ...


def refused(engine: Translator) -> dict[str, int]:
    """How many texts and candidates `engine` has left out so far, by reason; empty for an engine that does not count."""
    return {reason: count for reason, count in getattr(engine, "refused", Counter()).items() if count}


def licence(name: str, engine: Translator) -> str:
    """SPDX expression of what an engine of that name translates with; of the default model where it cannot know better."""
    return str(getattr(engine, "licence", find("translators", name).LICENCE))


def offering(language: Language) -> list[str]:
    """Names of the engines that have a language."""
    return [name for name in names("translators") if find("translators", name).covers(language)]


def require(engine: str, *languages: Language) -> None:
    """Raises DataError where `engine` lacks one of the languages; the message names the engines that have it."""
    for language in languages:
        if not find("translators", engine).covers(language):
            raise DataError(
                f"Engine {engine} does not have {language.name}: languages/{language.code}.toml names no code for it under [codes]. "
                f"Engines that have it: {', '.join(offering(language))}."
            )


def distinct(texts: Sequence[str]) -> list[str]:
    """The first of each, in order, without spaces around; empty ones are left out."""
    return list(dict.fromkeys(kept for text in texts if (kept := text.strip())))
