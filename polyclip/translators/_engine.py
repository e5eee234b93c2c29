"""What every translation engine offers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, kw_only=True)
class Options:
    """How to translate; an engine refuses what it cannot do."""

    model: str = ""  # hub name or folder; empty: the engine's own default
    revision: str = ""  # of a hub name
    beams: int = 4  # 1 is greedy
    candidates: int = 1  # translations of each sentence
    sample: bool = False  # draw them instead of taking the likeliest
    temperature: float = 1.0  # of drawing, > 0
    batch_size: int = 32
    max_tokens: int = 128  # of a translation
    seed: int = 0


class Translator(Protocol):
    """One engine, one source and one target language.

    A module of `polyclip/translators` has

    - `build(source: Language, target: Language, options: Options) -> Translator`, which raises PolyclipError where the engine lacks a language,
    - `covers(language: Language) -> bool`, from the pack alone, without loading anything,
    - `CONSTANT: bool`, whether the same sentence always gives the same translations.
    """

    name: str  # as provenance: nllb-200-distilled-600M@<revision>

    def translate(self, texts: Sequence[str]) -> list[list[str]]:
        """Candidates of each text, the best first; an empty list where the engine has none."""
        ...
