"""Zero-shot classification with models whose figures can be worked out by hand, in the official layouts."""

import csv
import json
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console
from scipy.io import savemat

from polyclip.data.corpus import load_corpus
from polyclip.errors import DataError, PolyclipError, UnknownName, WeightsError
from polyclip.evaluation.benchmarks import _imagenet, babel_imagenet, imagefolder, imagenet
from polyclip.evaluation.metrics import Bootstrap
from polyclip.evaluation.results import Score
from polyclip.evaluation.retrieval import BenchmarkReport, Request
from polyclip.evaluation.zeroshot import TIE, average_embeddings, rank_classes, resample_counts, summarize_ranks
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import Language
from polyclip.models.aligner import PolyCLIP
from polyclip.models.config import ModelConfig
from polyclip.pipeline import evaluate
from polyclip.report.classification import build_tables
from tests.command import polyclip
from tests.toy import COLOURS, write_corpus

CORPUS = load_corpus("emoji")
CLDR = {
    code: {row.concept: row.captions[0] for row in CORPUS.reader.read(CORPUS.folder, code, "train")}
    for code in ("en", "sw", "te")
}
SYNSETS = {name.lower(): synset for synset, names in _imagenet.load_lemmas().items() for name in names}
# Concepts of the corpus that are classes of ImageNet: their image, and what people call them.
PICTURED = {
    SYNSETS[name]: concept
    for concept, name in CLDR["en"].items()
    if name in SYNSETS and concept in CLDR["sw"] and concept in CLDR["te"]
}
CLASSES = sorted(PICTURED)[:8]
COPIES = 3


def named(code: str) -> list[str]:
    return [CLDR[code][PICTURED[synset]] for synset in CLASSES]


SW, EN, TE = (resolve_language(code) for code in ("sw", "en", "te"))
KNOWN = {CLDR[code][PICTURED[synset]]: row for code in ("en", "sw", "te") for row, synset in enumerate(CLASSES)}


def class_in(text: str) -> int:
    """The class whose name is in the text: the longest, since a name may be part of another."""
    return KNOWN[max((name for name in KNOWN if name in text), key=len)]


class Side:
    """Knows each image's class by its folder or label and each text's by the name in it.

    `change` spoils what it says.
    """

    def __init__(self, of: Callable[[Any], int], change: Callable[[torch.Tensor, list[int]], torch.Tensor]) -> None:
        self.of, self.change = of, change

    def embed(self, items: Any, what: str, *, keep: bool) -> torch.Tensor:
        classes = [self.of(item) for item in items]
        return self.change(torch.eye(len(CLASSES))[classes], classes)


def same(vectors: torch.Tensor, classes: list[int]) -> torch.Tensor:
    return vectors


def model(picture_class: Callable[[Any], int], text: Any = same, picture: Any = same) -> PolyCLIP:
    aligner = PolyCLIP.__new__(PolyCLIP)
    torch.nn.Module.__init__(aligner)
    aligner.config = ModelConfig()
    aligner.text = Side(class_in, text)  # type: ignore[assignment]
    aligner.vision = Side(picture_class, picture)  # type: ignore[assignment]
    return aligner


def by_folder(picture: Any) -> int:
    return CLASSES.index(Path(picture.name).parent.name)


def draw(folder: Path, name: Callable[[int, int], str]) -> None:
    """Each class's emoji in three styles."""
    for number, style in enumerate(("noto", "fluent", "fluent-flat")):
        drawn = CORPUS.reader.pictures(CORPUS.folder, style)
        for row, synset in enumerate(CLASSES):
            path = folder / name(row, number)
            path.parent.mkdir(parents=True, exist_ok=True)
            drawn[PICTURED[synset]].open().save(path, "PNG")


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ImageFolder: a folder a class, names in three languages.

    Telugu leaves the last two out, Swahili has two names for the first.
    """
    folder = tmp_path_factory.mktemp("folder")
    draw(folder, lambda row, number: f"{CLASSES[row]}/{number}.png")
    rows = [["class", "Swahili", "en", "TE"]]
    for row, synset in enumerate(CLASSES):
        swahili = named("sw")[row] + (f" | {named('sw')[row]} kubwa" if row == 0 else "")
        rows.append([synset, swahili, named("en")[row], named("te")[row] if row < 6 else ""])
    (folder / "classnames.tsv").write_text("\n".join("\t".join(cells) for cells in rows) + "\n", "utf-8")
    return folder


@pytest.fixture(scope="module")
def babel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Babel-ImageNet's own files, with labels that people gave, beside a validation folder of ImageNet."""
    folder = tmp_path_factory.mktemp("babel")
    draw(folder / "val", lambda row, number: f"{CLASSES[row]}/ILSVRC2012_val_{COPIES * row + number + 1:08d}.JPEG")
    number = [_imagenet.list_synsets().index(synset) for synset in CLASSES]
    labels = {"SW": [number, named("sw")], "TE": [number[:4], named("te")[:4]], "LA": [number[:3], named("en")[:3]]}
    (folder / "babel_imagenet.json").write_text(json.dumps(labels, ensure_ascii=False), "utf-8")
    prompts = {"SW": ["picha mbaya ya  {} .", "picha ya wengi  {} ."], "TE": ["{} ఫోటో", "ఒక {}"]}
    (folder / "nllb_dist13b_prompts.json").write_text(json.dumps(prompts, ensure_ascii=False), "utf-8")
    return folder


