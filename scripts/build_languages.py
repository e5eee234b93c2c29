"""Write the language packs that can be derived from a standard: Unicode CLDR 48.2, through its pinned npm packages.

    python scripts/build_languages.py            # needs npm

What CLDR knows (names, script, direction, codes) is read; what it does not (membership in XM3600 and in XLM-R's training data)
is the two lists below, copied from the sources named beside them. A pack that people have edited is left alone unless --overwrite.
"""

import argparse
import json
from pathlib import Path

import tomli_w
from build_emoji import install

PACKAGES = ("cldr-core@48.2.0", "cldr-localenames-full@48.2.0")
# https://google.github.io/crossmodal-3600/: the 36 languages, as its files spell them
XM3600 = "ar bn cs da de el en es fa fi fil fr he hi hr hu id it ja ko mi nl no pl pt quz ro ru sv sw te th tr uk vi zh".split()
# The list of 100 languages in fairseq's examples/xlmr (Conneau et al. 2020, arXiv 1911.02116)
XLMR = (
    "af am ar as az be bg bn br bs ca cs cy da de el en eo es et eu fa fi fy fr ga gd gl gu ha he hi hr hu hy id is it ja jv ka kk km kn ko ku ky la lo lt "
    "lv mg mk ml mn mr ms my ne nl no om or pa pl ps pt ro ru sa sd si sk sl so sq sr su sv sw ta te th fil tr ug uk ur uz vi xh yi zh"
).split()
OTHERS = (
    "af am as az be bg bs ca cy et eu fo ga gl gu ha hy ig is ka kk km kn ky lb lo lt lv mk ml mn mr ms mt my ne om or pa ps rw sd si sk sl so sq sr ta tg "
    "ti tk tn ug ur uz wo xh yo zu ak ba br chr cv dsb gd hsb jv kok nso pcm rm sc shn to quc kl"
).split()
RIGHT_TO_LEFT = {"Arab", "Hebr", "Thaa", "Syrc", "Nkoo", "Adlm", "Rohg"}
LOCALE = {"quz": "qu"}  # CLDR writes Quechua as qu; XM3600's captions are Cusco Quechua
MORE_ALIASES = {"quz": ["qu", "que"], "ja": ["jp"], "no": ["nb", "nob"], "zh": ["zh-hans"]}
CLDR = {"fields": ["name", "own_name", "script", "direction", "iso639_3", "aliases", "cldr"], "url": "https://github.com/unicode-org/cldr-json"}
BENCHMARK = {"fields": ["xm3600"], "url": "https://google.github.io/crossmodal-3600/"}
PAPER = {"fields": ["in_xlmr"], "url": "https://github.com/facebookresearch/fairseq/blob/main/examples/xlmr/README.md"}


def read(path: Path) -> dict:
    """One JSON file."""
    return json.loads(path.read_text("utf-8"))


def display_name(modules: Path, locale: str, of: str) -> str:
    """What `locale` calls the language `of`; English where it has no word."""
    for asked in (locale, "en"):
        path = modules / "cldr-localenames-full" / "main" / asked / "languages.json"
        if path.exists():
            names = read(path)["main"][asked]["localeDisplayNames"]["languages"]
            if of in names:
                return names[of]
    return of


def codes(aliases: dict, code: str) -> tuple[str, list[str]]:
    """ISO 639-3 code and every other code that CLDR replaces by this one."""
    same = {alias: entry["_reason"] for alias, entry in aliases.items() if entry["_replacement"] == code and alias.isalpha()}
    overlong = sorted(alias for alias, reason in same.items() if reason == "overlong")
    own = code if len(code) == 3 else overlong[0]
    return own, sorted({*same, *MORE_ALIASES.get(code, [])} - {own, code})


def pack(modules: Path, code: str, checked: str) -> str:
    """The TOML text of one pack."""
    supplemental = modules / "cldr-core" / "supplemental"
    locale = LOCALE.get(code, code)
    script = read(supplemental / "likelySubtags.json")["supplemental"]["likelySubtags"][locale].split("-")[1]
    iso, aliases = codes(read(supplemental / "aliases.json")["supplemental"]["metadata"]["alias"]["languageAlias"], code)
    table = {
        "code": code,
        "iso639_3": iso,
        "name": display_name(modules, "en", locale),
        "own_name": display_name(modules, locale, locale),
        "script": script,
        "direction": "rtl" if script in RIGHT_TO_LEFT else "ltr",
        "aliases": aliases,
        "cldr": locale,
        "xm3600": code in XM3600,
        "in_xlmr": code in XLMR,
    }
    sources = "".join(
        f"\n[[sources]]\nfields = {json.dumps(source['fields'])}\nurl = {json.dumps(source['url'])}\nchecked = {checked}\n"
        for source in (CLDR, BENCHMARK, PAPER)
    )
    return f"# Written by scripts/build_languages.py from CLDR 48.2; edit what a machine cannot know.\n{tomli_w.dumps(table, multiline_strings=False)}{sources}"


def main() -> None:
    """Write what is missing; say what was left alone."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--modules", type=Path, help="a node_modules folder that already has the packages")
    parser.add_argument("--out", type=Path, default=Path(__file__).parents[1] / "languages")
    parser.add_argument("--checked", default="2026-11-23", help="the day the lists above were compared with their sources")
    parser.add_argument("--overwrite", action="store_true", help="also replace packs that people have edited")
    args = parser.parse_args()
    modules = args.modules or install(Path("build/npm"), PACKAGES)
    args.out.mkdir(exist_ok=True)
    for code in sorted({*XM3600, *OTHERS}):
        path, text = args.out / f"{code}.toml", pack(modules, code, args.checked)
        if path.exists() and path.read_text("utf-8") != text and not args.overwrite:
            print(f"{path} differs and is left alone; --overwrite replaces it")
            continue
        path.write_text(text, "utf-8")


if __name__ == "__main__":
    main()
