"""Print the licence of every package that an installation of polyclip brings along, and refuse what does not fit.

    python scripts/check_licences.py                       # the default dependencies and all they depend on
    python scripts/check_licences.py --extra starter,serve # with extras
    python scripts/check_licences.py --markdown            # by licence, as in docs/explanation/testing.md

What is read is the metadata of the packages installed here. Exit code 1 where a licence is unknown, or asks more of
those who pass polyclip on under Apache-2.0 than notices and unchanged licence texts.
"""

import argparse
import re
import sys
import tomllib
from collections import defaultdict
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
# SPDX identifier -> how packages without a licence expression say it, in their trove classifier or `License`
FITTING = {
    "0BSD": r"0BSD",
    "Apache-2.0": r"apache([- ]?2(\.0)?)?( (software )?license)?|apache license,? (version )?2(\.0)?",
    "BSD-3-Clause": r"(new |revised |3-clause )?bsd( license)?|bsd[- ]3[- ]clause( license)?|3-clause bsd license",
    "BSD-2-Clause": r"bsd[- ]2[- ]clause( license)?|2-clause bsd license|simplified bsd",
    "BSL-1.0": r"boost software license 1\.0( \(bsl-1\.0\))?",
    "CC-BY-4.0": r"cc[- ]by[- ]4\.0",
    "CC-BY-SA-4.0": r"cc[- ]by[- ]sa[- ]4\.0",
    "CC0-1.0": r"cc0.*",
    "CNRI-Python": r"cnri-python",
    "HPND": r"historical permission notice and disclaimer \(hpnd\)",
    "ISC": r"isc( license)?( \(iscl\))?",
    "MIT": r"(the )?mit( license)?",
    "MIT-0": r"mit-0",
    "MIT-CMU": r"mit-cmu",
    "MPL-2.0": r"mozilla public license 2\.0( \(mpl 2\.0\))?|mpl-2\.0",
    "PSF-2.0": r"psf-2\.0|(python software foundation|psf)( license)?",
    "Python-2.0": r"python-2\.0",
    "Unicode-3.0": r"unicode-3\.0",
    "Unlicense": r"(the )?unlicense( \(unlicense\))?",
    "Zlib": r"zlib(/libpng license)?",
}
# What the texts of licences say at their beginning, for packages whose metadata says nothing.
TEXTS = {
    "Apache-2.0": r"Apache License,? Version 2\.0|Apache Software License 2\.0",
    "MIT": r"Permission is hereby granted, free of charge, to any person obtaining a copy of this software",
    "MPL-2.0": r"Mozilla Public License,? Version 2\.0",
}
HEAD = 600  # characters
# Packages whose licence does not fit and that come along all the same, each with the reason.
EXCEPTIONS = {
    r"nvidia-.*|cuda-.*": "CUDA's libraries, which PyPI's torch for Linux asks for and NVIDIA's EULA lets an "
    "application pass on; torch for CPUs (download.pytorch.org/whl/cpu) brings none",
}


@dataclass(frozen=True, order=True)
class Licensed:
    """An installed package with its licence, as an SPDX expression where it is known."""

    name: str
    version: str
    licence: str


def list_required(extras: list[str], root: Path = ROOT) -> list[Requirement]:
    """List the requirements in pyproject.toml, with those of some extras.

    Args:
        extras: Names of extras.
        root: Folder of pyproject.toml.

    Returns:
        The requirements.

    """
    project = tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"]
    listed = [*project["dependencies"], *(text for extra in extras for text in project["optional-dependencies"][extra])]
    return [Requirement(text) for text in listed]


def collect_closure(required: list[Requirement]) -> list[Distribution]:
    """Collect everything that requirements bring along on this machine.

    Args:
        required: Requirements.

    Returns:
        The installed packages, by name.

    Raises:
        SystemExit: A package is not installed.

    """
    found: dict[str, Distribution] = {}
    seen: set[tuple[str, str]] = set()
    waiting = [(one, extra) for one in required for extra in ("", *one.extras)]
    while waiting:
        one, extra = waiting.pop()
        name = canonicalize_name(one.name)
        if (name, extra) in seen:
            continue
        seen.add((name, extra))
        try:
            found[name] = distribution(one.name)
        except PackageNotFoundError:
            sys.exit(f"{one.name} is not installed here: pip install . first, with the same extras.")
        for text in found[name].requires or []:
            further = Requirement(text)
            if further.marker is None or further.marker.evaluate({"extra": extra}):
                waiting += [(further, each) for each in ("", *further.extras)]
    return [found[name] for name in sorted(found)]


