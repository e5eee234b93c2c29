"""What is exported says what the run says, read by the target's own library; what cannot be expressed is refused, and
nothing is left.
"""

import json
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from polyclip.core.encode_precision import current_encode_precision, use_encode_precision
from polyclip.core.registry import find, list_names
from polyclip.errors import RunError, UnknownName
from polyclip.evaluation.captioned import ALL
from polyclip.exporters import base, verify
from polyclip.exporters import run as _job
from polyclip.exporters.merge import Affine, fold_bias, is_mergeable
from polyclip.exporters.run import export
from polyclip.exporters.targets.open_clip import export_vision_tower
from polyclip.models.aligner import PolyCLIP, load_model
from polyclip.models.config import ModelConfig
from tests.command import polyclip

MISSING = [
    name for name in ("onnx", "onnxruntime", "onnxscript", "open_clip", "sentence_transformers") if not find_spec(name)
]
pytestmark = [
    pytest.mark.filterwarnings("ignore"),  # of the libraries that runs are exported to, each of the other
    pytest.mark.skipif(bool(MISSING), reason=f"not installed: {', '.join(MISSING)}"),
]
TARGETS = ("onnx", "open-clip", "peft", "sentence-transformers", "transformers")


def checked(folder: Path) -> dict[str, dict[str, Any]]:
    """What export.json says of each kind."""
    return {one["kind"]: one for one in json.loads((folder / "export.json").read_text("utf-8"))["checked"]}


