"""Plant the faults of scripts/faults.toml one at a time in a copy of this tree, and see which test turns red.

    python scripts/plant_faults.py                    # all, about an hour
    python scripts/plant_faults.py --room search      # those of one room
    python scripts/plant_faults.py --match pooling    # those whose description has this word

A fault is noticed where a test fails that passes without it. Exit code 1 if a fault survives.
"""

import argparse
import multiprocessing
import os
import re
import shutil
import sys
import tempfile
import time
import tomllib
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
FAULTS = Path(__file__).with_name("faults.toml")
LEFT_OUT = (".git", "__pycache__", ".*_cache", ".venv*", "runs", "site", "dist")
PATIENCE = 900  # seconds for a test file
# Imported once, not by every process; nothing of this package is among them.
LIBRARIES = ["pytest", "torch", "torchvision", "timm", "transformers", "accelerate", "peft", "datasets", "scipy.io"]
WARM = multiprocessing.get_context("forkserver")
RED = re.compile(r"^(?:FAILED|ERROR) (\S+)", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A fault: `old` stands once in `file` and becomes `new`.

    Attributes:
        room: Part of the package.
        breaks: What goes wrong, in words.
        file: The file, from the root.
        old: Text as it is.
        new: Text of the fault.
        tests: Test files that should notice, the nearest first.

    """

    room: str
    breaks: str
    file: str
    old: str
    new: str
    tests: list[str]


def read_faults(path: Path = FAULTS) -> list[Fault]:
    """Read the list of faults.

    Args:
        path: The TOML file.

    Returns:
        The faults, in the file's order.

    """
    return [Fault(**table) for table in tomllib.loads(path.read_text("utf-8"))["fault"]]


def find_outdated(faults: list[Fault], root: Path = ROOT) -> list[str]:
    """Find faults that can no longer be planted.

    Args:
        faults: The faults.
        root: Root of the tree.

    Returns:
        One sentence for each fault whose text does not stand exactly once in its file, or whose test is gone.

    """
    found = []
    for fault in faults:
        count = (root / fault.file).read_text("utf-8").count(fault.old) if (root / fault.file).is_file() else 0
        if count != 1 or fault.old == fault.new:
            found.append(f"{fault.file}: {fault.old!r} stands there {count} times, expected once ({fault.breaks}).")
        found += [f"{test} is missing ({fault.breaks})." for test in fault.tests if not (root / test).is_file()]
    return found


def run_tests(root: Path, what: str) -> str:
    """Run a test file, or one test, up to the first failure, in a process that has the libraries already.

    Args:
        root: Root of the tree.
        what: As pytest takes it.

    Returns:
        The test that failed; empty where all passed.

    Raises:
        RuntimeError: No test was run.

    """
    with tempfile.NamedTemporaryFile("r", encoding="utf-8") as said:
        process = WARM.Process(target=run_pytest, args=(root, what, said.name))
        process.start()
        process.join(PATIENCE)
        if process.is_alive():
            process.kill()
            process.join()
            return f"{what} (no end within {PATIENCE} s)"
        text = said.read()
    if process.exitcode not in (0, 1, 2):
        raise RuntimeError(f"{what}: pytest ended with {process.exitcode}:\n{text[-2000:]}")
    red = RED.search(text)
    return (red[1] if red else what) if process.exitcode else ""


def run_pytest(root: Path, what: str, said: str) -> None:
    """Run pytest on a tree and end the process with its exit code; what it prints goes into a file."""
    os.chdir(root)
    sys.path.insert(0, str(root))
    os.environ |= {"PYTHONPATH": str(root), "PYTHONDONTWRITEBYTECODE": "1"}  # of the processes that tests start
    sys.dont_write_bytecode = True
    with Path(said).open("w", encoding="utf-8") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    import pytest

    options = ["-x", "-q", "-n0", "-p", "no:cacheprovider", "--tb=no", "-W", "ignore"]
    code = int(pytest.main([*options, what]))
    sys.stdout.flush()
    sys.exit(code)


def plant(fault: Fault, root: Path) -> str:
    """Plant a fault, run its tests, and take it out again.

    Args:
        fault: The fault.
        root: Root of a copy of the tree.

    Returns:
        The first test that failed; empty where the fault survives.

    """
    path = root / fault.file
    whole = path.read_text("utf-8")
    path.write_text(whole.replace(fault.old, fault.new), "utf-8")
    try:
        return next(filter(None, (run_tests(root, test) for test in fault.tests)), "")
    finally:
        path.write_text(whole, "utf-8")


def format_row(fault: Fault, red: str) -> str:
    """Format a line of the table in docs/explanation/testing.md."""
    test = red.removeprefix("tests/").partition("[")[0].replace("::", "` `")
    return f"| {fault.room} | {fault.breaks} | {f'`{test}`' if red else '**survives**'} |"


def main() -> int:
    """Plant the faults that were asked for, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--room", help="faults of one room only")
    parser.add_argument("--match", action="append", help="faults whose description or file has this text only; repeat")
    given = parser.parse_args()
    faults = read_faults()
    if outdated := find_outdated(faults):
        print("\n".join(outdated), file=sys.stderr)
        return 2
    WARM.set_forkserver_preload(LIBRARIES)
    texts = given.match or [""]
    named = [f for f in faults if any(text in f"{f.breaks} {f.file}" for text in texts)]
    chosen = [f for f in named if given.room in (None, f.room)]
    green: set[str] = set()  # tests that pass without a fault
    survivors = 0
    with tempfile.TemporaryDirectory(prefix="faults-") as folder:
        root = Path(folder) / "tree"
        shutil.copytree(ROOT, root, ignore=shutil.ignore_patterns(*LEFT_OUT))
        for fault in chosen:
            started = time.monotonic()
            red = plant(fault, root)
            name = red.partition("[")[0]
            if red and name not in green and run_tests(root, name.partition(" ")[0]):
                print(f"{name} fails without a fault too: nothing can be said of it.", file=sys.stderr)
                return 2
            green.add(name)
            survivors += not red
            print(format_row(fault, red), flush=True)
            print(f"{time.monotonic() - started:5.0f} s  {fault.file}", file=sys.stderr, flush=True)
    print(f"{len(chosen) - survivors} of {len(chosen)} faults were noticed.", file=sys.stderr)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
