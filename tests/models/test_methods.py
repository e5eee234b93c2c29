"""Every method: frozen is frozen, added parts start at the identity, what is trained is counted, saved alone and loaded
strictly.
"""

import dataclasses
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from polyclip.core.registry import find, list_names
from polyclip.errors import DataError, RunError, UnknownName, WeightsError
from polyclip.languages.resolve import resolve_language
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.components.adapter import Adapter, ConvAdapter, is_identity
from polyclip.models.config import ModelConfig
from polyclip.pipeline import align
from polyclip.training.config import AlignConfig, OptimizerConfig
from tests.toy import write_corpus, write_text_encoder, write_vision_tower

METHODS = list_names("methods")
INSIDE = [name for name in METHODS if find("methods", name).METHOD.trains_towers]
TAUGHT = ["distill", "m2m"]
QUICK = OptimizerConfig(epochs=2, batch_size=8, learning_rate=1e-2, tower_learning_rate=1e-3, weight_decay=0.1)


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("toy")
    own_size = write_vision_tower(folder / "vision").partition(",size=")[0]  # on smaller images nothing is learnt here
    found = {
        "corpus": str(write_corpus(folder / "corpus")),
        "text": write_text_encoder(folder / "text"),
        "nllb": write_text_encoder(folder / "nllb", "nllb"),
        "vision": own_size,
        "vit": write_vision_tower(folder / "vision", "test_vit"),
    }
    align(run(found, "heads", folder / "teacher"))
    return found | {"teacher": str(folder / "teacher")}


def recipe(toy: dict[str, str], method: str, **changes: object) -> ModelConfig:
    return dataclasses.replace(
        ModelConfig(text_encoder=toy["text"], vision_tower=toy["vision"], method=method, dim=16), **changes
    )


def run(toy: dict[str, str], method: str, out: Path, **changes: object) -> AlignConfig:
    languages = [resolve_language("sw"), resolve_language("en")]
    teacher = toy["teacher"] if method in TAUGHT else ""
    whole = AlignConfig(
        languages=languages,
        recipe=recipe(toy, method, teacher=teacher),
        out=out,
        corpus=toy["corpus"],
        heads=QUICK,
        towers=QUICK,
    )
    return dataclasses.replace(whole, **changes)


def towers_state(aligner: PolyCLIP) -> dict[str, torch.Tensor]:
    """Everything inside the towers, buffers too."""
    return {
        f"{side.kind}.{n}": t.clone()
        for side in (aligner.text, aligner.vision)
        if side.encoder is not None
        for n, t in side.encoder.state_dict().items()
    }


def test_methods_are_the_files() -> None:
    lilt = {
        "full",
        "lit",
        "lit-reversed",
        "heads",
        "lilt-ln",
        "lilt-bf",
        "lilt-lwa",
        "lilt-lwa-ln",
        "lilt-lwa-bf",
        "lilt-da",
        "lilt-da-ln",
    }
    later = {
        "lora",
        "first-blocks",
        "head-glu",
        "head-mlp",
        "structure",
        "ridge",
        "procrustes",
        "asif",
        "m2m",
        "distill",
    }
    assert set(METHODS) == lilt | later
    assert set(INSIDE) == lilt - {"heads"} | {"lora", "first-blocks"}


