"""The installed Apertium, for real: Debian's apertium-eng-spa (.ci/packages)."""

import os
from pathlib import Path

import pytest

from polyclip.errors import DataError
from polyclip.translation.engine import TranslationOptions, Translator, count_refused
from polyclip.translation.engines import apertium
from tests.translation.engines.tiny import language


def engine(**options: object) -> Translator:
    return apertium.build(language("en"), language("es"), TranslationOptions(**options))


def test_it_translates_in_order_and_says_with_what() -> None:
    built = engine()
    texts = [
        "a black cat",
        "the red table",
        "Two sentences. Here they are.",
        "a black\n\n cat\u2028",
        "I have 90000001 books",
        "the [green] ^tree$ {\\}",
    ]
    found = built.translate(texts)
    assert found[:2] == [["Un gato negro"], ["La mesa roja"]] and found[3] == found[0]
    assert found[2] == ["Dos frases. Aquí son."] and "90000001" in found[4][0]
    assert built.name.startswith("apertium-eng-spa@") and engine().name == built.name
    assert built.translate([]) == []


def test_many_texts_go_through_one_process_and_stay_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []
    run = apertium.ApertiumTranslator.run
    monkeypatch.setattr(apertium.ApertiumTranslator, "run", lambda self, text: (calls.append(text), run(self, text))[1])
    nouns = {"cats": "gatos", "dogs": "perros", "trees": "árboles"}
    texts = [f"the {number} {noun}" for number in range(2, 102) for noun in nouns]
    assert engine().translate(texts) == [
        [f"Los {number} {noun}"] for number in range(2, 102) for noun in nouns.values()
    ]
    assert len(calls) == 1


def test_unknown_words_never_stay_marked() -> None:
    texts = ["a black cat", "a flurgle and a cat", "a * b", ""]
    built = engine()
    assert built.translate(texts) == [["Un gato negro"], [], [], []]
    assert count_refused(built) == {apertium.UNKNOWN: 1, apertium.MARKED: 1, apertium.EMPTY: 1}
    built = engine(unknown="keep")
    assert built.translate(texts)[1] == ["Un flurgle y un gato"]
    assert count_refused(built) == {apertium.UNKNOWN + ", kept": 1, apertium.MARKED: 1, apertium.EMPTY: 1}


def program(folder: Path, script: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program in Apertium's place that does what `script` says."""
    (folder / "share" / "apertium" / "modes").mkdir(parents=True)
    (folder / "share" / "apertium" / "modes" / "eng-spa.mode").write_text("none")
    (folder / "bin").mkdir()
    (folder / "bin" / "apertium").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "bin" / "apertium").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder / 'bin'}{os.pathsep}{os.environ['PATH']}")


def test_merged_and_split_paragraphs_cost_only_their_own_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "sed -e '/glue/{n;d}' -e 's/cut/c\\n\\nut/'", monkeypatch)
    built = engine()
    assert built.translate(["one", "some glue", "two", "a cut", "three"]) == [["one"], [], ["two"], [], ["three"]]
    assert count_refused(built) == {apertium.LOST: 2}


def test_a_program_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program(tmp_path, "echo 'Error: no such thing' >&2; exit 3", monkeypatch)
    with pytest.raises(DataError, match=r"apertium -d .* eng-spa' ended with 3: Error: no such thing"):
        engine().translate(["a cat"])


def test_what_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(
        DataError,
        match=r"no mode for English to Spanish: looked for eng-epo; installed: .*eng-spa"
        r".*apertium-eng-epo or apertium-epo-eng",
    ):
        engine(model="eng-epo")
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(DataError, match="program apertium is not installed: apt-get install apertium"):
        engine()
