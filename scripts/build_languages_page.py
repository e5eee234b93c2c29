"""Write the table of all language packs into docs/languages.md, between its two marks.

python scripts/build_languages_page.py
"""

from pathlib import Path

from polyclip.languages.schema import Language, known_languages, load_language

PAGE = Path(__file__).parents[1] / "docs" / "languages.md"
BEGIN, END = "<!-- packs -->", "<!-- /packs -->"
COLUMNS = (
    "code",
    "language",
    "own name",
    "script",
    "family",
    "speakers",
    "class",
    "XLM-R",
    "NLLB-200",
    "XM3600",
    "translate with",
    "borrow from",
)


def row(pack: Language) -> str:
    """One line of the table."""
    speakers = "-" if pack.speakers is None else people(pack.speakers)
    rank = "-" if pack.resource_class is None else str(pack.resource_class)
    marks = ["yes" if is_ else "-" for is_ in (pack.in_xlmr, pack.in_nllb, pack.xm3600)]
    cells = [pack.code, pack.name, pack.own_name, pack.script, " › ".join(pack.family) or "-", speakers, rank, *marks]
    return "| " + " | ".join([*cells, pack.recipe.translation, ", ".join(pack.recipe.borrow) or "-"]) + " |"


def people(number: int) -> str:
    """`194 M`, `3.2 M`, `410 k`."""
    if number >= 10_000_000:
        return f"{number / 1e6:.0f} M"
    return (
        f"{number / 1e6:.1f} M" if number >= 1_000_000 else f"{number / 1e3:.0f} k" if number >= 1_000 else str(number)
    )


def table() -> str:
    """Every pack, in the order of codes."""
    head = ["| " + " | ".join(COLUMNS) + " |", "|" + "---|" * len(COLUMNS)]
    return "\n".join([*head, *(row(load_language(code)) for code in known_languages())])


def page(text: str) -> str:
    """The page with a fresh table."""
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{table()}\n{END}{rest.partition(END)[2]}"


def main() -> None:
    """Rewrite the page."""
    PAGE.write_text(page(PAGE.read_text("utf-8")), "utf-8")


if __name__ == "__main__":
    main()
