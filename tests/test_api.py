"""The public API: what it is called, that it is documented, and that a notebook runs."""

import inspect
import json
import re
import shutil
import subprocess
import sys
from dataclasses import fields, is_dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import polyclip as pc
from polyclip.alignment import read_options
from polyclip.cli._align_options import AlignCommand
from polyclip.models import batches
from polyclip.training.options import AlignOptions
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

PUBLIC = {
    *("AlignResult", "AmbiguousName", "Changes", "Comparison", "Corpus", "DataError", "Hit", "Index", "ModelConfig"),
    *("OptimizerConfig", "PackError", "PolyCLIP", "PolyclipError", "Prediction", "Result", "RunError", "Score"),
    *("UnknownName", "WeightsError", "__version__", "align", "compare", "doctor", "evaluate", "export"),
    *("get_language", "list_benchmarks", "list_languages", "list_methods", "load", "translate"),
}


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("api")
    return {
        "corpus": str(write_corpus(folder / "corpus")),
        "text_encoder": write_text_encoder(folder / "text"),
        "vision_tower": write_vision_tower(folder / "vision"),
        "method": "heads",
        "head_dim": 16,
        "epochs": 2,
    }


@pytest.fixture(scope="module")
def run(options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> pc.AlignResult:
    return pc.align("sw", output_dir=tmp_path_factory.mktemp("runs") / "sw", **options)


def test_the_public_names_are_these() -> None:
    assert set(pc.__all__) == PUBLIC <= set(dir(pc))
    assert all(getattr(pc, name) is not None for name in PUBLIC)
    with pytest.raises(AttributeError, match="nothing_of_ours"):
        pc.nothing_of_ours  # noqa: B018 (the access is what is tested)


def test_importing_polyclip_imports_nothing_heavy() -> None:
    code = "import sys, polyclip; print(*sys.modules)"
    found = set(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split())
    assert "polyclip" in found and not found & {"torch", "numpy", "transformers", "pydantic", "rich", "typer", "PIL"}


def test_lists_need_no_torch() -> None:
    calls = "pc.list_methods(), pc.list_benchmarks(), pc.get_language('sw')"
    code = f"import sys, polyclip as pc; {calls}; print(*sys.modules)"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "polyclip.languages.schema" in found and "torch" not in found


def test_functions_are_not_hidden_by_folders_of_their_name() -> None:
    """Python sets a package's attribute when a folder of that name is imported."""
    code = "import polyclip, polyclip.cli.main; import polyclip.exporters.run; print(callable(polyclip.export))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True"


def documented() -> list[tuple[str, Any]]:
    found = [(name, getattr(pc, name)) for name in sorted(PUBLIC - {"__version__", "load"})]
    methods = [
        (f"{name}.{key}", value)
        for name, kind in found
        if inspect.isclass(kind) and name in ("PolyCLIP", "Corpus", "Index")
        for key, value in vars(kind).items()
        if not key.startswith("_") and (inspect.isfunction(value) or isinstance(value, classmethod))
    ]
    return [(name, value) for name, value in found if inspect.isfunction(value)] + methods


@pytest.mark.parametrize(("name", "function"), documented())
def test_public_functions_explain_every_argument(name: str, function: Any) -> None:
    function = function.__func__ if isinstance(function, classmethod) else function
    text = inspect.getdoc(function) or ""
    assert len(text.split("\n")[0].split()) > 3, name
    given = [key for key in inspect.signature(function).parameters if key not in ("self", "cls")]
    if name.removeprefix("PolyCLIP.") in ("forward", "state", "set_state", "counts", "scale", "save"):
        return  # of nn.Module, or for the training loop
    for key in given:
        assert f"{key}:" in text or f"*{key}" in text, f"{name} does not explain {key}"


@pytest.mark.parametrize("name", sorted(PUBLIC - {"__version__", "list_benchmarks", "list_methods", "list_languages"}))
def test_public_classes_explain_their_fields_and_functions_show_an_example(name: str) -> None:
    thing = getattr(pc, name)
    text = inspect.getdoc(thing) or ""
    if inspect.isfunction(thing):
        assert "\nExample:\n" in text
    elif is_dataclass(thing):
        assert [field.name for field in fields(thing) if f"    {field.name}:" not in text] == []


def test_methods_that_users_call_show_an_example() -> None:
    called = {
        "PolyCLIP": "from_pretrained save_pretrained push_to_hub encode_text encode_image similarity classify",
        "Index": "open build update search confidence",
        "Corpus": "open from_csv from_folder from_datasets from_webdataset",
    }
    where = [f"{kind}.{name}" for kind, names in called.items() for name in names.split()]
    lacking = [one for one in where if "\nExample:\n" not in (inspect.getdoc(attrgetter(one)(pc)) or "")]
    assert lacking == []


def test_python_has_every_option_of_the_command_line() -> None:
    command = {field.name: field.default for field in fields(AlignCommand)}
    options = {field.name: field.default for field in fields(AlignOptions)}
    assert command | {"corpus": "emoji"} == options  # the command line's may be repeated
    assert AlignCommand().plain() == AlignOptions()
    parameters = inspect.signature(pc.align).parameters
    assert {"options", "corpus", "method", "epochs", "batch_size", "learning_rate", "seed"} <= set(parameters)


def test_aligning_returns_a_model_its_scores_and_its_folder(run: pc.AlignResult) -> None:
    assert (run.path / "aligner.safetensors").is_file() and run.model.languages == ("sw", "en")
    assert run.model.dim == len(run.model.encode_text("mraba")) >= 16
    table = run.to_dataframe()
    assert len(table) == len(run.scores) > 0 and {"language", "metric", "value", "low", "high"} <= set(table.columns)
    assert json.loads((run.path / "result.json").read_text("utf-8"))["schema"] == 1


def test_a_library_call_prints_nothing_and_leaves_the_callers_state(
    options: dict[str, Any], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    torch.manual_seed(7)
    state, threads, filters = torch.get_rng_state(), torch.get_num_threads(), len(__import__("warnings").filters)
    lines: list[dict[str, Any]] = []
    pc.align("sw", output_dir=tmp_path / "run", callbacks=[lines.append], **options)
    assert torch.equal(torch.get_rng_state(), state)
    assert (torch.get_num_threads(), len(__import__("warnings").filters)) == (threads, filters)
    assert [line["epoch"] for line in lines] == [0, 1, 2]
    said = capfd.readouterr()
    assert said.out == "" and said.err == ""
    with pytest.raises(pc.RunError):
        pc.align("de", output_dir=tmp_path / "run", **options)
    assert torch.equal(torch.get_rng_state(), state) and torch.get_num_threads() == threads


def test_one_text_or_many_one_image_or_many(run: pc.AlignResult, tmp_path: Path) -> None:
    model = run.model
    one, many = model.encode_text("mraba"), model.encode_text(["mraba", "duara"], language="sw")
    assert one.shape == (model.dim,) and many.shape == (2, model.dim)
    image = Image.fromarray(np.arange(48 * 40 * 3, dtype=np.uint8).reshape(48, 40, 3))
    image.save(tmp_path / "image.png")
    array = np.asarray(image)
    forms = [image, tmp_path / "image.png", str(tmp_path / "image.png"), array, array / 255]
    forms += [torch.from_numpy(array.copy()).permute(2, 0, 1), torch.from_numpy(array.copy()).permute(2, 0, 1) / 255]
    wanted = model.encode_image(image)
    for form in forms:
        torch.testing.assert_close(model.encode_image(form), wanted)
    assert model.encode_image([image, str(tmp_path / "image.png")]).shape == (2, model.dim)
    assert isinstance(model.encode_text(["a"], convert_to_numpy=True), np.ndarray)
    assert model.similarity(many, wanted).shape == (2, 1)
    assert model.preprocess(image).ndim == 3 and "input_ids" in model.tokenizer(["mraba"])


def test_embeddings_have_length_one_unless_asked_otherwise(run: pc.AlignResult) -> None:
    """The toy's head has one member: what it computes has the direction of the embedding and a length of its own."""
    model, names, image = run.model, ["mraba", "duara"], Image.new("RGB", (40, 40), "red")
    for usual, plain in (
        (model.encode_text(names), model.encode_text(names, normalize=False)),
        (model.encode_image([image]), model.encode_image([image], normalize=False)),
    ):
        assert torch.equal(model.encode_text(names, normalize=True), model.encode_text(names))
        assert not torch.allclose(plain.norm(dim=1), torch.ones(len(plain)), atol=0.01)
        torch.testing.assert_close(plain / plain.norm(dim=1, keepdim=True), usual)


@pytest.mark.parametrize("wrong", [0, -1, True])
def test_a_batch_size_is_a_whole_number(run: pc.AlignResult, options: dict[str, Any], wrong: Any) -> None:
    for call in (
        lambda: run.model.encode_text("mraba", batch_size=wrong),
        lambda: run.model.encode_image(Image.new("RGB", (40, 40)), batch_size=wrong),
        lambda: pc.evaluate(run.model, "held-out", corpus=options["corpus"], batch_size=wrong),
    ):
        with pytest.raises(pc.PolyclipError, match=re.escape(f"batch_size={wrong!r}, expected a whole number")):
            call()


def test_evaluate_encodes_no_more_at_once_than_asked(
    run: pc.AlignResult, options: dict[str, Any], own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[int] = []
    planned = batches.plan_batches
    monkeypatch.setattr(
        batches, "plan_batches", lambda *given: (found.append(len(rows)) or rows for rows in planned(*given))
    )
    few = pc.evaluate(run.model, "held-out", corpus=options["corpus"], languages="sw", batch_size=2)
    assert found and max(found) <= 2
    again = pc.evaluate(run.model, "held-out", corpus=options["corpus"], languages="sw")
    assert [score.value for score in few.scores] == [score.value for score in again.scores]


def test_what_is_no_text_is_named(run: pc.AlignResult) -> None:
    encode = inspect.unwrap(pc.PolyCLIP.encode_text)  # as users call it, without the check of types under pytest
    for wrong, said in ((3, "found a int"), (None, "found a NoneType")):
        with pytest.raises(pc.DataError, match=said):
            encode(run.model, wrong)
    with pytest.raises(pc.DataError, match="Embeddings of length 5 and 7 cannot be compared"):
        run.model.similarity(torch.ones(2, 5), torch.ones(7))


def test_a_small_table_without_english_says_how_to_train_it(options: dict[str, Any], tmp_path: Path) -> None:
    """The notebook's first line, with captions in one language: such a table is tested in folds."""
    shutil.copytree(Path(options["corpus"]).parent, tmp_path / "photos")
    (tmp_path / "photos" / "captions.jsonl").unlink()
    names = [path.name for path in sorted((tmp_path / "photos").glob("*.png"))]
    rows = [f"{name},mraba {name.partition('.')[0].replace('-', ' ')}" for name in names]
    table = tmp_path / "photos" / "photos.csv"
    table.write_text("\n".join(["image,sw", *rows]), "utf-8")
    given = options | {"corpus": pc.Corpus.from_csv(table)}
    with pytest.raises(pc.DataError, match=r"no captions in en \(English\); it has sw\. .* english=False"):
        pc.align("sw", output_dir=tmp_path / "run", **given)
    assert pc.align("sw", output_dir=tmp_path / "run", english=False, **given).model.languages == ("sw",)


def test_a_photograph_is_turned_as_its_camera_says(run: pc.AlignResult, tmp_path: Path) -> None:
    upright = Image.new("RGB", (60, 40), "white")
    upright.paste("red", (0, 0, 30, 40))
    exif = Image.Exif()
    exif[0x0112] = 6  # rotate by 90 degrees to the right
    upright.rotate(90, expand=True).save(tmp_path / "turned.png", exif=exif)
    turned = run.model.encode_image(Image.open(tmp_path / "turned.png"))
    torch.testing.assert_close(turned, run.model.encode_image(upright))


@pytest.mark.parametrize(
    ("images", "said"),
    [
        ([3], "Image 0 of 1 is a int"),
        ([np.zeros((5, 5, 7), np.uint8)], "shape"),
        ([np.full((4, 4, 3), 2.0)], "values in"),
        (["nothing.png"], "nothing.png"),
        ([np.zeros((0, 4, 3), np.uint8)], "shape"),
    ],
)
def test_what_is_not_an_image_is_named(run: pc.AlignResult, images: list[Any], said: str) -> None:
    with pytest.raises(pc.DataError, match=said):
        run.model.encode_image(images)


def test_a_truncated_image_is_a_data_error(run: pc.AlignResult, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    Image.fromarray(rng.integers(0, 255, (200, 200, 3), dtype=np.uint8)).save(tmp_path / "cut.jpg")
    data = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(pc.DataError, match="cut.jpg"):
        run.model.encode_image(tmp_path / "cut.jpg")
    with Image.open(tmp_path / "cut.jpg") as image, pytest.raises(pc.DataError, match="cut.jpg"):
        run.model.encode_image(image)


def test_a_model_saved_into_a_folder_is_loaded_from_it(run: pc.AlignResult, tmp_path: Path) -> None:
    run.model.save_pretrained(tmp_path / "copy")
    run.model.save(tmp_path / "other")
    for folder in (tmp_path / "copy", tmp_path / "other"):
        again = pc.load(folder)
        assert torch.equal(again.encode_text("mraba"), run.model.encode_text("mraba"))
        assert again.languages == run.model.languages and (folder / "result.json").is_file()
    (tmp_path / "file").write_text("")
    with pytest.raises(pc.RunError, match="is a file"):
        run.model.save_pretrained(tmp_path / "file")
    with pytest.raises(pc.RunError, match="not a run folder"):
        pc.PolyCLIP.from_pretrained(tmp_path / "none")


def test_damaged_settings_are_said_and_not_passed_over(run: pc.AlignResult, tmp_path: Path) -> None:
    run.model.save_pretrained(tmp_path / "copy")
    (tmp_path / "copy" / "run.toml").write_text("languages = [", "utf-8")
    with pytest.raises(pc.RunError, match="run.toml is damaged"):
        pc.PolyCLIP.from_pretrained(tmp_path / "copy")
    (tmp_path / "copy" / "run.toml").unlink()
    assert pc.PolyCLIP.from_pretrained(tmp_path / "copy").languages == ()


def test_labels_share_one(run: pc.AlignResult) -> None:
    found = run.model.classify(Image.new("RGB", (40, 40), "red"), ["mraba", "duara"], language="sw")
    assert len(found) == 1 and found[0].label in ("mraba", "duara")
    assert sum(found[0].scores.values()) == pytest.approx(1) and found[0].probability == max(found[0].scores.values())
    for labels, templates in ((["one"], None), (["a", "a"], None), (["a", "b"], ["no gap"]), ("ab", None)):
        with pytest.raises(pc.DataError):
            run.model.classify(Image.new("RGB", (40, 40)), labels, templates=templates)


def test_evaluate_and_compare(run: pc.AlignResult, options: dict[str, Any]) -> None:
    found = pc.evaluate(run.model, "held-out", corpus=options["corpus"], languages="sw")
    again = pc.evaluate(run.path, "held-out", corpus=options["corpus"], languages=["sw"])
    assert [score.value for score in found.scores] == [score.value for score in again.scores]
    comparison = pc.compare(found, again)
    assert comparison.mean.difference == 0
    table = comparison.to_dataframe()
    assert list(table["language"]) == ["sw", "mean"] and set(table["difference"]) == {0}
    for shown in (repr(comparison), repr(found), repr(run)):
        assert "\n" not in shown and len(shown) < 300
    assert "+0.000 [+0.000, +0.000], cannot tell" in repr(comparison) and "sw recall@10" in repr(run)
    with pytest.raises(pc.UnknownName, match="benchmark"):
        pc.evaluate(run.model, "nothing")


def test_unknown_options_name_the_nearest() -> None:
    with pytest.raises(pc.UnknownName, match="Did you mean 'head_dim'"):
        pc.align("sw", head_dims=3)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"batch_size": "x"}, "align: batch_size='x', expected a whole number."),
        ({"batch_size": 0.5}, "align: batch_size=0.5, expected a whole number."),
        ({"seed": "x"}, "align: seed='x', expected a whole number."),
        ({"learning_rate": "fast"}, "align: learning_rate='fast', expected a number."),
        ({"english": "perhaps"}, "align: english='perhaps', expected true or false."),
        ({"track": "tensorboard"}, "align: track='tensorboard', expected a list."),
        ({"out": 3}, "align: output_dir=3, expected a path."),
        ({"shots": [1]}, "align: num_shots=[1], expected a whole number."),
    ],
)
def test_a_value_of_another_type_is_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(pc.PolyclipError) as caught:
        read_options(given)
    assert str(caught.value) == said


