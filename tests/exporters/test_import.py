"""Models of other libraries as towers. All are tiny, with random weights, built and saved by their own library: no
hub is in reach.
"""

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("open_clip")

import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import AutoModel, AutoTokenizer

from polyclip.core.vectors import normalize
from polyclip.data.types import ImageSource
from polyclip.errors import DataError, WeightsError
from polyclip.models.backbone import describe
from polyclip.training.distillation import open_teacher
from tests.command import polyclip
from tests.toy import write_corpus, write_text_encoder

pytestmark = pytest.mark.filterwarnings("ignore")  # of open_clip and sentence-transformers
CAPTIONS = ["small red square", "a black cat", "huge"]
DIM = 16


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP of open_clip's own classes and tokenizer."""
    folder = tmp_path_factory.mktemp("clip")
    vision = {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 8}
    text = {"context_length": 77, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 2}
    torch.manual_seed(3)
    model = open_clip.model.CLIP(embed_dim=DIM, vision_cfg=vision, text_cfg=text)
    save_file({name: t.contiguous() for name, t in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    table = {
        "model_cfg": {"embed_dim": DIM, "vision_cfg": vision, "text_cfg": text},
        "preprocess_cfg": {"mean": [0.1] * 3, "std": [0.9] * 3},
    }
    (folder / "open_clip_config.json").write_text(json.dumps(table), "utf-8")
    return folder


def pictures() -> list[ImageSource]:
    return [
        ImageSource(str(n), str(n), lambda n=n: Image.linear_gradient("L").resize((64 + n, 64)).convert("RGB"))
        for n in range(3)
    ]


def test_both_parts_are_open_clips_own(clip: Path) -> None:
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{clip}")
    text, vision = describe("encoders", f"open_clip:{clip}"), describe("towers", f"open_clip:{clip}")
    model.eval()
    with torch.inference_mode():
        speaker, watcher = text.build(), vision.build()
        spoken, seen = speaker(**speaker.prepare(CAPTIONS)), watcher(**watcher.prepare(pictures()))
        torch.testing.assert_close(
            spoken, model.encode_text(open_clip.get_tokenizer(f"local-dir:{clip}")(CAPTIONS)), atol=1e-6, rtol=1e-5
        )
        torch.testing.assert_close(
            seen, model.encode_image(torch.stack([transform(p.open()) for p in pictures()])), atol=1e-6, rtol=1e-5
        )
    own = {
        kind: sum(
            p.numel()
            for n, p in model.named_parameters()
            if n.startswith("visual.") == (kind == "vision") and n != "logit_scale"
        )
        for kind in ("text", "vision")
    }
    assert (text.parameters, vision.parameters, text.dim, vision.dim, text.embeddings) == (
        own["text"],
        own["vision"],
        DIM,
        DIM,
        49408 * 16,
    )
    assert text.identity != vision.identity and not any(
        p.requires_grad for p in [*speaker.parameters(), *watcher.parameters()]
    )


def test_an_aligned_model_is_taught_swahili(clip: Path, tmp_path: Path) -> None:
    corpus = write_corpus(tmp_path / "corpus")
    common = ("--corpus", corpus, "--epochs", 2, "--batch-size", 8, "--head-dim", 8)
    said = polyclip(
        "align", "--lang", "sw", "--from", f"open_clip:{clip}", "--method", "heads", *common, "--out", tmp_path / "run"
    )
    assert said.code == 0, said.err
    recipe = (tmp_path / "run" / "run.toml").read_text("utf-8")
    assert recipe.count(f'"open_clip:{clip}"') == 2
    teacher = open_teacher(f"open_clip:{clip}")
    spoken = teacher.embed_captions(CAPTIONS, [len(CAPTIONS)])
    model, _, _ = open_clip.create_model_and_transforms(f"local-dir:{clip}")
    with torch.inference_mode():
        torch.testing.assert_close(
            spoken,
            normalize(model.eval().encode_text(open_clip.get_tokenizer(f"local-dir:{clip}")(CAPTIONS))),
            atol=1e-6,
            rtol=1e-5,
        )
    pupil = (
        "--text-encoder",
        write_text_encoder(tmp_path / "text"),
        "--method",
        "distill",
        "--teacher",
        f"open_clip:{clip}",
    )
    said = polyclip("align", "--lang", "sw", *pupil, *common[:-2], "--out", tmp_path / "pupil")
    assert said.code == 0, said.err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ("--from", "open_clip:{clip}", "--vision-tower", "efficientnet-lite0"),
            "sets both towers and cannot be combined with --vision-tower",
        ),
        (("--from", "m_clip:{clip}"), "m_clip models read captions alone; write --text-encoder m_clip:"),
        (("--from", "open_clip:{bare}"), "is not a configuration of open_clip"),
        (
            ("--from", "open_clip:{pickled}"),
            "open_clip_model.bin, expected open_clip_model.safetensors: polyclip reads no pickled weights",
        ),
        (
            ("--text-encoder", "sentence_transformers:{bare}"),
            "is not a sentence-transformers model: modules.json not found",
        ),
        (("--text-encoder", "m_clip:{bare}"), "is not a text encoder of Multilingual-CLIP that polyclip can read"),
    ],
)
def test_clear_sentences(clip: Path, tmp_path: Path, arguments: tuple[str, ...], sentence: str) -> None:
    places = {"clip": clip, "bare": tmp_path / "bare", "pickled": tmp_path / "pickled"}
    for name in ("bare", "pickled"):
        places[name].mkdir()
    (places["pickled"] / "open_clip_config.json").write_text(
        (clip / "open_clip_config.json").read_text("utf-8"), "utf-8"
    )
    (places["pickled"] / "open_clip_model.bin").write_bytes(b"pickle")
    common = ("--method", "heads", "--corpus", write_corpus(tmp_path / "corpus"), "--out", tmp_path / "run")
    said = polyclip("align", "--lang", "sw", *common, *(argument.format(**places) for argument in arguments))
    assert said.code == 2 and sentence in said.err, said.err
    assert said.err.count("\n") == 1 and "Traceback" not in said.err


