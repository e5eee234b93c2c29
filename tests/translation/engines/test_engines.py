"""What every engine offers, and which engine has which language."""

import pytest

from polyclip.core.registry import find, list_names
from polyclip.errors import DataError
from polyclip.languages.schema import Codes
from polyclip.translation.engine import (
    TranslationOptions,
    count_refused,
    get_engine_licence,
    list_engines,
    require_languages,
)
from tests.translation.engines.tiny import language

ENGINES = ("apertium", "ctranslate2", "file", "lexicon", "m2m100", "madlad", "nllb", "opus-mt")


def test_every_engine_has_what_the_contract_asks() -> None:
    assert tuple(list_names("translators")) == ENGINES
    for name in ENGINES:
        module = find("translators", name)
        assert callable(module.build) and module.LICENCE and isinstance(module.CONSTANT, bool)
        assert module.covers(language("en")) or name == "none"


def test_coverage_is_read_from_the_codes() -> None:
    assert list_engines(language("sw")) == ["ctranslate2", "file", "lexicon", "m2m100", "madlad", "nllb", "opus-mt"]
    bare = language("sw").model_copy(update={"codes": Codes(), "cldr": "none", "code": "qq"})
    assert list_engines(bare) == ["file"]


def test_an_engine_without_the_language_names_those_that_have_it() -> None:
    with pytest.raises(DataError) as caught:
        find("translators", "apertium").build(language("en"), language("sw"), TranslationOptions())
    assert str(caught.value) == (
        "Engine apertium does not have Swahili: languages/sw.toml names no code for it under [codes]. "
        "Engines that have it: ctranslate2, file, lexicon, m2m100, madlad, nllb, opus-mt."
    )
    require_languages("nllb", language("en"), language("sw"))


@pytest.mark.parametrize(
    "wrong",
    [
        {"beams": 0},
        {"batch_size": 0},
        {"temperature": 0.0},
        {"temperature": float("nan")},
        {"share": 1.5},
        {"unknown": "drop"},
    ],
)
def test_options_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(DataError, match=f"{name} .*expected"):
        TranslationOptions(**wrong)  # type: ignore[arg-type]


def test_what_an_engine_does_not_say_of_itself() -> None:
    class Echo:
        name = "echo"

        def translate(self, texts: list[str]) -> list[list[str]]:
            return [[text] for text in texts]

    assert count_refused(Echo()) == {} and get_engine_licence("nllb", Echo()) == "CC-BY-NC-4.0"