def figures(report: BenchmarkReport, language: str = "sw", protocol: str = "") -> dict[str, Score]:
    return {
        s.metric: s
        for s in report.scores
        if s.language == language and s.protocol == (protocol or report.scores[0].protocol)
    }


def folder_figures(pictures: Path, aligner: PolyCLIP, language: Language = SW) -> dict[str, Score]:
    return figures(imagefolder.score(aligner, Request(data=pictures, languages=[language])), language.code)


def test_there_are_classes_to_test_with() -> None:
    assert len(CLASSES) == 8 and len(KNOWN) > 20


def test_a_perfect_model(pictures: Path) -> None:
    report = imagefolder.score(model(by_folder), Request(data=pictures, trained=frozenset({"sw"})))
    for code, classes in (("sw", 8), ("en", 8), ("te", 6)):
        found = figures(report, code)
        assert [found[m].value for m in ("acc1", "acc5", "mean_per_class_recall", "acc1_corrected")] == [1.0] * 4
        assert [found[m].chance for m in ("acc1", "acc5", "acc1_corrected")] == [1 / classes, 5 / classes, 0.0]
        assert (found["acc1"].gallery, found["acc1"].queries, found["acc1"].seen) == (
            classes,
            classes * COPIES,
            code == "sw",
        )
        assert (found["acc1"].direction, found["acc1"].split) == ("classification", "all")
    assert any("te 6" in note for note in report.notes)


def test_a_constant_model_is_at_the_bottom(pictures: Path) -> None:
    """Rounding must not save it: names of one class are averaged over more texts than those of the others."""
    odd = torch.randn(384, generator=torch.Generator().manual_seed(3))

    def constant(vectors: torch.Tensor, classes: list[int]) -> torch.Tensor:
        return odd.expand(len(vectors), -1).clone()

    found = folder_figures(pictures, model(by_folder, constant, constant))
    assert [found[m].value for m in ("acc1", "acc5", "mean_per_class_recall")] == [0.0, 0.0, 0.0]
    assert found["acc1_corrected"].value == pytest.approx(-1 / 7)
    nothing = folder_figures(pictures, model(by_folder, lambda vectors, classes: 0 * vectors))
    assert nothing["acc5"].value == 0.0


def test_a_permuted_model_is_wrong_and_one_off_by_pairs_half_right(pictures: Path) -> None:
    def turned(vectors: torch.Tensor, classes: list[int]) -> torch.Tensor:
        return torch.eye(8)[[(row + 1) % 8 for row in classes]]

    def half(vectors: torch.Tensor, classes: list[int]) -> torch.Tensor:
        return torch.eye(8)[[row if row < 4 else 4 + (row - 3) % 4 for row in classes]]

    assert folder_figures(pictures, model(by_folder, picture=turned))["acc1"].value == 0.0
    found = folder_figures(pictures, model(by_folder, picture=half))
    assert found["acc1"].value == found["mean_per_class_recall"].value == 0.5
    assert found["acc1_corrected"].value == pytest.approx((0.5 - 1 / 8) / (1 - 1 / 8))
    assert found["acc1"].low < 0.5 < found["acc1"].high


