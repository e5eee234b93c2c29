"""NLLB, M2M-100, MADLAD and OPUS-MT on tiny models of their own classes (see tiny.py)."""

from collections import Counter
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from polyclip.core.registry import find
from polyclip.errors import DataError, WeightsError
from polyclip.translation.engine import TranslationOptions, Translator, count_refused
from polyclip.translation.engines import _reading
from polyclip.translation.engines._drawing import SeededSampling
from tests.models.test_devices import fake
from tests.translation.engines.tiny import PHRASES, WRITERS, language, write_opus_mt

ENGLISH = list(PHRASES)


def engine(models: dict[str, Path], name: str, code: str = "sw", **options: object) -> Translator:
    chosen = {"model": str(models[name]), "max_tokens": 32, "beams": 1} | options
    return find("translators", name).build(language("en"), language(code), TranslationOptions(**chosen))


@pytest.mark.parametrize("code", ["sw", "fr"])
@pytest.mark.parametrize("name", WRITERS)
def test_it_writes_the_language_it_was_told(models: dict[str, Path], name: str, code: str) -> None:
    built = engine(models, name, code)
    assert built.translate(ENGLISH) == [[PHRASES[text][code]] for text in ENGLISH]
    assert count_refused(built) == {} and built.name.startswith(f"{name}@") and len(built.name.partition("@")[2]) == 12


@pytest.mark.parametrize(("name", "ours", "theirs"), [("nllb", "swh_Latn", "fra_Latn"), ("m2m100", "__sw__", "__fr__")])
@pytest.mark.parametrize("beams", [1, 3])
def test_language_tokens_reach_encoder_and_decoder(
    models: dict[str, Path], name: str, ours: str, theirs: str, beams: int
) -> None:
    built = find("translators", name).build(
        language("sw"), language("fr"), TranslationOptions(model=str(models[name]), max_tokens=32, beams=beams)
    )
    tokenizer = built.reading.tokenizer
    (batch,) = built.reading.make_batches(ENGLISH, 8, Counter())
    first, last = ([tokenizer.convert_ids_to_tokens(row[place]) for row in batch.rows] for place in (0, -1))
    assert set(first) == {ours} and set(last) == {"</s>"}
    written = built.generate(batch, ENGLISH)
    assert {tokenizer.convert_ids_to_tokens(row[0]) for row in written} == {theirs}


@pytest.mark.parametrize("name", WRITERS)
def test_a_batch_is_read_and_drawn_on_the_models_device(models: dict[str, Path], name: str) -> None:
    built = engine(models, name)
    (batch,) = built.reading.make_batches(ENGLISH, 8, Counter())
    mode = FakeTensorMode(allow_non_fake_inputs=True)
    fake(built.model, mode)
    with mode:
        ids, mask = built.pad(batch.rows)
        start = torch.full((len(ENGLISH), 1), built.model.config.decoder_start_token_id, device="cuda")
        scores = built.model(input_ids=ids, attention_mask=mask, decoder_input_ids=start).logits[:, -1]
        left = SeededSampling(0, ENGLISH, 1, 1.0)(start, scores)
    assert {tensor.device.type for tensor in (ids, mask, scores, left)} == {"cuda"}
    assert left.shape == (len(ENGLISH), built.model.config.vocab_size)


@pytest.mark.parametrize("name", WRITERS)
def test_batches_change_neither_translations_nor_their_order(models: dict[str, Path], name: str) -> None:
    texts = [ENGLISH[place] for place in (4, 0, 3, 0, 2, 4, 1)] + ["black apple", "the tree"]
    alone, pair, together = (engine(models, name, batch_size=size).translate(texts) for size in (1, 2, 16))
    assert alone == pair == together and alone[:2] == [[PHRASES[texts[0]]["sw"]], [PHRASES[texts[1]]["sw"]]]
    assert alone[1] == alone[3] != alone[0]


@pytest.mark.parametrize("name", WRITERS)
def test_candidates_of_a_beam_begin_with_the_likeliest(models: dict[str, Path], name: str) -> None:
    several = engine(models, name, beams=4, candidates=4).translate(ENGLISH)
    assert [texts[0] for texts in several] == [PHRASES[text]["sw"] for text in ENGLISH]
    assert all(len(texts) == len(set(texts)) for texts in several) and max(map(len, several)) > 1


@pytest.mark.parametrize("name", WRITERS)
def test_drawn_translations_depend_on_seed_and_text_alone(models: dict[str, Path], name: str) -> None:
    options = {"sample": True, "candidates": 6, "temperature": 1.5}
    drawn = engine(models, name, seed=1, **options).translate(ENGLISH)
    assert [
        engine(models, name, seed=1, batch_size=1, **options).translate([text])[0] for text in reversed(ENGLISH)
    ] == drawn[::-1]
    assert engine(models, name, seed=2, **options).translate(ENGLISH) != drawn
    assert max(map(len, drawn)) > 1


