"""Cells of part d: growth of time and memory."""

import json
import os
import time
from dataclasses import replace
from itertools import cycle, groupby, islice
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch

from polyclip.data.corpus import load_corpus
from polyclip.data.readers import emoji
from polyclip.languages.schema import list_languages, load_language
from polyclip.models.aligner import PolyCLIP
from polyclip.models.config import ModelConfig
from polyclip.pipeline import align
from polyclip.training.config import HEADS, AlignConfig
from polyclip.training.flops import make_flop_counter
from speed._material import TOWER, load_captions, load_images
from speed._worker import Turn

WORDS = 1000  # distinct captions of the corpora whose rows are many
IMAGES = 100
JUDGED = 20  # rows of validation, and of test
RECIPE = ModelConfig(method="heads", vision_tower=f"{TOWER}:,size=64")


def choose_languages(count: int) -> list[str]:
    """Return codes of languages that caption nearly all images, English and Swahili first."""
    corpus = load_corpus("emoji")
    packs = [
        load_language(code) for code in ("en", "sw", *(code for code in list_languages() if code not in ("en", "sw")))
    ]
    having = set(corpus.reader.languages(corpus.folder))
    full = (
        p.code
        for p in packs
        if corpus.get_locale(p) in having and len(emoji.read_captions(corpus.folder, corpus.get_locale(p))) > 1900
    )
    return list(islice(full, count))


def build_captions(settings: dict[str, Any], codes: list[str]) -> list[dict[str, list[str]]]:
    """Return the captions of every row: cycled from 1,000 real ones, or distinct ones."""
    rows = settings["rows"] + 2 * JUDGED
    if not settings.get("distinct"):
        found = {code: cycle(load_captions(WORDS // len(codes), [code])) for code in codes}
        return [{code: [next(own)] for code, own in found.items()} for _ in range(rows)]
    corpus = load_corpus("emoji")
    named = {code: emoji.read_captions(corpus.folder, corpus.get_locale(load_language(code))) for code in codes}
    shared = [concept for concept in named[codes[0]] if all(concept in own for own in named.values())]
    return [{code: [own[concept][0]] for code, own in named.items()} for concept in shared[:rows]]


def write_corpus(settings: dict[str, Any], codes: list[str]) -> Path:
    """Write a corpus as a user would: captions.jsonl beside images; repeated images are hard links."""
    folder = Path(mkdtemp(dir=settings["work"], prefix="corpus-"))
    rows = build_captions(settings, codes)
    for number, image in enumerate(load_images(min(IMAGES, len(rows)), "noto")):
        image.open().save(folder / f"{number}.png")
    for number in range(IMAGES, len(rows)):
        os.link(folder / f"{number % IMAGES}.png", folder / f"{number}.png")
    split = ["train"] * (len(rows) - 2 * JUDGED) + ["validation"] * JUDGED + ["test"] * JUDGED
    lines = [
        json.dumps({"image": f"{n}.png", "captions": row, "split": split[n]}, ensure_ascii=False)
        for n, row in enumerate(rows)
    ]
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    pack = f'name = "{folder.name}"\nabout = "rows made of real captions"\nreader = "jsonl"\nfolder = "."\n'
    (folder / "corpus.toml").write_text(pack, "utf-8")
    return folder / "corpus.toml"


def align_once(settings: dict[str, Any], corpus: Path, codes: list[str]) -> dict[str, float]:
    """Time one whole run with its own cache."""
    os.environ["POLYCLIP_CACHE"] = cache = mkdtemp(dir=settings["work"], prefix="cache-")
    (Path(cache) / "weights").symlink_to(Path(settings["cache"]) / "weights")
    epoch = replace(HEADS, epochs=1, batch_size=settings["batch"], caption_loss=0.0)
    packs = [load_language(code) for code in codes]
    run = AlignConfig(
        languages=packs,
        recipe=RECIPE,
        out=Path(cache) / "run",
        corpus=str(corpus),
        heads=epoch,
        allow_leakage="rows repeat each other",
        class_names=False,
    )
    started = time.monotonic()
    laps = align(run).seconds
    return {"seconds": time.monotonic() - started, **laps}


def align_cell(settings: dict[str, Any], turn: Turn) -> None:
    """Measure rounds of whole runs."""
    codes = choose_languages(settings["languages"])
    corpus = write_corpus(settings, codes)
    PolyCLIP(RECIPE)  # from here on the weights are converted, in the folder that every run's cache leads to
    turn(items=settings["rows"] * len(codes))
    while True:
        turn(**align_once(settings, corpus, codes))


def length(settings: dict[str, Any], turn: Turn) -> None:
    """Measure encoding of captions with a given number of tokens, and count the operations."""
    branch = PolyCLIP(RECIPE).text
    encoder: Any = branch.tower.build()
    found = join_captions(encoder, settings["at"], max(1, settings["tokens"] // settings["at"]))
    branch.encode_features(found[:1], "captions", keep=False)  # builds the tower
    turn(items=len(found), flops=count_flops(encoder, found))
    while True:
        started = time.monotonic()
        branch.encode_features(found, "captions", keep=False)
        seconds = time.monotonic() - started
        turn(seconds=seconds, encode=seconds)


@torch.inference_mode()
def count_flops(encoder: Any, texts: list[str]) -> int:
    """Count the operations without padding: texts of one length at a time."""
    lengths = dict(zip(texts, encoder.costs(texts), strict=True))
    with make_flop_counter() as counted:
        for _, group in groupby(sorted(texts, key=lengths.__getitem__), key=lengths.__getitem__):
            encoder(**encoder.prepare(list(group)))
    return counted.get_total_flops()


def join_captions(encoder: Any, tokens: int, count: int) -> list[str]:
    """Concatenate real captions until each text has `tokens` tokens, including prefix and special tokens, or slightly
    more.
    """
    words, found = cycle(load_captions(WORDS)), []
    for _ in range(count):
        text = next(words)
        while encoder.costs([text])[0] < tokens:
            text = f"{text}, {next(words)}"
        found.append(text)
    return found
