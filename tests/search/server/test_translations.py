"""The page's words: every language has all of them, in its own script, and visitors get the language they read."""

import re
import shutil
import unicodedata
from pathlib import Path

import pytest

pytest.importorskip("starlette")

from starlette.requests import Request

from polyclip.errors import PackError
from polyclip.languages.normalize import match_script
from polyclip.languages.schema import load_languages
from polyclip.search.server import translations
from polyclip.search.server.errors import KEYS
from polyclip.search.server.translations import FOLDER, choose_interface, load_interfaces, parse_accept_language

ENGLISH = load_interfaces()["en"].translation.messages
OTHERS = [code for code in load_interfaces() if code != "en"]
# words that a language really shares with English
SHARED = {
    "model": {"cs", "da", "hr", "id", "nl", "pl", "ro", "tr"},
    "folder": {"fil", "id", "pl"},
    "token": {"cs", "fil", "hr", "id", "pl"},
}
TEMPLATES = "".join(path.read_text("utf-8") for path in FOLDER.parents[1].glob("templates/*.html"))


def ask(header: str = "", **fields: str) -> Request:
    """A request for the page."""
    query = "&".join(f"{name}={value}" for name, value in fields.items())
    headers = [(b"accept-language", header.encode())] if header else []
    return Request({"type": "http", "method": "GET", "path": "/", "query_string": query.encode(), "headers": headers})


def test_all_languages_of_xm3600_have_the_page() -> None:
    assert {pack.code for pack in load_languages() if pack.xm3600} <= set(load_interfaces())


def test_large_languages_without_xm3600_have_it_too() -> None:
    interfaces = load_interfaces()
    assert {"zh-Hant", "am", "yo", "zu", "ha", "sw"} <= set(interfaces)
    assert all(interfaces[code].by_machine for code in ("zh-Hant", "am", "yo", "zu"))


def test_traditional_characters_are_not_the_simplified_ones() -> None:
    interfaces = load_interfaces()
    simple, traditional = ("".join(interfaces[code].translation.messages.values()) for code in ("zh", "zh-Hant"))
    assert "图" in simple and "图" not in traditional and "圖" in traditional and "圖" not in simple


def test_every_message_is_used_and_no_other() -> None:
    named = set(re.findall(r"""\bui\(\s*["']([a-z_]+)["']""", TEMPLATES)) | set(KEYS.values())
    named |= {f"match_{level}" for level in ("high", "medium", "low")}
    assert set(ENGLISH) == named - {"match_"}


@pytest.mark.parametrize("code", OTHERS)
def test_a_translation_is_whole_and_in_its_own_words_and_script(code: str) -> None:
    ours = load_interfaces()[code]
    assert ours.code == code and set(ours.translation.messages) == set(ENGLISH)
    for key, text in ours.translation.messages.items():
        copied = text == ENGLISH[key]
        assert copied == (code in SHARED.get(key, ())), f"{code}: {key} is {text!r}"
        assert text == text.strip() and unicodedata.is_normalized("NFC", text), f"{code}: {key}"
        words = re.sub(r"\{\w+\}|MiB", "", text)
        assert match_script(words, [code]), f"{code}: {key} is not in {ours.language.script}: {text!r}"


def test_only_these_run_from_the_right() -> None:
    assert {each.code for each in load_interfaces().values() if each.direction == "rtl"} == {"ar", "fa", "he"}


@pytest.mark.parametrize(
    ("header", "tags"),
    [
        ("", []),
        ("sw", ["sw"]),
        ("en;q=0.5, sw-KE, fr;q=0.9", ["sw-KE", "fr", "en"]),
        ("de, fr, es", ["de", "fr", "es"]),
        ("de;q=0, fr;q=0.000, es;Q=0.1", ["es"]),
        ("de;q=often, fr;q=, *, ;;, es;level=1;q=0.3, <b>", ["es"]),
        ("de ; q=0.2 ,fr", ["fr", "de"]),
    ],
)
def test_a_header_is_read_by_weight(header: str, tags: list[str]) -> None:
    assert parse_accept_language(header) == tags


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("sw-KE,sw;q=0.9,en;q=0.8", "sw"),
        ("zh-TW", "zh-Hant"),
        ("zh-Hant-HK,zh;q=0.5", "zh-Hant"),
        ("yue-HK", "zh-Hant"),
        ("zh-SG", "zh"),
        ("yo-NG", "yo"),
        ("zh-Hans-CN", "zh"),
        ("nb-NO", "no"),
        ("nn", "no"),
        ("tl-PH", "fil"),
        ("iw", "he"),
        ("qu-PE", "quz"),
        ("tlh, sw;q=0.1", "sw"),
        ("tlh", "en"),
        ("en-GB, sw", "en"),
        ("SW_tz", "en"),
        ("", "en"),
    ],
)
def test_the_nearest_language_is_shown(header: str, code: str) -> None:
    ui = choose_interface(ask(header))
    assert ui.code == code and not ui.chosen and ui.parameter == {}


def test_a_language_chosen_on_the_page_goes_first_and_nonsense_changes_nothing() -> None:
    ui = choose_interface(ask("fr", ui="sw"))
    assert ui.code == "sw" and ui.chosen and ui.parameter == {"ui": "sw"}
    for given in ("tlh", "..", "", "sw.toml", "x" * 5000):
        assert choose_interface(ask("fr", ui=given)).code == "fr", given


def test_numbers_keep_their_thousands_apart_without_a_comma() -> None:
    assert load_interfaces()["en"].format_count(12345) == "12,345"
    assert load_interfaces()["de"].format_count(12345) == "12\u202f345"


@pytest.mark.parametrize(
    ("found", "put", "words"),
    [
        ('close = "Funga"\n', "", "lacks messages: close;"),
        ('close = "Funga"\n', 'close = "Funga"\nclsoe = "Funga"\n', "does not know: clsoe;"),
        ("{count}", "{idadi}", "images has the placeholders {idadi}; expected {count}"),
        ("{count}", "{count", "images has a brace without its partner"),
        ('close = "Funga"', "close = 3", "messages.close"),
        ('made_by = "machine"', "", "made_by"),
        ("[messages]", "[messages", "is not TOML"),
    ],
)
def test_a_fault_in_a_translation_is_told(found: str, put: str, words: str, tmp_path: Path) -> None:
    text = (FOLDER / "sw.toml").read_text("utf-8")
    assert found in text
    (tmp_path / "sw.toml").write_text(text.replace(found, put), "utf-8")
    with pytest.raises(PackError) as caught:
        translations.read_translation(tmp_path / "sw.toml", ENGLISH)
    assert words in str(caught.value) and "sw.toml" in str(caught.value)


def test_a_new_file_is_a_new_language_and_no_longer_by_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copytree(FOLDER, tmp_path / "translations")
    text = (FOLDER / "sw.toml").read_text("utf-8").replace('"sw"', '"lg"').replace('"machine"', '"Nakato"')
    (tmp_path / "translations" / "lg.toml").write_text(text, "utf-8")
    monkeypatch.setattr(translations, "FOLDER", tmp_path / "translations")
    monkeypatch.setattr(translations, "load_language", lambda code: load_interfaces()["sw"].language)
    fresh = load_interfaces.__wrapped__()
    assert not fresh["lg"].by_machine and fresh["sw"].by_machine
