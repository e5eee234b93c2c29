"""Language packs as TOML text.

What follows by rule from a language's codes, script and related languages, and a draft from what langcodes knows.
"""

import json
from collections.abc import Iterable
from datetime import date
from typing import Any

import langcodes
from langcodes.data_dicts import NORMALIZED_MACROLANGUAGES

from polyclip.errors import PolyclipError, UnknownName
from polyclip.languages.codes import LanguageKey, find_codes, is_in_nllb, is_in_xlmr, list_sources, load_schemes
from polyclip.languages.resolve import resolve_language
from polyclip.languages.schema import RIGHT_TO_LEFT, Language, Source, list_languages

UNSPACED = {"Khmr", "Laoo", "Mymr", "Thai"}
FARSI_YEH = {"fa", "ur"}  # they write one yeh and one kaf; Pashto, Sindhi and Uyghur tell several apart
DOTLESS_I = {"az", "tr"}  # the languages of Unicode's SpecialCasing.txt
ROUTES = {
    "nllb": "nllb",
    "m2m100": "m2m100",
    "madlad": "madlad",
    "opus_mt": "opus-mt",
    "freedict": "lexicon",
}  # [codes] -> engine, the best first
INTO_ENGLISH_ONLY = {"isl", "kur", "slk", "slv"}  # FreeDict has these into English only
BORROWED = 3
CLDR = "https://github.com/unicode-org/cldr-json"
REGISTRY = "https://www.iana.org/assignments/language-subtag-registry"


def choose_steps(code: str, script: str, codes: dict[str, str]) -> list[str]:
    """Choose the normalization steps by script and language.

    `spaces` comes before `moses`, which turns a no-break space between digits into a comma.
    """
    chosen = {
        "nfc": True,
        "arabic": script == "Arab",
        "persian": code in FARSI_YEH,
        "ethiopic": script == "Ethi",
        "unspaced": script in UNSPACED,
        "joiners": True,
        "turkic-case": code in DOTLESS_I,
        "spaces": True,
        "moses": "moses" in codes,
    }
    return [step for step, wanted in chosen.items() if wanted]


def choose_engine(code: str, codes: dict[str, str]) -> str:
    """Choose the first engine that translates from English into the language; `none` for English itself."""
    able = {scheme for scheme in codes if scheme != "freedict" or codes[scheme] not in INTO_ENGLISH_ONLY}
    return next((engine for scheme, engine in ROUTES.items() if scheme in able and code != "en"), "none")


def find_relatives(pack: dict[str, Any], packs: Iterable[dict[str, Any]]) -> list[str]:
    """Find up to three packs of related languages to train with.

    XLM-R knows them; the same script and more resources come first. Groups are searched from the narrowest to the
    widest; the widest one only counts for languages that have no narrower group (Indo-European says too little). A
    language in its second script is only offered to languages written in that script.

    Args:
        pack: The pack as a dictionary, with code, script, family and in_xlmr.
        packs: The packs to choose from, as dictionaries.

    Returns:
        At most three codes.

    """
    root = pack["code"].partition("-")[0]
    others = [other for other in packs if other["in_xlmr"] and other["code"].partition("-")[0] != root]
    others = [other for other in others if "-" not in other["code"] or other["script"] == pack["script"]]
    for branch in reversed(pack["family"]):
        near = [other for other in others if branch in other["family"]]
        if branch == pack["family"][0]:
            near = [other for other in near if len(other["family"]) == 1 == len(pack["family"])]
        same = [other for other in near if other["script"] == pack["script"]]
        ranked = sorted(same or near, key=lambda other: (-(other.get("resource_class") or 0), other["code"]))
        if ranked:
            return [other["code"] for other in ranked[:BORROWED]]
    return []