def test_numbers_of_numpy_and_in_words_are_numbers() -> None:
    assert read_options({"batch_size": np.int64(64), "epochs": "3", "learning_rate": 1}) == {
        "batch_size": 64,
        "epochs": 3,
        "learning_rate": 1.0,
    }


def test_no_option_is_passed_over_in_silence(options: dict[str, Any], tmp_path: Path) -> None:
    """Options of checks and trackers, which the command line has too."""
    out = tmp_path / "run"
    with pytest.raises(pc.UnknownName, match="tracker called 'paper'"):
        pc.align("sw", output_dir=out, track=["paper"], **options)
    with pytest.raises(pc.DataError, match="--max-drop has nothing to check"):
        pc.align("sw", output_dir=out, max_drop=1.0, **options)
    with pytest.raises(pc.PolyclipError, match="--max-bad"):
        pc.align("sw", output_dir=out, max_bad="5%", **options)
    assert not out.exists()


def test_load_takes_what_from_pretrained_takes(run: pc.AlignResult) -> None:
    assert pc.load(run.path, device="cpu", dtype=torch.float32).device == torch.device("cpu")
    with pytest.raises(pc.PolyclipError, match="Unknown device"):
        pc.load(run.path, device="gpu")


def test_a_model_config_and_an_optimizer_config_stand_for_the_options(options: dict[str, Any], tmp_path: Path) -> None:
    own = {key: options[key] for key in ("text_encoder", "vision_tower", "method")}
    rates = {"learning_rate": 1e-3, "tower_learning_rate": 0.0, "weight_decay": 0.0}
    optimizer = pc.OptimizerConfig(epochs=1, batch_size=8, **rates)
    found = pc.align(
        "sw",
        corpus=options["corpus"],
        output_dir=tmp_path / "run",
        model=pc.ModelConfig(**own, dim=8),
        optimizer=optimizer,
    )
    assert found.model.config.dim == 8 and found.result.run["heads"]["batch_size"] == 8


