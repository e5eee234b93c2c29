"""Aligned teachers: a CLIP or SigLIP of transformers, or a run folder, teach a text head their vectors; pictures stay
as they see them.

The CLIP and SigLIP here are tiny and random: the hub that has real ones is out of reach. So recall says nothing about
their students, and
what is measured is the distance to the teacher.
"""

import dataclasses
import shutil
import tomllib
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from polyclip.core.vectors import normalize
from polyclip.data.corpus import load_corpus
from polyclip.data.images import make_image_source
from polyclip.data.pairs import SamplingConfig
from polyclip.data.training_pairs import make_training_pairs
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, WeightsError
from polyclip.languages.resolve import resolve_language
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.backbone import describe
from polyclip.models.components.heads import HIDDEN, IdentityHead
from polyclip.models.config import ModelConfig
from polyclip.pipeline import align
from polyclip.training import prepare
from polyclip.training.config import AlignConfig, OptimizerConfig
from polyclip.training.distillation import Teacher, TeacherEmbeddings, open_teacher
from polyclip.training.prepare import prepare_run, read_english_names, save_work, train_run
from tests.command import CommandResult, polyclip
from tests.toy import COLOURS, SIZES, write_corpus, write_text_encoder, write_vision_tower

QUICK = OptimizerConfig(epochs=6, batch_size=8, learning_rate=1e-2, tower_learning_rate=1e-3, weight_decay=0.1)
WIDTH, DIM, LIMIT = 32, 24, 16
SMALL = {"hidden_size": WIDTH, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
LONG = " ".join(["red", "small", "green", "square"] * 8)  # 32 words, of which LIMIT tokens are read
CAPTIONS = ["red", "small green square", LONG]
KINDS = ["clip", "siglip"]
STUDENT = 32  # width of the student's text encoder


def write_clip(folder: Path, kind: str) -> str:
    """A tiny CLIP or SigLIP with a word tokenizer and its own image processor."""
    words = sorted({*COLOURS, *SIZES, "square"})
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<s>", "<unk>", "</s>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    begin = "<s> " if kind == "clip" else ""
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{begin}$A </s>", special_tokens=[("<s>", 1), ("</s>", 3)]
    )
    names: dict[str, Any] = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    inputs = ["input_ids", "attention_mask"] if kind == "clip" else ["input_ids"]  # SigLIP looks at its padding
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, model_max_length=64, model_input_names=inputs, **names
    ).save_pretrained(folder)
    text = SMALL | {
        "vocab_size": 64,
        "max_position_embeddings": LIMIT,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 3,
    }
    vision = SMALL | {"image_size": 32, "patch_size": 8}
    torch.manual_seed(4)
    if kind == "clip":
        model = transformers.CLIPModel(
            transformers.CLIPConfig(text_config=text, vision_config=vision, projection_dim=DIM)
        )
        sizes = {"size": {"shortest_edge": 32}, "crop_size": {"height": 32, "width": 32}}
        processor = transformers.CLIPImageProcessor(**sizes, image_mean=[0.1] * 3, image_std=[0.9] * 3)
    else:
        model = transformers.SiglipModel(transformers.SiglipConfig(text_config=text, vision_config=vision))
        processor = transformers.SiglipImageProcessor(
            size={"height": 32, "width": 32}, image_mean=[0.1] * 3, image_std=[0.9] * 3
        )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return f"clip:{folder}"


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("toy")
    found = {kind: write_clip(folder / kind, kind) for kind in KINDS} | {"corpus": str(write_corpus(folder / "corpus"))}
    found |= {"text": write_text_encoder(folder / "text"), "vision": write_vision_tower(folder / "vision")}
    for name, method, tune in (
        ("heads", "heads", "both"),
        ("gated", "head-glu", "both"),
        ("tuned", "lilt-ln", "text"),
        ("changed", "lilt-ln", "both"),
    ):
        recipe = ModelConfig(text_encoder=found["text"], vision_tower=found["vision"], method=method, tune=tune, dim=16)
        align(wanted(found, recipe, folder / name))
        found[name] = str(folder / name)
    align(student(found, "distill", "gated", folder / "pupil"))
    align(student(found, "m2m", "clip", folder / "clip pupil"))
    return found | {"pupil": str(folder / "pupil"), "clip pupil": str(folder / "clip pupil")}