def test_an_unknown_option_is_refused(clip: Path) -> None:
    with pytest.raises(DataError, match="open_clip has no option 'pooling'; it takes pretrained, revision"):
        describe("encoders", f"open_clip:{clip},pooling=cls")
    with pytest.raises(WeightsError, match="open_clip has no model 'ViT-B-32' with tag 'nowhere' on a hub"):
        describe("towers", "open_clip:ViT-B-32,pretrained=nowhere")


def test_sentence_transformers_with_its_dense_layer(tmp_path: Path) -> None:
    pytest.importorskip("sentence_transformers")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    name = write_text_encoder(tmp_path / "text").partition(":")[2]
    transformer = Transformer(name)
    SentenceTransformer(modules=[transformer, Pooling(32), Dense(32, DIM)], device="cpu").save(
        str(tmp_path / "whole"), create_model_card=False
    )
    tower = describe("encoders", f"sentence_transformers:{tmp_path / 'whole'}")
    encoder = tower.build()
    with torch.inference_mode():
        wanted = SentenceTransformer(str(tmp_path / "whole"), device="cpu").encode(CAPTIONS, convert_to_tensor=True)
        torch.testing.assert_close(encoder(**encoder.prepare(CAPTIONS)), wanted, atol=1e-5, rtol=1e-4)
    assert tower.dim == DIM and tower.embeddings == 64 * 32


def test_multilingual_clip_is_a_mean_and_a_map(tmp_path: Path) -> None:
    base = write_text_encoder(tmp_path / "text").partition(":")[2]
    model, folder = AutoModel.from_pretrained(base, add_pooling_layer=False).eval(), tmp_path / "m-clip"
    folder.mkdir()
    AutoTokenizer.from_pretrained(base).save_pretrained(folder)
    (folder / "config.json").write_text(
        json.dumps({"modelBase": base, "transformerDimensions": 32, "numDims": DIM}), "utf-8"
    )
    weight, bias = torch.randn(DIM, 32), torch.randn(DIM)
    state: dict[str, Any] = {f"transformer.{name}": t.contiguous() for name, t in model.state_dict().items()}
    save_file(
        state | {"LinearTransformation.weight": weight, "LinearTransformation.bias": bias}, folder / "model.safetensors"
    )
    encoder = describe("encoders", f"m_clip:{folder}").build()
    with torch.inference_mode():
        for caption, vector in zip(CAPTIONS, encoder(**encoder.prepare(CAPTIONS)), strict=True):
            hidden = model(**AutoTokenizer.from_pretrained(base)([caption], return_tensors="pt")).last_hidden_state[0]
            torch.testing.assert_close(vector, hidden.mean(0) @ weight.T + bias, atol=1e-5, rtol=1e-4)
