"""CTranslate2 on the same tiny models, converted by its own converter, beside what transformers makes of them."""

import shutil
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("ctranslate2")

from ctranslate2.converters import TransformersConverter

from polyclip.core.registry import find
from polyclip.errors import DataError, WeightsError
from polyclip.translation.engine import TranslationOptions, Translator, count_refused
from polyclip.translation.engines import _reading
from tests.translation.engines.tiny import PHRASES, WRITERS, language

ENGLISH = [*PHRASES, "black apple", "the tree", "a child and two dogs"]


class Converter(TransformersConverter):
    """Since transformers 5 M2M-100's tokenizer no longer lists its language tokens where the converter looks."""

    def load_tokenizer(self, tokenizer_class: Any, model_name_or_path: str, **kwargs: Any) -> Any:
        tokenizer = super().load_tokenizer(tokenizer_class, model_name_or_path, **kwargs)
        if hasattr(tokenizer, "lang_token_to_id"):
            words = tokenizer.get_vocab() | tokenizer.lang_token_to_id
            tokenizer.get_vocab = lambda: words
        return tokenizer


@pytest.fixture(scope="module")
def converted(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("converted")
    for name, source in models.items():
        Converter(str(source)).convert(str(folder / name))
        for path in source.iterdir():
            if path.name not in ("config.json", "generation_config.json", "model.safetensors"):
                shutil.copy(path, folder / name)
    return {name: folder / name for name in models}


def engine(folder: Path, code: str = "sw", **options: object) -> Translator:
    chosen = {"model": str(folder), "max_tokens": 32, "beams": 1} | options
    return find("translators", "ctranslate2").build(language("en"), language(code), TranslationOptions(**chosen))


@pytest.mark.parametrize("code", ["sw", "fr"])
@pytest.mark.parametrize("name", WRITERS)
def test_greedy_search_writes_what_transformers_writes(
    models: dict[str, Path], converted: dict[str, Path], name: str, code: str
) -> None:
    options = TranslationOptions(model=str(models[name]), max_tokens=32, beams=1)
    slow = find("translators", name).build(language("en"), language(code), options)
    fast = engine(converted[name], code)
    found = fast.translate(ENGLISH)
    assert found == slow.translate(ENGLISH) and count_refused(fast) == count_refused(slow)
    assert found[:5] == [[PHRASES[text][code]] for text in ENGLISH[:5]]
    assert engine(converted[name], code, batch_size=1).translate(ENGLISH) == found


def test_beams_cuts_and_long_texts(converted: dict[str, Path]) -> None:
    built = engine(converted["nllb"], beams=4, candidates=3)
    found = built.translate(ENGLISH[:5])
    assert [texts[0] for texts in found] == [PHRASES[text]["sw"] for text in ENGLISH[:5]] and max(map(len, found)) > 1
    built = engine(converted["nllb"], max_tokens=4)
    assert built.translate([ENGLISH[4], "two dogs " * 40, ""]) == [[], [], []]
    assert count_refused(built) == {_reading.CUT: 1, _reading.LONG: 1, _reading.EMPTY: 1}


def test_what_it_cannot_do_is_said_in_a_sentence(
    models: dict[str, Path], converted: dict[str, Path], tmp_path: Path
) -> None:
    with pytest.raises(DataError, match="cannot sample reproducible translations"):
        engine(converted["nllb"], sample=True)
    with pytest.raises(
        WeightsError, match="requires a converted model; no model was given .*ct2-transformers-converter"
    ):
        find("translators", "ctranslate2").build(language("en"), language("sw"), TranslationOptions())
    with pytest.raises(WeightsError, match="has no model.bin"):
        engine(models["nllb"])
    with pytest.raises(
        DataError, match="knows no tokens for English and Spanish; looked for NLLB's eng_Latn spa_Latn; M2M-100's"
    ):
        engine(converted["madlad"], "es")
    shutil.copytree(converted["nllb"], tmp_path / "damaged")
    (tmp_path / "damaged" / "model.bin").write_bytes(b"\x00" * 64)
    with pytest.raises(WeightsError, match="Cannot load converted model"):
        engine(tmp_path / "damaged")