@pytest.fixture(scope="module")
def clip(real: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The real run as an open_clip folder, written and read back by the command itself."""
    out = tmp_path_factory.mktemp("out") / "clip"
    said = polyclip("export", real, "--to", "open_clip", "--out", out)
    assert said.code == 0, said.err
    assert (
        "text: cosine with the run at least 0.9999" in said.out or "text: cosine with the run at least 1.0" in said.out
    )
    assert "\nimages: cosine" in said.out and "\nimages that are not square: cosine" in said.out
    return out


def test_open_clip_reads_it_in_a_fresh_process(clip: Path, real: Path) -> None:
    found = checked(clip)
    assert found["text"]["count"] >= 30 and found["text"]["lowest"] >= 0.9999
    assert found["pictures"]["count"] >= 8 and found["pictures"]["lowest"] >= 0.9999
    assert found["wide pictures"]["lowest"] >= 0.95
    facts = json.loads((clip / "export.json").read_text("utf-8"))
    assert (
        facts["method"] == "heads"
        and facts["languages"] == ["sw", "en"]
        and facts["versions"]["open_clip"] != "unknown"
    )
    assert not [path.name for path in clip.iterdir() if path.suffix in {".bin", ".pt", ".pth", ".pkl", ".py"}]


def test_clip_benchmark_finds_the_same_recall(clip: Path, real: Path, emoji: Path, tmp_path: Path) -> None:
    import open_clip
    from clip_benchmark.metrics import zeroshot_retrieval

    said = polyclip(
        "eval", "retrieval", "--model", real, "--data", emoji.parent, "--split", "test", "--json", tmp_path / "r.json"
    )
    assert said.code == 0, said.err
    scores = json.loads((tmp_path / "r.json").read_text("utf-8"))["scores"]
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{clip}")
    tokenizer = open_clip.get_tokenizer(f"local-dir:{clip}")
    rows = [
        row
        for row in map(json.loads, (emoji.parent / "captions.jsonl").read_text("utf-8").splitlines())
        if row["split"] == "test"
    ]
    for language in ("en", "sw"):
        pairs = [(transform(Image.open(emoji.parent / row["image"])), row["captions"][language]) for row in rows]
        batches = [(torch.stack([pixels for pixels, _ in pairs]), [texts for _, texts in pairs])]
        public = zeroshot_retrieval.evaluate(model.eval(), batches, tokenizer, "cpu", amp=False, recall_k_list=[1, 5])
        for direction, key in (("text_to_image", "image_retrieval"), ("image_to_text", "text_retrieval")):
            for k in (1, 5):
                wanted = (ALL, language, direction, f"recall@{k}")
                (own,) = [
                    s["value"] for s in scores if (s["protocol"], s["language"], s["direction"], s["metric"]) == wanted
                ]
                assert abs(own - public[f"{key}_recall@{k}"]) <= 1e-4, (wanted, own, public)


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("lora", "open_clip"),
        ("lora", "sentence-transformers"),
        ("lora", "transformers"),
        ("lora", "peft"),
        ("ln", "peft"),
    ]
    + [("ln", "transformers"), ("heads", "sentence-transformers"), ("lwa", "onnx"), ("asif", "onnx")],
)
def test_every_library_says_what_the_run_says(
    tiny: Callable[[str], Path], name: str, target: str, tmp_path: Path, in_process: None
) -> None:
    done = export(tiny(name), target, tmp_path / "out")
    assert {one.kind for one in done.agreements} == {"text", "pictures", "wide pictures"}
    assert all(one.lowest >= 0.9999 for one in done.agreements if one.kind != "wide pictures")
    assert checked(tmp_path / "out").keys() == {one.kind for one in done.agreements}
    assert [
        path.suffix for path in (tmp_path / "out").rglob("*") if path.suffix in {".bin", ".pt", ".pkl", ".py"}
    ] == []


def test_the_run_is_compared_in_float32_whatever_it_was_encoded_in(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_process: None
) -> None:
    """Rounding to bf16 alone is further off than an export may be: a default run could not be exported."""
    seen: list[str] = []
    embed = _job.embed_samples

    def spy(*given: Any) -> dict[str, Any]:
        seen.append(current_encode_precision())
        return embed(*given)

    monkeypatch.setattr(_job, "embed_samples", spy)
    with use_encode_precision("bf16"):
        export(tiny("heads"), "onnx", tmp_path / "out")
        assert seen == ["fp32"] and current_encode_precision() == "bf16"


def test_immich_finds_its_files(tiny: Callable[[str], Path], tmp_path: Path) -> None:
    export(tiny("glu"), "onnx", tmp_path / "out")  # gated heads, read in a process of its own, without torch
    files = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    assert {
        "textual/model.onnx",
        "textual/tokenizer.json",
        "textual/tokenizer_config.json",
        "visual/model.onnx",
        "visual/preprocess_cfg.json",
        "config.json",
    } <= files
    import onnxruntime

    textual = onnxruntime.InferenceSession(tmp_path / "out" / "textual" / "model.onnx")
    assert [(i.name, i.type) for i in textual.get_inputs()] == [("text", "tensor(int32)")]
    assert [i.name for i in onnxruntime.InferenceSession(tmp_path / "out" / "visual" / "model.onnx").get_inputs()] == [
        "image"
    ]


def test_what_cannot_be_merged_is_refused_with_the_methods_that_can(
    tiny: Callable[[str], Path], tmp_path: Path, in_process: None
) -> None:
    for name, why in (
        ("glu", "heads with a gated branch"),
        ("lwa", r"\(1\) .* layers added to the text encoder.*\(2\) .* layers added to the vision encoder"),
        ("asif", "heads that compare with training pairs"),
    ):
        for target in (
            ("open_clip", "sentence-transformers", "transformers", "peft") if name == "glu" else ("open_clip",)
        ):
            with pytest.raises(RunError, match=why) as caught:
                export(tiny(name), target, tmp_path / "out")
            assert (
                "heads" in str(caught.value)
                and "lora" in str(caught.value)
                and "--to onnx takes every method" in str(caught.value)
            )
            assert not (tmp_path / "out").exists() and not list(tmp_path.iterdir())
    can = {name for name in list_names("methods") if is_mergeable(find("methods", name).METHOD)}
    assert {"head-mlp", "heads", "lora", "lilt-ln", "lilt-bf", "ridge", "full"} <= can and not can & {
        "head-glu",
        "asif",
        "lilt-lwa",
        "lilt-da",
    }


def test_layers_side_by_side_are_no_timm_model(tiny: Callable[[str], Path]) -> None:
    text = load_model(tiny("heads")).config.text_encoder
    aligner = PolyCLIP(ModelConfig(text_encoder=text, vision_tower="efficientnet-lite0:depths", method="heads"))
    with pytest.raises(RunError, match="Align with --vision-tower efficientnet-lite0 and one of these"):
        export_vision_tower(aligner.vision)


def test_an_export_that_says_something_else_is_removed(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny("heads")
    aligner = load_model(run)
    monkeypatch.setattr(_job, "read_back", lambda target, folder, given, reader: crooked(aligner, given))
    with pytest.raises(
        RunError,
        match=r"disagrees with the run \(text: cosine with the run at least 0\.97\d+.*expected 0\.9999",
    ):
        export(run, "peft", tmp_path / "out")
    assert not list(tmp_path.iterdir())
    rows = np.array([[1.0, 0.0]])
    near = {"text": np.array([[1.0, 0.1]]), "pictures": rows}  # cosine 0.995
    for int8, least, right in ((True, 0.99, True), (False, 0.9999, False)):
        found = verify.compute_agreements(near, {"text": rows, "pictures": rows}, [False], least)
        if right:
            verify.check_agreements("onnx", found, int8=int8)
        else:
            with pytest.raises(RunError, match="at least 0.995037"):
                verify.check_agreements("onnx", found, int8=int8)


def crooked(aligner: PolyCLIP, given: Any) -> dict[str, np.ndarray]:
    """The run's vectors, those of captions turned by about fourteen degrees."""
    found = _job.embed_samples(aligner, given)
    turned = np.roll(found["text"], 1, axis=1)
    turned -= (turned * found["text"]).sum(1, keepdims=True) * found["text"]
    return found | {"text": found["text"] + 0.25 * turned / np.linalg.norm(turned, axis=1, keepdims=True)}


def test_two_vectors_of_zeros_agree_and_one_does_not() -> None:
    own, run = np.array([[0.0, 0.0], [0.0, 0.0], [3.0, 4.0]]), np.array([[0.0, 0.0], [1.0, 0.0], [0.6, 0.8]])
    np.testing.assert_allclose(verify.compute_cosines(own, run), [1.0, 0.0, 1.0])


@pytest.mark.parametrize(("width", "dim"), [(24, 24), (24, 40), (24, 6)])
def test_a_norm_takes_over_the_constant_of_the_head(width: int, dim: int) -> None:
    norm = nn.LayerNorm(width, dtype=torch.float64)
    nn.init.normal_(norm.weight, mean=1.0, std=0.3)
    nn.init.normal_(norm.bias)
    map_ = Affine(torch.randn(dim, width, dtype=torch.float64), 5 * torch.randn(dim, dtype=torch.float64))
    tokens = torch.randn(4, 7, width, dtype=torch.float64)
    with torch.no_grad():
        wanted = norm(tokens).mean(1) @ map_.weight.T + map_.bias
        weight = fold_bias(map_, norm)
        torch.testing.assert_close(norm(tokens).mean(1) @ weight.T, wanted)


def test_clear_sentences(tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert tuple(list_names("exports")) == TARGETS
    with pytest.raises(UnknownName, match="No export target called 'onxx'. Did you mean 'onnx'"):
        export(tiny("heads"), "onxx", tmp_path / "out")
    with pytest.raises(RunError, match="open_clip does not support --int8"):
        export(tiny("heads"), "open_clip", tmp_path / "out", int8=True)
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine", "utf-8")
    with pytest.raises(RunError, match="is not empty"):
        export(tiny("heads"), "onnx", tmp_path / "full")
    assert (tmp_path / "full" / "mine.txt").read_text("utf-8") == "mine"
    monkeypatch.setattr(base, "find_spec", lambda package: None)
    for target in ("onnx", "open_clip", "sentence-transformers"):
        with pytest.raises(RunError, match=r"which is not installed: pip install 'polyclip\[export\]'"):
            export(tiny("heads"), target, tmp_path / "out")


def test_the_checking_programs_never_import_polyclip() -> None:
    for path in verify.ALONE.parent.glob("*.py"):
        assert "import polyclip" not in path.read_text("utf-8") and "from polyclip" not in path.read_text("utf-8")
    done = subprocess.run(
        [sys.executable, "-I", str(verify.ALONE), "onnx.py", "nowhere", "nowhere"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1 and "captions.json" in done.stderr