def make_recipe(pack: dict[str, Any], packs: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Make [recipe]: polyclip's defaults, an engine, and related languages for a low-resource language."""
    rank = pack.get("resource_class")
    poor = rank <= 2 if rank is not None else not pack["in_xlmr"]
    table: dict[str, Any] = {
        "method": "head-mlp",
        "budget": "5m",
        "translation": choose_engine(pack["code"], pack["codes"]),
    }
    return table | {"borrow": find_relatives(pack, packs) if poor else []}


def format_pack(table: dict[str, Any], where: list[Source]) -> str:
    """Format a pack as TOML: plain keys, then tables, then sources.

    Strings and lists are written as JSON, which TOML reads alike.
    """
    plain = [format_line(key, value) for key, value in table.items() if not isinstance(value, dict)]
    tables = [
        [f"[{key}]", *(format_line(name, inner) for name, inner in value.items())]
        for key, value in table.items()
        if isinstance(value, dict) and value
    ]
    sources = [
        [
            "[[sources]]",
            format_line("fields", one.fields),
            format_line("url", one.url),
            f"checked = {one.checked.isoformat()}",
        ]
        for one in where
    ]
    return "\n\n".join("\n".join(block) for block in (plain, *tables, *sources)) + "\n"


def format_line(key: str, value: object) -> str:
    """Format `key = value` for text, numbers, booleans and lists of text."""
    return f"{key} = {json.dumps(value, ensure_ascii=False)}"


def draft_pack(text: str, today: date) -> tuple[str, str]:
    """Draft a pack for a language that has none, from what langcodes knows of BCP 47 and CLDR.

    Args:
        text: A code of BCP 47, such as `mg`.
        today: The date that the sources get.

    Returns:
        The pack's code and its TOML text.

    Raises:
        UnknownName: The code is not registered, or CLDR has no names for it.
        PolyclipError: The language has a pack.

    """
    tag = _registered(text).simplify_script()
    code = str(langcodes.Language.make(tag.language, script=tag.script))
    there = _there(code)
    if there is not None:
        raise PolyclipError(
            f"{text!r} is the pack {there.code} ({there.name}): 'polyclip languages show {there.code}' shows it; copy "
            "its file to change it."
        )
    script = tag.maximize().script or ""
    aliases = sorted(member for member, whole in NORMALIZED_MACROLANGUAGES.items() if whole == code)
    spoken = LanguageKey(code, tag.to_alpha3(), tuple(aliases), script)
    table: dict[str, Any] = {
        "code": code,
        "iso639_3": spoken.iso639_3,
        "name": tag.display_name("en"),
        "own_name": tag.autonym(),
        "script": script,
        "direction": "rtl" if script in RIGHT_TO_LEFT else "ltr",
        "aliases": aliases,
        "cldr": code,
        "xm3600": code in load_schemes()["xm3600"].codes,
        "in_xlmr": is_in_xlmr(code),
        "in_nllb": is_in_nllb(spoken),
        "family": [],
        "codes": find_codes(spoken),
    }
    if tag.speaking_population():
        table["speakers"] = tag.speaking_population()
    table["normalise"] = choose_steps(code, script, table["codes"])
    table["prompts"] = ["{}"]
    table["recipe"] = make_recipe(table, [])
    ordered = {key: table[key] for key in Language.model_fields if key in table}
    return code, HEADER + format_pack(ordered, _sources(ordered, today))


HEADER = """# Drafted from CLDR and from the lists of languages/standards. Compare every line with its source, give
# [recipe] related languages to borrow from and `family` the names that their packs use, then run:
# polyclip languages check FILE
"""


def _there(code: str) -> Language | None:
    try:
        return resolve_language(code)
    except UnknownName:
        return None


def _registered(text: str) -> langcodes.Language:
    try:
        tag = langcodes.Language.get(text)
    except ValueError:
        tag = langcodes.Language.make()
    if not tag.language or not tag.is_valid() or not tag.has_name_data():
        raise UnknownName(
            "registered language",
            text,
            list_languages(),
            "A draft requires a code of BCP 47 for which CLDR has names, such as mg or ckb.",
        )
    return tag


def _sources(table: dict[str, Any], today: date) -> list[Source]:
    cldr: list[str] = [
        name for name in ("name", "own_name", "script", "direction", "cldr", "speakers") if name in table
    ]
    fields = ["xm3600", "in_xlmr", "in_nllb", *(f"codes.{name}" for name in table["codes"])]
    registry = ["iso639_3", *(["aliases"] if table["aliases"] else [])]
    return [
        Source(fields=registry, url=REGISTRY, checked=today),
        Source(fields=cldr, url=CLDR, checked=today),
        *list_sources(fields),
    ]
