"""Fuzz every file that polyclip reads, for hours: python scripts/fuzz.py --minutes 60 --seed 0.

Prints what fell, each kind once, and a table of inputs by target. An input is repeated with --target NAME --input N.
"""

import argparse
import json
import shutil
import sys
import tempfile
import time
from itertools import count
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.fuzz.runner import ROUND, SECONDS, Tally, damage, run_round
from tests.fuzz.targets import TARGETS, write_lab


def parse() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60.0)
    parser.add_argument("--seed", type=int, default=0, help="number of the first input of each target / 1,000,000")
    parser.add_argument("--target", action="append", default=[], help="only targets whose name holds this")
    parser.add_argument("--input", type=int, help="write this one input of --target, and print its command")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="after which an input hangs")
    parser.add_argument("--lab", type=Path, default=Path(tempfile.gettempdir()) / "polyclip-fuzz")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")
    return parser.parse_args()


def main() -> None:
    """Fuzz until the time is over; exit code 1 where anything fell."""
    given = parse()
    chosen = [t for t in TARGETS if not given.target or any(name in t.name for name in given.target)]
    if given.input is not None:
        chosen = [target for target in chosen if target.name in given.target] or chosen
        write_lab(given.lab)
        shutil.rmtree(given.lab / "one", ignore_errors=True)
        print(f"polyclip {damage(given.lab, chosen[0], given.input, given.lab / 'one')}")
        return
    tally, started, seen, number = Tally(), time.monotonic(), set(), count(given.seed * 1_000_000)
    while time.monotonic() - started < 60 * given.minutes:
        rounds = [next(number) for _ in range(-(-ROUND // len(chosen)))]
        jobs = [(target.name, n) for n in rounds for target in chosen]
        run_round(given.lab, given.lab / "scratch", jobs, tally, given.seconds)
        for found in tally.findings:
            kind = (found.what, found.where if found.where else found.target)
            if kind not in seen:
                seen.add(kind)
                print(f"{found.target} {found.seed}: {found.what} at {found.where}: {found.detail}", flush=True)
        shutil.rmtree(given.lab / "cache" / "hashes", ignore_errors=True)
    describe(tally, (time.monotonic() - started) / 60, len(seen))
    if given.out:
        facts = {"tried": tally.tried, "refused": tally.refused, "peak": tally.peak, "slowest": tally.slowest}
        given.out.write_text(json.dumps(facts | {"findings": [vars(found) for found in tally.findings]}, indent=1))
    sys.exit(bool(seen))


def describe(tally: Tally, minutes: float, kinds: int) -> None:
    """Print the figures."""
    for name, tried in sorted(tally.tried.items()):
        fell = sum(found.target == name for found in tally.findings)
        print(f"{name:40} {tried:7,} tried, {tally.refused[name]:7,} refused, {fell:5,} fell")
    fell, total = len(tally.findings), sum(tally.tried.values())
    print(f"{total:,} inputs in {minutes:.1f} minutes; {fell:,} fell, of {kinds} kinds")
    spent, name, number = tally.slowest
    print(f"slowest: {spent:.1f} s ({name} {number}); largest process: {tally.peak / 1e9:.2f} GB")


if __name__ == "__main__":
    main()
