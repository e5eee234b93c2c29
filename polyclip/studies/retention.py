"""What encoders kept of their knowledge, from records of cells."""

from polyclip.studies.figures import Record

TEXT, VISION = "text encoder", "vision tower"  # values of `part` in stored records


def format_retention(records: list[Record], part: str) -> str:
    """Format the mean change over seeds; for images, the share with an unchanged class."""
    lines = [
        line
        for record in records
        for line in record["knowledge"]
        if line["part"] == part and ("never" in line["question"] or part == VISION)
    ]
    if not lines:
        return "100.0" if part == VISION else "-"
    if part == VISION:
        return f"{100 * average(lines, 'after'):.1f}"
    return (
        f"{100 * average(lines, 'change'):+.1f} [{100 * average(lines, 'low'):+.0f}, "
        f"{100 * average(lines, 'high'):+.0f}]"
    )


def average(lines: list[Record], key: str) -> float:
    """Average a value over seeds."""
    return sum(line[key] for line in lines) / len(lines)