def test_lengths_of_vectors_change_nothing(pictures: Path) -> None:
    def noisy(vectors: torch.Tensor, classes: list[int]) -> torch.Tensor:
        return torch.nn.functional.normalize(
            vectors + torch.randn(vectors.shape, generator=torch.Generator().manual_seed(len(classes))), dim=1
        )

    def long(vectors: torch.Tensor, classes: list[int]) -> torch.Tensor:
        return noisy(vectors, classes) * torch.logspace(-6, 6, len(classes))[:, None]

    plain, scaled = (folder_figures(pictures, model(by_folder, change, change)) for change in (noisy, long))
    assert 0 < plain["acc1"].value < 1
    assert {m: s.value for m, s in plain.items()} == {m: s.value for m, s in scaled.items()}


@pytest.mark.parametrize("side", ["text", "picture"])
def test_values_that_are_not_finite_are_an_error(pictures: Path, side: str) -> None:
    def broken(vectors: torch.Tensor, classes: list[int]) -> torch.Tensor:
        vectors[2, 0] = torch.nan
        return vectors

    with pytest.raises(WeightsError, match=r"1 of \d+ (images|class names) values that are not finite"):
        folder_figures(pictures, model(by_folder, **{side: broken}))


def test_a_model_that_guesses_is_at_chance() -> None:
    generator = torch.Generator().manual_seed(1)
    label = torch.arange(50).repeat(100)
    vectors = [torch.nn.functional.normalize(torch.randn(n, 40, generator=generator), dim=1) for n in (5000, 50)]
    facts = {"benchmark": "b", "protocol": "p", "split": "s", "language": "sw", "seen": False}
    found = {
        s.metric: s
        for s in summarize_ranks(rank_classes(*vectors, label), label, [str(n) for n in range(5000)], 50, facts)
    }
    for metric, chance in (("acc1", 0.02), ("acc5", 0.1), ("mean_per_class_recall", 0.02), ("acc1_corrected", 0.0)):
        assert found[metric].value == pytest.approx(chance, abs=0.01) and found[metric].chance == chance
        assert found[metric].low < chance < found[metric].high


def test_ranks_are_those_of_the_slow_definition_and_near_ties_count_against() -> None:
    picture, classes = (torch.nn.functional.normalize(torch.randn(n, 8), dim=1) for n in (5000, 30))
    label = torch.randint(30, (5000,))
    cosine = picture @ classes.T
    slow = [
        sum(row[other] >= row[own] - TIE for other in range(30) if other != own)
        for row, own in zip(cosine.tolist(), label.tolist(), strict=True)
    ]
    assert rank_classes(picture, classes, label).tolist() == slow
    twin = torch.cat([classes, classes[:1] * (1 + 2e-8)])
    assert (
        rank_classes(classes[:1], twin, torch.tensor([0])).tolist()
        == rank_classes(classes[:1], twin, torch.tensor([30])).tolist()
        == [1]
    )


def test_an_ensemble_is_the_mean_of_unit_vectors_made_a_unit_vector() -> None:
    vectors = torch.nn.functional.normalize(torch.randn(6, 5), dim=1)
    mean = torch.stack([vectors[:2].mean(0), vectors[2:].mean(0)])
    torch.testing.assert_close(
        average_embeddings(vectors, torch.tensor([0, 0, 1, 1, 1, 1]), 2), mean / mean.norm(dim=1, keepdim=True)
    )


