"""Encoders in bf16 and int8: near float32 on real captions and images, named in the cache, and said in the run."""

import json
import unicodedata
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import cosine_similarity

from polyclip.core import encode_precision
from polyclip.core.encode_precision import (
    current_encode_precision,
    has_bf16_hardware,
    pick_encode_precision,
    use_encode_precision,
)
from polyclip.core.toml import CORPORA
from polyclip.data.readers import emoji
from polyclip.errors import PolyclipError, UnknownName, WeightsError
from polyclip.models import feature_cache, feature_files, products
from polyclip.models.aligner import PolyCLIP
from polyclip.models.backbone import describe
from polyclip.models.encoding import build_encoder, encode_items, get_inference_form
from polyclip.models.products import RoundedLinear
from tests.command import polyclip as command
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

LEAST = {"bf16": 0.9999, "int8": 0.995}
SCRIPTS = 28  # at least, that the corpus' captions are written in


@pytest.fixture
def unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(encode_precision.VARIABLE)


def name_script(text: str) -> str:
    letter = next((letter for letter in text if letter.isalpha()), "")
    return unicodedata.name(letter, "").partition(" ")[0]


def test_the_default_is_the_hardwares(unset: None, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert current_encode_precision(cpu) == ("bf16" if has_bf16_hardware() else "fp32")
    for found, wanted in (({"avx512_bf16": True}, "bf16"), ({"bf16": True}, "bf16"), ({"avx2": True}, "fp32")):
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda found=found: found, raising=False)
        has_bf16_hardware.cache_clear()
        assert pick_encode_precision("auto", cpu) == wanted
    has_bf16_hardware.cache_clear()
    assert pick_encode_precision("auto", torch.device("cuda")) == "fp32"


def test_a_block_goes_before_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(encode_precision.VARIABLE, "int8")
    cpu = torch.device("cpu")
    assert current_encode_precision(cpu) == "int8"
    with use_encode_precision("bf16"):
        assert current_encode_precision(cpu) == "bf16"
        with use_encode_precision(""):
            assert current_encode_precision(cpu) == "bf16"
    with pytest.raises(ValueError, match="inside"), use_encode_precision("bf16"):
        raise ValueError("inside")
    assert current_encode_precision(cpu) == "int8"


def test_what_does_not_exist_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UnknownName, match="bf15.*Did you mean 'bf16'"), use_encode_precision("bf15"):
        pass
    with pytest.raises(PolyclipError, match="int8 is for CPUs"):
        pick_encode_precision("int8", torch.device("cuda"))
    monkeypatch.setenv(encode_precision.VARIABLE, "half")
    with pytest.raises(PolyclipError, match="POLYCLIP_ENCODE_PRECISION is 'half', expected one of auto, fp32"):
        current_encode_precision()


@pytest.mark.parametrize("precision", sorted(LEAST))
def test_captions_in_every_script(precision: str) -> None:
    """Real captions of all the corpus' locales; the encoder is the default one, whole."""
    captions = [
        row.captions[0]
        for locale in emoji.languages(CORPORA / "emoji")
        for row in emoji.read(CORPORA / "emoji", locale, "validation")[::150]
    ]
    assert len({name_script(caption) for caption in captions}) >= SCRIPTS
    spec = describe("encoders", "e5-small")
    wanted, found = (
        encode_items(build_encoder(spec, precision=name), captions, lambda rows: None) for name in ("fp32", precision)
    )
    assert found.dtype == torch.float32 and not torch.equal(found, wanted)
    assert cosine_similarity(found, wanted).min() >= LEAST[precision]