@pytest.mark.parametrize("method", METHODS)
def test_fitting_moves_only_what_is_declared(
    toy: dict[str, str], method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[tuple[PolyCLIP, dict[str, torch.Tensor]]] = []
    original = PolyCLIP.__init__

    def spy(self: PolyCLIP, *args: object) -> None:
        original(self, *args)  # type: ignore[arg-type]
        kept.append((self, towers_state(self)))

    monkeypatch.setattr(PolyCLIP, "__init__", spy)
    align(run(toy, method, tmp_path / "run", class_names=False))  # what the heads alone find, training improves
    aligner, before = kept[0]
    trained = {
        f"{s.kind}.{n}"
        for s in (aligner.text, aligner.vision)
        if s.encoder is not None
        for n, p in s.encoder.named_parameters()
        if p.requires_grad
    }
    after = towers_state(aligner)
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved <= trained
    assert bool(moved) == (method in INSIDE)
    for side in (aligner.text, aligner.vision):
        assert side.encoder is None or not any(module.training for module in side.encoder.modules())


@pytest.mark.parametrize("method", INSIDE)
@pytest.mark.parametrize(("text", "vision"), [("text", "vision"), ("text", "vit"), ("nllb", "vision")])
def test_before_the_first_step_a_method_scores_as_heads(
    toy: dict[str, str], method: str, text: str, vision: str
) -> None:
    from polyclip.data.images import make_image_source

    found = {}
    pictures = [
        make_image_source(Path(toy["corpus"]).parent / "red-small.png"),
        make_image_source(Path(toy["corpus"]).parent / "blue-huge.png"),
    ]
    for name in ("heads", method):
        torch.manual_seed(0)
        aligner = PolyCLIP(recipe(toy, name, text_encoder=toy[text], vision_tower=toy[vision])).eval()
        torch.manual_seed(0)
        for side in (aligner.text, aligner.vision):
            torch.nn.init.normal_(side.head.members[0].linear.weight)
        found[name] = (
            aligner.encode_text(["red square", "mraba bluu"]),
            aligner.vision.embed(pictures, "pictures", keep=False),
        )
    for plain, dressed in zip(found["heads"], found[method], strict=True):
        torch.testing.assert_close(dressed, plain, atol=1e-5, rtol=1e-4)


def test_adapters_sit_twice_in_every_layer_and_start_at_the_identity(toy: dict[str, str]) -> None:
    aligner = PolyCLIP(recipe(toy, "lilt-lwa", vision_tower=toy["vit"]))
    adapters = {
        kind: [m for m in side.encoder.modules() if isinstance(m, Adapter)]
        for kind, side in (("text", aligner.text), ("vision", aligner.vision))
    }
    assert len(adapters["text"]) == 2 * 2
    assert len(adapters["vision"]) == 2 * len(aligner.vision.encoder.model.blocks)
    assert all(is_identity(adapter) for found in adapters.values() for adapter in found)
    convolutional = PolyCLIP(recipe(toy, "lilt-lwa"))
    assert any(isinstance(m, ConvAdapter) for m in convolutional.vision.encoder.modules())
    width = 32
    assert sum(p.numel() for p in adapters["text"][0].parameters()) == 2 * width * (width // 4) + width + width // 4


def test_counts_by_hand(toy: dict[str, str]) -> None:
    aligner = PolyCLIP(recipe(toy, "heads", dim=16))
    counts = aligner.counts()
    assert counts["trained_parameters"] == (32 * 16 + 16) + (aligner.vision.tower.dim * 16 + 16) + 1
    assert (
        counts["total_parameters"]
        == counts["trained_parameters"] + aligner.text.tower.parameters + aligner.vision.tower.parameters
    )
    assert aligner.text.tower.embeddings == 64 * 32
    norms = (
        PolyCLIP(recipe(toy, "lilt-ln", tune="text", dim=16)).counts()["trained_parameters"]
        - counts["trained_parameters"]
    )
    assert norms == (1 + 2 * 2) * 2 * 32  # embeddings, and two in each of two layers; gain and bias
    full = PolyCLIP(recipe(toy, "full", dim=16)).counts()
    assert full["trained_share"] == full["trained_share_without_embeddings"] == 1.0


@pytest.mark.parametrize("tune", ["text", "vision"])
def test_tune_keeps_the_other_tower_untouched(toy: dict[str, str], tune: str) -> None:
    aligner = PolyCLIP(recipe(toy, "lilt-ln", tune=tune))
    assert (aligner.text.encoder is not None, aligner.vision.encoder is not None) == (tune == "text", tune == "vision")


@pytest.fixture(scope="module")
def finished(toy: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    align(run(toy, "lilt-lwa", folder))
    return folder


def test_only_trained_parts_are_saved_and_come_back(finished: Path, toy: dict[str, str]) -> None:
    aligner = load_model(finished)
    saved = load_file(finished / "aligner.safetensors")
    trained = {n for n, p in aligner.named_parameters() if p.requires_grad}
    constants = {name for name, _ in aligner.named_buffers() if ".head." in name}
    assert {f"{side}.head.{part}" for side in ("text", "vision") for part in ("mean", "deviation")} < constants
    assert set(saved) == trained | constants
    assert all(torch.equal(saved[n], t) for n, t in aligner.state().items())
    vectors = aligner.encode_text(["red square"])
    assert vectors.dtype == torch.float32 and vectors.norm().item() == pytest.approx(1, abs=1e-5)
    assert {p.name for p in finished.iterdir()} == {
        "README.md",
        "run.toml",
        "aligner.safetensors",
        "result.json",
        "result.ranks.safetensors",
        "log.jsonl",
    }


def rewrite(finished: Path, out: Path, change: object, metadata: dict[str, str] | None = None) -> Path:
    out.mkdir()
    with safe_open(finished / "aligner.safetensors", "pt") as handle:
        facts = handle.metadata() | (metadata or {})
    state = load_file(finished / "aligner.safetensors")
    save_file(change(state), out / "aligner.safetensors", metadata=facts)  # type: ignore[operator]
    return out


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda s: {n: t for n, t in s.items() if n != "log_scale"}, "lacks tensor log_scale"),
        (lambda s: s | {"more": torch.zeros(1)}, "has unexpected tensor more"),
        (lambda s: s | {"log_scale": torch.zeros(2)}, r"another shape: log_scale is \[2\], expected \[\]"),
    ],
)
def test_missing_extra_and_misshapen_tensors_are_refused(
    finished: Path, tmp_path: Path, change: object, message: str
) -> None:
    with pytest.raises(WeightsError, match=message):
        load_model(rewrite(finished, tmp_path / "run", change))


