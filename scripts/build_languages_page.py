"""Make the reference page of all language packs.

`mkdocs build` calls this through scripts/docs_hooks.py; `python scripts/build_languages_page.py` prints the page.
"""

from polyclip.languages.schema import Language, list_languages, load_language

HEAD = """# Languages

Generated from `languages/*.toml` when the site is built. `polyclip languages show sw` shows a pack, by any
code or name of the language; `polyclip doctor --lang sw` says how well a text encoder reads it before
anything is trained. See also [how a language is added](../guides/contributing/language.md) and [how near each
language comes to English](../explanation/equity.md).

`--lang` takes any of the codes or names of a pack (`sw`, `swh_Latn`, `Kiswahili`; `jp` for Japanese, `iw` for
Hebrew); one that could mean two languages is refused with the choices. A pack holds codes in eleven schemes,
script, family, speakers, normalisation, prompts and a recipe, each fact with its source. Captions and queries
are normalised by the steps of the pack where they enter, the same in training, evaluation and search.

Speakers from CLDR 48.2 (population times share of speakers), class from Joshi et al. 2020 (0: left behind, 5:
winners; `-`: not in its list), families from ISO 639-5; each pack names its sources. *Translate with*: the
engine its recipe advises for `polyclip translate`. *Related*: languages that the pack's recipe advises to
train beside it.
"""
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
    "related",
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
    return "\n".join([*head, *(row(load_language(code)) for code in list_languages())])


def page() -> str:
    """The whole page."""
    return f"{HEAD}\n{table()}\n"


if __name__ == "__main__":
    print(page())
