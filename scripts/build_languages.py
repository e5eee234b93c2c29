"""Write the language packs that can be derived from standards: Unicode CLDR 48.2 (npm) and two tables.

    python scripts/build_languages.py            # needs npm

Names, scripts, codes, families and speakers are CLDR's; codes of other projects come from
languages/standards/schemes.toml, what neither knows from scripts/language_facts.toml. A pack's first line carries a
digest of what was written, so that a pack that people have edited is recognised and left alone unless --overwrite.
"""

import argparse
import json
import tomllib
from collections import Counter
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import langcodes
from build_emoji import install

from polyclip.core.storage import hash_parts, write_text
from polyclip.languages.codes import LanguageKey, find_codes, is_in_nllb, is_in_xlmr, list_sources, load_schemes
from polyclip.languages.draft import CLDR, choose_steps, format_pack, make_recipe
from polyclip.languages.schema import RIGHT_TO_LEFT, Language, Source

PACKAGES = ("cldr-core@48.2.0", "cldr-localenames-full@48.2.0")
FACTS = tomllib.loads((Path(__file__).parent / "language_facts.toml").read_text("utf-8"))
WRITTEN = "# Written by scripts/build_languages.py from CLDR 48.2; edit freely, an edited pack is left alone."
OF_CLDR = ["name", "own_name", "script", "direction", "iso639_3", "aliases", "cldr", "speakers", "family"]

Table = dict[str, Any]


@cache
def read(path: Path) -> Table:
    """One JSON file."""
    return dict(json.loads(path.read_text("utf-8")))


def supplemental(modules: Path, name: str) -> Table:
    """One table of CLDR's supplemental data."""
    return dict(read(modules / "cldr-core" / "supplemental" / f"{name}.json")["supplemental"])


def display_name(modules: Path, locale: str, code: str) -> str:
    """What `locale` calls a language, with its script in brackets where the code has one; else its English name."""
    base, _, script = code.partition("-")
    name = _display(modules, locale, "languages", base)
    return f"{name} ({_display(modules, locale, 'scripts', script)})" if script else name


def _display(modules: Path, locale: str, what: str, of: str) -> str:
    for asked in (locale, locale.partition("-")[0], "en"):
        path = modules / "cldr-localenames-full" / "main" / asked / f"{what}.json"
        names = read(path)["main"][asked]["localeDisplayNames"][what] if path.exists() else {}
        if of in names:
            return str(names[of])
    return of


def identity(modules: Path, code: str) -> LanguageKey:
    """ISO 639-3 code, script, and every other code that CLDR replaces by this one or that the facts add."""
    base, _, script = FACTS["locale"].get(code, code).partition("-")
    entries = supplemental(modules, "aliases")["metadata"]["alias"]["languageAlias"]
    same = {alias for alias, entry in entries.items() if entry["_replacement"] == base and alias.isalpha()}
    iso = code if len(code) == 3 else langcodes.Language.get(base).to_alpha3()
    more = FACTS["aliases"].get(code, [])
    aliases = sorted((set() if script else same) | {*more}, key=str.lower)
    likely = supplemental(modules, "likelySubtags")["likelySubtags"].get(base, "").split("-")
    return LanguageKey(code, iso, tuple(alias for alias in aliases if alias not in (iso, code)), script or likely[1])


def family(modules: Path, code: str) -> list[str]:
    """Names of ISO 639-5 from the widest group to the narrowest: CLDR's groups, else those of the facts."""
    base = FACTS["locale"].get(code, code).partition("-")[0]
    parent = {
        member: group
        for group, members in supplemental(modules, "languageGroups")["languageGroups"].items()
        for member in members.split()
    }
    at = FACTS["family"][base][0] if base in FACTS["family"] else parent.get(base)
    chain = []
    while at is not None:
        chain.append(at)
        at = parent.get(at)
    return [
        FACTS["groups"][group]
        for group in reversed(chain)
        if group in FACTS["groups"] and group not in FACTS["groups"]["left_out"]
    ]


def speakers(modules: Path) -> Counter[str]:
    """People who use a language in a script, by CLDR's code with _: population times CLDR's percentage."""
    total: Counter[str] = Counter()
    for territory in supplemental(modules, "territoryInfo")["territoryInfo"].values():
        for code, entry in territory.get("languagePopulation", {}).items():
            total[code] += round(int(territory["_population"]) * float(entry["_populationPercent"]) / 100)
    return total


