"""`polyclip translate` with an engine whose answers are known, installed as a third party's would be."""

import json
import signal
import sqlite3
import tomllib
from contextlib import closing
from pathlib import Path
from typing import Any

import jaxtyping
import pytest
import tomli_w

from polyclip.core.run_folder import OWNER, list_strangers, lock_folder
from polyclip.core.storage import hash_file
from polyclip.data.corpus import load_corpus
from polyclip.data.pairs import SamplingConfig
from polyclip.data.training_pairs import make_training_pairs
from polyclip.errors import DataError, PackError, UnknownName
from polyclip.evaluation.held_out import read_named_rows
from polyclip.evaluation.retrieval import Request
from polyclip.languages.schema import load_language
from tests import dictionary
from tests.command import kill_when, polyclip
from tests.toy import COLOURS, SIZES, write_corpus, write_text_encoder, write_vision_tower

OFF = [
    word
    for name in ("similarity", "language", "script", "length", "copies", "repeats")
    for word in (f"--{name}", "off")
]
SWAHILI = {
    f"{size} {colour} square": f"{ukubwa} {rangi} mraba"
    for colour, rangi in COLOURS.items()
    for size, ukubwa in SIZES.items()
}
AMHARIC = {f"{size} {colour} square": f"ካሬ {n}{m}" for n, colour in enumerate(COLOURS) for m, size in enumerate(SIZES)}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return dictionary.install(tmp_path_factory.mktemp("site"))


