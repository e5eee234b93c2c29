"""Language packs: every one of them, the schema, the resolver of spellings, groups, and `polyclip languages`."""

import copy
import json
import tomllib
from datetime import date
from pathlib import Path
from types import ModuleType
from typing import Any

import jaxtyping
import pytest
from transformers.models.m2m_100 import tokenization_m2m_100
from transformers.models.nllb import tokenization_nllb

from polyclip.core.toml import CORPORA, LANGUAGES
from polyclip.data.corpus import load_corpus
from polyclip.data.pairs import SamplingConfig
from polyclip.data.readers.emoji import languages as locales
from polyclip.data.readers.emoji import read_captions
from polyclip.data.training_pairs import make_training_pairs
from polyclip.errors import AmbiguousName, PackError, UnknownName
from polyclip.languages import schema
from polyclip.languages.codes import load_schemes, load_special_codes
from polyclip.languages.draft import draft_pack, format_line, format_pack
from polyclip.languages.resolve import collect_spellings, normalize_spelling, resolve_language
from polyclip.languages.schema import (
    STEPS,
    Codes,
    Language,
    Source,
    list_languages,
    load_language,
    load_languages,
    select_group,
)
from polyclip.languages.validate import find_faults
from polyclip.models.converted_weights import ConvertedWeights
from polyclip.models.text import e5_small
from tests.command import polyclip
from tests.script import load_script

PACKS = sorted(LANGUAGES.glob("*.toml"))
TODAY = date(2026, 11, 24)


@pytest.fixture(autouse=True)
def no_packs_of_ones_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(schema, "_own", {})


def swahili() -> dict[str, Any]:
    return copy.deepcopy(tomllib.loads((LANGUAGES / "sw.toml").read_text("utf-8")))


def written(table: dict[str, Any], folder: Path, name: str = "sw.toml") -> Path:
    """The table as a file, sources and all."""
    path = folder / name
    sources = [Source(**source) for source in table.pop("sources")]
    path.write_text(format_pack(table, sources), "utf-8")
    return path


# Every pack


def test_every_pack_is_visited() -> None:
    assert len(PACKS) > 120
    assert sorted(path.stem for path in PACKS) == list_languages()
    assert {pack.code for pack in load_languages() if pack.xm3600} == load_schemes()["xm3600"].codes
    assert len(load_schemes()["xm3600"].codes) == 36


@pytest.mark.parametrize("path", PACKS, ids=lambda path: path.stem)
def test_pack(path: Path) -> None:
    assert find_faults(path) == []
    pack = load_language(path.stem)
    assert pack.codes.xm3600 == (pack.code if pack.xm3600 else "")
    for scheme in Codes.model_fields:
        code = getattr(pack.codes, scheme)
        assert not code or code in load_schemes()[scheme].codes, f"{scheme} has no {code}"
    assert pack.in_nllb == (bool(pack.codes.nllb) and pack.code not in load_special_codes()["nllb"])
    assert ("moses" in pack.normalise) == bool(pack.codes.moses)
    assert len(read_captions(CORPORA / "emoji", pack.cldr)) >= 100
    lent = [load_language(code) for code in pack.recipe.borrow]
    assert all(other.in_xlmr and set(other.family) & set(pack.family) for other in lent)
    assert not lent or pack.is_low_resource


def test_every_locale_that_is_more_than_a_region_has_a_pack() -> None:
    have = {pack.cldr for pack in load_languages()}
    left = {
        locale
        for locale in locales(CORPORA / "emoji")
        if locale not in have and len(read_captions(CORPORA / "emoji", locale)) >= 100
    }
    unknown_scripts = {"ccp", "ff-Adlm", "rhg", "sat"}
    regional = {
        locale
        for locale in left
        if locale.rpartition("-")[2].isupper() or locale in ("en-001", "es-419", "ca-ES-valencia")
    }
    assert left - unknown_scripts - regional == {
        "sr-Cyrl",
        "yue-Hans",
    }  # the pack sr by another name; Cantonese in the script of the mainland