def read_licence(package: Distribution) -> str:
    """Read a package's licence: its SPDX expression, else classifiers, else the field `License`, else the text.

    Args:
        package: An installed package.

    Returns:
        An SPDX expression where the words are known, else the words; empty where nothing is said.

    """
    facts = package.metadata
    if expression := facts.get("License-Expression"):
        return str(expression)
    classified = [line.rpartition(" :: ")[2] for line in facts.get_all("Classifier") or [] if "License ::" in line]
    said = [text for text in classified if text != "OSI Approved"] or [(facts.get("License") or "").strip()]
    named = " AND ".join(dict.fromkeys(map(name_licence, said)))
    return named if named not in ("", "UNKNOWN") else recognize_text(package)


def recognize_text(package: Distribution) -> str:
    """Recognize the text of a licence that lies in a package; empty where there is none or it is not known."""
    files = [file for file in package.files or [] if file.name.upper().startswith("LICEN")]
    heads = [" ".join(file.read_text().split())[:HEAD] for file in files]
    return next((name for head in heads for name, form in TEXTS.items() if re.search(form, head, re.IGNORECASE)), "")


def name_licence(words: str) -> str:
    """Name a licence by its SPDX identifier; its first line, shortened, where it has none here."""
    first = words.partition("\n")[0].strip()
    return next((name for name, form in FITTING.items() if re.fullmatch(form, first, re.IGNORECASE)), first[:60])


def is_fitting(expression: str) -> bool:
    """Whether an SPDX expression can be met with licences of `FITTING` alone.

    AND binds before OR, and an exception (WITH) only permits more.
    """
    text = re.sub(r"\s+WITH\s+\S+?(?=[\s)]|$)", "", expression)
    inner = re.search(r"\(([^()]*)\)", text)
    if inner:
        return is_fitting(f"{text[: inner.start()]}{'MIT' if is_fitting(inner[1]) else 'no'}{text[inner.end() :]}")
    return any(all(name.strip() in FITTING for name in part.split(" AND ")) for part in text.split(" OR "))


def read_packages(extras: list[str]) -> list[Licensed]:
    """Read the licences of everything that an installation with some extras brings along."""
    found = collect_closure(list_required(extras))
    return [Licensed(canonicalize_name(each.metadata["Name"]), each.version, read_licence(each)) for each in found]


def find_problems(packages: list[Licensed]) -> list[str]:
    """Find packages whose licence is unknown or does not fit.

    Args:
        packages: Packages with their licences.

    Returns:
        One sentence for each.

    """
    return [
        f"{each.name} {each.version}: licence {each.licence or 'not stated'!r}, expected one of FITTING."
        for each in packages
        if not is_fitting(each.licence) and not any(re.fullmatch(form, each.name) for form in EXCEPTIONS)
    ]


def format_markdown(packages: list[Licensed]) -> str:
    """Format packages by licence as a Markdown table."""
    by_licence: dict[str, list[str]] = defaultdict(list)
    for each in packages:
        by_licence[each.licence].append(each.name)
    rows = sorted(by_licence.items(), key=lambda item: (-len(item[1]), item[0]))
    return "\n".join(["| licence | packages |", "|---|---|", *(f"| {name} | {', '.join(own)} |" for name, own in rows)])


def main() -> int:
    """Print the licences, then what does not fit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--extra", default="", help="extras, separated by commas")
    parser.add_argument("--markdown", action="store_true", help="a table by licence")
    given = parser.parse_args()
    packages = read_packages([name for name in given.extra.split(",") if name])
    print(
        format_markdown(packages)
        if given.markdown
        else "\n".join(f"{each.name:34} {each.version:14} {each.licence}" for each in packages)
    )
    problems = find_problems(packages)
    print("\n".join(problems) or f"{len(packages)} packages, all fit.", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