def test_intervals_are_those_of_redrawing_pictures_whole() -> None:
    """Beside the bootstrap that redraws images one by one; an image in two classes moves both together."""
    label = torch.randint(4, (400,), generator=torch.Generator().manual_seed(5))
    rank = torch.randint(3, (400,), generator=torch.Generator().manual_seed(6))
    facts = {"benchmark": "b", "protocol": "p", "split": "s", "language": "sw", "seen": False}
    for clusters in ([str(n) for n in range(400)], [str(n // 4) for n in range(400)]):
        found = summarize_ranks(rank, label, clusters, 4, facts)[0]
        low, high = Bootstrap(clusters).mean((rank == 0).double().numpy()[:, None])
        assert (found.low, found.high) == (pytest.approx(low[0], abs=0.01), pytest.approx(high[0], abs=0.01))
    twice = resample_counts(torch.tensor([0, 0, 5]), torch.tensor([0, 1, 2]), ["one", "one", "other"], 3)
    assert (twice[:, 0] == twice[:, 3]).all() and (twice[:, 0] + twice[:, 8] == 2).all()
    assert [s.metric for s in summarize_ranks(rank, label, clusters, 4, facts)] == [
        "acc1",
        "mean_per_class_recall",
        "acc1_corrected",
    ]


def test_classes_of_one_name_are_said_and_count_as_wrong(pictures: Path, tmp_path: Path) -> None:
    table = {synset: {"sw": named("sw")[0 if row < 2 else row]} for row, synset in enumerate(CLASSES)}
    write_names(pictures, tmp_path, "classnames.json", json.dumps(table))
    report = imagefolder.score(model(by_folder), Request(data=tmp_path))
    assert figures(report)["acc1"].value == 0.75 and any("sw 2" in note for note in report.notes)


def write_names(pictures: Path, folder: Path, name: str, text: str) -> None:
    """The same images with other class names."""
    for synset in CLASSES:
        (folder / synset).symlink_to(pictures / synset)
    (folder / name).write_text(text, "utf-8")


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("classnames.txt", "", "neither classnames.tsv and classnames.json"),
        ("classnames.tsv", "name\tsw\nx\ty\n", "expected a header"),
        ("classnames.tsv", "class\tsw\tswh\nx\ty\tz\n", "two columns"),
        ("classnames.tsv", "class\tswahilli\nx\ty\n", "Did you mean"),
        ("classnames.tsv", "class\tsw\nx\ty\nx\tz\n", "classnames.tsv:3: class 'x'"),
        ("classnames.tsv", "class\tsw\nx\ty\tz\n", "at most 1 names"),
        ("classnames.tsv", "class\tsw\nx\t\n", "names no class"),
        ("classnames.json", '{"x": {"sw": [""]}}', "none empty"),
        ("classnames.json", '{"x": "y"}', "expected"),
        ("classnames.json", "{", "not JSON"),
        ("classnames.json", '{"x": {"sw": ["y"]}}', "no language names it"),
    ],
)
def test_bad_class_names(pictures: Path, tmp_path: Path, name: str, text: str, words: str) -> None:
    write_names(pictures, tmp_path, name, text)
    with pytest.raises(PolyclipError) as caught:
        imagefolder.score(model(by_folder), Request(data=tmp_path, languages=[SW] if "swahilli" not in text else []))
    assert words in str(caught.value) and "\n" not in str(caught.value)


def test_folders_and_splits(pictures: Path, tmp_path: Path) -> None:
    (tmp_path / "val").mkdir()
    write_names(pictures, tmp_path / "val", "unused", "")
    names = (pictures / "classnames.tsv").read_text("utf-8")
    (tmp_path / "classnames.tsv").write_text(f"{names}../{pictures.name}\tnje\n", "utf-8")
    with pytest.raises(DataError, match="no folder 'test'; it has val"):
        imagefolder.score(model(by_folder), Request(data=tmp_path))
    with pytest.raises(DataError, match="no images in a folder"):  # a class is no way out of the folder
        imagefolder.score(model(by_folder), Request(data=tmp_path, split="validation"))
    (tmp_path / "classnames.tsv").write_text(f"{names}missing\tkitu\n", "utf-8")
    KNOWN["kitu"] = 7
    report = imagefolder.score(
        model(by_folder), Request(data=tmp_path, split="validation", languages=[EN, SW], partial=True)
    )
    KNOWN.pop("kitu")
    assert figures(report)["acc1"].gallery == 9 and figures(report)["acc1"].split == "validation"
    assert any("PARTIAL: no images of missing" in note for note in report.notes)


def test_babel_imagenet(babel: Path) -> None:
    aligner = model(by_folder)
    with pytest.raises(DataError, match="3 images of class .* validation set 50"):
        babel_imagenet.score(aligner, Request(data=babel))
    report = babel_imagenet.score(aligner, Request(data=babel, partial=True, trained=frozenset({"sw"})))
    shown = {(s.language, s.protocol, s.gallery, s.queries) for s in report.scores}
    assert shown == {
        ("sw", "babel-prompts", 8, 24), ("sw", "pack-prompts", 8, 24),
        ("te", "babel-prompts", 4, 12), ("te", "pack-prompts", 4, 12),
        ("la", "babel-prompts", 3, 9),
    }  # fmt: skip
    assert {s.value for s in report.scores} == {1.0}
    assert any("label alone: LA" in note for note in report.notes) and any(
        note.startswith("PARTIAL") for note in report.notes
    )
    assert any("efficientnet-lite2 was trained on ImageNet" in note for note in report.notes)
    assert {
        s.language for s in babel_imagenet.score(aligner, Request(data=babel, partial=True, languages=[TE])).scores
    } == {"te"}
    with pytest.raises(DataError, match="no labels in Yoruba"):
        babel_imagenet.score(aligner, Request(data=babel, partial=True, languages=[resolve_language("yo")]))


def test_prompts_reach_the_text_side_as_they_are_written(babel: Path) -> None:
    seen: list[str] = []
    aligner = model(by_folder)
    aligner.text = Side(lambda text: (seen.append(text), class_in(text))[1], same)  # type: ignore[assignment]
    babel_imagenet.score(aligner, Request(data=babel, partial=True, languages=[SW]))
    first = named("sw")[0]
    assert seen[:2] == [f"picha mbaya ya {first} .", f"picha ya wengi {first} ."] and first in seen and len(seen) == 24


@pytest.mark.parametrize(
    ("file", "text", "words"),
    [
        ("babel_imagenet.json", '{"SW": [[1, 1000], ["a", "b"]]}', "class numbers from 0 to 999"),
        ("babel_imagenet.json", '{"SW": [[1, 2], ["a"]]}', "as many labels"),
        ("babel_imagenet.json", '{"SW": [[1, 2], ["a", " "]]}', "an empty label"),
        ("babel_imagenet.json", "[]", "expected a JSON object"),
        ("nllb_dist13b_prompts.json", '{"SW": ["picha"]}', "prompts with one {}"),
    ],
)
def test_babel_files_that_are_not_the_official_ones(
    babel: Path, tmp_path: Path, file: str, text: str, words: str
) -> None:
    for path in babel.iterdir():
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / file).unlink()
    (tmp_path / file).write_text(text, "utf-8")
    with pytest.raises(DataError) as caught:
        babel_imagenet.score(model(by_folder), Request(data=tmp_path, partial=True))
    assert words in str(caught.value)


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """ImageNet's validation set as distributed: 24 of its 50,000 files, and the labels."""
    folder = tmp_path_factory.mktemp("flat")
    draw(
        folder / "ILSVRC2012_img_val", lambda row, number: f"ILSVRC2012_val_{len(CLASSES) * number + row + 1:08d}.JPEG"
    )
    return folder


