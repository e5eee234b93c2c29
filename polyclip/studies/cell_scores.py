"""What a trained cell of a study is asked on test data: names among drawings, sentences among photographs."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch

from polyclip.data.corpus import Corpus
from polyclip.evaluation.benchmarks import tuxpaint_stamps
from polyclip.evaluation.captioned import CaptionedDataset, drop_blank_captions, encode_captions
from polyclip.evaluation.forgetting import compute_retention
from polyclip.evaluation.held_out import choose_styles, encode_names, read_named_rows
from polyclip.evaluation.metrics import compute_ranks
from polyclip.evaluation.retrieval import Request
from polyclip.languages.schema import load_language
from polyclip.models.aligner import PolyCLIP
from polyclip.studies.known_names import PIVOT, find_known_names

NAMES, PHOTOGRAPHS = "ranks", "photographs"  # keys of a cell's record


def rank_names(aligner: PolyCLIP, corpus: Corpus, trained: Sequence[str], codes: Sequence[str]) -> dict[str, Any]:
    """Rank the test images for every test name, by language, and measure retention.

    Args:
        aligner: The model.
        corpus: Where names and images are from.
        trained: Codes of the trained languages.
        codes: Codes of all languages that are scored.

    Returns:
        Concept groups, ranks by language (-1 where a language does not name a concept), which names of trained
        languages the text encoder knew, and retention.

    """
    request = Request(languages=[load_language(code) for code in codes])
    rows, _ = read_named_rows(corpus, request)
    concepts, groups, vectors = choose_gallery(aligner, corpus, request.split)
    place = {concept: number for number, concept in enumerate(concepts)}
    places = {code: [place[row.concept] for row in named] for code, named in rows.items()}
    features = encode_names(aligner, rows)
    found = {
        code: rank_each(aligner.text.unit(pooled), vectors, places[code], len(concepts))
        for code, pooled in features.items()
    }
    kept = compute_retention(aligner, corpus, rows, frozenset(trained), request.split)
    learnt = {code: features[code] for code in trained}
    known = find_known_names(learnt, places, len(concepts)) if PIVOT in learnt else {}
    return {"groups": groups, NAMES: found, "known": known, "knowledge": [asdict(line) for line in kept]}


def rank_each(queries: torch.Tensor, vectors: torch.Tensor, places: Sequence[int], count: int) -> list[int]:
    """Rank all images for each query.

    Args:
        queries: Embeddings [query, dim].
        vectors: Embeddings of the images [image, dim].
        places: The image that each query asks for, each at most once.
        count: Number of images.

    Returns:
        For each image the rank at which its query finds it, from 0; -1 where none asks for it.

    """
    ranks = compute_ranks(queries, vectors, torch.tensor(places), torch.arange(count)).tolist()
    rank = dict(zip(places, ranks, strict=True))
    return [rank.get(number, -1) for number in range(count)]


def choose_gallery(aligner: PolyCLIP, corpus: Corpus, split: str) -> tuple[list[str], list[str], torch.Tensor]:
    """Return one image of every concept, in a style chosen by hash (the headline protocol): concepts, groups,
    embeddings.
    """
    concepts = corpus.reader.split_concepts(corpus.folder, split)
    drawn = {style: corpus.reader.pictures(corpus.folder, style) for style in corpus.reader.styles(corpus.folder)}
    styles = choose_styles(
        {style: [concept for concept in concepts if concept in found] for style, found in drawn.items()}
    )
    images = [drawn[style][concept] for concept, style in styles.items()]
    return (
        list(styles),
        [concepts[concept].group for concept in styles],
        aligner.vision.embed(images, f"{split} images (mixed styles)", keep=True),
    )


def rank_photographs(aligner: PolyCLIP, folder: Path, codes: Sequence[str]) -> dict[str, Any]:
    """Rank the photographs of Tux Paint's stamps, test split, for every sentence.

    Args:
        aligner: The model.
        folder: Where Debian's package tuxpaint-stamps-default is unpacked.
        codes: Codes of the languages that are scored, where the stamps have sentences in them.

    Returns:
        `groups`, each photograph its own, and `ranks` by language, -1 where it has no sentence.

    Raises:
        DataError: The folder has no stamps.

    """
    table = read_photographs(folder)
    asked = {code: table.captions[code] for code in codes if code in table.captions}
    place = {key: number for number, key in enumerate(table.images)}
    vectors = aligner.vision.embed(list(table.images.values()), "test photographs", keep=True)
    ranks = {
        code: rank_each(own, vectors, [place[key] for key, _ in asked[code]], len(place))
        for embeddings in encode_captions(aligner, replace(table, captions=asked))
        for code, own in embeddings.items()
    }
    return {"groups": list(place), NAMES: ranks}


def read_photographs(folder: Path) -> CaptionedDataset:
    """Read the photographs of Tux Paint's stamps, test split, with their sentences.

    Args:
        folder: Where Debian's package tuxpaint-stamps-default is unpacked.

    Raises:
        DataError: The folder has no stamps.

    """
    request = Request(languages=[], split="test", data=folder)
    stamps = [stamp for stamp in tuxpaint_stamps.read(request) if stamp.kind == tuxpaint_stamps.PHOTOGRAPHS]
    return drop_blank_captions(tuxpaint_stamps.make_dataset(stamps, request))
