"""Runs to export: one on the embedded real towers with real pictures and names, and tiny ones of other families with
random weights.
"""

import json
import runpy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from polyclip.core.encode_precision import AUTO, use_encode_precision
from polyclip.data.corpus import load_corpus
from polyclip.exporters import run as _job
from polyclip.exporters import verify
from polyclip.exporters.samples import Samples
from polyclip.languages.resolve import resolve_language
from polyclip.models.config import ModelConfig
from polyclip.pipeline import align
from polyclip.training.config import AlignConfig, OptimizerConfig
from polyclip.training.options import TEXT_ENCODER
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

QUICK = OptimizerConfig(epochs=4, batch_size=8, learning_rate=1e-2, tower_learning_rate=1e-2, weight_decay=0.1)
METHODS = {
    "heads": ("heads", "cnn", 48),
    "lora": ("lora", "vit", 16),
    "ln": ("lilt-ln", "vit", 16),
    "lwa": ("lilt-lwa", "vit", 16),
}
METHODS |= {"glu": ("head-glu", "vit", 16), "asif": ("asif", "vit", 16)}


@pytest.fixture(scope="module")
def emoji(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """32 Noto pictures with their English and Swahili names and first keywords, as a corpus of one's own; returns the
    pack.
    """
    folder = tmp_path_factory.mktemp("emoji")
    corpus = load_corpus("emoji")
    named = {code: corpus.reader.read_captions(corpus.folder, code) for code in ("en", "sw")}
    lines = []
    for number, (concept, image) in enumerate(list(corpus.reader.pictures(corpus.folder, "noto").items())[::50][:32]):
        image.open().save(folder / f"{concept}.png")
        split = ("train", "train", "validation", "test")[number % 4]
        captions = {code: list(names[concept][:2]) for code, names in named.items() if concept in names}
        lines.append(json.dumps({"image": f"{concept}.png", "captions": captions, "split": split}, ensure_ascii=False))
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    pack = folder / "mine.toml"
    pack.write_text('name = "mine"\nabout = "emoji"\nreader = "jsonl"\nfolder = "."\n', "utf-8")
    return pack


@pytest.fixture(scope="module")
def real(emoji: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on multilingual-e5-small, with the default text adapter, and EfficientNet-Lite0."""
    out = tmp_path_factory.mktemp("runs") / "real"
    recipe = ModelConfig(text_encoder=TEXT_ENCODER, vision_tower="efficientnet-lite0:,size=96", method="heads")
    languages = [resolve_language("sw"), resolve_language("en")]
    settings = AlignConfig(languages=languages, recipe=recipe, out=out, corpus=str(emoji), heads=QUICK, towers=QUICK)
    with use_encode_precision(AUTO):  # the class names of `test_first_light.py` are in the cache in it
        align(settings)
    return out


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Runs by name, of METHODS, on a tiny XLM-R and a tiny timm model; aligned when first asked for."""
    folder = tmp_path_factory.mktemp("tiny")
    corpus, text = str(write_corpus(folder / "corpus")), write_text_encoder(folder / "text")
    towers = {"cnn": write_vision_tower(folder / "cnn"), "vit": write_vision_tower(folder / "vit", "test_vit")}

    def run(name: str) -> Path:
        method, tower, dim = METHODS[name]
        if not (folder / name).exists():
            recipe = ModelConfig(text_encoder=text, vision_tower=towers[tower], method=method, dim=dim)
            languages = [resolve_language("sw"), resolve_language("en")]
            align(
                AlignConfig(
                    languages=languages,
                    recipe=recipe,
                    out=folder / name,
                    corpus=corpus,
                    heads=QUICK,
                    towers=QUICK,
                    class_names=False,
                )
            )
        return folder / name

    return run


@pytest.fixture
def in_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same checking programs without a process of their own, which would import torch once more for every test."""

    def read_in_process(target: str, folder: Path, given: Samples, reader: Path | None = None) -> dict[str, Any]:
        program = runpy.run_path(str(reader or verify.ALONE.with_name(f"{target}.py")))["encode"]
        found = program(folder, given.captions, [image.convert("RGB") for image in given.images])
        return {name: np.asarray(value) for name, value in found.items()}

    monkeypatch.setattr(_job, "read_back", read_in_process)
