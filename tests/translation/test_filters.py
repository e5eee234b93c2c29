"""Filters of translated captions: each drops what it should, keeps human captions, and can be switched off."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from polyclip.data.corpus import Corpus, load_corpus
from polyclip.errors import PolyclipError
from polyclip.languages.schema import load_language
from polyclip.models.backbone import describe
from polyclip.translation.filters import (
    Thresholds,
    TranslationCandidate,
    apply_filters,
    fold_to_letters,
    make_text_filters,
    parse_length,
    parse_similarity,
    parse_threshold,
    strip_shared_names,
)
from polyclip.translation.model_filters import compute_margins, make_similarity_filter, score_back_translations
from polyclip.translation.sources import collect_human_pairs, collect_sentences, measure_copying, read_human_rows

EN = load_language("en")
EMOJI = load_corpus("emoji")
OPEN = Thresholds(
    unknown=False, script=None, language=None, length=None, copies=None, repeats=None, likeness=None, quantile=None
)


def candidate(source: str, text: str, concept: str = "", place: int = 0) -> TranslationCandidate:
    return TranslationCandidate(concept=concept or source, place=place, source=source, text=text)


def dropped(
    code: str,
    found: list[TranslationCandidate],
    limits: Thresholds,
    copied: Callable[[TranslationCandidate], float] = lambda c: 0.0,
) -> list[str]:
    """`reason: text` of what is dropped, by the text filters."""
    filters, _ = make_text_filters(limits, EN, load_language(code), copied)
    return [f"{reason}: {c.text}" for reason, c in apply_filters(found, filters).dropped]


def human(code: str) -> list[TranslationCandidate]:
    """Human names of the starter corpus' training concepts, as if an engine had translated the English ones."""
    english = {each.concept: each.text for each in collect_sentences(EMOJI, EN, ("train",), keywords=False)}
    return [
        candidate(english[row.concept], row.captions[0], row.concept)
        for row in read_human_rows(EMOJI, EMOJI.get_locale(load_language(code)), ("train",))
    ]


def copied(code: str) -> Callable[[TranslationCandidate], float]:
    return measure_copying(EMOJI, EN, load_language(code), ("train",))


def test_only_what_is_empty_is_dropped_where_all_is_off() -> None:
    found = [
        candidate("cat", text, str(n)) for n, text in enumerate(["cat", "<unk>", "кот", "x" * 900, "cat", "", "  "])
    ]
    assert dropped("sw", found, OPEN) == ["empty: ", "empty:   "]


@pytest.mark.parametrize(
    "text",
    [
        "paka <unk>",
        "\u2047 mweusi",
        "pa\ufffdka",
        "*cat mweusi",
        "@paka",
        "#paka",
        "swh_Latn paka",
        "__sw__ paka",
        "<2sw> paka",
        "paka</s>",
    ],
)
def test_marks_of_unknown_words(text: str) -> None:
    limits = Thresholds(**{**vars(OPEN), "unknown": True})
    assert dropped("sw", [candidate("black cat", text)], limits) == [f"unknown marker: {text}"]
    assert dropped("sw", [candidate(f"{text} (in English)", text)], limits) == []  # the source has it too
    assert (
        dropped("sw", [candidate("keycap", t) for t in ("kitufe: *", "kitufe: #", "paka*", "C#", "a@b")], limits) == []
    )


def test_script() -> None:
    limits = Thresholds(**{**vars(OPEN), "script": 0.5})
    assert dropped(
        "am",
        [candidate("cat", "ድመት"), candidate("cat", "dimet", "b"), candidate("2", "2"), candidate("TV", "የ TV ምስል")],
        limits,
    ) == ["other script: dimet"]
    assert dropped(
        "ja",
        [
            candidate("cat", "ネコ"),
            candidate("cat", "猫", "b"),
            candidate("cat", "ねこ", "c"),
            candidate("cat", "고양이", "d"),
        ],
        limits,
    ) == ["other script: 고양이"]
    assert dropped("ti", [candidate("cat", "cat"), candidate("cat", "ድሙ", "b")], limits) == [
        "other script: cat"
    ]  # needs no library to know Tigrinya


def test_copies_stay_where_people_copy_too() -> None:
    limits = Thresholds(**{**vars(OPEN), "copies": 0.1})
    by_name = {row.captions[0]: row.concept for row in read_human_rows(EMOJI, "en", ("train",))}
    found = [candidate(name, name, by_name[name]) for name in ("pizza", "koala", "drop of blood", "evergreen tree")] + [
        candidate("100", "100")
    ]
    assert dropped("sw", found, limits, copied("sw")) == [
        "copy of the source: drop of blood",
        "copy of the source: evergreen tree",
    ]
    assert dropped("am", found[:1], limits, copied("am")) == [
        "copy of the source: pizza"
    ]  # no language of this script copies Latin letters
    assert dropped("sw", [candidate("Evergreen tree!", "evergreen  tree")], limits) == [
        "copy of the source: evergreen  tree"
    ]
    assert fold_to_letters("Ni Hao, “ＡＢＣ”-1!") == "nihaoabc1" and fold_to_letters("ድመት።") == "ድመት"