def test_the_lists_are_those_of_the_tokenizers() -> None:
    assert load_schemes()["nllb"].codes == set(tokenization_nllb.FAIRSEQ_LANGUAGE_CODES)
    assert load_schemes()["m2m100"].codes == set(tokenization_m2m_100.FAIRSEQ_LANGUAGE_CODES["m2m100"])
    assert len(load_schemes()["flores"].codes) == 204


def test_unknown_pieces_are_what_the_tokenizer_says() -> None:
    from tokenizers import Tokenizer

    weights: ConvertedWeights = e5_small.convert_once(
        "e5-small", e5_small.find_source(), e5_small.FILE_SHA256, e5_small.convert
    )
    tokenizer = Tokenizer.from_file(str(weights.folder / "tokenizer.json"))
    unknown = tokenizer.token_to_id("<unk>")
    said: dict[str, str] = {}
    found: dict[str, str] = {}
    for pack in load_languages()[::5] + [
        load_language(code) for code in ("ak", "chr", "cv", "tg")
    ]:  # all of them take half a minute
        names = [words[0] for words in read_captions(CORPORA / "emoji", pack.cldr).values()]
        ids = [one for encoding in tokenizer.encode_batch(names, add_special_tokens=False) for one in encoding.ids]
        share = round(100 * ids.count(unknown) / len(ids), 1)
        if share >= 1:
            found[pack.code] = f"{share} %"
        if told := [trap for trap in pack.recipe.traps if "tokenizer" in trap]:
            said[pack.code] = told[0]
    assert set(said) == set(found) == {"ak", "chr", "cv", "tg"}
    assert all(found[code] in trap for code, trap in said.items())


# The schema


def test_swahili_says_what_its_sources_say() -> None:
    pack = load_language("sw")
    assert (pack.iso639_3, pack.own_name, pack.family[-1], pack.resource_class) == ("swa", "Kiswahili", "Bantu", 2)
    assert (pack.codes.nllb, pack.codes.m2m100, pack.codes.babel_imagenet, pack.codes.freedict) == (
        "swh_Latn",
        "sw",
        "SW",
        "swh",
    )
    assert pack.recipe.translation == "nllb" and pack.recipe.borrow == ["xh"]


BROKEN = {
    "prompts without a gap": ({"prompts": ["picha"]}, "prompts: expected exactly one {} in each prompt, found 'picha'"),
    "prompts with two gaps": ({"prompts": ["{} {}"]}, "prompts: expected exactly one {} in each prompt, found '{} {}'"),
    "unknown step": ({"normalise": ["nfx"]}, f"normalise: expected steps out of {', '.join(STEPS)}, found 'nfx'"),
    "unregistered code": (
        {"iso639_3": "xqx"},
        "iso639_3: expected a language that is registered in ISO 639 and BCP 47, found 'xqx'",
    ),
    "unregistered script": (
        {"script": "Latx"},
        "script: expected a script that is registered in ISO 15924, found 'Latx'",
    ),
    "code and script": ({"code": "sw-Arab"}, "script: expected the script that the code names, Arab, found 'Latn'"),
    "direction": ({"direction": "rtl"}, "direction: expected ltr, in which Latn is written, found 'rtl'"),
    "unknown key": ({"iso": "swa"}, "iso: unknown key, found 'swa'"),
    "unknown code scheme": (
        {"codes": {"nlb": "swh_Latn"}},
        "codes.nlb: unknown key, found 'swh_Latn'",
    ),
    "class": ({"resource_class": 6}, "resource_class: expected at most 5, found 6"),
    "fact without source": (
        {"prompts": ["picha ya {}"]},
        "sources: expected a [[sources]] entry for prompts, found none",
    ),
    "code without source": (
        {"codes": {"moses": "sw", "xtd": "sw"}},
        "sources: expected a [[sources]] entry for codes.xtd, codes.moses, found none",
    ),
    "trap without source": (
        {"recipe": {"traps": ["Mind the gap."]}},
        "sources: expected a [[sources]] entry for recipe.traps, found none",
    ),
    "unknown method": ({"recipe": {"method": "lilt-xx"}}, "recipe.method: expected a method out of asif, "),
    "unknown engine": ({"recipe": {"translation": "oracle"}}, "recipe.translation: expected an engine out of nllb, "),
    "unknown relative": (
        {"recipe": {"borrow": ["xh", "qq"]}},
        "recipe.borrow: expected codes of other packs, found 'qq'",
    ),
    "itself as relative": ({"recipe": {"borrow": ["sw"]}}, "recipe.borrow: expected codes of other packs, found 'sw'"),
    "budget": ({"recipe": {"budget": "soon"}}, "recipe.budget: expected a duration such as 5m, found 'soon'"),
    "alias of another": (
        {"aliases": ["swh", "nb"]},
        "aliases: expected codes that no other pack has; they are those of no (Norwegian), found nb",
    ),
}