def label_files(folder: Path, kind: str) -> None:
    """Labels of the 24 images as the development kit, Kaggle or Caffe write them."""
    classes = CLASSES * COPIES
    stems = [f"ILSVRC2012_val_{number:08d}" for number in range(1, len(classes) + 1)]
    if kind == "devkit":
        ids = {
            synset: 1000 - row for row, synset in enumerate(_imagenet.list_synsets())
        }  # an order of its own, as in the real kit
        dtype = [("ILSVRC2012_ID", "O"), ("WNID", "O"), ("words", "O")]
        rows = [(number, synset, "") for synset, number in ids.items()] + [(1001, "n00001740", "entity")]
        data = folder / "ILSVRC2012_devkit_t12" / "data"
        data.mkdir(parents=True)
        savemat(data / "meta.mat", {"synsets": np.array(rows, dtype=dtype)[:, None]})
        (data / "ILSVRC2012_validation_ground_truth.txt").write_text("".join(f"{ids[synset]}\n" for synset in classes))
    elif kind == "kaggle":
        with (folder / "LOC_val_solution.csv").open("w", newline="") as lines:
            csv.writer(lines).writerows(
                [["ImageId", "PredictionString"], *([s, f"{c} 1 2 3 4 "] for s, c in zip(stems, classes, strict=True))]
            )
    else:
        (folder / "val.txt").write_text(
            "".join(f"{s}.JPEG {_imagenet.list_synsets().index(c)}\n" for s, c in zip(stems, classes, strict=True))
        )


@pytest.mark.parametrize("kind", ["devkit", "kaggle", "caffe"])
def test_imagenet_as_distributed(flat: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "ILSVRC2012_img_val").symlink_to(flat / "ILSVRC2012_img_val")
    (tmp_path / "classnames.tsv").write_text(
        "class\tsw\n" + "".join(f"{c}\t{n}\n" for c, n in zip(CLASSES, named("sw"), strict=True)), "utf-8"
    )
    aligner = model(lambda picture: (int(Path(picture.name).stem.split("_")[-1]) - 1) % len(CLASSES))
    with pytest.raises(DataError, match="nothing that says which image shows what"):
        imagenet.score(aligner, Request(data=tmp_path, partial=True))
    label_files(tmp_path, kind)
    found = figures(imagenet.score(aligner, Request(data=tmp_path, partial=True)))
    assert (found["acc1"].value, found["acc1"].queries, found["acc1"].gallery) == (1.0, 24, 8)
    if kind == "devkit":
        (tmp_path / "ILSVRC2012_devkit_t12" / "data" / "meta.mat").unlink()
        with pytest.raises(DataError, match=r"meta\.mat of the same development kit"):
            imagenet.score(aligner, Request(data=tmp_path, partial=True))