def test_a_language_never_vouches_for_its_own_copies(tmp_path: Path) -> None:
    corpus = write_names(
        tmp_path,
        {"one": {"en": "pizza", "sw": "pizza", "fr": "tarte"}, "two": {"en": "cat", "sw": "paka", "fr": "cat"}},
    )
    share = measure_copying(corpus, EN, load_language("sw"), ("train",))
    assert [
        share(candidate("pizza", "pizza", "one.png")),
        share(candidate("cat", "cat", "two.png")),
        share(candidate("cat", "cat", "none")),
    ] == [0.0, 1.0, 0.0]


def test_length_is_a_ratio_of_characters_plus_four() -> None:
    limits = Thresholds(**{**vars(OPEN), "length": (0.5, 2.0)})
    found = [
        candidate("abcdef", text, str(n)) for n, text in enumerate(["a", "ab", "a" * 16, "a" * 17])
    ]  # 5/10, 6/10, 20/10, 21/10
    assert dropped("sw", found, limits) == ["length: " + "a" * 17]
    assert dropped("sw", [candidate("abcdefg", "a")], limits) == ["length: a"]  # 5/11
    limits = Thresholds(**{**vars(OPEN), "length": (0.5, 3.0)})  # of the translation to its source, not the other way
    assert dropped("sw", [candidate("abcdef", "a" * 26)], limits) == []  # 30/10
    assert dropped("sw", [candidate("a" * 26, "abcdef")], limits) == ["length: abcdef"]  # 10/30


def test_language_lets_people_through_and_english_not() -> None:
    limits = Thresholds(**{**vars(OPEN), "language": 0.05})
    for code, least in (("sw", 0.94), ("de", 0.90), ("hi", 0.99), ("am", 0.99), ("te", 0.99), ("km", 0.99)):
        names = human(code)[::5]
        assert len(dropped(code, names, limits)) <= (1 - least) * len(names)
        wrong = [candidate("", c.source, c.concept) for c in names if not c.source.startswith(("flag", "keycap"))]
        assert len(dropped(code, wrong, limits)) > 0.85 * len(wrong)
    assert dropped("sw", [candidate("flag: Andorra", "bendera: Andorra")], limits) == []
    assert strip_shared_names(candidate("flag: Andorra", "bendera: Andorra")) == "bendera: "
    assert strip_shared_names(candidate("white cat", "white cat")) == "white cat"


@pytest.mark.parametrize("code", ["shn", "chr", "pcm"])
def test_a_language_that_the_library_does_not_know_is_not_filtered_and_said(code: str) -> None:
    filters, notes = make_text_filters(Thresholds(), EN, load_language(code), lambda c: 0.0)
    assert "other language" not in {each.name for each in filters}
    assert len(notes) == 1 and load_language(code).name in notes[0] and "does not know" in notes[0]


def test_duplicates_and_repeats() -> None:
    limits = Thresholds(**{**vars(OPEN), "repeats": 2})
    found = [
        candidate("film", "filamu", "1"),
        candidate("movie", "Filamu!", "1", 1),
        candidate("man", "mtu", "2"),
        candidate("person", "mtu", "3"),
    ]
    assert dropped("sw", found, limits) == ["duplicate: Filamu!"]
    more = [*found, candidate("human", "mtu", "4"), candidate("man", "mtu", "5")]
    assert dropped("sw", more, limits) == [
        "duplicate: Filamu!",
        *["repeated: mtu"] * 4,
    ]  # three sources, one of them of two concepts


@pytest.mark.parametrize(
    ("code", "least"), [("sw", 0.94), ("de", 0.91), ("hi", 0.99), ("am", 0.99), ("te", 0.99), ("km", 0.98)]
)
def test_all_text_filters_by_default_let_people_through(code: str, least: float) -> None:
    names = human(code)
    assert len(names) > 1300
    filters, notes = make_text_filters(Thresholds(), EN, load_language(code), copied(code))
    assert len(apply_filters(names, filters).kept) >= least * len(names) and notes == []


def test_each_filter_finds_its_own_among_captions_of_people() -> None:
    good = [c for c in human("sw") if not c.source.startswith("flag")][::40]
    bad = {
        "empty": candidate("red car", " ", "a"),
        "unknown marker": candidate("red car", "gari <unk>", "b"),
        "other script": candidate("red car", "красная машина", "c"),
        "copy of the source": candidate("a very red car", "a very red car", "d"),
        "length": candidate("red car", "gari jekundu " * 9, "e"),
        "other language": candidate("red car", "das rote Auto steht vor dem Haus", "f"),
        "duplicate": candidate("again", good[0].text, good[0].concept, 1),
    }
    filters, _ = make_text_filters(Thresholds(), EN, load_language("sw"), lambda c: 0.0)
    found = apply_filters([*good, *bad.values()], filters)
    of_people = {c.concept for c in good}
    assert {reason: c.text for reason, c in found.dropped if c.concept not in of_people or c.place} == {
        reason: c.text for reason, c in bad.items()
    }
    assert {reason for reason, c in found.dropped if c.concept in of_people and not c.place} <= {
        "other language",
        "copy of the source",
    }
    assert len(found.kept) > 0.9 * len(good) and all("length" in c.scores for c in found.kept)


