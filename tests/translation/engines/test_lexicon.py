"""Real dictionaries: Debian's dict-freedict-eng-swh (.ci/packages), the starter corpus' names, and small files."""

import gzip
from pathlib import Path

import pytest

from polyclip.data.corpus import load_corpus
from polyclip.errors import DataError
from polyclip.translation.engine import TranslationOptions, Translator, count_refused, get_engine_licence
from polyclip.translation.engines import _dictd, _tables, lexicon
from polyclip.translation.engines._phrases import split_phrases
from tests.translation.engines.tiny import language


def engine(model: str | Path = "", **options: object) -> Translator:
    return lexicon.build(language("en"), language("sw"), TranslationOptions(model=str(model), **options))


def table(folder: Path, *lines: str) -> Path:
    path = folder / "own.tsv"
    path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return path


def test_freedict_and_the_names_of_training_concepts() -> None:
    built = engine()
    assert built.translate(["red apple", "Fire, water and bread!", "cat"]) == [
        ["tufaha jekundu"],
        ["moto, maji na mkate!"],
        ["paka"],
    ]
    assert built.name.startswith("lexicon-names+freedict@") and engine().name == built.name
    assert (
        get_engine_licence("lexicon", built) == "Unicode-3.0 AND GPL-2.0-or-later"
        and get_engine_licence("lexicon", engine("names")) == "Unicode-3.0"
    )
    assert built.translate(["the flurgle cat"]) == [[]] and count_refused(built) == {lexicon.UNKNOWN: 1}
    kept = engine(unknown="keep")
    assert kept.translate(["the flurgle cat"]) == [["the flurgle paka"]] and count_refused(kept) == {
        lexicon.UNKNOWN + ", kept": 1
    }


def test_no_held_out_concept_gives_a_name() -> None:
    corpus = load_corpus("emoji")
    names = _tables.read_parallel_names("emoji", language("en"), language("sw"))
    rows = {split: corpus.reader.read(corpus.folder, "en", split) for split in ("train", "validation", "test")}
    trained = {_tables.to_phrase_key(row.captions[0]) for row in rows["train"]}
    held_out = {
        _tables.to_phrase_key(row.captions[0]) for split in ("validation", "test") for row in rows[split]
    } - trained
    assert len(names.entries) > 1000 and len(held_out) > 400
    assert set(names.entries) <= trained and not held_out & set(names.entries)


def test_the_longest_phrase_wins_and_punctuation_ends_it(tmp_path: Path) -> None:
    built = engine(table(tmp_path, "dog\tmbwa", "hot dog\thot dogi", "hot dog stand\tkibanda", "hot\tmoto"))
    assert built.translate(["(Hot  dog) stand-", "a"]) == [[], []]
    found = built.translate(["Hot dog!", "hot, dog", "“hot dog stand” hot dog dog"])
    assert found == [["hot dogi!"], ["moto, mbwa"], ["“kibanda” hot dogi mbwa"]]
    assert [piece.words for piece in split_phrases("hot dog – stand", lambda phrase: (), 3)] == [1, 1, 0, 1]


def test_candidates_are_other_translations(tmp_path: Path) -> None:
    own = table(tmp_path, "good\tema\tzuri", "cat\tpaka\tnyau", "same\tsame")
    assert engine(own, candidates=3).translate(["good cat", "same"]) == [["ema paka", "ema nyau", "zuri paka"], []]
    drawn = [
        engine(own, candidates=2, sample=True, seed=seed).translate(["good cat"] * 2) for seed in (1, 1, 2, 3, 4, 5)
    ]
    assert drawn[0] == drawn[1] and drawn[0][0] == drawn[0][1] and len({str(found) for found in drawn}) > 1


def test_a_share_of_the_words_is_switched(tmp_path: Path) -> None:
    words = [f"w{number}" for number in range(10)]
    own = table(tmp_path, *(f"{word}\t{word.upper()}x" for word in words[:8]))
    texts = [" ".join([*words, f"t{number}"]) for number in range(300)]  # 11 words, 8 of them known
    built = engine(own, share=0.4)
    switched = [text.split() for (text,) in built.translate(texts)]
    counts = [sum(word.endswith("x") for word in row) for row in switched]
    assert set(counts) == {4, 5} and abs(sum(counts) / 300 - 0.4 * 11) < 0.1
    assert all(row[8:10] == ["w8", "w9"] for row in switched) and len({tuple(row[:8]) for row in switched}) > 20
    assert engine(own, share=0.4).translate(texts[7:9]) == [[" ".join(row)] for row in switched[7:9]]
    assert engine(own, share=0.1).translate(["zzz"]) == [[]]