def test_index_a_folder_and_search_it(run: pc.AlignResult, tmp_path: Path) -> None:
    for name in ("red", "green", "blue"):
        Image.new("RGB", (40, 40), name).save(tmp_path / f"{name}.png")
    index = pc.Index.build(tmp_path, run.path)
    hits = index.search("mraba", top_k=2)
    assert len(index) == 3 and len(hits) == 2 and hits[0].similarity >= hits[1].similarity
    assert index.search(tmp_path / "red.png", top_k=1)[0].path.name == "red.png"
    search = inspect.unwrap(pc.Index.search)  # as users call it, without the check of types under pytest
    assert len(search(index, "mraba", top_k=np.int64(2))) == 2
    for wrong in (0, 1.5, "3"):
        with pytest.raises(pc.DataError, match=f"top_k={wrong!r}, expected a whole number, at least 1"):
            search(index, "mraba", top_k=wrong)
    with pytest.raises(pc.DataError, match=r"give Path\("):  # not a search for the letters of its name
        index.search(str(tmp_path / "red.png"))
    Image.new("RGB", (40, 40), "yellow").save(tmp_path / "yellow.png")
    changes = index.update()
    assert changes.added == 1 and len(pc.Index.open(path=tmp_path)) == 4
    assert repr(index).startswith(f"Index(3 images of '{tmp_path}'")