def test_imagenet_with_clip_benchmarks_names_and_with_lemmas(babel: Path, tmp_path: Path) -> None:
    (tmp_path / "val").symlink_to(babel / "val")

    def numbered(text: str) -> int:
        return (
            next((row for row, name in enumerate(named("en")) if text in (name, f"a photo of a {name}.")), 7)
            if text != "x"
            else 7
        )

    aligner = model(by_folder)
    aligner.text = Side(numbered, same)  # type: ignore[assignment]
    report = imagenet.score(aligner, Request(data=tmp_path, partial=True))
    assert {(s.protocol, s.gallery, s.queries) for s in report.scores} == {("wordnet-lemmas", 1000, 24)}
    assert any("WordNet's lemmas" in note for note in report.notes) and any(
        "992 classes have no image" in note for note in report.notes
    )
    with pytest.raises(DataError, match="in no language"):
        imagenet.score(aligner, Request(data=tmp_path, partial=True, languages=[SW]))
    (tmp_path / "cn_classnames.json").write_text(json.dumps({"imagenet1k": ["x"] * 999}))
    with pytest.raises(DataError, match="1000 texts"):
        imagenet.score(aligner, Request(data=tmp_path, partial=True))
    (tmp_path / "cn_classnames.json").write_text(json.dumps({"imagenet1k": [f"x{n}" for n in range(1000)]}))
    (tmp_path / "cn_zeroshot_classification_templates.json").write_text(json.dumps({"imagenet1k": ["{c}!", "({c})"]}))
    found = imagenet.score(aligner, Request(data=tmp_path, partial=True)).scores
    assert {(s.language, s.protocol, s.value) for s in found if s.metric == "acc5"} == {
        ("zh", "clip-benchmark", 0.0)
    }  # all names say the same


def test_the_table_fits_80_columns(pictures: Path) -> None:
    report = imagefolder.score(model(by_folder), Request(data=pictures, trained=frozenset({"sw", "en"})))
    text = StringIO()
    for table in build_tables(report.scores):
        Console(file=text, width=80).print(table)
    lines = text.getvalue().splitlines()
    assert "…" not in text.getvalue() and max(map(len, lines)) <= 80
    for language in ("sw Swahili", "en English", "te Telugu"):
        assert any(line.startswith(f" {language}") and line.count("100.0 [100, 100]") == 2 for line in lines)
    assert sum("trained" in line or "unseen" in line for line in lines) == 2
    assert build_tables([]) == []


@pytest.mark.parametrize("module", [imagefolder, imagenet, babel_imagenet])
def test_without_data_it_says_what_is_missing(module: Any) -> None:
    with pytest.raises(DataError, match="requires --data DIR"):
        module.score(model(by_folder), Request())


def test_end_to_end_with_real_encoders(tmp_path: Path) -> None:
    """A run on coloured squares tells their colours by the words it was trained on, in both languages."""
    corpus = write_corpus(tmp_path / "corpus")
    run = tmp_path / "run"
    given = ["--method", "ridge", "--vision-tower", "efficientnet-lite0", "--out", run]
    said = polyclip("align", "--lang", "sw", "--corpus", corpus, *given)
    assert said.code == 0, said
    data = tmp_path / "squares"
    for colour in COLOURS:
        (data / colour).mkdir(parents=True)
        for path in corpus.parent.glob(f"{colour}-*.png"):
            (data / colour / path.name).write_bytes(path.read_bytes())
    table = {colour: {"sw": rangi, "en": colour} for colour, rangi in COLOURS.items()}
    (data / "classnames.json").write_text(json.dumps(table), "utf-8")
    result = evaluate("imagefolder", run, Request(data=data))
    for language in ("sw", "en"):
        found = figures(BenchmarkReport(result.scores, {}, []), language)
        assert found["acc1"].value > 0.5 and found["acc1_corrected"].low > 0.15 and found["acc1"].seen, found["acc1"]
    with pytest.raises(UnknownName, match="imagefolder"):
        evaluate("image-folder", run, Request(data=data))
    said = polyclip("eval", "imagefolder", "--model", run, "--data", data)
    assert said.code == 0 and "zero-shot classification" in said.out and "recall@" not in said.out, said