def test_other_towers_are_refused(finished: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="was trained on another text encoder"):
        load_model(rewrite(finished, tmp_path / "run", lambda s: s, {"text_encoder": "0" * 64}))


def test_truncated_and_foreign_files_are_refused(finished: Path, tmp_path: Path) -> None:
    whole = (finished / "aligner.safetensors").read_bytes()
    (tmp_path / "aligner.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(WeightsError, match="damaged or truncated"):
        load_model(tmp_path)
    save_file({"x": torch.zeros(1)}, tmp_path / "aligner.safetensors")
    with pytest.raises(WeightsError, match="is not an aligner of polyclip"):
        load_model(tmp_path)
    with pytest.raises(RunError, match="is not a run folder"):
        load_model(tmp_path / "nowhere")


def test_unknown_methods_suggest_and_impossible_places_say_so(toy: dict[str, str]) -> None:
    with pytest.raises(UnknownName, match="Did you mean 'lilt-ln'"):
        PolyCLIP(recipe(toy, "lilt-lm"))
    with pytest.raises(DataError, match="text layers '2:' hold none of the 2 layers"):
        PolyCLIP(recipe(toy, "lilt-ln", text_layers="2:"))
    with pytest.raises(DataError, match="no place in a SideBySide: polyclip does not know its layers"):
        PolyCLIP(recipe(toy, "lilt-da", tune="vision", vision_tower="efficientnet-lite0+efficientnet-lite1"))


@pytest.mark.parametrize("kind", ["text", "nllb"])
def test_the_same_text_alone_and_in_a_batch(toy: dict[str, str], kind: str) -> None:
    aligner = PolyCLIP(recipe(toy, "heads", text_encoder=toy[kind])).eval()
    texts = ["red", "mraba nyekundu kubwa sana", "small green square"]
    together = aligner.encode_text(texts)
    for text, vector in zip(texts, together, strict=True):
        torch.testing.assert_close(aligner.encode_text([text])[0], vector, atol=1e-5, rtol=1e-4)


def test_huggingface_encoder_is_transformers_output(toy: dict[str, str]) -> None:
    from transformers import XLMRobertaModel

    from polyclip.models.backbone import describe

    folder = toy["text"].partition(":")[2]
    for pooling in ("mean", "cls"):
        built = describe("encoders", f"{toy['text']},pooling={pooling},prefix=query: ").build()
        inputs = built.prepare(["red square", "red"])
        assert inputs["attention_mask"].sum(1).tolist() == [6, 5]  # <s> query : red square </s>
        with torch.inference_mode():
            hidden = XLMRobertaModel.from_pretrained(folder, add_pooling_layer=False).eval()(**inputs).last_hidden_state
            wanted = hidden[:, 0] if pooling == "cls" else torch.stack([hidden[0, :6].mean(0), hidden[1, :5].mean(0)])
            torch.testing.assert_close(built(**inputs), wanted, atol=1e-6, rtol=1e-5)
