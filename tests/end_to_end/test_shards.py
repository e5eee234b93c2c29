"""`polyclip align` on a corpus in shards: killed while it encodes and while it trains, it ends with the weights of a
run that was not.
"""

import signal
from pathlib import Path

import pytest

from tests import sharded
from tests.command import kill_when, polyclip
from tests.end_to_end.test_resume import same_weights
from tests.toy import write_text_encoder, write_vision_tower


def test_align_on_shards_killed_twice_and_resumed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tiny random towers: that the weights are the same does not depend on theirs."""
    pack = sharded.write_tars(tmp_path / "corpus", sharded.load_items(60), 3)
    towers = [
        "--text-encoder",
        write_text_encoder(tmp_path / "text"),
        "--vision-tower",
        write_vision_tower(tmp_path / "vision"),
    ]

    def arguments(out: str) -> list[object]:
        return [
            "align",
            "--lang",
            "sw",
            "--method",
            "heads",
            "--corpus",
            pack,
            *towers,
            "--epochs",
            60,
            "--batch-size",
            16,
            "--out",
            tmp_path / out,
        ]

    broken, cache = tmp_path / "broken", tmp_path / "cache"
    monkeypatch.setenv("POLYCLIP_CACHE", str(cache))
    chunks = lambda: len(list((cache / "features").rglob("*.safetensors")))  # noqa: E731
    kill_when(lambda: chunks() >= 2, arguments("broken"), signal.SIGKILL)
    assert not (broken / "aligner.safetensors").exists()
    code, _ = kill_when(
        lambda: (broken / "checkpoint-heads.safetensors").exists(), [*arguments("broken"), "--resume"], signal.SIGKILL
    )
    assert code == -signal.SIGKILL
    assert polyclip(*arguments("broken"), "--resume").code == 0
    monkeypatch.setenv("POLYCLIP_CACHE", str(tmp_path / "other cache"))
    assert polyclip(*arguments("whole")).code == 0
    assert same_weights(tmp_path / "whole", broken)
