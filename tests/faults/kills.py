"""Kill commands at random and at aimed moments, give them again, and compare with the undisturbed result.

python -m tests.faults.kills --random 6 --aimed 12            # all cases; --case lora for some
"""

import argparse
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open

from polyclip.cli.main import main as polyclip
from polyclip.core.json import parse_json
from polyclip.core.toml import parse_toml
from polyclip.translation.engines import file as _imported  # so that every process starts with the same modules
from tests.faults.moments import Trap
from tests.toy import COLOURS, SIZES, write_corpus, write_text_encoder, write_vision_tower

assert _imported
TIMES = {"seconds", "flops", "versions", "machine", "made", "date", "started"}  # of results: not the same twice
TOWERS = [
    "--text-encoder",
    "huggingface:text",
    "--vision-tower",
    "timm:test_efficientnet,weights=vision/test_efficientnet.safetensors",
]
TRAIN = [
    "align",
    "--lang",
    "sw",
    "--corpus",
    "corpus/toy.toml",
    "--epochs",
    "4",
    "--batch-size",
    "8",
    "--seed",
    "3",
    "--head-dim",
    "16",
]
ALIGN = [*TRAIN, *TOWERS, "--out", "out"]
CASES: dict[str, list[str]] = {
    **{method: [*ALIGN, "--method", method] for method in ("heads", "head-mlp", "lilt-da", "lora", "ridge", "full")},
    "folds": [*ALIGN, "--method", "heads", "--folds", "3"],
    "conversion": [
        *TRAIN,
        *TOWERS[:2],
        "--vision-tower",
        "efficientnet-lite0:,size=64",
        "--out",
        "out",
        "--method",
        "ridge",
    ],
    "adapter": [
        *TRAIN,
        *("--text-encoder", "e5-small:,layers=1,adapter=names", *TOWERS[2:]),
        *("--out", "out", "--method", "heads"),
    ],
    "translate": [
        *("translate", "corpus/toy.toml", "--to", "sw", "--with", "file", "--model", "words.tsv", "--batch-size", "3"),
        *("--similarity", "off", "--language", "off", "--partial", "--out", "out"),
    ],
    "index": ["index", "corpus", "--model", "base", "--out", "out"],
    "captions": ["index", "corpus", "--model", "base", "--out", "out", "--captions", "corpus/toy.toml"],
    "eval": ["eval", "retrieval", "--model", "base", "--data", "corpus", "--json", "out/result.json"],
}
NEEDS_BASE = ("index", "captions", "eval")
HANGS = 600.0  # seconds after which a command that nobody kills hangs, on a machine that does other things too


@dataclass
class Tally:
    """What became of the kills of one case."""

    case: str
    killed: int = 0
    aimed: int = 0
    late: int = 0  # the command had ended before
    faults: list[str] = field(default_factory=list)


def run(root: Path, arguments: Sequence[str], *, at: int | None = None, after: float | None = None) -> tuple[int, str]:
    """Run a command in a process forked from this one, which may be killed.

    Args:
        root: The folder in which it runs, with its cache, home and temporary files.
        arguments: Of the command.
        at: The moment at which it kills itself; -1 to write the moments down; None for none.
        after: Seconds until it is killed from outside.

    Returns:
        Its exit code, negative for a signal, and what it said on standard error.

    """
    said = root.with_name(root.name + ".said")
    child = os.fork()
    if child == 0:
        try:
            os._exit(run_here(root, arguments, at, said))
        finally:  # nothing of the parent's is cleaned up here
            os.write(2, traceback.format_exc().encode())
            os._exit(1)
    deadline = time.monotonic() + (HANGS if after is None else after)
    while (ended := os.waitpid(child, os.WNOHANG))[0] == 0:
        if time.monotonic() > deadline:
            os.kill(child, signal.SIGKILL)
            ended = os.waitpid(child, 0)
            assert after is not None, f"{arguments} hangs"
            break
        time.sleep(0.002)
    return os.waitstatus_to_exitcode(ended[1]), said.read_text("utf-8", "replace")


