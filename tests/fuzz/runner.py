"""Run commands on damaged files: in a process of their own, which is limited in memory and ended when one hangs."""

import json
import os
import re
import resource
import select
import shutil
import subprocess
import sys
import time
import traceback
import warnings
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

from tests.command import CommandResult, polyclip
from tests.fuzz.mutations import change_bytes
from tests.fuzz.targets import FOLDER, LAB, TARGETS, Target, write_lab

MEMORY = 2_000_000_000  # bytes of address space that one input may take
GROWTH = 600_000_000  # bytes by which one input may raise the peak
SECONDS = 10.0  # that a command may take
ROUND = 400  # inputs a process
CONTROL = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
SPECIAL = ("empty", "folder", "loop", "pipe", "zeros", "missing")  # what stands in a file's place, now and then


@dataclass
class Finding:
    """An input that ended in other than a result or one of polyclip's errors."""

    target: str
    seed: int
    what: str
    where: str
    detail: str


@dataclass
class Tally:
    """What a round came to: inputs by target, and findings."""

    tried: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    seconds: Counter[str] = field(default_factory=Counter)
    slowest: tuple[float, str, int] = (0.0, "", 0)
    peak: int = 0  # bytes of memory of the largest process
    findings: list[Finding] = field(default_factory=list)


def prepare(lab: Path, target: Target) -> Path:
    """Write the target's valid folder, once; returns it."""
    folder = lab / "seeds" / re.sub(r"[^A-Za-z0-9.]+", "-", target.name)
    if not folder.exists():
        being = folder.with_name(f".{folder.name}")
        shutil.rmtree(being, ignore_errors=True)
        being.mkdir(parents=True)
        target.build(lab, being)
        being.rename(folder)
    return folder


def place_special(path: Path, kind: str) -> None:
    """Put something else in a file's place."""
    path.unlink(missing_ok=True)
    if kind == "empty":
        path.touch()
    elif kind == "folder":
        path.mkdir()
    elif kind == "loop":
        path.symlink_to(path.name)
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "zeros":
        path.symlink_to("/dev/zero")


def damage(lab: Path, target: Target, seed: int, folder: Path) -> str:
    """Write input number `seed` of a target into `folder`; returns the command that reads it."""
    source = Random(f"{target.name} {seed}")
    shutil.copytree(prepare(lab, target), folder, symlinks=True)
    path = folder / target.files[source.randrange(len(target.files))]
    if source.random() < 0.02:
        place_special(path, source.choice(SPECIAL))
    else:
        data = path.read_bytes()
        for _ in range(source.choice((1, 1, 1, 2, 4))):
            try:
                data = target.change(data, source)
            except Exception:  # noqa: BLE001 (what was damaged before cannot be parsed in its own format any more)
                data = change_bytes(data, source)
        path.write_bytes(data)
        if target.repair:
            target.repair(folder)
    command = source.choice(target.commands)
    return command.replace(FOLDER, str(folder)).replace(LAB, str(lab))


def judge(said: CommandResult) -> str:
    """What is wrong with how a command ended; empty where nothing is."""
    if said.code not in (0, 1, 2):
        return f"exit code {said.code}"
    if CONTROL.search(said.out + said.err):
        return "control characters"
    if said.code != 2:
        return ""
    lines = said.err.strip().split("\n")
    if not lines[-1].startswith("error: "):
        return "several lines"
    return "" if len(lines[-1]) < 3_000 else "long line"


def explain(error: BaseException) -> str:
    """The deepest place within polyclip that an exception went through."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if "/polyclip/" in f.filename]
    return f"{frames[-1].filename.rpartition('/polyclip/')[2]}:{frames[-1].lineno} {frames[-1].name}" if frames else "?"


def try_input(lab: Path, target: Target, seed: int, folder: Path) -> tuple[int, Finding | None]:
    """Run one input; returns the command's exit code, and what is wrong with it."""
    command = damage(lab, target, seed, folder)
    try:
        said = polyclip(*command.split())
    except Exception as error:  # noqa: BLE001 (whatever escapes is what is looked for)
        return 70, Finding(target.name, seed, type(error).__name__, explain(error), " ".join(str(error).split())[:300])
    wrong = judge(said)
    return said.code, Finding(
        target.name, seed, wrong, command.split()[0], said.err[-400:] or said.out[-400:]
    ) if wrong else None