def write_names(folder: Path, table: dict[str, dict[str, str]]) -> Corpus:
    """A corpus of one's own: dots that have names."""
    folder.mkdir(exist_ok=True)
    lines = []
    for name, captions in table.items():
        Image.new("RGB", (2, 2)).save(folder / f"{name}.png")
        lines.append(
            json.dumps(
                {
                    "image": f"{name}.png",
                    "captions": {code: [text] for code, text in captions.items()},
                    "split": "train",
                }
            )
        )
    (folder / "captions.jsonl").write_text("\n".join(lines), "utf-8")
    (folder / "pack.toml").write_text('name = "names"\nabout = "dots"\nreader = "jsonl"\nfolder = "."\n', "utf-8")
    return load_corpus(str(folder / "pack.toml"))


@pytest.fixture(scope="module")
def german(tmp_path_factory: pytest.TempPathFactory) -> tuple[Corpus, list[TranslationCandidate]]:
    """A hundred and twenty names in English and German."""
    names = human("de")[::11][:120]
    return write_names(
        tmp_path_factory.mktemp("names"), {c.concept: {"en": c.source, "de": c.text} for c in names}
    ), names


def test_similarity_tells_translations_from_other_captions(german: tuple[Corpus, list[TranslationCandidate]]) -> None:
    corpus, names = german
    both, encoder = (EN, load_language("de")), describe("encoders", "e5-small")
    (quantile,), notes = make_similarity_filter(
        names, encoder, corpus, both, ("train",), Thresholds(quantile=0.1), False
    )
    lost = sum(not verdict.keep for verdict in quantile.judge(names))
    assert lost == 12 and "120 human captions in German" in notes[0]  # a tenth, as asked
    turned = [candidate(c.source, other.text, c.concept) for c, other in zip(names[:30], names[30:60], strict=True)]
    (both_kinds,), _ = make_similarity_filter(
        [*names, *turned], encoder, corpus, both, ("train",), Thresholds(quantile=0.1), False
    )
    assert sum(not verdict.keep for verdict in both_kinds.judge(turned)) >= 27
    measured = sorted(
        compute_margins(
            encoder, [(c.source, c.text) for c in names], [(c.source, c.text) for c in names], "names"
        ).tolist()
    )
    (plain,), notes = make_similarity_filter(
        names, encoder, corpus, both, ("train",), Thresholds(likeness=measured[30], quantile=None), False
    )
    assert sum(verdict.keep for verdict in plain.judge(names)) == 90 and notes == []


def test_without_human_pairs_the_threshold_has_to_be_given(german: tuple[Corpus, list[TranslationCandidate]]) -> None:
    corpus, names = german
    found, notes = make_similarity_filter(
        names, describe("encoders", "e5-small"), corpus, (EN, load_language("shn")), ("train",), Thresholds(), False
    )
    assert found == [] and "--similarity" in notes[0]  # German was in XLM-R, Shan was not: German pairs would not do


def test_pairs_of_others_stand_in_where_ours_must_not_be_looked_at() -> None:
    (own,), whose = collect_human_pairs(EMOJI, EN, load_language("sw"), ("train",), others=False)
    others, theirs = collect_human_pairs(EMOJI, EN, load_language("sw"), ("train",), others=True)
    assert len(own) == 1382 and whose == "human captions in Swahili"
    assert theirs == "human captions in Afrikaans, Azerbaijani, Breton" and [len(pairs) for pairs in others] == [
        1384,
        1384,
        952,
    ]


def test_back_translation_is_chrf() -> None:
    found = [candidate("black cat", "paka mweusi"), candidate("black dog", "paka"), candidate("tree", "mti")]
    verdicts = score_back_translations(found, {"paka mweusi": ["Black cat"], "paka": ["cat"], "mti": []}, 50.0)
    assert [verdicts[c.source, c.text].keep for c in found] == [True, False, False]
    assert [verdicts[c.source, c.text].score for c in found][::2] == [100.0, 0.0]


def test_options_are_numbers_in_range_or_off() -> None:
    assert (parse_threshold("copies", "off", 0.0, 1.0), parse_threshold("copies", "0.2", 0.0, 1.0)) == (None, 0.2)
    assert (parse_similarity("5%"), parse_similarity("0.8"), parse_similarity("off")) == (
        (None, 0.05),
        (0.8, None),
        (None, None),
    )
    assert (parse_length("0.5:3"), parse_length("off")) == ((0.5, 3.0), None)
    for wrong in (
        lambda: parse_threshold("copies", "1.5", 0.0, 1.0),
        lambda: parse_threshold("copies", "nan", 0.0, 1.0),
        lambda: parse_similarity("a%"),
        lambda: parse_length("3"),
    ):
        with pytest.raises(PolyclipError, match="expected .*off"):
            wrong()
