"""Captions/s of our text encoding and of sentence-transformers' `encode`, with the same e5-small weights and captions.

Real captions in five scripts, each once, language by language. Both take turns round by round, so that noise affects
both; medians;
theirs at several batch sizes, and the ratio is to their fastest. Both must give the same embeddings.

    pip install '.[starter,benchmark]' && python speed/text_encoding.py [--captions 2000] [--rounds 5] [--batch 32
        --batch 64]
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table
from torch import Tensor

from polyclip.core.vectors import normalize
from polyclip.data.corpus import load_corpus
from polyclip.languages.schema import load_language
from polyclip.models import feature_cache
from polyclip.models.backbone import describe
from polyclip.models.converted_weights import convert_once
from polyclip.models.e5_file import FILE_SHA256, MAX_TOKENS, PREFIX, convert, find_source

LANGUAGES = ("sw", "te", "th", "zh", "en")
LEAST = 0.9999  # cosine of the two vectors of a caption


def load_captions(count: int) -> list[str]:
    """Load distinct captions of the starter corpus, equally many per language."""
    corpus, found = load_corpus("emoji"), dict[str, None]()
    share = count // len(LANGUAGES)
    for code in LANGUAGES:
        rows = corpus.reader.read(corpus.folder, corpus.get_locale(load_language(code)), "train")
        own = [
            caption
            for caption in dict.fromkeys(caption for row in rows for caption in row.captions)
            if caption not in found
        ]
        found |= dict.fromkeys(own[:share])
    return list(found)


def build_sentence_transformer(folder: Path) -> Any:
    """Build sentence-transformers on our weights: transformer, mean pooling, normalization."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Normalize, Pooling, Transformer
    from transformers import PreTrainedTokenizerFast

    tower = describe("encoders", "e5-small")
    tower.build().model.save_pretrained(folder)
    tokens = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    file = convert_once("e5-small", find_source(), FILE_SHA256, convert).get_file("tokenizer.json")
    PreTrainedTokenizerFast(tokenizer_file=str(file), model_max_length=MAX_TOKENS, **tokens).save_pretrained(folder)
    return SentenceTransformer(
        modules=[Transformer(str(folder)), Pooling(tower.dim, "mean"), Normalize()], device="cpu"
    )


def time_encoding(encode: Callable[[], Tensor]) -> tuple[float, float, Tensor]:
    """Return wall-clock seconds, CPU seconds, and the embeddings."""
    started, used = time.monotonic(), time.process_time()
    vectors = encode()
    return time.monotonic() - started, time.process_time() - used, vectors


def main(
    captions: Annotated[int, typer.Option(min=len(LANGUAGES))] = 2000,
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    batch: Annotated[
        list[int] | None,
        typer.Option(help="Of sentence-transformers; repeat for several. Default: 32, its own, 64 and 128."),
    ] = None,
) -> None:
    """Print the table of docs/benchmarks.md; exit code 1 where the embeddings differ."""
    texts = load_captions(captions)
    prefixed = [PREFIX + text for text in texts]
    own = describe("encoders", "e5-small").build()
    with tempfile.TemporaryDirectory() as temporary:
        other = build_sentence_transformer(Path(temporary))

    def encode(size: int) -> Tensor:
        return other.encode(
            prefixed, batch_size=size, normalize_embeddings=True, convert_to_tensor=True, show_progress_bar=False
        )

    cases: dict[str, Callable[[], Tensor]] = {
        "polyclip": lambda: normalize(feature_cache.forward(own, texts, "captions"))
    }
    cases |= {f"sentence-transformers, batch {size}": partial(encode, size) for size in batch or (32, 64, 128)}
    times: dict[str, list[float]] = {name: [] for name in cases}
    work: dict[str, list[float]] = {name: [] for name in cases}
    vectors: dict[str, Tensor] = {}
    for _ in range(rounds):
        for name, case in cases.items():
            seconds, used, vectors[name] = time_encoding(case)
            times[name].append(seconds)
            work[name].append(used)
    speed = {name: len(texts) / statistics.median(found) for name, found in times.items()}
    fastest = max(value for name, value in speed.items() if name != "polyclip")
    cosine = min(float((vectors["polyclip"] * found).sum(1).min()) for found in vectors.values())
    title = f"{len(texts)} captions, {torch.get_num_threads()} threads, median of {rounds} rounds"
    table = Table("text encoding", "captions/s", "ratio", "processor s", title=title)
    for name, value in speed.items():
        table.add_row(name, f"{value:,.0f}", f"{value / fastest:.2f}", f"{statistics.median(work[name]):.2f}")
    Console().print(table)
    Console().print(
        f"{speed['polyclip'] / fastest:.2f} x sentence-transformers at its fastest; smallest cosine of two vectors "
        f"of a caption {cosine:.6f}"
    )
    if cosine < LEAST:
        raise SystemExit(1)


if __name__ == "__main__":
    typer.run(main)