@pytest.mark.parametrize("change, said", BROKEN.values(), ids=BROKEN)
def test_a_broken_pack_is_one_clear_sentence(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    path = written(swahili() | change, tmp_path)
    assert [str(fault) for fault in find_faults(path) if str(fault).startswith(said)]
    with pytest.raises(PackError) as caught:
        resolve_language(str(path))
    assert str(caught.value).startswith(f"{path}: ") and "problem(s) in all)." in str(caught.value)


def test_a_source_covers_a_table_or_one_field_of_it_and_names_no_others(tmp_path: Path) -> None:
    table = swahili()
    for source in table["sources"]:
        source["fields"] = [name for name in source["fields"] if not name.startswith("codes.")] or ["codes"]
    assert find_faults(written(table, tmp_path)) == []
    table = swahili()
    table["sources"][0]["fields"].append("speekers")
    assert [str(fault) for fault in find_faults(written(table, tmp_path))] == [
        "sources: expected fields that a pack has, found speekers"
    ]


def test_a_file_that_is_no_pack(tmp_path: Path) -> None:
    path = tmp_path / "x.toml"
    with pytest.raises(PackError, match=r"x\.toml cannot be read: No such file"):
        resolve_language(str(path))
    path.write_bytes(b'name = "\xff"')
    with pytest.raises(PackError, match=r"x\.toml is not UTF-8"):
        resolve_language(str(path))
    path.write_text("name =")
    with pytest.raises(PackError, match=r"x\.toml is not TOML"):
        resolve_language(str(path))
    assert find_faults(path)[0].key == "the file"


# The resolver

MEANT = {
    "sw": "sw swh swh_Latn SW swa Swahili Kiswahili sw-KE sw_TZ sw-Latn Suaheli",
    "ja": "ja jp jpn JA jpn_Jpan jap Japanese 日本語 ja-JP",
    "he": "he iw heb HE heb_Hebr",
    "id": "id in ind",
    "no": "no nb nob nor NO nob_Latn Bokmål Norwegian nb-NO",
    "nn": "nn nno NN nno_Latn",
    "fil": "fil tl tgl TL tgl_Latn Tagalog",
    "zh": "zh zh-Hans zh_CN zh-SG zho cmn chi zho_Hans ZH Mandarin Chinese",
    "zh-Hant": "zh-Hant zh_Hant zh-TW zh-HK zho_Hant zh-Hant-MO cmn-TW",
    "yue": "yue zh-yue ZH_YUE yue_Hant yue-HK Cantonese",
    "quz": "quz quy qu que QU quy_Latn Quechua",
    "sr": "sr srp srp_Cyrl sr-Cyrl sr-RS SR",
    "sr-Latn": "sr-Latn sr_Latn_RS srp-Latn sr-ME",
    "pa": "pa pan pan_Guru PA pa-IN",
    "pa-Arab": "pa-Arab pa_PK pnb PNB",
    "hi-Latn": "hi-Latn hi_Latn hin-Latn",
    "pt": "pt pt-BR pt_PT por",
    "en": "en en_US en-GB eng English en-GB-oxendict",
    "ku": "ku kmr kmr_Latn kur",
    "fa": "fa pes pes_Arab Farsi",
    "bn": "bn BN Bengali bangla",
    "mi": "mi Māori maori MAORI",
    "ro": "ro ron mo",
    "nso": "nso ns",
    "ak": "ak tw twi aka",
}


@pytest.mark.parametrize("code, text", [(code, text) for code, texts in MEANT.items() for text in texts.split()])
def test_spelling(code: str, text: str) -> None:
    assert resolve_language(text).code == code


def test_a_name_may_have_spaces_and_brackets() -> None:
    assert resolve_language(" Chinese (Traditional) ").code == resolve_language("Traditional Chinese").code == "zh-Hant"
    assert resolve_language("Brazilian Portuguese").code == "pt"
    assert resolve_language("k’iche’").code == "quc"


def test_every_code_of_every_scheme_means_its_pack_unless_it_means_several() -> None:
    shared = {
        text
        for text, packs in collect_spellings().items()
        if len(packs) > 1 and text not in {normalize_spelling(code) for code in list_languages()}
    }
    assert shared == {"hbs"}
    asked = 0
    for pack in load_languages():
        listed = [
            pack.code,
            pack.name,
            pack.own_name,
            *pack.aliases,
            *(code for code in pack.codes.model_dump().values() if code),
        ]
        for text in {text for text in listed if normalize_spelling(text) not in shared}:
            assert resolve_language(text).code == pack.code, text
            asked += 1
    assert asked > 700


def test_what_means_several_is_refused_with_the_choices() -> None:
    with pytest.raises(AmbiguousName) as caught:
        resolve_language("hbs")
    assert str(caught.value) == (
        "'hbs' means more than one language: bs (Bosnian: code of Apertium); hr (Croatian: code of Apertium); sr "
        "(Serbian: code of Apertium); "
        "sr-Latn (Serbian (Latin): code of Apertium). Write one of bs, hr, sr, sr-Latn instead."
    )


def test_the_code_of_a_pack_wins_over_every_other_meaning(tmp_path: Path) -> None:
    one = written(
        swahili() | {"code": "frr", "aliases": [], "own_name": "hsb", "codes": {"opus_mt": "hsb"}}, tmp_path, "frr.toml"
    )
    assert resolve_language(str(one)).code == "frr"
    assert resolve_language("hsb").code == "hsb"
    with pytest.raises(
        AmbiguousName,
        match=r"'bul' means more than one language: bg \(Bulgarian: .*\); frr \(Swahili: code of OPUS-MT\)",
    ):
        resolve_language(
            str(written(swahili() | {"code": "frr", "aliases": [], "codes": {"opus_mt": "bul"}}, tmp_path, "frr.toml"))
        )
        resolve_language("bul")


UNKNOWN = {
    "xx": "No language called 'xx'. Did you mean 'xh' (Xhosa)? 'polyclip languages' lists all. ",
    "Swhaili": "No language called 'Swhaili'. Did you mean 'Swahili'",
    "swh_Arab": "No language called 'swh_Arab'. Known: sw (Swahili, in Latn). "
    "A language is a file languages/<code>.toml.",
    "uz-Cyrl": "No language called 'uz-Cyrl'. Known: uz (Uzbek, in Latn).",
    "yue-CN": "No language called 'yue-CN'. Known: yue (Cantonese, in Hant).",
    "": "No language called ''.",
    "../sw": "No language called '../sw'.",
    "sw-": "No language called 'sw-'.",
    "ckb": "No language called 'ckb'.",
}


@pytest.mark.parametrize("text", UNKNOWN)
def test_what_means_none_is_refused_with_what_is_near(text: str) -> None:
    with pytest.raises(UnknownName) as caught:
        resolve_language(text)
    assert str(caught.value).startswith(UNKNOWN[text])


def test_a_registered_language_without_a_pack_is_told_by_name_and_how_to_add_it() -> None:
    with pytest.raises(UnknownName) as caught:
        resolve_language("mg")
    assert str(caught.value).endswith(
        "It is Malagasy, which has no pack: 'polyclip languages new mg' drafts one, and --lang FILE.toml uses it."
    )


def test_load_language_refuses_what_is_no_code() -> None:
    for code in ("xx", "../sw", "standards/schemes", ""):
        with pytest.raises(UnknownName, match="No language pack called"):
            load_language(code)


def test_a_pack_of_ones_own_is_a_language_like_any_other(tmp_path: Path) -> None:
    _, text = draft_pack("frr", TODAY)
    path = tmp_path / "mine.toml"
    path.write_text(text.replace('cldr = "frr"', 'cldr = "ast"'), "utf-8")
    mine = resolve_language(str(path))
    assert (mine.code, mine.own_name) == ("frr", "Nordfriisk")
    assert (schema.get_lang_option("frr"), schema.get_pack_file("frr")) == (
        str(path),
        str(path),
    )  # after --lang, which does not know "frr" the next time
    assert (schema.get_lang_option("sw"), schema.get_pack_file("sw")) == ("sw", "languages/sw.toml")
    assert resolve_language("frr") == resolve_language("Northern Frisian") == load_language("frr") == mine
    assert "frr" in list_languages() and mine in select_group("low-resource")
    theirs = make_training_pairs(load_corpus("emoji"), [load_language("ast")], "train", SamplingConfig())
    assert (
        len(make_training_pairs(load_corpus("emoji"), [mine], "train", SamplingConfig()).captions)
        == len(theirs.captions)
        > 100
    )


# Groups


def test_groups() -> None:
    assert (
        [pack.code for pack in select_group("bantu")]
        == [pack.code for pack in select_group(" BANTU ")]
        == ["nso", "rw", "sw", "tn", "xh", "zu"]
    )
    assert [pack.code for pack in select_group("Dravidian")] == ["kn", "ml", "ta", "te"]
    assert len(select_group("xm3600")) == 36
    assert select_group("all") == load_languages()
    poor = select_group("low-resource")
    assert {"sw", "zu", "blo"} <= {pack.code for pack in poor}  # class 2, class 2, no class and not in XLM-R
    assert {pack.code for pack in poor}.isdisjoint({"de", "en", "hi", "fil"})
    with pytest.raises(UnknownName) as caught:
        select_group("bantoo")
    assert str(caught.value).startswith("No group of languages called 'bantoo'. Did you mean ") and "'Bantu'" in str(
        caught.value
    )


# Drafts and the generator


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    return load_script("build_languages")


def test_the_generator_knows_what_people_have_edited(generator: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "sw.toml"
    path.write_text(generator.sealed(format_pack({"code": "sw"}, [])), "utf-8")
    assert not generator.edited(path)
    path.write_text(path.read_text("utf-8").replace('"sw"', '"swh"'), "utf-8")
    assert generator.edited(path)
    path.write_text('code = "sw"\n', "utf-8")
    assert generator.edited(path)


def test_the_generator_makes_every_pack_and_no_other(generator: ModuleType) -> None:
    made = generator.FACTS["languages"].split()
    assert len(made) == len(set(made))
    assert set(made) <= set(list_languages())
    pointed = [
        code
        for table in ("locale", "aliases", "family", "resource_class", "prompts", "unknown_pieces")
        for code in generator.FACTS[table]
    ]
    assert set(pointed) - {"url", "checked"} <= set(made)
    assert {code for trap in generator.FACTS["traps"] for code in trap["of"]} <= set(made)


def test_text_comes_back_as_it_went_in() -> None:
    table = {"name": 'a "quote", a \\ and\n日本語', "list": ["{}", "ي"], "speakers": 3, "xm3600": True}
    assert tomllib.loads("\n".join(format_line(name, value) for name, value in table.items())) == table
    for pack in load_languages():
        whole = pack.model_dump(exclude={"sources"}, exclude_none=True)
        assert Language.model_validate(tomllib.loads(format_pack(whole, pack.sources))) == pack


@pytest.mark.parametrize(
    "code, nllb, script",
    [("mg", "plt_Latn", "Latn"), ("ckb", "ckb_Arab", "Arab"), ("su", "sun_Latn", "Latn"), ("bo", "bod_Tibt", "Tibt")],
)
def test_a_draft_is_a_pack(code: str, nllb: str, script: str, tmp_path: Path) -> None:
    found, text = draft_pack(code, TODAY)
    path = tmp_path / f"{found}.toml"
    path.write_text(text, "utf-8")
    assert find_faults(path) == []
    assert "TODO" not in text
    pack = resolve_language(str(path))
    assert (pack.code, pack.codes.nllb, pack.script) == (code, nllb, script)
    assert pack.speakers and pack.own_name and pack.in_nllb and pack.recipe.translation == "nllb"


# The command


@pytest.fixture
def unchecked(monkeypatch: pytest.MonkeyPatch) -> None:
    """typer passes a group's callback a context that is not a typer.Context: the shape checks would stop there."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)


@pytest.mark.usefixtures("unchecked")
def test_the_command_lists_packs() -> None:
    said = polyclip("languages")
    assert said.code == 0 and "Kiswahili" in said.out and "in XM3600" in said.out
    rows = json.loads(polyclip("languages", "--json").out)
    assert [row["code"] for row in rows] == list_languages()
    swahili = next(row for row in rows if row["code"] == "sw")
    assert {name: swahili[name] for name in ("name", "script", "in_xlmr", "xm3600")} == {
        "name": "Swahili",
        "script": "Latn",
        "in_xlmr": True,
        "xm3600": True,
    }


@pytest.mark.usefixtures("unchecked")
def test_the_command_shows_a_pack_by_any_spelling(tmp_path: Path) -> None:
    said = polyclip("languages", "show", "swh_Latn")
    assert said.code == 0 and "sw: Swahili" in said.out and "codes.nllb" in said.out
    assert Language.model_validate(json.loads(polyclip("languages", "show", "jp", "--json").out)) == load_language("ja")
    said = polyclip("languages", "show", "hbs")
    assert said.code == 2 and "error: 'hbs' means more than one language" in said.err
    said = polyclip("languages", "show", tmp_path / "none.toml")
    assert said.code == 2 and said.err.count("\n") == 1


@pytest.mark.usefixtures("unchecked")
def test_the_command_drafts_a_pack_once(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "mg.toml"
    said = polyclip("languages", "new", "mlg", "--out", path)
    assert said.code == 0 and f"Wrote {path}. It passes" in said.out
    before = path.read_text("utf-8")
    said = polyclip("languages", "new", "mg", "--out", path)
    assert (said.code, path.read_text("utf-8")) == (2, before)
    assert (
        said.err
        == f"error: {path} exists and is not overwritten: give another file with --out, or move it away first.\n"
    )
    said = polyclip("languages", "new", "sr-Cyrl")
    assert said.err.startswith("error: 'sr-Cyrl' is the pack sr (Serbian): ")
    said = polyclip("languages", "new", "klx")
    assert said.code == 2 and said.err.startswith("error: No registered language called 'klx'.")


@pytest.mark.usefixtures("unchecked")
def test_the_command_checks_packs(tmp_path: Path) -> None:
    assert polyclip("languages", "check").out == f"{len(PACKS)} pack(s) checked, none with faults.\n"
    good, bad = (
        written(swahili(), tmp_path),
        written(swahili() | {"prompts": ["picha"], "iso": 1}, tmp_path, "bad.toml"),
    )
    assert polyclip("languages", "check", good).code == 0
    said = polyclip("languages", "check", good, bad, tmp_path / "none.toml")
    assert said.code == 1
    assert said.out.splitlines()[:2] == [
        f"{bad}: prompts: expected exactly one {{}} in each prompt, found 'picha'",
        f"{bad}: iso: unknown key, found 1",
    ]
    assert said.out.splitlines()[-1] == "3 pack(s) checked, 2 with faults."
    said = polyclip("languages", "check", good, bad, "--json")
    told = json.loads(said.out)
    assert said.code == 1 and [entry["file"] for entry in told] == [str(good), str(bad)] and told[0]["faults"] == []
    assert told[1]["faults"][0] == {
        "key": "prompts",
        "found": "'picha'",
        "expected": "expected exactly one {} in each prompt",
    }


@pytest.mark.parametrize("text", ["Swa\0hili", "\0", "Swahili\0", "\0\0\0\0", "Suaheli\0x"])
def test_a_name_with_nul_is_unknown(text: str) -> None:
    with pytest.raises(UnknownName, match=r"No language called"):
        resolve_language(text)
