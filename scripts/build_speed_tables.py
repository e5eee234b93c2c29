"""Write the tables of docs/explanation/speed into README.md and docs/explanation/performance.md, between their marks.

python scripts/build_speed_tables.py
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
Stored = dict[str, Any]
CAPTIONS = "sentence-transformers"
PICTURES = "timm, eager"


def stored(name: str) -> Stored:
    """Figures of one part of the benchmarks."""
    found: Stored = json.loads((ROOT / "docs" / "explanation" / "speed" / f"{name}.json").read_text("utf-8"))
    return found


def markdown(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""
    return "\n".join(
        ["| " + " | ".join(head) + " |", "|" + "---|" * len(head), *("| " + " | ".join(row) + " |" for row in rows)]
    )


def short(number: float) -> str:
    """Three figures that count, in full from a hundred on."""
    return f"{number:,.0f}" if number >= 100 else f"{number:#.3g}"


def steps() -> str:
    """What a step of training takes."""
    found = stored("training")
    rows = sorted(found["rows"], key=lambda row: row["seconds_a_step"])
    head = ("training", "s/step", "speed-up over open_clip", "with encoding", "% of peak FLOP/s", "peak MB")
    return markdown(
        head,
        [
            [row["name"], *map(short, step(row)), f"{100 * row['share']:.0f} %", f"{row['peak_mb']:,.0f}"]
            for row in rows
        ],
    )


def speed() -> str:
    """The README's part of it."""
    rows = [row for row in stored("training")["rows"] if row["name"] in SHOWN]
    head = ("training", "s/step", "speed-up", "with encoding", "peak MB")
    cells = [
        [row["name"], *map(short, step(row)), f"{row['peak_mb']:,.0f}"]
        for row in sorted(rows, key=lambda row: row["seconds_a_step"])
    ]
    return markdown(head, cells)


def step(row: Stored) -> tuple[float, float, float]:
    """Seconds, and how many times faster than open_clip without and with the encoding."""
    return row["seconds_a_step"], row["of_base"], row["of_base_with_encoding"]


def recalls() -> str:
    """When each contender was where all came to."""
    found = stored("training")
    head = ("training", "best recall", f"steps to {100 * found['threshold']:.1f} %", "s", "s, encoding added", "J")
    return markdown(
        head, [[row["name"], *reached(row, found)] for row in sorted(found["rows"], key=lambda row: row["seconds_to"])]
    )


def reached(row: Stored, found: Stored) -> list[str]:
    """Of one contender."""
    first = next(number for number, recall in enumerate(row["recalls"]) if recall >= found["threshold"])
    seconds = (short(row["seconds_to"]), short(row["with_encoding"]), short(row["joules_to"]))
    return [f"{100 * max(row['recalls']):.1f} %", str(first * found["settings"]["every"]), *seconds]


def encoded(kind: str, base: str, columns: Sequence[tuple[str, Callable[[Stored], str]]]) -> str:
    """Items a second, beside the fastest contender of a library."""
    rows = stored("encoding")[kind]
    fastest = max(row["rate"] for row in rows if row["name"].startswith(base) and not row["name"].endswith(", bf16"))
    head = (
        "captions" if kind == "text" else "images",
        f"{'captions' if kind == 'text' else 'images'}/s",
        f"speed-up over {base}",
        "% of peak FLOP/s",
        *(name for name, _ in columns),
        "peak MB",
    )
    return markdown(
        head, [[*beside(row, fastest), *(show(row) for _, show in columns), f"{row['peak_mb']:,.0f}"] for row in rows]
    )


def beside(row: Stored, fastest: float) -> list[str]:
    """Name, rate, ratio and share of the hardware."""
    return [row["name"], short(row["rate"]), f"{row['rate'] / fastest:.2f}", f"{100 * row['share']:.0f} %"]


def decoded() -> str:
    """From files to pixels."""
    return markdown(
        ("one thread", "images/s"),
        [[row["name"], short(row["rate"])] for row in stored("encoding")["decoding"]],
    )


ONLY_CAPTIONS: list[tuple[str, Callable[[Stored], str]]] = [
    ("CPU ms/caption", lambda row: f"{row['processor_ms']:.1f}"),
    ("lowest cosine", lambda row: f"{row['cosine']:.5f}"),
]
SHOWN = (
    "polyclip heads",
    "polyclip lilt-lwa, top 4",
    "polyclip full",
    "transformers Trainer",
    "sentence-transformers",
    "open_clip --lock-image",
)
TABLES: dict[str, Callable[[], str]] = {
    "speed": speed,
    "steps": steps,
    "recalls": recalls,
    "captions": lambda: encoded("text", CAPTIONS, ONLY_CAPTIONS),
    "pictures": lambda: encoded("image", PICTURES, []),
    "decoding": decoded,
}
PAGES = {
    "README.md": ("speed",),
    "docs/explanation/performance.md": ("steps", "captions", "recalls", "pictures", "decoding"),
}


def page(text: str, names: Sequence[str]) -> str:
    """A page with fresh tables."""
    for name in names:
        before, _, rest = text.partition(f"<!-- {name} -->\n")
        text = f"{before}<!-- {name} -->\n{TABLES[name]()}\n<!-- /{name} -->{rest.partition(f'<!-- /{name} -->')[2]}"
    return text


def main() -> None:
    """Rewrite the pages."""
    for name, tables in PAGES.items():
        path = ROOT / name
        path.write_text(page(path.read_text("utf-8"), tables), "utf-8")


if __name__ == "__main__":
    main()
