"""Translations from a file of one's own."""

from pathlib import Path

import pytest

from polyclip.errors import DataError
from polyclip.translation.engine import TranslationOptions, Translator, count_refused
from polyclip.translation.engines import file
from tests.translation.engines.tiny import language


def engine(path: Path, data: bytes, **options: object) -> Translator:
    path.write_bytes(data)
    return file.build(language("en"), language("sw"), TranslationOptions(model=str(path), **options))


def test_tab_separated_lines_of_any_editor(tmp_path: Path) -> None:
    data = "\ufeffa cat\tpaka\r\na  dog\tmbwa\tjibwa\r\n\r\na cat\tpaka\r\n".encode()
    built = engine(tmp_path / "own.tsv", data, candidates=2)
    assert built.translate(["a dog", "a bird", "a cat ", "a bird"]) == [["mbwa", "jibwa"], [], ["paka"], []]
    assert built.missing == ["a bird"] and count_refused(built) == {file.MISSING: 2}
    assert built.name.startswith("file-own@")
    assert engine(tmp_path / "own.tsv", data).translate(["a dog"]) == [["mbwa"]]


def test_json_lines(tmp_path: Path) -> None:
    data = b'{"source": "a cat", "translation": ["paka", "nyau"]}\n{"source": "tab\\there", "translation": "kichupo"}\n'
    assert engine(tmp_path / "own.jsonl", data, candidates=2).translate(["a cat", "tab here"]) == [
        ["paka", "nyau"],
        ["kichupo"],
    ]


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        (
            "own.tsv",
            b"a cat\tpaka\na dog\tmbwa\na cat\tnyau\n",
            r"own\.tsv:3: 'a cat' is translated as 'nyau' here and as 'paka' on line 1",
        ),
        ("own.tsv", b"a cat\tpaka\nt\xeate\tkichwa\n", r"own\.tsv:2: not UTF-8"),
        ("own.tsv", b"a cat paka\n", r"own\.tsv:1: expected source<TAB>translation.*found 'a cat paka'"),
        ("own.tsv", b"a cat\t \n", r"own\.tsv:1: expected source<TAB>translation"),
        ("own.tsv", b"\n", r"own\.tsv is empty"),
        ("own.jsonl", b'{"source": "a cat"}\n', r"own\.jsonl:1: expected .*an object with source and translation"),
        (
            "own.jsonl",
            b'{"source": "a cat", "translation": [1]}\n',
            r"own\.jsonl:1: source and translation must be text",
        ),
        ("own.jsonl", b"a cat\tpaka\n", r"own\.jsonl:1: not JSON"),
    ],
)
def test_bad_files_end_in_one_sentence(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    with pytest.raises(DataError, match=said):
        engine(tmp_path / name, data)


def test_no_file_no_translations(tmp_path: Path) -> None:
    for model in ("", str(tmp_path), str(tmp_path / "none.tsv")):
        with pytest.raises(DataError, match="Engine file reads translations from the file given as model"):
            file.build(language("en"), language("sw"), TranslationOptions(model=model))