def write_dictd(folder: Path, entries: dict[str, bytes]) -> Path:
    """FreeDict's layout: an index of base-64 numbers beside a compressed text."""
    digits = list(_dictd.DIGITS)

    def written(number: int) -> str:
        return (written(number // 64) if number >= 64 else "") + digits[number % 64]

    text, lines = b"", []
    for headword, entry in ({"00databaseinfo": b"00-database-info\nof a test\n"} | entries).items():
        lines.append(f"{headword}\t{written(len(text))}\t{written(len(entry))}\n")
        text += entry
    (folder / "own.dict.dz").write_bytes(gzip.compress(text))
    (folder / "own.index").write_text("".join(lines), "utf-8")
    return folder / "own.index"


def test_dictd_entries_give_translations_without_asides(tmp_path: Path) -> None:
    own = _dictd.DictdTable(
        write_dictd(
            tmp_path,
            {
                "apple": "apple /ˈapəl/ <n>\n\ntufaa <n>, tofaa [mimea]\n".encode(),
                "cat": 'cat /kæt/\n1. mégère, peau de vache (fig.)\n2. chat\n   "A cat is an animal."\n'.encode(),
                "red": (
                    "red /red/\nI.  <Adj> 1.  czerwony  [też o człowieku]\n"
                    " 2.  be in the red (be V: :in :the :red)\n - mieć deficyt\n"
                ).encode(),
                "abc": b"abc\na long explanation in more than four words\n",
            },
        )
    )
    assert own.look_up("apple") == ("tufaa", "tofaa") and own.look_up("cat") == ("mégère", "peau de vache", "chat")
    assert own.look_up("red") == ("czerwony",) and own.look_up("abc") == () == own.look_up("00databaseinfo")


def test_the_real_dictionary_is_read_whole() -> None:
    real = _dictd.DictdTable(lexicon.DICTD / "freedict-eng-swh.index")
    assert len(real.places) > 1300 and sum(bool(real.look_up(phrase)) for phrase in real.places) > 0.95 * len(
        real.places
    )
    assert real.look_up("afternoon") == ("alasiri",) and real.look_up("good fortune") == ("heri",)


def test_tei_is_read(tmp_path: Path) -> None:
    path = tmp_path / "eng-swh.tei"
    senses = '<sense><cit type="trans"><quote>mgomba</quote></cit><cit type="example"><quote>x</quote></cit></sense>'
    entry = f"<entry><form><orth>banana plant</orth></form>{senses}</entry>"
    path.write_text(f'<TEI xmlns="http://www.tei-c.org/ns/1.0"><text><body>{entry}</body></text></TEI>', "utf-8")
    assert engine(path).translate(["Banana plant"]) == [["mgomba"]]
    path.write_text("<TEI>\n<entry></TEI>", "utf-8")
    with pytest.raises(DataError, match=r"eng-swh\.tei:2: not TEI"):
        engine(path)


def test_damaged_lexicons_end_in_one_sentence_with_file_and_line(tmp_path: Path) -> None:
    own = table(tmp_path, "cat\tpaka")
    own.write_bytes(b"\xef\xbb\xbfcat\tpaka\r\ndog\tmbwa\r\n")
    assert engine(own).translate(["cat dog"]) == [["paka mbwa"]]
    own.write_bytes(b"cat\tpaka\nt\xeate\tkichwa\n")
    with pytest.raises(DataError, match=r"own\.tsv:2: not UTF-8 .*save the file as UTF-8"):
        engine(own)
    with pytest.raises(DataError, match=r"own\.tsv:1: expected source<TAB>target, neither empty, found 'cat paka'"):
        engine(table(tmp_path, "cat paka"))
    with pytest.raises(DataError, match=r"missing\.tsv is missing; expected a lexicon"):
        engine(tmp_path / "missing.tsv")
    index = write_dictd(tmp_path, {"cat": b"cat\npaka\n", "tete": b"tete\nt\xeate\n"})
    with pytest.raises(DataError, match=r"own\.index:3: the entry of 'tete' is not UTF-8"):
        engine(index)
    index.write_text("cat\tA\t///\n")
    with pytest.raises(DataError, match=r"own\.index:1: .* beyond the end of the dictionary"):
        engine(index)
    (tmp_path / "own.dict.dz").write_bytes(b"not gzip")
    with pytest.raises(DataError, match=r"own\.dict\.dz cannot be read"):
        engine(index)


def test_a_dictionary_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lexicon, "DICTD", tmp_path)
    with pytest.raises(DataError, match="apt-get install dict-freedict-eng-swh, or set model to names"):
        engine()