@pytest.fixture(autouse=True)
def engine(site: Path, warm_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The engine on the path of this process and of those it starts; what it is asked is logged."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setenv("PYTHONPATH", f"{Path(__file__).parents[2]}:{site}")
    monkeypatch.setenv("DICTIONARY_LOG", str(tmp_path / "asked.txt"))


@pytest.fixture
def words(tmp_path: Path) -> Path:
    """Both languages, with the reverse of Swahili; one colour is missing, one is not translated."""
    table = SWAHILI | COLOURS | {"small black square": "small black square"}
    del table["middle white square"]
    return dictionary.write(tmp_path / "words.tsv", {"sw": table, "am": AMHARIC})


def asked(tmp_path: Path) -> list[str]:
    path = tmp_path / "asked.txt"
    return path.read_text("utf-8").splitlines() if path.exists() else []


def translate(corpus: Path, words: Path, out: Path, *more: object) -> dict[str, Any]:
    said = polyclip("translate", corpus, "--with", "dictionary", "--model", words, "--out", out, "--json", *more)
    assert said.code == 0, said
    return json.loads(said.out)


def rows(pack: Path, code: str, split: str) -> list[tuple[str, str, tuple[str, ...]]]:
    corpus = load_corpus(str(pack))
    return [
        (row.concept, row.provenance, row.captions)
        for row in corpus.reader.read(corpus.folder, corpus.get_locale(load_language(code)), split)
    ]


def test_machine_rows_are_added_to_those_of_people_in_the_train_split_alone(words: Path, tmp_path: Path) -> None:
    base = write_corpus(tmp_path / "toy")
    said = translate(base, words, tmp_path / "out", "--to", "sw")
    found = said["languages"]["sw"]
    assert (found["sentences"], found["from_cache"], found["kept"]) == (12, 0, 10)
    assert found["dropped"] == {
        "no translation": {"count": 1, "examples": [{"source": "middle white square", "text": ""}]},
        "copy of the source": {
            "count": 1,
            "examples": [{"source": "small black square", "text": "small black square"}],
        },
    }
    assert "--similarity" in found["notes"][0]
    pack = Path(said["corpus"])
    machine = [row for row in rows(pack, "sw", "train") if row[1] != "human"]
    assert ("red-small.png", "dictionary@words", ("ndogo nyekundu mraba",)) in machine and len(machine) == 10
    assert {provenance for _, provenance, _ in machine} == {"dictionary@words"}
    for code, split in (("sw", "validation"), ("sw", "test"), ("en", "train"), ("en", "test")):
        assert rows(pack, code, split) == rows(base, code, split)
    assert rows(pack, "sw", "train")[10:] == rows(base, "sw", "train")
    lines = [json.loads(line) for line in (pack.parent / "captions.jsonl").read_text("utf-8").splitlines()]
    assert lines[0] == {
        "concept": "red-small.png",
        "language": "sw",
        "place": 0,
        "source": "small red square",
        "provenance": "dictionary@words",
        "captions": ["ndogo nyekundu mraba"],
        "scores": [
            {
                "other script": 1.0,
                "length": round(24 / 20, 4),
                "other language": lines[0]["scores"][0]["other language"],
                "repeated": 1.0,
            }
        ],
    }
    facts = tomllib.loads(pack.read_text("utf-8"))
    assert facts["translation"]["base"] == "../toy/toy.toml" and facts["licences"][-1]["spdx"] == "NOASSERTION"
    assert {path.name for path in pack.parent.iterdir()} == {"corpus.toml", "captions.jsonl"}


def test_further_captions_and_candidates_are_further_captions_of_one_row(tmp_path: Path) -> None:
    table: dict[str, str | list[str]] = {
        **SWAHILI,
        **COLOURS,
        "small red square": ["mraba mwekundu", "ndogo nyekundu"],
        "small blue square": "<unk>",
    }
    words = dictionary.write(tmp_path / "words.tsv", {"sw": table})
    said = translate(
        write_corpus(tmp_path / "toy"),
        words,
        tmp_path / "out",
        "--to",
        "sw",
        "--keywords",
        "--candidates",
        2,
        "--without-human",
    )
    found = {concept: captions for concept, _, captions in rows(Path(said["corpus"]), "sw", "train")}
    assert found["red-small.png"] == ("mraba mwekundu", "ndogo nyekundu", "nyekundu")
    assert "blue-small.png" not in found and len(found) == 11
    assert {reason: group["count"] for reason, group in said["languages"]["sw"]["dropped"].items()} == {
        "unknown marker": 1,
        "its name was dropped": 1,
    }


def test_training_pairs_of_both_kinds_and_of_machines_alone(words: Path, tmp_path: Path) -> None:
    base = write_corpus(tmp_path / "toy")
    swahili = [load_language("sw")]
    both = make_training_pairs(
        load_corpus(translate(base, words, tmp_path / "both", "--to", "sw")["corpus"]),
        swahili,
        "train",
        SamplingConfig(),
    )
    alone = make_training_pairs(
        load_corpus(translate(base, words, tmp_path / "alone", "--to", "sw", "--without-human")["corpus"]),
        swahili,
        "train",
        SamplingConfig(),
    )
    assert (both.named, len(both.concepts), both.caption_count.max().item()) == (12, 12, 3)
    assert (alone.named, len(alone.concepts), len(alone.captions)) == (10, 10, 10)
    assert set(alone.captions) < set(SWAHILI.values()) and both.caption_weight.sum().item() == pytest.approx(
        1.0, abs=1e-5
    )
    assert rows(tmp_path / "alone" / "corpus.toml", "sw", "validation") == rows(base, "sw", "validation")


def test_what_was_translated_is_not_translated_again(words: Path, tmp_path: Path) -> None:
    base = write_corpus(tmp_path / "toy")
    translate(base, words, tmp_path / "out", "--to", "sw")
    first = asked(tmp_path)
    assert len(first) == len(set(first)) == 12
    again = translate(
        base, words, tmp_path / "out", "--to", "sw", "--batch-size", 3, "--copies", "off"
    )  # other filters: the folder is written again
    assert asked(tmp_path) == first
    assert again["languages"]["sw"]["from_cache"] == 12 and again["languages"]["sw"]["kept"] == 11
    more = translate(base, words, tmp_path / "more", "--to", "sw", "--split", "train", "--split", "validation")
    assert more["languages"]["sw"]["from_cache"] == 12 and len(asked(tmp_path)) == 18
    translate(base, words, tmp_path / "two", "--to", "sw", "--candidates", 2)  # another option
    assert len(asked(tmp_path)) == 30
    words.write_text(
        words.read_text("utf-8").replace("mraba", "miraba"), "utf-8"
    )  # another dictionary of the same name
    said = translate(base, words, tmp_path / "changed", "--to", "sw", "--without-human")
    assert len(asked(tmp_path)) == 42 and all(
        "miraba" in captions[0] for _, _, captions in rows(Path(said["corpus"]), "sw", "train")
    )


def test_killed_and_run_again(warm_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    emoji = load_corpus("emoji")
    named = {row.concept: row.captions[0] for row in emoji.reader.read(emoji.folder, "sw", "train")}
    table = {row.captions[0]: named.get(row.concept, "") for row in emoji.reader.read(emoji.folder, "en", "train")}
    words = dictionary.write(tmp_path / "names.tsv", {"sw": table})
    arguments = [
        "translate",
        "emoji",
        "--to",
        "sw",
        "--with",
        "dictionary",
        "--model",
        words,
        "--batch-size",
        8,
        *OFF,
        "--out",
        tmp_path / "out",
    ]
    monkeypatch.setenv("DICTIONARY_SECONDS", "0.02")
    code, _ = kill_when(lambda: len(asked(tmp_path)) > 100, arguments, signal.SIGKILL)
    assert code == -signal.SIGKILL and list_strangers(tmp_path / "out") == []
    code, said = kill_when(lambda: len(asked(tmp_path)) > 300, arguments, signal.SIGINT)
    assert code == 130 and "run the same command to resume" in said and "Traceback" not in said
    monkeypatch.setenv("DICTIONARY_SECONDS", "0")
    assert polyclip(*arguments).code == 0
    (kept,) = (warm_cache / "translations").iterdir()
    with closing(sqlite3.connect(kept)) as memory:
        assert sorted(sentence for (sentence,) in memory.execute("SELECT sentence FROM translations")) == sorted(table)
    requests = asked(tmp_path)
    assert len(table) <= len(requests) <= len(table) + 2 * 8 and set(requests) == set(
        table
    )  # at most the batch under way was asked again
    monkeypatch.setenv("POLYCLIP_CACHE", str(tmp_path / "other"))
    assert polyclip(*arguments[:-1], tmp_path / "whole").code == 0
    for name in ("captions.jsonl", "corpus.toml"):
        assert (tmp_path / "out" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_a_folder_that_another_translation_writes_is_refused(tmp_path: Path) -> None:
    base = write_corpus(tmp_path / "toy")
    words = dictionary.write(tmp_path / "words.tsv", {"sw": SWAHILI})
    out = tmp_path / "out"
    arguments = ["translate", base, "--to", "sw", "--with", "dictionary", "--model", words, *OFF, "--out", out]
    with lock_folder(out):
        said = polyclip(*arguments)
        assert said.code == 2 and "is being written by process" in said.err and (out / OWNER).exists()
    assert not out.exists() and polyclip(*arguments).code == 0
    assert sorted(path.name for path in out.iterdir()) == ["captions.jsonl", "corpus.toml"]
    (out / "captions.jsonl").unlink()  # as a process leaves it that is killed between the two files
    refused = polyclip("align", "--lang", "sw", "--corpus", out / "corpus.toml", "--out", tmp_path / "run")
    assert refused.code == 2 and "run 'polyclip translate' again" in refused.err
    assert polyclip(*arguments).code == 0 and (out / "captions.jsonl").exists()


def test_back_translation_drops_what_does_not_come_back(tmp_path: Path) -> None:
    base = write_corpus(tmp_path / "toy")
    words = dictionary.write(tmp_path / "words.tsv", {"sw": SWAHILI | {"small red square": "paka mweusi"}})
    reverse = dictionary.write(tmp_path / "reverse.tsv", {"sw": SWAHILI | {"the black cat": "paka mweusi"}})
    same = translate(base, words, tmp_path / "same", "--to", "sw", *OFF, "--back-translate")
    assert same["languages"]["sw"]["kept"] == 12  # a dictionary gives back what it was asked
    other = translate(
        base, words, tmp_path / "other", "--to", "sw", *OFF, "--back-translate", "--back-model", reverse, "--chrf", 40
    )
    assert other["languages"]["sw"]["dropped"] == {
        "back-translation": {"count": 1, "examples": [{"source": "small red square", "text": "paka mweusi"}]}
    }
    assert asked(tmp_path).count("paka mweusi") == 2 and other["languages"]["sw"]["from_cache"] == 12


def test_align_for_an_epoch_on_a_translated_corpus(words: Path, tmp_path: Path) -> None:
    base = write_corpus(tmp_path / "toy")
    towers = [
        "--text-encoder",
        write_text_encoder(tmp_path / "text"),
        "--vision-tower",
        write_vision_tower(tmp_path / "vision"),
    ]
    added = translate(base, words, tmp_path / "added", "--to", "sw")["corpus"]
    new = translate(base, words, tmp_path / "new", "--to", "am", "--split", "train", "--split", "validation")["corpus"]
    for code, pack in (("sw", added), ("am", new)):
        run = tmp_path / f"run-{code}"
        said = polyclip(
            "align",
            "--lang",
            code,
            "--corpus",
            pack,
            *towers,
            "--method",
            "heads",
            "--epochs",
            1,
            "--batch-size",
            8,
            "--out",
            run,
        )
        assert said.code == 0, said
        result = json.loads((run / "result.json").read_text("utf-8"))
        assert result["run"]["corpus"] == pack and {score["split"] for score in result["scores"]} == {"test"}
        assert {score["language"] for score in result["scores"]} == (
            {"en", "sw"}
        )  # people named nothing in Amharic: it is not scored
        assert {score["queries"] for score in result["scores"]} == {6}


def test_tested_captions_are_never_a_machines(words: Path, tmp_path: Path) -> None:
    pack = Path(
        translate(write_corpus(tmp_path / "toy"), words, tmp_path / "out", "--to", "sw", "--to", "am")["corpus"]
    )
    tested, _ = read_named_rows(
        load_corpus(str(pack)), Request(corpus=str(pack), languages=[load_language("sw"), load_language("am")])
    )
    assert {row.provenance for found in tested.values() for row in found} == {"human"} and set(tested) == {"sw"}
    captions, facts = pack.parent / "captions.jsonl", tomllib.loads(pack.read_text("utf-8"))
    captions.write_text(
        captions.read_text("utf-8").replace("red-small.png", "red-huge.png"), "utf-8"
    )  # of the test split
    with pytest.raises(DataError, match="is not the file"):
        rows(pack, "sw", "train")
    facts["translation"]["captions_sha256"] = hash_file(captions)
    pack.write_text(tomli_w.dumps(facts), "utf-8")
    with pytest.raises(DataError, match=r"captions.jsonl:1: concept 'red-huge.png'.*expected a concept of train"):
        rows(pack, "sw", "train")
    facts["translation"]["splits"] = ["train", "test"]
    pack.write_text(tomli_w.dumps(facts), "utf-8")
    with pytest.raises(PackError, match="translation.splits"):
        rows(pack, "sw", "test")


def test_a_translation_may_stand_on_another_but_not_on_itself(words: Path, tmp_path: Path) -> None:
    first = translate(write_corpus(tmp_path / "toy"), words, tmp_path / "first", "--to", "sw")["corpus"]
    second = translate(Path(first), words, tmp_path / "second", "--to", "am")["corpus"]
    assert (
        rows(Path(second), "sw", "train") == rows(Path(first), "sw", "train")
        and len(rows(Path(second), "am", "train")) == 12
    )
    facts = tomllib.loads(Path(first).read_text("utf-8"))
    facts["translation"]["base"] = "../second/corpus.toml"
    Path(first).write_text(tomli_w.dumps(facts), "utf-8")
    with pytest.raises(PackError, match="its base is based on it in turn"):
        rows(Path(second), "sw", "train")
    with pytest.raises(UnknownName, match="'te'.*am"):
        pack = translate(tmp_path / "toy" / "toy.toml", words, tmp_path / "third", "--to", "am")["corpus"]
        load_corpus(pack).reader.read(Path(pack).parent, "te", "train")


def test_corpora_describes_it_and_the_table_gives_examples(
    words: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        jaxtyping.config, "jaxtyping_disable", True
    )  # typer hands a group's callback a context that is no typer.Context
    base = write_corpus(tmp_path / "toy")
    said = polyclip(
        "translate", base, "--to", "sw", "--with", "dictionary", "--model", words, "--out", tmp_path / "out"
    )
    assert (
        said.code == 0 and "small black square -> small black square" in said.out and "copy of the source" in said.out
    )
    table = said.out.partition("sw: not filtered")[0].splitlines()
    assert len(table) > 8 and max(map(len, table)) <= 80 and "machine translated: NOASSERTION" in said.out
    shown = " ".join(polyclip("corpora", "show", tmp_path / "out" / "corpus.toml").out.split())
    for words_ in (
        "toy-sw-dictionary",
        "../toy/toy.toml",
        "dictionary@words",
        "human captions kept",
        "machine translated",
    ):
        assert words_ in shown
    assert "Unicode-3.0" in polyclip("corpora").out


def test_a_file_of_ones_own(tmp_path: Path) -> None:
    base, own = write_corpus(tmp_path / "toy"), tmp_path / "sw.tsv"
    own.write_text(
        "".join(f"{source}\t{text}\n" for source, text in SWAHILI.items() if source != "middle white square"), "utf-8"
    )
    arguments = [
        "translate",
        base,
        "--to",
        "sw",
        "--with",
        "file",
        "--model",
        tmp_path / "{to}.tsv",
        "--out",
        tmp_path / "out",
    ]
    missed = polyclip(*arguments)
    assert (
        missed.code == 2
        and "1 of 12 captions, the first is 'middle white square'" in missed.err
        and "--partial" in missed.err
    )
    assert not (tmp_path / "out").exists()
    assert polyclip(*arguments, "--partial").code == 0
    assert len(rows(tmp_path / "out" / "corpus.toml", "sw", "train")) == 11 + 12
    said = polyclip(
        "translate", base, "--to", "sw", "--to", "am", "--with", "file", "--model", own, "--out", tmp_path / "two"
    )
    assert said.code == 2 and "{to}" in said.err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["--to", "kl"], ["dictionary does not have", "Engines that have it:", "file"]),
        (["--to", "sw", "--with", "dictionry"], ["'dictionry'", "'dictionary'"]),
        (["--to", "sw", "--from", "te"], ["'te'", "en, sw"]),
        (["--to", "en"], ["into itself"]),
        (["--to", "sw", "--split", "test"], ["'test'", "train or validation"]),
        (["--to", "sw", "--copies", "much"], ["--copies", "'much'", "off"]),
        (["--to", "sw", "--length", "2"], ["--length", "0.2:4"]),
        (["--to", "sw", "--temperature", "0"], ["temperature"]),
        (["--to", "sw", "--text-encoder", "e5-smal"], ["'e5-small'"]),
        (["--to", "yo"], ["No Yoruba translation", "no translation 12"]),
    ],
)
def test_bad_input_ends_in_one_sentence(given: list[str], said: list[str], words: Path, tmp_path: Path) -> None:
    found = polyclip(
        "translate",
        write_corpus(tmp_path / "toy"),
        "--with",
        "dictionary",
        "--model",
        words,
        "--out",
        tmp_path / "out",
        *given,
    )
    assert found.code == 2 and len(found.err.strip().splitlines()) == 1 and found.err.startswith("error: "), found
    assert all(word in found.err for word in said), found.err
    assert not (tmp_path / "out").exists()


def test_a_folder_that_holds_something_else(words: Path, tmp_path: Path) -> None:
    base, out = write_corpus(tmp_path / "toy"), tmp_path / "out"
    arguments = ["translate", base, "--with", "dictionary", "--model", words, "--out"]
    translate(base, words, out, "--to", "sw")
    other = polyclip(*arguments, out, "--to", "am")
    assert other.code == 2 and "languages was ['sw'], is now ['am']" in other.err
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "letter.txt").write_text("dear", "utf-8")
    assert "exists and is not a translation" in polyclip(*arguments, tmp_path / "mine", "--to", "sw").err
    base.rename(base.with_name("corpus.toml"))
    assert (
        "but not a translation"
        in polyclip("translate", base.with_name("corpus.toml"), *arguments[2:], base.parent, "--to", "sw").err
    )
