"""Example queries of a run: the best and worst of each language, and similarities of words and images."""

import base64
import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from polyclip.data.corpus import Corpus, load_corpus
from polyclip.data.types import ImageSource, Row
from polyclip.evaluation.held_out import MIXED, build_galleries, choose_styles, encode_names, read_named_rows
from polyclip.evaluation.retrieval import Items, Request
from polyclip.languages.schema import Language
from polyclip.models.aligner import load_model

SHOWN = 5  # images found for a query
EACH = 4  # queries, the best and the worst
CELLS = 8  # words and images of the map
THUMBNAIL = 96  # pixels on the longer side


@dataclass(frozen=True, slots=True)
class QueryExample:
    """A query, the rank of its own image (0 is best), and the concepts retrieved first with their cosine similarity."""

    query: str
    concept: str
    rank: int
    own: float
    found: list[tuple[str, float]]


@dataclass(frozen=True, slots=True)
class Grid:
    """Cosine similarities of words and the images that they name, in [-1, 1]; word n names image n."""

    words: list[str]
    concepts: list[str]
    cosines: list[list[float]]


@dataclass(frozen=True)
class RunExamples:
    """Best and worst queries and the similarity grid of each language, and thumbnails of the images they show."""

    gallery: int
    best: dict[str, list[QueryExample]] = field(default_factory=dict)
    worst: dict[str, list[QueryExample]] = field(default_factory=dict)
    grids: dict[str, Grid] = field(default_factory=dict)
    thumbnails: dict[str, str] = field(default_factory=dict)  # concept -> data URI

    def texts(self) -> dict[str, list[str]]:
        """Return every word that is shown, by language."""
        return {
            code: [*(answer.query for answer in self.best[code] + self.worst[code]), *self.grids[code].words]
            for code in self.best
        }


def collect_examples(
    folder: Path, corpus_name: str, languages: Sequence[Language], trained: Sequence[str]
) -> RunExamples:
    """Run a model on its test names; features come from the cache where it has them.

    Args:
        folder: Run folder of the model.
        corpus_name: Corpus of the test images.
        languages: Languages of the queries.
        trained: Codes of the trained languages.

    Returns:
        Queries, grids and thumbnails.

    Raises:
        DataError: The corpus does not name the test images in a language.
        RunError: The folder is not a run folder.

    """
    aligner, corpus = load_model(folder), load_corpus(corpus_name)
    request = Request(languages=list(languages), trained=frozenset(trained), corpus=corpus_name)
    rows = read_named_rows(corpus, request)[0]
    protocol, gallery = next(iter(build_galleries(aligner, corpus, request.split)[0].items()))
    whole = RunExamples(len(gallery.keys))
    for code, pooled in encode_names(aligner, rows).items():
        cosines = aligner.text.unit(pooled).float() @ gallery.embeddings.float().T
        ordered = rank_queries(rows[code], gallery, cosines)
        whole.best[code] = ordered[:EACH]
        whole.worst[code] = ordered[max(EACH, len(ordered) - EACH) :][::-1]  # none twice where there are few
        whole.grids[code] = build_grid(rows[code], gallery, cosines)
    drawn = select_images(corpus, protocol, gallery)
    whole.thumbnails.update({concept: make_thumbnail(drawn[concept]) for concept in sorted(list_concepts(whole))})
    return whole


def rank_queries(rows: Sequence[Row], gallery: Items, cosines: Float[Tensor, "word image"]) -> list[QueryExample]:
    """Rank every query whose image is in the gallery: by rank of its own image, then by cosine.

    Ties count against the model.

    Args:
        rows: Rows of one language.
        gallery: The images.
        cosines: Similarity of each name and image.

    Returns:
        The queries, best first.

    """
    place = {key: column for column, key in enumerate(gallery.keys)}
    found = []
    for row, line in zip(rows, cosines, strict=True):
        if row.concept in place:
            own = line[place[row.concept]]
            top = line.topk(min(SHOWN, len(line)))
            hits = [
                (gallery.keys[int(column)], float(value)) for value, column in zip(top.values, top.indices, strict=True)
            ]
            found.append(QueryExample(row.captions[0], row.concept, int((line >= own).sum()) - 1, float(own), hits))
    return sorted(found, key=lambda answer: (answer.rank, -answer.own))


def build_grid(rows: Sequence[Row], gallery: Items, cosines: Float[Tensor, "word image"]) -> Grid:
    """Build a grid of a few words and their images; concepts are chosen by hash, not by score."""
    place = {key: column for column, key in enumerate(gallery.keys)}
    named = [
        (hashlib.sha256(row.concept.encode()).hexdigest(), number)
        for number, row in enumerate(rows)
        if row.concept in place
    ]
    chosen = [number for _, number in sorted(named)[:CELLS]]
    concepts = [rows[number].concept for number in chosen]
    part = cosines[torch.tensor(chosen)][:, torch.tensor([place[concept] for concept in concepts])]
    return Grid([rows[number].captions[0] for number in chosen], concepts, part.tolist())


def select_images(corpus: Corpus, protocol: str, gallery: Items) -> dict[str, ImageSource]:
    """Select the image of every concept, in the style in which the gallery shows it."""
    styles = {style: corpus.reader.pictures(corpus.folder, style) for style in corpus.reader.styles(corpus.folder)}
    if protocol != MIXED:
        return dict(styles[protocol])
    wanted = set(gallery.keys)
    shown: Mapping[str, str] = choose_styles(
        {style: [concept for concept in drawn if concept in wanted] for style, drawn in styles.items()}
    )
    return {concept: styles[style][concept] for concept, style in shown.items()}


def list_concepts(whole: RunExamples) -> set[str]:
    """List every concept whose image is shown."""
    listed = [answer for found in (*whole.best.values(), *whole.worst.values()) for answer in found]
    found = {answer.concept for answer in listed} | {concept for answer in listed for concept, _ in answer.found}
    return found | {concept for grid in whole.grids.values() for concept in grid.concepts}


def make_thumbnail(source: ImageSource) -> str:
    """Encode a small WebP version of an image as a data URI."""
    image = source.open().convert("RGB")
    image.thumbnail((THUMBNAIL, THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=75)
    return f"data:image/webp;base64,{base64.b64encode(buffer.getvalue()).decode()}"