def work(lab: Path, scratch: Path, jobs: list[tuple[str, int]]) -> None:
    """Try inputs one after the other; prints a line of JSON before and after each."""
    warnings.filterwarnings("ignore")
    report = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    os.dup2(1, 2)
    write_lab(lab)
    by_name = {target.name: target for target in TARGETS}
    for name in {name for name, _ in jobs}:
        prepare(lab, by_name[name])
    peak = 0
    for name, seed in jobs:
        print(json.dumps({"begin": [name, seed]}), file=report)
        folder = scratch / "input"
        limit_memory()
        code, found = try_input(lab, by_name[name], seed, folder)
        shutil.rmtree(folder, ignore_errors=True)
        before, peak = peak, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        if found is None and before and peak - before > GROWTH:
            found = Finding(name, seed, "memory", "", f"{(peak - before) / 1e9:.2f} GB")
        print(json.dumps({"end": code, "peak": peak, "finding": vars(found) if found else None}), file=report)


def limit_memory() -> None:
    """Let this process take at most `MEMORY` bytes more than it has."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, resource.RLIM_INFINITY))


def run_round(lab: Path, scratch: Path, jobs: list[tuple[str, int]], tally: Tally, seconds: float = SECONDS) -> None:
    """Try inputs in processes of their own; one that hangs or dies costs only its own input."""
    while jobs:
        shutil.rmtree(scratch, ignore_errors=True)
        scratch.mkdir(parents=True)
        environment = os.environ | {"POLYCLIP_CACHE": str(lab / "cache"), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
        command = [sys.executable, "-W", "ignore", "-m", "tests.fuzz.runner", str(lab), str(scratch)]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment) as child:
            assert child.stdin and child.stdout
            child.stdin.write(json.dumps(jobs).encode())
            child.stdin.close()
            done = follow(child, tally, seconds)
            child.kill()
        jobs = jobs[done:]


def follow(child: "subprocess.Popen[bytes]", tally: Tally, seconds: float) -> int:
    """Read what a process says of its inputs; returns how many are done with, the last one perhaps by its death."""
    assert child.stdout
    done, current, since, left = 0, None, time.monotonic(), b""
    while True:
        wait = 600.0 if current is None else max(0.0, seconds - (time.monotonic() - since))
        ready = select.select([child.stdout], [], [], wait)[0]
        block = os.read(child.stdout.fileno(), 1 << 16) if ready else b""
        if not block:
            if current is not None:
                what = "the process ended" if ready else f"over {seconds:.0f} s"
                tally.findings.append(Finding(*current, what, "", f"exit code {child.poll()}"))
                tally.tried[current[0]] += 1
            elif not done:
                raise RuntimeError("the process of the inputs did not start")
            return done + (current is not None)
        *lines, left = (left + block).split(b"\n")
        for line in map(json.loads, lines):
            if "begin" in line:
                current, since = (line["begin"][0], line["begin"][1]), time.monotonic()
                continue
            spent = time.monotonic() - since
            done, name = done + 1, current[0]  # type: ignore[index]
            tally.tried[name] += 1
            tally.refused[name] += line["end"] == 2
            tally.seconds[name] += spent  # type: ignore[assignment]
            tally.slowest = max(tally.slowest, (spent, *current))  # type: ignore[misc]
            tally.peak = max(tally.peak, line["peak"])
            if line["finding"]:
                tally.findings.append(Finding(**line["finding"]))
            current = None


if __name__ == "__main__":
    work(Path(sys.argv[1]), Path(sys.argv[2]), [(name, seed) for name, seed in json.load(sys.stdin)])
