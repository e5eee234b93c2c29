"""What every engine offers, and which engine has which language."""

import pytest

from polyclip.core.registry import find, names
from polyclip.errors import DataError
from polyclip.languages.schema import Codes
from polyclip.translation.engine import Options, licence, offering, refused, require
from tests.translation.engines.tiny import language

ENGINES = ("apertium", "ctranslate2", "file", "lexicon", "m2m100", "madlad", "nllb", "opus-mt")


def test_every_engine_has_what_the_contract_asks() -> None:
    assert tuple(names("translators")) == ENGINES
    for name in ENGINES:
        module = find("translators", name)
        assert callable(module.build) and module.LICENCE and isinstance(module.CONSTANT, bool)
        assert module.covers(language("en")) or name == "none"


def test_coverage_is_read_from_the_codes() -> None:
    assert offering(language("sw")) == ["ctranslate2", "file", "lexicon", "m2m100", "madlad", "nllb", "opus-mt"]
    bare = language("sw").model_copy(update={"codes": Codes(), "cldr": "none", "code": "qq"})
    assert offering(bare) == ["file"]


def test_an_engine_without_the_language_names_those_that_have_it() -> None:
    with pytest.raises(DataError) as caught:
        find("translators", "apertium").build(language("en"), language("sw"), Options())
    assert str(caught.value) == (
        "Engine apertium does not have Swahili: languages/sw.toml names no code for it under [codes]. "
        "Engines that have it: ctranslate2, file, lexicon, m2m100, madlad, nllb, opus-mt."
    )
    require("nllb", language("en"), language("sw"))


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
        Options(**wrong)  # type: ignore[arg-type]


def test_what_an_engine_does_not_say_of_itself() -> None:
    class Echo:
        name = "echo"

        def translate(self, texts: list[str]) -> list[list[str]]:
            return [[text] for text in texts]

    assert refused(Echo()) == {} and licence("nllb", Echo()) == "CC-BY-NC-4.0"