def wanted(toy: dict[str, str], recipe: ModelConfig, out: Path) -> AlignConfig:
    languages = [resolve_language("sw"), resolve_language("en")]
    return AlignConfig(languages=languages, recipe=recipe, out=out, corpus=toy["corpus"], heads=QUICK, towers=QUICK)


def student(toy: dict[str, str], method: str, teacher: str, out: Path) -> AlignConfig:
    recipe = ModelConfig(
        text_encoder=toy["text"], vision_tower=toy["vision"], method=method, dim=16, teacher=toy[teacher]
    )
    run = wanted(toy, recipe, out)
    return dataclasses.replace(run, languages=[resolve_language("en")]) if method == "m2m" else run


def squares(toy: dict[str, str]) -> list[ImageSource]:
    return [make_image_source(path) for path in sorted(Path(toy["corpus"]).parent.glob("*.png"))]


def original(toy: dict[str, str], kind: str) -> Any:
    return transformers.AutoModel.from_pretrained(toy[kind].partition(":")[2]).eval()


def own_vectors(output: Any) -> torch.Tensor:
    return getattr(output, "pooler_output", output)


# --- the two parts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_text_part_is_transformers_own(toy: dict[str, str], kind: str) -> None:
    tokenizer = transformers.AutoTokenizer.from_pretrained(toy[kind].partition(":")[2])
    tower = describe("encoders", toy[kind])
    encoder = tower.build()
    model = original(toy, kind)
    padding = {"padding": "max_length", "max_length": LIMIT} if kind == "siglip" else {"max_length": LIMIT}
    with torch.inference_mode():
        together = encoder(**encoder.prepare(CAPTIONS))
        for caption, vector in zip(CAPTIONS, together, strict=True):
            tokens = tokenizer(caption, truncation=True, return_tensors="pt", **padding)
            torch.testing.assert_close(vector, own_vectors(model.get_text_features(**tokens))[0], atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(encoder(**encoder.prepare([caption]))[0], vector, atol=1e-5, rtol=1e-4)
    assert together.shape == (3, tower.dim) == (3, DIM if kind == "clip" else WIDTH)
    assert encoder.costs(CAPTIONS) == ([3, 5, LIMIT] if kind == "clip" else [LIMIT] * 3)
    assert not encoder.training and not any(p.requires_grad for p in encoder.parameters())


def test_siglip_without_its_padding_would_be_noticed(toy: dict[str, str]) -> None:
    encoder, model = describe("encoders", toy["siglip"]).build(), original(toy, "siglip")
    ids = encoder.prepare(["red"])["input_ids"]
    with torch.inference_mode():
        bare = own_vectors(model.get_text_features(input_ids=ids[:, :2]))
        assert (encoder(**encoder.prepare(["red"])) - bare).abs().max() > 1e-2


def test_what_lies_behind_the_limit_is_not_read(toy: dict[str, str]) -> None:
    encoder = describe("encoders", toy["clip"]).build()
    words = LONG.split()
    with torch.inference_mode():
        whole, short, shorter = encoder(
            **encoder.prepare([LONG, " ".join(words[: LIMIT - 2]), " ".join(words[: LIMIT - 3])])
        )
    torch.testing.assert_close(whole, short, atol=1e-5, rtol=1e-4)
    assert (whole - shorter).abs().max() > 1e-2


@pytest.mark.parametrize("kind", KINDS)
def test_the_vision_part_is_transformers_own(toy: dict[str, str], kind: str) -> None:
    tower = describe("towers", toy[kind])
    built = tower.build()
    noise = np.random.default_rng(0).integers(0, 255, (40, 50, 3), dtype=np.uint8)
    items = [
        ImageSource("noise", "noise", lambda: Image.fromarray(noise)),
        ImageSource("white", "white", lambda: Image.new("RGB", (40, 50), "white")),
    ]
    inputs = built.prepare(items)
    assert inputs["pixel_values"][1].max().item() == pytest.approx((1 - 0.1) / 0.9)  # its own mean and deviation
    with torch.inference_mode():
        found = built(**inputs)
        torch.testing.assert_close(
            found, own_vectors(original(toy, kind).get_image_features(**inputs)), atol=1e-5, rtol=1e-4
        )
    assert found.shape == (2, tower.dim) == (2, describe("encoders", toy[kind]).dim)
    assert not built.training and not any(p.requires_grad for p in built.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_parts_are_counted_and_named_apart(toy: dict[str, str], kind: str) -> None:
    text, vision = describe("encoders", toy[kind]), describe("towers", toy[kind])
    model = original(toy, kind)
    assert text.parameters + vision.parameters + sum(p.numel() for p in model.parameters(recurse=False)) == sum(
        p.numel() for p in model.parameters()
    )
    assert text.parameters == sum(p.numel() for p in text.build().parameters())
    assert vision.parameters == sum(p.numel() for p in vision.build().parameters())
    assert text.embeddings == 64 * WIDTH and vision.embeddings == 0
    folder = toy[kind].partition(":")[2]
    others = {
        describe("towers", f"huggingface:{folder}").identity,
        describe("towers", f"huggingface:{folder},pooling=mean").identity,
    }
    assert len({text.identity, vision.identity} | others) == 4
    assert (text.name, vision.name) == (toy[kind], toy[kind])
    assert text.identity == describe("encoders", toy[kind]).identity


def test_other_weights_are_another_identity(toy: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(toy["clip"].partition(":")[2], tmp_path / "clip")
    model = original(toy, "clip")
    with torch.no_grad():
        model.text_projection.weight += 1
    model.save_pretrained(tmp_path / "clip")
    assert describe("encoders", f"clip:{tmp_path / 'clip'}").identity != describe("encoders", toy["clip"]).identity


def test_half_precision_on_disk_is_computed_in_full(toy: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(toy["clip"].partition(":")[2], tmp_path / "clip")
    original(toy, "clip").half().save_pretrained(tmp_path / "clip")
    for kind, items in (("encoders", ["red"]), ("towers", squares(toy)[:1])):
        built = describe(kind, f"clip:{tmp_path / 'clip'}").build()
        with torch.inference_mode():
            assert built(**built.prepare(items)).dtype == torch.float32


@pytest.mark.parametrize("name", ["ChineseCLIP", "AltCLIP", "MetaClip2"])
def test_other_families_give_one_vector_a_picture(name: str, toy: dict[str, str], tmp_path: Path) -> None:
    words = SMALL | {
        "vocab_size": 64,
        "max_position_embeddings": LIMIT,
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 3,
        "project_dim": DIM,
    }
    config = getattr(transformers, f"{name}Config")(
        text_config=words, vision_config=SMALL | {"image_size": 32, "patch_size": 8}, projection_dim=DIM
    )
    shutil.copytree(toy["clip"].partition(":")[2], tmp_path / "clip")
    getattr(transformers, f"{name}Model")(config).save_pretrained(tmp_path / "clip")
    text, vision = (describe(kind, f"clip:{tmp_path / 'clip'}") for kind in ("encoders", "towers"))
    encoder, tower = text.build(), vision.build()
    with torch.inference_mode():
        assert tower(**tower.prepare(squares(toy)[:2])).shape == (2, vision.dim) == (2, DIM)
        assert encoder(**encoder.prepare(["red", "small square"])).shape == (2, text.dim)


# --- what is not a CLIP -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["encoders", "towers"])
def test_what_cannot_be_had_or_is_no_clip_is_one_sentence(toy: dict[str, str], kind: str, tmp_path: Path) -> None:
    folder = Path(toy["clip"].partition(":")[2])
    shutil.copytree(folder, tmp_path / "pickle", ignore=shutil.ignore_patterns("*.safetensors"))
    torch.save(original(toy, "clip").state_dict(), tmp_path / "pickle" / "pytorch_model.bin")
    shutil.copytree(folder, tmp_path / "broken")
    (tmp_path / "broken" / "model.safetensors").write_bytes(b"not safetensors")
    cases = {
        "clip:openai/clip-vit-base-patch32": "Cannot load CLIP 'openai/clip-vit-base-patch32'.*local folder",
        f"clip:{tmp_path / 'nowhere'}": "Cannot load CLIP",
        f"clip:{toy['text'].partition(':')[2]}": "is not a CLIP: a XLMRobertaModel of transformers does not put "
        "captions and images into one space",
        f"clip:{tmp_path / 'pickle'}": "Cannot load CLIP",
        f"clip:{tmp_path / 'broken'}": "Cannot load CLIP",
    }
    for name, message in cases.items():
        with pytest.raises(WeightsError, match=message) as caught:
            describe(kind, name).build()
        assert "\n" not in str(caught.value)
    with pytest.raises(DataError, match="clip has no option 'pooling'; it takes revision"):
        describe(kind, f"{toy['clip']},pooling=mean")


def test_code_from_a_hub_is_never_run(toy: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "evil.py").write_text("raise SystemExit(3)", "utf-8")
    (tmp_path / "config.json").write_text(
        '{"model_type": "mine", "auto_map": {"AutoConfig": "evil.Mine", "AutoModel": "evil.Mine"}}', "utf-8"
    )
    with pytest.raises(WeightsError, match="Cannot load CLIP"):
        describe("encoders", f"clip:{tmp_path}")


def test_vectors_that_do_not_fit_together_are_refused(toy: dict[str, str], tmp_path: Path) -> None:
    """FLAVA projects every token."""
    text = SMALL | {"vocab_size": 64, "max_position_embeddings": LIMIT, "pad_token_id": 0}
    config = transformers.FlavaConfig(
        text_config=text,
        image_config=SMALL | {"image_size": 32, "patch_size": 8},
        multimodal_config=SMALL,
        projection_dim=DIM,
    )
    shutil.copytree(toy["clip"].partition(":")[2], tmp_path / "clip")
    transformers.FlavaModel(config).save_pretrained(tmp_path / "clip")
    encoder = describe("encoders", f"clip:{tmp_path / 'clip'}").build()
    with pytest.raises(WeightsError, match=rf"one of its embeddings has shape \[3, {DIM}\], expected \[{DIM}\]"):
        encoder(**encoder.prepare(["red"]))


# --- students ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["m2m", "distill"])
def test_a_clip_hands_its_vision_to_its_student(toy: dict[str, str], method: str, kind: str, tmp_path: Path) -> None:
    work = prepare_run(student(toy, method, kind, tmp_path / "run"))
    tower = describe("towers", toy[kind])
    assert work.aligner.config.vision_tower == toy[kind] and work.aligner.vision.tower.identity == tower.identity
    assert isinstance(work.aligner.vision.head, IdentityHead)
    built = tower.build()
    items = squares(toy)
    with torch.inference_mode():
        seen = normalize(built(**built.prepare(items)))
    torch.testing.assert_close(work.aligner.vision.embed(items, "pictures", keep=False), seen, atol=1e-6, rtol=1e-5)
    check_counts(work.aligner, method, tower.dim)


@pytest.mark.parametrize("teacher", ["heads", "gated", "tuned", "pupil", "clip pupil"])
@pytest.mark.parametrize("method", ["m2m", "distill"])
def test_a_run_hands_its_vision_to_its_student(toy: dict[str, str], method: str, teacher: str, tmp_path: Path) -> None:
    align(student(toy, method, teacher, tmp_path / "run"))
    one, other = load_model(toy[teacher]), load_model(tmp_path / "run")
    items = squares(toy)
    assert torch.equal(one.vision.embed(items, "pictures", keep=True), other.vision.embed(items, "pictures", keep=True))
    length = one.encode_text(["red"]).shape[1]
    assert other.encode_text(["red"]).shape == (1, length)
    check_counts(other, method, length)


def check_counts(aligner: PolyCLIP, method: str, dim: int) -> None:
    """Only the text head, and the scale of the logits."""
    named = {n for n, p in aligner.named_parameters() if p.requires_grad}
    assert all(name == "log_scale" or name.startswith("text.head.") for name in named)
    head = STUDENT * dim + dim
    branch = 2 * (STUDENT * HIDDEN + HIDDEN) + HIDDEN * dim + dim
    assert aligner.counts()["trained_parameters"] == head + (
        branch + 1 if method == "distill" else 0
    )  # mse has no logit scale


@pytest.mark.parametrize("teacher", ["clip", "siglip", "heads", "gated", "tuned"])
@pytest.mark.parametrize("method", ["m2m", "distill"])
def test_training_brings_captions_nearer_to_the_teacher(
    toy: dict[str, str], method: str, teacher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On captions it was trained on; the last epoch is kept, as if it were the best, since recall against random
    vectors is chance.
    """
    epochs = count()
    monkeypatch.setattr(prepare, "Validation", lambda *given: lambda: float(next(epochs)))
    work = prepare_run(
        dataclasses.replace(
            student(toy, method, teacher, tmp_path / "run"), heads=dataclasses.replace(QUICK, epochs=40)
        )
    )
    train = work.sides[0].train_pairs
    codes = [language.code for language in work.run.languages]
    assert work.teacher is not None
    target = TeacherEmbeddings(work.teacher, train, codes, read_english_names(work.run, train)).make_inputs(
        torch.arange(len(train.captions))
    )["unit"]
    before = distance(work.aligner, train.captions, target)
    log = train_run(work)
    save_work(work, log)
    after = distance(work.aligner, train.captions, target)
    assert after < (0.5 if method == "m2m" else 0.9) * before, (
        before,
        after,
    )  # distill asks for the same neighbours, not the same place
    assert log[-1]["loss"] < log[1]["loss"]
    again = load_model(tmp_path / "run")
    assert distance(again, train.captions, target) == pytest.approx(after, rel=1e-5)
    saved = set(load_file(tmp_path / "run" / "aligner.safetensors"))
    assert all(name == "log_scale" or ".head." in name for name in saved)


def distance(aligner: PolyCLIP, captions: list[str], target: torch.Tensor) -> float:
    """Mean squared distance of unit vectors."""
    return (aligner.eval().encode_text(captions) - target).square().sum(1).mean().item()


def test_a_student_needs_its_teachers_folder_no_more(toy: dict[str, str], tmp_path: Path) -> None:
    shutil.copytree(toy["heads"], tmp_path / "teacher")
    align(student(toy | {"copy": str(tmp_path / "teacher")}, "distill", "copy", tmp_path / "run"))
    before = load_model(tmp_path / "run").encode_text(["mraba bluu"])
    shutil.rmtree(tmp_path / "teacher")
    assert torch.equal(load_model(tmp_path / "run").encode_text(["mraba bluu"]), before)


def test_a_teacher_trained_inside_its_text_encoder_speaks_with_it(toy: dict[str, str]) -> None:
    teacher = open_teacher(toy["tuned"])
    captions = ["red", "small green square"]
    torch.testing.assert_close(
        teacher.embed_captions(captions, [2]), load_model(toy["tuned"]).encode_text(captions), atol=1e-5, rtol=1e-4
    )
    assert not torch.allclose(
        teacher.embed_captions(captions, [2]), load_model(toy["heads"]).encode_text(captions), atol=1e-2
    )


class Lengths(Teacher):
    """A caption's vector is its number of letters."""

    def embed_captions(self, captions: Sequence[str], sections: Sequence[int]) -> torch.Tensor:
        assert sections == [len(captions)] == [len(set(captions))]
        return torch.tensor([[float(len(caption))] for caption in captions])


@pytest.mark.parametrize("order", [["sw", "en"], ["en", "sw"], ["sw"], ["en", "sw", "en"]])
def test_english_stands_for_itself_and_others_for_the_english_name(toy: dict[str, str], order: list[str]) -> None:
    corpus = load_corpus(toy["corpus"])
    train = make_training_pairs(corpus, [resolve_language(code) for code in order], "train", SamplingConfig())
    english = [f"{concept} {'x' * number}" for number, concept in enumerate(train.concepts)]  # each of its own length
    taught = TeacherEmbeddings(Lengths("lengths", None), train, order, english)
    said = taught.make_inputs(torch.arange(len(train.captions)))["unit"][:, 0].tolist()
    swahili = {
        *COLOURS.values(),
        *(f"mraba {rangi} {ukubwa}" for rangi in COLOURS.values() for ukubwa in SIZES.values()),
    }
    wanted = [
        float(len(english[concept] if caption in swahili else caption))
        for caption, concept in zip(train.captions, train.caption_concept.tolist(), strict=True)
    ]
    assert said == wanted


# --- the command line -------------------------------------------------------------------------------------------------


def command(toy: dict[str, str], out: Path, *more: object) -> CommandResult:
    towers = ["--text-encoder", toy["text"], "--vision-tower", toy["vision"]]
    return polyclip(
        "align",
        "--lang",
        "sw",
        "--corpus",
        toy["corpus"],
        *towers,
        "--epochs",
        2,
        "--batch-size",
        8,
        "--out",
        out,
        *more,
    )


@pytest.mark.parametrize("teacher", ["clip", "heads"])
def test_m2m_trains_english_alone(
    toy: dict[str, str], teacher: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[tuple[list[str], list[str]]] = []

    class Spy(TeacherEmbeddings):
        def __init__(self, teacher: Teacher, train: Any, languages: Any, english: Any) -> None:
            heard.append((list(languages), train.captions))
            super().__init__(teacher, train, languages, english)

    monkeypatch.setattr(prepare, "TeacherEmbeddings", Spy)
    said = command(toy, tmp_path / "run", "--method", "m2m", "--teacher", toy[teacher])
    assert said.code == 0, said
    assert tomllib.loads((tmp_path / "run" / "run.toml").read_text("utf-8"))["languages"] == ["en"]
    ((languages, captions),) = heard
    assert languages == ["en"] and {word for caption in captions for word in caption.split()} <= {
        *COLOURS,
        *SIZES,
        "square",
    }
    assert load_model(tmp_path / "run").encode_text(["mraba bluu"]).shape[0] == 1


@pytest.mark.parametrize(
    ("method", "teacher", "words"),
    [
        ("m2m", "", ["learns from an aligned teacher", "--teacher", "clip:"]),
        ("distill", "", ["learns from an aligned teacher", "--teacher", "clip:"]),
        ("distill", "changed", ["method lilt-ln", "vision encoder", "heads"]),
        (
            "distill",
            "clip:openai/clip-vit-base-patch32",
            ["Cannot load CLIP 'openai/clip-vit-base-patch32'", "local folder"],
        ),
        (
            "distill",
            "openai/clip-vit-base-patch32",
            ["is not a run folder", "written clip:openai/clip-vit-base-patch32"],
        ),
        ("m2m", "clip:text", ["is not a CLIP"]),
        ("heads", "heads", ["--teacher", "has no teacher"]),
    ],
)
def test_bad_teachers_are_one_sentence(
    toy: dict[str, str], method: str, teacher: str, words: list[str], tmp_path: Path
) -> None:
    given = f"clip:{toy['text'].partition(':')[2]}" if teacher == "clip:text" else toy.get(teacher, teacher)
    said = command(toy, tmp_path / "run", "--method", method, *(["--teacher", given] if given else []))
    lines = said.err.strip().splitlines()
    assert said.code == 2 and len(lines) == 1 and lines[0].startswith("error: "), said
    assert all(word in lines[0] for word in words), lines[0]
    assert not (tmp_path / "run").exists()