def test_draws_follow_the_distribution() -> None:
    chances = torch.tensor([0.5, 0.0, 0.3, 0.2])
    draw = SeededSampling(0, ["one text"], 4000, 2.0)
    tokens = draw(torch.zeros(4000, 1).long(), 2 * chances.log().expand(4000, -1)).argmax(1)
    shares = torch.bincount(tokens, minlength=4) / 4000
    torch.testing.assert_close(shares, chances, atol=0.03, rtol=0.0)  # four standard errors
    assert shares[1] == 0


@pytest.mark.parametrize("name", WRITERS)
def test_what_was_cut_is_left_out_and_counted(models: dict[str, Path], name: str) -> None:
    built = engine(models, name, max_tokens=4)
    assert built.translate(ENGLISH[:2]) == [[], []] and count_refused(built) == {_reading.CUT: 2}
    built = engine(models, name, max_tokens=4, beams=3, candidates=3)
    assert built.translate(ENGLISH[4:]) == [[]] and count_refused(built) == {_reading.CUT: 3}


@pytest.mark.parametrize("name", WRITERS)
def test_texts_it_cannot_read_whole_are_left_out_and_counted(models: dict[str, Path], name: str) -> None:
    built = engine(models, name)
    texts = [" ", "two dogs " * 40, "two </s> dogs", "two\n dogs"]
    assert built.translate(texts) == [[], [], [], ["mbwa wawili"]]
    assert count_refused(built) == {_reading.EMPTY: 1, _reading.LONG: 1, _reading.SPECIAL: 1}


def test_opus_mt_models_of_one_language_need_no_token(tmp_path: Path) -> None:
    torch.manual_seed(0)
    single = {"opus-mt": write_opus_mt(tmp_path / "en-sw", many=False)}
    assert engine(single, "opus-mt").translate(ENGLISH) == [[PHRASES[text]["sw"]] for text in ENGLISH]


def test_opus_mt_finds_the_token_of_the_target(models: dict[str, Path]) -> None:
    assert engine(models, "opus-mt", "fr").reading.start == ">>fra<< "
    french = language("fr")
    build, options = (
        find("translators", "opus-mt").build,
        TranslationOptions(model=str(models["opus-mt"]), max_tokens=32),
    )
    told = french.model_copy(update={"codes": french.codes.model_copy(update={"opus_mt": "mul:swh"})})
    assert build(language("en"), told, options).reading.start == ">>swh<< "
    german = french.model_copy(update={"code": "de", "iso639_3": "deu", "aliases": [], "name": "German"})
    with pytest.raises(
        DataError,
        match=r"no token for German; tried >>deu_Latn<<, >>de_Latn<<, >>deu<<, >>de<<, it has >>fra<<, >>swh<<",
    ):
        build(language("en"), german, options)


def test_a_model_of_another_family_is_no_model_of_this_engine(models: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="has no token eng_Latn and no token swh_Latn"):
        engine(models | {"nllb": models["m2m100"]}, "nllb")


def test_beams_and_lengths_a_model_does_not_have(models: dict[str, Path]) -> None:
    with pytest.raises(DataError, match="3 candidates require as many beams, found 1: set beams to 3"):
        engine(models, "nllb", candidates=3)
    with pytest.raises(DataError, match="max_tokens is 64, but .* writes fewer than 64 tokens"):
        engine(models, "nllb", max_tokens=64)


@pytest.mark.parametrize("name", WRITERS)
def test_a_hub_out_of_reach_ends_in_one_sentence(name: str) -> None:
    with pytest.raises(WeightsError) as caught:
        find("translators", name).build(language("en"), language("sw"), TranslationOptions())
    text = str(caught.value)
    assert text.startswith(
        "Cannot load translation model "
        f"'{find('translators', name).MODEL if name != 'opus-mt' else 'Helsinki-NLP/opus-mt-en-sw'}'"
    )
    assert "HF_HUB_OFFLINE" in text and "refs/pr/N" in text and "\n" not in text


def test_pickled_weights_are_never_read(models: dict[str, Path], tmp_path: Path) -> None:
    for path in models["nllb"].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / "model.safetensors").unlink()
    torch.save({}, tmp_path / "pytorch_model.bin")
    with pytest.raises(WeightsError, match="Cannot load translation model"):
        engine({"nllb": tmp_path}, "nllb")
    (tmp_path / "empty").mkdir()
    with pytest.raises(WeightsError, match="has no model in it"):
        engine({"nllb": tmp_path / "empty"}, "nllb")
