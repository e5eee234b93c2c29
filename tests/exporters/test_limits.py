"""Where a run can go is known before it is trained, by what the targets themselves say."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from transformers import CLIPTextConfig, T5Config

from polyclip.cli.methods import make_plan
from polyclip.core.registry import find, list_names
from polyclip.errors import PolyclipError, RunError, UnknownName
from polyclip.exporters import run as job
from polyclip.exporters.choose import choose_for_targets
from polyclip.exporters.limits import Plan
from polyclip.exporters.support import check_plan, describe_limits, format_targets, list_reasons, list_targets
from polyclip.training.options import AlignOptions
from tests.command import polyclip

DEPTHS = "efficientnet-lite2:depths"


def plan(method: str = "head-mlp", text: str = "e5-small", tower: str = "efficientnet-lite2") -> Plan:
    return Plan(method, text, tower)


def own(method: str) -> Plan:
    return plan(method, tower=find("methods", method).METHOD.tower)


def write_config(folder: Path, config: object) -> str:
    config.save_pretrained(folder)  # type: ignore[attr-defined]
    return f"huggingface:{folder}"


def test_targets_of_vision_encoders() -> None:
    every = list_names("exports")
    for tower in ("efficientnet-lite2", "efficientnet-lite2:,size=96", "timm:vit_small_patch16_224"):
        assert list_targets(plan(tower=tower)) == every, tower
    for tower in (DEPTHS, "efficientnet-lite2:,layers=5", "efficientnet-lite0+efficientnet-lite1", "owner/name"):
        assert list_targets(plan(tower=tower)) == ["onnx"], tower
    assert "transformers" not in list_targets(plan(tower="timm:resnet18"))  # its constant has no place there
    assert "open-clip" in list_targets(plan(tower="timm:resnet18"))


def test_targets_of_text_encoders(tmp_path: Path) -> None:
    t5 = write_config(tmp_path / "t5", T5Config(num_layers=1, d_model=8))
    clip = write_config(tmp_path / "clip", CLIPTextConfig(num_hidden_layers=1))
    for name in (t5, clip):
        reasons = list_reasons(plan(text=name), "open-clip")
        assert any("takes bert, roberta, xlm-roberta, m2m_100" in reason for reason in reasons), reasons
        assert "onnx" in list_targets(plan(text=name))
    assert "stand-alone" in list_reasons(plan(text=t5), "peft")[0]
    assert list_reasons(plan("ridge", text="e5-small"), "open-clip") == []
    assert "no plain transformers model" in list_reasons(plan(text="clip:owner/name"), "open-clip")[0]
    assert list_targets(plan(text="clip:owner/name")) == []


def test_a_first_token_is_refused_for_two_maps_alone(tmp_path: Path) -> None:
    from transformers import BertConfig

    name = write_config(tmp_path / "bert", BertConfig(num_hidden_layers=1)) + ",pooling=cls"
    (reason,) = list_reasons(plan("head-mlp", text=name), "open-clip")
    assert "cls pooling" in reason and "puts this head into it" in reason
    assert list_reasons(plan("ridge", text=name), "open-clip") == []
    assert list_targets(plan("head-mlp", text=name)) == ["onnx", "peft", "sentence-transformers"]


def test_the_column_and_the_sentence() -> None:
    assert [format_targets(own(name)) for name in ("head-mlp", "lilt-ln", "lilt-lwa", "asif")] == [
        *("all", "onnx; all with --vision-tower efficientnet-lite0", "onnx", "onnx"),
    ]
    assert describe_limits(plan()) == ""
    assert describe_limits(plan(tower=DEPTHS)).endswith("transformers: --vision-tower efficientnet-lite2.")
    assert describe_limits(plan("head-glu")).endswith("transformers: --method head-mlp.")
    assert "--method head-mlp --vision-tower efficientnet-lite2." in describe_limits(plan("head-glu", tower=DEPTHS))


def test_every_reason_is_told_at_once() -> None:
    with pytest.raises(
        RunError, match=r"for 2 reasons: \(1\) method head-glu .* \(2\) vision encoder .*:depths"
    ) as told:
        check_plan(plan("head-glu", tower=DEPTHS), "open-clip")
    assert "Methods that can: first-blocks, full, head-mlp" in str(told.value)


def test_nothing_is_loaded_before_a_refusal(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tiny("glu")
    monkeypatch.setattr(job, "load_model", lambda run: pytest.fail("a model was loaded"))
    with pytest.raises(RunError, match="gated branch"):
        job.export(run, "peft", tmp_path / "out")
    said = polyclip("export", run, "--list")
    assert said.code == 0 and "gated branch" in " ".join(said.out.split()), said


def test_for_chooses_what_was_left_open() -> None:
    chosen, line = choose_for_targets(AlignOptions(lang=["sw"]), ["open_clip"])
    assert (chosen.method, chosen.vision_tower) == ("head-mlp", "efficientnet-lite2")
    text = "e5-small:,adapter=names"
    assert line == f"for open_clip: method head-mlp, text encoder {text}, vision encoder efficientnet-lite2"
    chosen, _ = choose_for_targets(AlignOptions(lang=["sw"], method="lit"), ["peft", "transformers"])
    assert (chosen.method, chosen.vision_tower) == ("lit", "efficientnet-lite0")
    chosen, _ = choose_for_targets(AlignOptions(lang=["sw"], method="lit"), ["onnx"])
    assert chosen.vision_tower == "efficientnet-lite0:depths"  # which onnx takes as well


def test_for_refuses_what_contradicts_it(tiny: Callable[[str], Path]) -> None:
    with pytest.raises(PolyclipError, match=r"3 reasons: .*text encoder, .*vision encoder, .*\(3\) vision"):
        choose_for_targets(AlignOptions(lang=["sw"], method="lilt-lwa", vision_tower="owner/name"), ["open_clip"])
    with pytest.raises(PolyclipError, match="cannot be combined with --method auto"):
        choose_for_targets(AlignOptions(lang=["sw"], method="auto"), ["open_clip"])
    with pytest.raises(UnknownName, match="Did you mean 'open-clip'"):
        choose_for_targets(AlignOptions(lang=["sw"]), ["opn_clip"])
    with pytest.raises(PolyclipError, match="gated branch"):
        choose_for_targets(AlignOptions(lang=["sw"], start=tiny("glu")), ["peft"])
    assert choose_for_targets(AlignOptions(lang=["sw"], start=tiny("lora")), ["peft"])[1].startswith(
        "for peft: method lora"
    )


def test_the_command_refuses_before_it_trains(tmp_path: Path) -> None:
    said = polyclip("align", "--lang", "sw", "--for", "open_clip", "--method", "asif", "--out", tmp_path / "run")
    assert said.code == 2 and "heads that compare with training pairs" in said.err and not (tmp_path / "run").exists()


@pytest.mark.slow
def test_methods_show() -> None:
    words = ("methods", "show", "lit", "--text-encoder", "clip:owner/name")
    done = subprocess.run([sys.executable, "-m", "polyclip", *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "no plain transformers model" in " ".join(done.stdout.split()), done
    assert list_targets(make_plan("lit", "e5-small", "efficientnet-lite2")) == list_names("exports")
    assert list_targets(make_plan("asif", "e5-small", "")) == ["onnx"]


def test_captions_alone_are_no_success(
    tiny: Callable[[str], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = job.ExportResult(
        tmp_path / "out", "sentence-transformers", [], ("captions only, no images: why",), images=False
    )
    monkeypatch.setattr(job, "export", lambda *given, **more: done)
    words = ("export", tiny("lora"), "--to", "sentence-transformers", "--out", tmp_path / "out")
    said = polyclip(*words)
    assert said.code == 1 and "holds captions alone" in said.err and "no images: why" in said.out
    assert polyclip(*words, "--text-only").code == 0
    said = polyclip("export", tiny("lora"))
    assert said.code == 2 and "--to TARGET and --out FOLDER are required" in said.err
