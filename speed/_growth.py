"""The cells of part d."""

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
from polyclip.languages.schema import known_languages, load_language
from polyclip.models.aligner import PolyCLIP
from polyclip.models.branch import ModelConfig
from polyclip.pipeline import align
from polyclip.training.config import HEADS, AlignConfig
from speed._machine import counter
from speed._material import TOWER, captions, pictures
from speed._worker import Turn

WORDS = 1000  # distinct captions of the corpora whose rows are many
IMAGES = 100
JUDGED = 20  # rows of validation, and of test
RECIPE = ModelConfig(method="heads", vision_tower=f"{TOWER}:,size=64")


def languages(count: int) -> list[str]:
    """Codes of languages that name nearly all pictures, English and Swahili first."""
    corpus = load_corpus("emoji")
    packs = [
        load_language(code) for code in ("en", "sw", *(code for code in known_languages() if code not in ("en", "sw")))
    ]
    having = set(corpus.reader.languages(corpus.folder))
    full = (
        p.code
        for p in packs
        if corpus.locale(p) in having and len(corpus.reader.captions(corpus.folder, corpus.locale(p))) > 1900
    )
    return list(islice(full, count))


def texts(settings: dict[str, Any], codes: list[str]) -> list[dict[str, list[str]]]:
    """Captions of every row: in turn from 1,000 real ones, or its own names."""
    rows = settings["rows"] + 2 * JUDGED
    if not settings.get("distinct"):
        found = {code: cycle(captions(WORDS // len(codes), [code])) for code in codes}
        return [{code: [next(own)] for code, own in found.items()} for _ in range(rows)]
    corpus = load_corpus("emoji")
    named = {code: corpus.reader.captions(corpus.folder, corpus.locale(load_language(code))) for code in codes}
    shared = [concept for concept in named[codes[0]] if all(concept in own for own in named.values())]
    return [{code: [own[concept][0]] for code, own in named.items()} for concept in shared[:rows]]


def corpus_of(settings: dict[str, Any], codes: list[str]) -> Path:
    """A corpus as a person would write it: captions.jsonl beside pictures; a picture's further rows are links to the same file."""
    folder = Path(mkdtemp(dir=settings["work"], prefix="corpus-"))
    rows = texts(settings, codes)
    for number, picture in enumerate(pictures(min(IMAGES, len(rows)), "noto")):
        picture.open().save(folder / f"{number}.png")
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
    """Times of one whole run with a cache of its own."""
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
    """Rounds of whole runs."""
    codes = languages(settings["languages"])
    corpus = corpus_of(settings, codes)
    PolyCLIP(RECIPE)  # from here on the weights are converted, in the folder that every run's cache leads to
    turn(items=settings["rows"] * len(codes))
    while True:
        turn(**align_once(settings, corpus, codes))


def length(settings: dict[str, Any], turn: Turn) -> None:
    """Encoding of captions of so many tokens each, and the operations that they need at least."""
    side = PolyCLIP(RECIPE).text
    encoder: Any = side.tower.build()
    found = joined(encoder, settings["at"], max(1, settings["tokens"] // settings["at"]))
    side.pooled(found[:1], "captions", keep=False)  # builds the tower
    turn(items=len(found), flops=least(encoder, found))
    while True:
        started = time.monotonic()
        side.pooled(found, "captions", keep=False)
        seconds = time.monotonic() - started
        turn(seconds=seconds, encode=seconds)


@torch.inference_mode()
def least(encoder: Any, texts: list[str]) -> int:
    """Operations without any padding: texts of one length at a time."""
    lengths = dict(zip(texts, encoder.costs(texts), strict=True))
    with counter() as counted:
        for _, group in groupby(sorted(texts, key=lengths.__getitem__), key=lengths.__getitem__):
            encoder(**encoder.prepare(list(group)))
    return counted.get_total_flops()


def joined(encoder: Any, tokens: int, count: int) -> list[str]:
    """Real captions one after the other until each text has `tokens` tokens, with prefix and ends, or the few that its last caption exceeds them by."""
    words, found = cycle(captions(WORDS)), []
    for _ in range(count):
        text = next(words)
        while encoder.costs([text])[0] < tokens:
            text = f"{text}, {next(words)}"
        found.append(text)
    return found
