"""`torchrun -m polyclip align` as a person types it: a process is killed, the job ends and says so, and one process
alone goes on with it.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from polyclip.models.aligner import load_model
from tests.command import polyclip
from tests.several import free_port
from tests.toy import COLOURS, SIZES, write_corpus, write_text_encoder, write_vision_tower

EPOCHS = {"heads": 40, "full": 16}


def launched(*arguments: object, **environment: str) -> "subprocess.Popen[str]":
    """Two processes of `polyclip ARGUMENTS`, started by torchrun."""
    start = [
        "-m",
        "torch.distributed.run",
        "--nproc-per-node",
        "2",
        "--master-port",
        str(free_port()),
        "-m",
        "polyclip",
    ]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(
        [sys.executable, *start, *map(str, arguments)], env=os.environ | environment, **pipes, text=True
    )


def second_of(launcher: int) -> int:
    """Process number 1 of a job."""
    for path in Path("/proc").glob("[0-9]*"):
        try:
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == launcher and b"RANK=1\0" in (path / "environ").read_bytes():
                return int(path.name)
        except (OSError, ValueError):  # it has ended meanwhile
            continue
    raise AssertionError("the job has no second process")


@pytest.mark.skipif(sys.platform != "linux", reason="looks for a process in /proc")
@pytest.mark.parametrize(("method", "how"), [("heads", []), ("full", ["--shard", "--micro-batch", 2])])
def test_a_killed_process_ends_the_job_and_one_alone_goes_on(method: str, how: list[object], tmp_path: Path) -> None:
    """`full` with its towers divided among the two: the moments that were kept are whole."""
    corpus, text, vision = (
        write_corpus(tmp_path / "corpus"),
        write_text_encoder(tmp_path / "text"),
        write_vision_tower(tmp_path / "vision"),
    )
    inputs = ["--corpus", corpus, "--text-encoder", text, "--vision-tower", vision, "--head-dim", 16]
    arguments = ["align", "--lang", "sw", "--method", method, *inputs, "--epochs", EPOCHS[method], "--batch-size", 7]
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    assert polyclip(*arguments, "--out", whole).code == 0  # and its features are in the cache
    job = launched(*arguments, *how, "--out", broken)
    while not (broken / f"checkpoint-{method}.safetensors").exists():
        assert job.poll() is None, job.communicate()[1]
        time.sleep(0.005)
    os.kill(second_of(job.pid), signal.SIGKILL)
    out, err = job.communicate(timeout=100)
    assert job.returncode != 0 and not (broken / "aligner.safetensors").exists(), (
        "it was killed too late to prove anything"
    )
    assert (
        ("lost another process" in err or "was stopped by the launcher" in err)
        and "--resume" in err
        and "Stopped" not in err
        and out == ""
    )
    assert polyclip(*arguments, "--out", broken, "--resume").code == 0
    assert_same_model(broken, whole, Path(corpus).parent)
    logs = [
        [json.loads(line)["validation"] for line in (folder / "log.jsonl").read_text().splitlines()]
        for folder in (broken, whole)
    ]
    assert logs[0] == pytest.approx(logs[1], abs=0.02) and len(logs[0]) > EPOCHS[method]


def assert_same_model(one: Path, other: Path, images: Path) -> None:
    """Compare what was trained tensor by tensor, and what was solved from it by the cosines that come out.

    Class names (`names`) and principal directions (`space`) are solved in closed form after training. Where a direction
    of the features hardly varies, they multiply the rounding of the sums, which is another with other numbers of
    processes or threads: equal to 1e-8 before, entries differ by 3e-4 and cosines by 1e-5.
    """
    found, wanted = (load_file(folder / "aligner.safetensors") for folder in (one, other))
    trained = [name for name in wanted if ".names." not in name and not name.endswith(".space")]
    assert found.keys() == wanted.keys() and trained
    for name in trained:
        torch.testing.assert_close(
            found[name].float(),
            wanted[name].float(),
            rtol=2e-3,
            atol=2e-4,
            msg=lambda text, name=name: f"{name}: {text}",
        )
    captions = [f"mraba {colour} {size}" for colour in COLOURS.values() for size in SIZES.values()]
    first, second = (
        model.similarity(model.encode_text(captions), model.encode_image(sorted(images.glob("*.png"))))
        for model in (load_model(folder) for folder in (one, other))
    )
    torch.testing.assert_close(first, second, rtol=0, atol=1e-3)


def test_several_processes_score_and_translate_as_one_does(tmp_path: Path) -> None:
    corpus, text, vision = (
        write_corpus(tmp_path / "corpus"),
        write_text_encoder(tmp_path / "text"),
        write_vision_tower(tmp_path / "vision"),
    )
    inputs = ["--corpus", corpus, "--text-encoder", text, "--vision-tower", vision, "--head-dim", 16]
    assert (
        polyclip(
            "align",
            "--lang",
            "sw",
            "--method",
            "heads",
            *inputs,
            "--epochs",
            2,
            "--batch-size",
            7,
            "--out",
            tmp_path / "run",
        ).code
        == 0
    )
    score = ["eval", "retrieval", "--model", tmp_path / "run", "--data", Path(corpus).parent, "--json"]
    translate = [
        "translate",
        corpus,
        "--from",
        "en",
        "--to",
        "es",
        "--with",
        "apertium",
        "--similarity",
        "off",
        "--language",
        "off",
        "--out",
    ]
    for arguments in (score, translate):
        assert polyclip(*arguments, tmp_path / "one").code == 0
        job = launched(*arguments, tmp_path / "two", POLYCLIP_CACHE=str(tmp_path / "other"))
        out, err = job.communicate(timeout=200)
        assert job.returncode == 0, err
        one, two = (found_in(tmp_path / name) for name in ("one", "two"))
        assert one == two and one
        for name in ("one", "two"):
            (tmp_path / name).rename(tmp_path / f"{name}-{arguments[0]}")


def found_in(path: Path) -> dict[str, str]:
    """Files by name; scores of a result without where and how long."""
    if path.is_dir():
        return {file.name: file.read_text("utf-8") for file in path.iterdir()}
    return {"scores": json.dumps(json.loads(path.read_text("utf-8"))["scores"])}