@pytest.mark.parametrize("precision", sorted(LEAST))
@pytest.mark.parametrize("width", [384, 1536])
def test_a_cpu_without_the_instructions_multiplies_the_same_numbers_as_float32(
    precision: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not products.is_right(torch.int8):
        pytest.skip("sums of int8 stop at 16 bits on this CPU")
    weight, bias, rows = torch.randn(96, width), torch.randn(96), torch.randn(40, width)
    found = {}
    for worthwhile in (True, False):
        monkeypatch.setattr(products, "is_worthwhile", lambda dtype, worthwhile=worthwhile: worthwhile)
        product = products.make_product(weight, bias, precision)
        found[worthwhile] = product(rows).float()
        assert torch.equal(product.add_to(torch.zeros(40, 96), rows), found[worthwhile])
    exact = rows @ weight.T + bias
    rounding = (found[False] - exact).abs().max()
    assert rounding > 1e-2  # numbers are rounded either way
    assert (found[True] - found[False]).abs().max() < rounding / 2  # of bf16: the result's last digit
    assert precision == "bf16" or torch.allclose(found[True], found[False], rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize(("seconds", "worthwhile"), [({torch.bfloat16: 1, torch.int8: 3}, [True, False])])
def test_the_faster_format_is_measured(
    seconds: dict[torch.dtype, float], worthwhile: list[bool], monkeypatch: pytest.MonkeyPatch
) -> None:
    threads: set[int] = set()

    def measure(matrix: torch.Tensor) -> float:
        threads.add(torch.get_num_threads())
        return seconds.get(matrix.dtype, 2)

    monkeypatch.setattr(products, "measure_seconds", measure)
    monkeypatch.setattr(products, "is_right", lambda dtype: True)
    assert [products.is_worthwhile.__wrapped__(dtype) for dtype in seconds] == worthwhile
    assert threads == {1}  # several would wait for each other where another process has one of the cores


def test_a_cpu_whose_sums_stop_at_16_bits_multiplies_int8_as_float32(monkeypatch: pytest.MonkeyPatch) -> None:
    """As oneDNN does on processors with AVX2 or AVX-512 but without VNNI, where int8 is faster all the same."""
    monkeypatch.setattr(products, "measure_seconds", lambda matrix: 1 if matrix.dtype == torch.int8 else 2)
    product = torch._int_mm
    monkeypatch.setattr(torch, "_int_mm", lambda first, second: product(first, second).clamp(-(2**15), 2**15 - 1))
    assert not products.is_worthwhile.__wrapped__(torch.int8)


ODD = ["", "😀", "👨‍👩‍👧‍👦🏽" * 3, "🏳️‍🌈", "a" * 10_000, "mbwa " * 2_000, "ﷺ" * 3_000, "\u0301" * 50 + "a", "\u200d"]


@pytest.mark.parametrize("precision", sorted(LEAST))
def test_captions_that_are_empty_endless_or_emoji_alone(precision: str) -> None:
    spec = describe("encoders", "e5-small")
    wanted, found = (
        encode_items(build_encoder(spec, precision=name), ODD, lambda rows: None) for name in ("fp32", precision)
    )
    assert found.isfinite().all() and found.any(dim=1).all()
    assert cosine_similarity(found, wanted).min() >= LEAST[precision]


@pytest.mark.parametrize("precision", ["fp32", *sorted(LEAST)])
@pytest.mark.parametrize("position", [feature_files.POOLED, 1])
def test_captions_with_nan_are_named_and_none_beside_them(
    tmp_path: Path, own_cache: Path, precision: str, position: int
) -> None:
    """Captions of a batch are encoded without padding between them, so that NaN in one reaches the others."""
    spec = describe("encoders", write_text_encoder(tmp_path / "text"))
    path = tmp_path / "text" / "model.safetensors"
    state = load_file(path)
    (name,) = (name for name in state if "word_embeddings" in name)
    vocabulary = json.loads((tmp_path / "text" / "tokenizer.json").read_text("utf-8"))["model"]["vocab"]
    state[name][vocabulary["njano"]] = torch.inf
    save_file(state, path, {"format": "pt"})
    captions = ["mraba nyekundu", "mraba njano", "bluu", "njano", "mraba kijani"]
    said = r"for 2 of 5 captions \('mraba njano', 'njano'\); its weights .* --encode-precision fp32\."
    with use_encode_precision(precision), pytest.raises(WeightsError, match=said):
        if position == feature_files.POOLED:
            feature_cache.encode(spec, captions, "captions")
        else:
            feature_cache.states(spec, position, captions, "captions")
    assert not list(own_cache.rglob("features/**/*.safetensors"))


@pytest.mark.parametrize("precision", sorted(LEAST))
def test_a_vision_transformer(tmp_path: Path, precision: str) -> None:
    """Tiny random weights: a real one would need a hub."""
    spec = describe("towers", write_vision_tower(tmp_path, "test_vit"))
    images = list(emoji.pictures(CORPORA / "emoji", emoji.styles(CORPORA / "emoji")[0]).values())[:4]
    built = build_encoder(spec, precision=precision)
    assert any(type(module) is RoundedLinear for module in built.modules())
    assert not any(type(module) is nn.Linear for module in built.modules())
    wanted = encode_items(build_encoder(spec, precision="fp32"), images, lambda rows: None)
    found = encode_items(built, images, lambda rows: None)
    assert found.dtype == torch.float32 and cosine_similarity(found, wanted).min() > 0.99


def test_the_encoder_that_is_trained_is_left_as_it_is(tmp_path: Path) -> None:
    built: Any = describe("encoders", write_text_encoder(tmp_path / "xlm-r")).build()
    before = {name: tensor.clone() for name, tensor in built.state_dict().items()}
    form = get_inference_form(built, "bf16")
    assert form.precision == "bf16" and form.in_precision("bf16") is form
    assert all(torch.equal(tensor, before[name]) for name, tensor in built.state_dict().items())
    assert get_inference_form(built).precision == "fp32"


def test_the_cache_keeps_formats_apart(tmp_path: Path, own_cache: Path) -> None:
    spec = describe("encoders", write_text_encoder(tmp_path / "xlm-r"))
    rows = {}
    for precision in ("fp32", "bf16", "int8", "fp32"):
        with use_encode_precision(precision):
            rows[precision] = feature_cache.encode(spec, ["red", "mraba"], "texts")
    folders = sorted(path.name for path in (own_cache / "features").iterdir())
    name = spec.identity[:16]
    assert folders == [name, f"{name}-bf16", f"{name}-int8"]
    assert not torch.equal(rows["fp32"], rows["bf16"]) and not torch.equal(rows["bf16"], rows["int8"])


def test_a_run_says_its_format_and_is_read_in_another(tmp_path: Path) -> None:
    out = tmp_path / "run"
    towers = ("--vision-tower", write_vision_tower(tmp_path), "--text-encoder", "e5-small:,layers=1")
    corpus = write_corpus(tmp_path / "corpus")
    said = command(
        *("align", "--lang", "sw", "--method", "heads", "--corpus", corpus, "--epochs", 1, *towers),
        *("--encode-precision", "bf16", "--out", out),
    )
    assert said.code == 0, said
    result = json.loads((out / "result.json").read_text("utf-8"))
    assert result["run"]["encode_precision"] == "bf16"
    card = " ".join((out / "README.md").read_text("utf-8").split())
    assert "--encode-precision bf16" in card
    exact, rounded = (PolyCLIP.from_pretrained(out, dtype=dtype) for dtype in (torch.float32, torch.bfloat16))
    assert (exact.encode_text("mbwa") * rounded.encode_text("mbwa")).sum() > 0.999
    assert not torch.equal(exact.encode_text("mbwa"), rounded.encode_text("mbwa"))
    with pytest.raises(PolyclipError, match=r"float16 does not work on cpu"):
        PolyCLIP.from_pretrained(out, dtype=torch.float16, device="cpu")