def test_a_table_becomes_a_corpus(tmp_path: Path) -> None:
    for name in ("a", "b"):
        Image.new("RGB", (20, 20), "red").save(tmp_path / f"{name}.png")
    (tmp_path / "photos.csv").write_text(
        "file,caption_sw,English,split\na.png,mbwa,a dog,train\nb.png,paka,,test\n", "utf-8"
    )
    corpus = pc.Corpus.from_csv(tmp_path / "photos.csv", split_column="split")
    assert corpus.languages == ["en", "sw"] and repr(corpus) == f"Corpus('photos', '{corpus.path}')"
    assert list(corpus.reader.split_concepts(corpus.folder, "test")) == ["b.png"]
    again = pc.Corpus.from_csv(
        tmp_path / "photos.csv",
        image_column="file",
        caption_columns={"sw": "caption_sw", "en": ["English"]},
        split_column="split",
    )
    assert again.languages == ["en", "sw"]
    with pytest.raises(pc.UnknownName, match="column"):
        pc.Corpus.from_csv(tmp_path / "photos.csv", image_column="photo")
    with pytest.raises(pc.DataError, match="holds something else"):
        pc.Corpus.from_csv(tmp_path / "photos.csv", caption_columns={"sw": "caption_sw"})


def test_a_folder_becomes_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "beside").mkdir()
    Image.new("RGB", (20, 20), "red").save(tmp_path / "beside" / "dog.png")
    (tmp_path / "beside" / "dog.sw.txt").write_text("mbwa\nmbwa mweusi\n", "utf-8")
    assert pc.Corpus.from_folder(tmp_path / "beside").languages == ["sw"]
    (tmp_path / "named" / "black_dog").mkdir(parents=True)
    Image.new("RGB", (20, 20), "red").save(tmp_path / "named" / "black_dog" / "1.png")
    corpus = pc.Corpus.from_folder(tmp_path / "named", language="en")
    rows = [row for split in ("train", "validation", "test") for row in corpus.reader.read(corpus.folder, "en", split)]
    assert [row.captions for row in rows] == [("black dog",)]
    with pytest.raises(pc.DataError, match="no captions"):
        pc.Corpus.from_folder(tmp_path / "named" / "black_dog")
