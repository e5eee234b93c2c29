"""Text adapters: what they change, that they are never mixed with the encoder as it is, and what is refused."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from polyclip.core.toml import CORPORA
from polyclip.data.readers import emoji
from polyclip.errors import DataError, PolyclipError, UnknownName, WeightsError
from polyclip.models.backbone import describe
from polyclip.models.e5_file import FILE_SHA256
from polyclip.models.text_adapter import BASE, FOLDER, list_text_adapters, read_text_adapter
from polyclip.search.quick.embed import embed_text
from polyclip.training.options import TEXT_ENCODER, AlignOptions, name_adapted_encoder
from tests.script import load_script
from tests.search.test_quick import save

NORM = "encoder.layer.3.output.LayerNorm.weight"
CAPTIONS = ["paka mweusi", "a black cat", "काली बिल्ली", "x"]


def write(path: Path, vectors: dict[str, torch.Tensor], base: str = FILE_SHA256) -> Path:
    save_file(vectors, path, metadata={BASE: base})
    return path


def encode(text_encoder: str, *, light: bool) -> torch.Tensor:
    spec = describe("encoders", text_encoder)
    build: Any = spec.build.build_light if light else spec.build  # type: ignore[attr-defined]
    encoder = build()
    with torch.inference_mode():
        found: torch.Tensor = encoder(**encoder.prepare(CAPTIONS))
    return found


def test_vectors_are_replaced_in_every_form_of_the_encoder(one_cache: Path, tmp_path: Path) -> None:
    path = write(tmp_path / "a.safetensors", {NORM: torch.linspace(0.5, 1.5, 384)})
    adapted, plain = (encode(name, light=True) for name in (f"e5-small:,adapter={path}", "e5-small"))
    assert (adapted - plain).abs().max() > 0.01
    torch.testing.assert_close(adapted, encode(f"e5-small:,adapter={path}", light=False), rtol=1e-4, atol=1e-5)


def test_an_adapter_that_says_the_same_changes_nothing_but_the_identity(one_cache: Path, tmp_path: Path) -> None:
    model = describe("encoders", "e5-small").build().model
    path = write(tmp_path / "same.safetensors", {NORM: model.get_parameter(NORM).clone()})
    assert torch.equal(encode(f"e5-small:,adapter={path}", light=True), encode("e5-small", light=True))
    assert describe("encoders", f"e5-small:,adapter={path}").identity != describe("encoders", "e5-small").identity


def test_a_cut_encoder_takes_the_vectors_of_the_layers_it_keeps(one_cache: Path, tmp_path: Path) -> None:
    last = "encoder.layer.11.output.LayerNorm.weight"
    path = write(tmp_path / "a.safetensors", {NORM: torch.linspace(0.5, 1.5, 384), last: torch.zeros(384)})
    whole, cut = (describe("encoders", f"e5-small:{layers},adapter={path}").build() for layers in ("", ",layers=6"))
    assert torch.equal(cut.model.get_parameter(NORM), whole.model.get_parameter(NORM))
    assert encode(f"e5-small:,layers=6,adapter={path}", light=True).std() > 0.01
    wrong = write(tmp_path / "b.safetensors", {last: torch.zeros(3)})
    with pytest.raises(WeightsError, match="expected \\[384\\]"):
        describe("encoders", f"e5-small:,layers=6,adapter={wrong}").build()


def test_two_adapters_in_turn_under_one_name_have_two_identities(one_cache: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    identities = {
        describe("encoders", f"e5-small:,adapter={write(path, {NORM: torch.full((384,), value)})}").identity
        for value in (1.0, 2.0)
    }
    assert len(identities) == 2


@pytest.mark.parametrize(
    ("vectors", "base", "said"),
    [
        ({NORM: torch.ones(383)}, FILE_SHA256, "expected [384]"),
        ({"encoder.layer.12.output.dense.bias": torch.ones(384)}, FILE_SHA256, "expected a parameter"),
        ({NORM: torch.full((384,), torch.nan)}, FILE_SHA256, "not finite"),
        ({NORM: torch.ones(384)}, "0" * 64, "take an adapter that was trained for it"),
        ({NORM: torch.ones(384)}, "", "hash none"),
    ],
)
def test_what_does_not_fit_is_refused(
    one_cache: Path, tmp_path: Path, vectors: dict[str, torch.Tensor], base: str, said: str
) -> None:
    path = write(tmp_path / "a.safetensors", vectors, base)
    with pytest.raises(WeightsError, match="a.safetensors") as caught:
        describe("encoders", f"e5-small:,adapter={path}").build()
    assert said in str(caught.value)


def test_names_files_and_layers(one_cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match="nmes"):
        describe("encoders", "e5-small:,adapter=nmes")
    with pytest.raises(DataError, match="not a file"):
        describe("encoders", f"e5-small:,adapter={tmp_path / 'none.safetensors'}")
    (tmp_path / "bad.safetensors").write_bytes(b"\xff" * 40)
    with pytest.raises(WeightsError, match="not a whole safetensors"):
        describe("encoders", f"e5-small:,adapter={tmp_path / 'bad.safetensors'}")
    with pytest.raises(DataError, match="e5-small:,adapter=names"):
        describe("encoders", "e5-small:adapter=names")


def test_the_option_is_a_part_of_the_encoders_name() -> None:
    options = AlignOptions(text_adapter="mine.safetensors")
    assert options.text_encoder == "e5-small:,adapter=mine.safetensors"
    assert "text_encoder" in options.typed  # so that a run that is continued refuses it
    assert AlignOptions().text_encoder == AlignOptions(text_adapter="names").text_encoder == "e5-small:,adapter=names"
    assert AlignOptions(text_adapter="none").text_encoder == "e5-small"
    with pytest.raises(PolyclipError, match="does not go with"):
        AlignOptions(text_encoder=TEXT_ENCODER, text_adapter="none", typed=frozenset({"text_encoder"}))
    assert name_adapted_encoder("e5-small:,prefix=x", "none") == "e5-small:,prefix=x"
    assert name_adapted_encoder("e5-small:,prefix=x", "names") == "e5-small:,prefix=x,adapter=names"
    for other in ("owner/model", "e5-small:,adapter=names"):
        with pytest.raises(PolyclipError, match="does not go with"):
            name_adapted_encoder(other, "names")


@pytest.mark.parametrize("name", list_text_adapters())
def test_those_that_come_with_polyclip_are_small_and_fit(one_cache: Path, name: str) -> None:
    adapter = read_text_adapter(name, FILE_SHA256)
    assert adapter.path.stat().st_size < 4e6
    model = describe("encoders", f"e5-small:,adapter={name}").build().model
    for key, vector in adapter.vectors.items():
        np.testing.assert_array_equal(model.get_parameter(key).numpy(), vector)


def test_names_brings_a_languages_names_nearer_to_english(one_cache: Path) -> None:
    english, swahili = (
        {row.concept: row.captions[0] for row in emoji.read(CORPORA / "emoji", language, "validation")}
        for language in ("en", "sw")
    )
    both = sorted(english.keys() & swahili.keys())
    right = []
    for name in ("e5-small", "e5-small:,adapter=names"):
        encoder = describe("encoders", name).build.build_light()  # type: ignore[attr-defined]
        with torch.inference_mode():
            sides = [encoder(**encoder.prepare([own[c] for c in both])) for own in (swahili, english)]
        mean, deviation = torch.cat(sides).mean(0), torch.cat(sides).std(0)
        one, other = (torch.nn.functional.normalize((side - mean) / deviation, dim=1) for side in sides)
        right.append(((one @ other.T).argmax(1) == torch.arange(len(both))).float().mean().item())
    assert right[1] > right[0] + 0.03, right


def test_a_run_with_an_adapter_is_searched_without_torch(one_cache: Path, tmp_path: Path) -> None:
    from polyclip.search.quick.tokens import write_pieces

    describe("encoders", "e5-small").build()
    write_pieces()
    model = save(tmp_path / "run", text_encoder="e5-small:,adapter=names")
    for text in CAPTIONS:
        found = embed_text(tmp_path / "run", text)
        assert found is not None
        with torch.inference_mode():
            expected = model.encode_text([text])[0]
        np.testing.assert_allclose(found, expected.numpy(), atol=3e-4)  # of random heads, which make rounding larger


def test_no_caption_that_names_a_held_out_concept_is_learnt() -> None:
    data = load_script("build_text_adapter").read_data()
    folder = CORPORA / "emoji"
    seen = {text.casefold() for own in data.train.values() for texts in own.values() for text in texts}
    for locale in emoji.languages(folder):
        for split in ("validation", "test"):
            for row in emoji.read(folder, locale, split):
                assert row.captions[0].casefold() not in seen, (locale, row.captions[0])
    assert data.dropped > 0
    assert not any(data.held_out.values())
    train = {row.concept for row in emoji.split_concepts(folder, "train").values()}
    assert all(concept in train for own in data.train.values() for concept in own)


def test_an_oracle_sees_the_names_of_held_out_concepts() -> None:
    script = load_script("build_text_adapter")
    data = script.read_data(oracle=True)
    train = {row.concept for row in emoji.split_concepts(CORPORA / "emoji", "train").values()}
    assert set(data.train) == set(data.languages)
    assert all(not own.keys() & train for own in data.held_out.values())
    assert sum(map(len, data.held_out.values())) > 10_000
    assert data.dropped == 0


def test_the_file_beside_the_package_is_what_the_script_writes() -> None:
    for path in FOLDER.glob("*.safetensors"):
        assert all(tensor.dtype == torch.float32 and tensor.ndim == 1 for tensor in load_file(path).values())