def traps(code: str) -> list[Table]:
    """What trips people up with this language."""
    found = [trap for trap in FACTS["traps"] if code in trap["of"]]
    unknown = FACTS["unknown_pieces"]
    if code in unknown:
        text = f"multilingual-e5-small's tokenizer does not know {unknown[code]} % of the pieces of its emoji names."
        found.append({"text": text, "url": unknown["url"], "checked": unknown["checked"]})
    return found


def facts(modules: Path, code: str, people: Counter[str]) -> Table:
    """Everything but the recipe."""
    spoken, locale = identity(modules, code), FACTS["locale"].get(code, code)
    codes = find_codes(spoken)
    table = {
        "code": code,
        "iso639_3": spoken.iso639_3,
        "name": display_name(modules, "en", locale),
        "own_name": display_name(modules, locale, locale),
        "script": spoken.script,
        "direction": "rtl" if spoken.script in RIGHT_TO_LEFT else "ltr",
        "aliases": list(spoken.aliases),
        "cldr": locale,
        "xm3600": code in load_schemes()["xm3600"].codes,
        "in_xlmr": is_in_xlmr(code),
        "in_nllb": is_in_nllb(spoken),
        "family": family(modules, code),
        "speakers": people.get(locale.replace("-", "_")),
        "resource_class": FACTS["resource_class"].get(code, ["", None])[1],
        "normalise": choose_steps(code, spoken.script, codes),
        "prompts": FACTS["prompts"].get(code, ["", "{}"])[1:],
        "codes": codes,
    }
    return {key: value for key, value in table.items() if value is not None}


def where(table: Table, checked: date) -> list[Source]:
    """A source for every fact of the pack."""
    code = table["code"]
    cldr = [name for name in OF_CLDR if table.get(name) not in (None, [])]
    found = [Source(fields=cldr, url=CLDR, checked=checked)]
    if table["family"]:
        found.append(Source(fields=["family"], url=FACTS["groups"]["url"], checked=FACTS["groups"]["checked"]))
    if code in FACTS["family"]:
        found.append(Source(fields=["family"], url=FACTS["family"][code][1], checked=FACTS["family"]["checked"]))
    if code in FACTS["aliases"]:
        found.append(Source(fields=["aliases"], url=FACTS["aliases"]["url"], checked=FACTS["aliases"]["checked"]))
    if "resource_class" in table:
        found.append(
            Source(
                fields=["resource_class"],
                url=FACTS["resource_class"]["url"],
                checked=FACTS["resource_class"]["checked"],
            )
        )
    if code in FACTS["prompts"]:
        found.append(Source(fields=["prompts"], url=FACTS["prompts"][code][0], checked=FACTS["prompts"]["checked"]))
    found += list_sources(["xm3600", "in_xlmr", "in_nllb", *(f"codes.{name}" for name in table["codes"])])
    return found + [Source(fields=["recipe.traps"], url=trap["url"], checked=trap["checked"]) for trap in traps(code)]


def pack(table: Table, tables: list[Table], checked: date) -> str:
    """The TOML text of one pack below its first line; it passes the schema."""
    own = [trap["text"] for trap in traps(table["code"])]
    whole = table | {"recipe": make_recipe(table, tables) | ({"traps": own} if own else {})}
    listed = where(table, checked)
    Language.model_validate(whole | {"sources": [source.model_dump() for source in listed]})
    return format_pack(whole, listed)


def sealed(body: str) -> str:
    """The file: a first line with the digest of the rest."""
    return f"{WRITTEN} {hash_parts(body)[:16]}\n{body}"


def edited(path: Path) -> bool:
    """Whether people have changed the file since it was written."""
    text = path.read_text("utf-8")
    return text != sealed(text.partition("\n")[2])


def main() -> None:
    """Write packs that are missing or as they were written; say what was left alone."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--modules", type=Path, help="a node_modules folder that already has the packages")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "languages")
    parser.add_argument("--checked", type=date.fromisoformat, default=date(2026, 11, 24), help="the day CLDR was read")
    parser.add_argument("--overwrite", action="store_true", help="also replace packs that people have edited")
    args = parser.parse_args()
    modules = args.modules or install(Path("build/npm"), PACKAGES)
    people = speakers(modules)
    tables = [facts(modules, code, people) for code in FACTS["languages"].split()]
    for table in tables:
        path, text = args.out / f"{table['code']}.toml", sealed(pack(table, tables, args.checked))
        if path.exists() and edited(path) and path.read_text("utf-8") != text and not args.overwrite:
            print(f"{path} was edited and is left alone; --overwrite replaces it")
            continue
        write_text(path, text, what="the language pack")


if __name__ == "__main__":
    main()