def run_here(root: Path, arguments: Sequence[str], at: int | None, said: Path) -> int:
    """The command in this process, which ends with it."""
    os.chdir(root)
    os.environ |= {"POLYCLIP_CACHE": str(root / "cache"), "HOME": str(root / "home"), "TMPDIR": str(root / "tmp")}
    tempfile.tempdir = str(root / "tmp")  # else Python itself tries out where it may write
    with said.open("w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
    sys.argv = ["polyclip", *arguments]
    if at is not None:
        Trap(root, at, root.with_name(root.name + ".moments")).set()
    code: Any = 0
    try:
        polyclip()
    except SystemExit as stop:
        code = stop.code
    except BaseException as error:  # noqa: BLE001 (a traceback is a fault, whatever it is)
        sys.stderr.write(f"Traceback: {type(error).__name__}: {error}")
        code = 1
    sys.stdout.flush()
    return code if isinstance(code, int) else int(code is not None)


def finish(root: Path, arguments: Sequence[str]) -> str:
    """Give the command again, with --resume where it says so; returns what went wrong, empty for nothing."""
    code, said = run(root, arguments)
    if code == 2 and "add --resume" in said:
        code, said = run(root, [*arguments, "--resume"])
    return "" if code == 0 else f"exit code {code}: {said[-300:]}"


def write_template(folder: Path) -> Path:
    """Write corpus, encoders, a translation file, and a run for the cases that use one."""
    write_corpus(folder / "corpus")
    write_text_encoder(folder / "text")
    write_vision_tower(folder / "vision")
    lines = [f"{s} {c} square\tmraba {COLOURS[c]} {SIZES[s]}\n" for c in COLOURS for s in SIZES]
    (folder / "words.tsv").write_text("".join(lines), "utf-8")
    for name in ("home", "tmp"):
        (folder / name).mkdir()
    return folder


def add_base(folder: Path) -> Path:
    """Make the run that other cases use; the features of its test images go again."""
    assert finish(folder, [*TRAIN, *TOWERS, "--method", "heads", "--out", "base"]) == ""
    shutil.rmtree(folder / "cache")
    return folder


def list_all(root: Path) -> dict[str, bytes]:
    """Every file and folder below a root by its name, files with what they hold that does not depend on the time."""
    return {path.relative_to(root).as_posix(): read_facts(path) for path in sorted(root.rglob("*"))}


def read_facts(path: Path) -> bytes:
    """What a file holds, without times; nothing of folders and of files that name times and inodes."""
    if (
        path.is_dir()
        or path.suffix in (".verified", ".sqlite", ".parquet")
        or path.name in ("manifest.json", "README.md")
    ):
        return b""
    data = path.read_bytes()
    if path.name == "index.json" or path.suffix not in (".json", ".jsonl"):
        return data
    lines = data.splitlines() if path.suffix == ".jsonl" else [data]
    return json.dumps([without_times(parse_json(line)) for line in lines]).encode()


def without_times(value: Any) -> Any:
    """A value without what differs between two equal runs."""
    if isinstance(value, dict):
        return {key: without_times(each) for key, each in value.items() if key not in TIMES}
    return [without_times(each) for each in value] if isinstance(value, list) else value


def find_partial(root: Path) -> list[str]:
    """Files under their final names that are not whole."""
    wrong = []
    for path in sorted(root.rglob("*")):
        if path.is_dir() or any(part.startswith(".") for part in path.relative_to(root).parts):
            continue
        try:
            read_whole(path)
        except Exception as error:  # noqa: BLE001 (whatever a reader raises)
            wrong.append(f"{path.relative_to(root)} is not whole: {error}")
    return wrong


def read_whole(path: Path) -> None:
    """Read a file to its end, as its format says."""
    if path.suffix == ".safetensors":
        with safe_open(path, "np") as handle:
            for name in handle.keys():  # noqa: SIM118 (no mapping)
                handle.get_tensor(name)
    elif path.suffix == ".toml":
        parse_toml(path.read_text("utf-8"))
    elif path.suffix in (".json", ".jsonl"):
        data = path.read_bytes()
        for line in data.splitlines() if path.suffix == ".jsonl" else [data]:
            parse_json(line)


def compare(found: dict[str, bytes], wanted: dict[str, bytes]) -> list[str]:
    """How a folder differs from the undisturbed one."""
    litter, missing = sorted(found.keys() - wanted.keys()), sorted(wanted.keys() - found.keys())
    changed = [name for name in sorted(found.keys() & wanted.keys()) if found[name] != wanted[name]]
    told = (("left behind", litter), ("missing", missing), ("differs", changed))
    return [f"{what}: {', '.join(names[:4])}" for what, names in told if names]


def choose_moments(log: Path, count: int, chance: random.Random) -> list[int]:
    """Moments of as many kinds as there are, each kind (what is done to which file) once before one comes twice."""
    kinds: dict[str, list[int]] = {}
    for number, line in enumerate(log.read_text("utf-8").splitlines()):
        kinds.setdefault(line, []).append(number)
    order = [chance.choice(numbers) for _, numbers in sorted(kinds.items())]
    chance.shuffle(order)
    rest = sorted({number for numbers in kinds.values() for number in numbers} - set(order))
    chance.shuffle(rest)
    return [*order, *rest][:count]


def try_case(name: str, template: Path, work: Path, counts: tuple[int, int], seed: int) -> Tally:
    """Kill a command at random and at aimed moments, each time in a fresh folder, and finish it."""
    chance, tally, arguments = random.Random(f"{seed} {name}"), Tally(name), CASES[name]
    whole = work / "whole"
    shutil.copytree(template, whole)
    started = time.monotonic()
    assert (problem := finish(whole, arguments)) == "", problem
    seconds, wanted = time.monotonic() - started, list_all(whole)
    shutil.rmtree(whole)
    shutil.copytree(template, whole)
    run(whole, arguments, at=-1)
    aimed = choose_moments(work / "whole.moments", counts[1], chance)
    lines = (work / "whole.moments").read_text("utf-8").splitlines()
    shutil.rmtree(whole)
    plans = [(None, chance.uniform(0, seconds)) for _ in range(counts[0])] + [(at, None) for at in aimed]
    for at, after in plans:
        shutil.copytree(template, whole)
        code, _ = run(whole, arguments, at=at, after=after)
        tally.killed, tally.late = tally.killed + (code == -signal.SIGKILL), tally.late + (code >= 0)
        tally.aimed += at is not None and code == -signal.SIGKILL
        where = f"after {after:.3f} s" if at is None else f"at moment {at}, {lines[at]}"
        problems = find_partial(whole)
        problems += [problem] if (problem := finish(whole, arguments)) else compare(list_all(whole), wanted)
        tally.faults += [f"{name} {where}: {problem}" for problem in problems]
        shutil.rmtree(whole)
    return tally


def prove(cases: Sequence[str], counts: tuple[int, int], seed: int) -> list[Tally]:
    """Try several cases; each prints its line as it ends."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        plain = write_template(Path(folder) / "plain")
        based = add_base(shutil.copytree(plain, Path(folder) / "based")) if set(cases) & set(NEEDS_BASE) else plain
        for case in cases:
            work = Path(folder) / case
            work.mkdir()
            tally = try_case(case, based if case in NEEDS_BASE else plain, work, counts, seed)
            shutil.rmtree(work)
            found.append(tally)
            line = f"| {case} | {tally.killed} | {tally.aimed} | {tally.late} | {len(tally.faults)} |"
            sys.stdout.write("\n".join([line, *tally.faults]) + "\n")
            sys.stdout.flush()
    return found


def main() -> None:
    """Try the cases that are named, print a table, and exit with 1 where anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--case", action="append", choices=sorted(CASES), help="only this one; repeat for several")
    parser.add_argument("--random", type=int, default=6, help="kills at random moments of each case")
    parser.add_argument("--aimed", type=int, default=12, help="kills at changes of files of each case")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    sys.stdout.write(
        f"seed {given.seed}\n| case | killed | of these aimed | ended before | faults |\n|---|---|---|---|---|\n"
    )
    sys.stdout.flush()
    found = prove(given.case or list(CASES), (given.random, given.aimed), given.seed)
    sys.stdout.write(f"{sum(t.killed for t in found)} kills, {sum(len(t.faults) for t in found)} faults\n")
    sys.exit(any(tally.faults for tally in found))


if __name__ == "__main__":
    main()
