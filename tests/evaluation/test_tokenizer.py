"""The doctor: figures by hand, real languages in their order, and encoders with every illness it must see.

Ill encoders are the real e5-small with one part exchanged; tiny random models stand in where a folder or a hub would be
needed.
"""

import copy
import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
from torch import Tensor

from polyclip.core.storage import hash_parts
from polyclip.core.vectors import normalize
from polyclip.data.corpus import load_corpus
from polyclip.data.types import Row
from polyclip.evaluation.tokenizer.checkup import examine
from polyclip.evaluation.tokenizer.closeness import compute_closeness
from polyclip.evaluation.tokenizer.findings import Checkup, TokenStats
from polyclip.evaluation.tokenizer.tokens import measure_tokens
from polyclip.evaluation.tokenizer.verdict import (
    ADAPTERS,
    FAMILIAR,
    FOREIGN,
    HEADS,
    KNOWN,
    NO_LANGUAGE,
    NO_SCRIPT,
    NORMS,
    UNSURE,
    choose_label,
    decide_verdict,
)
from polyclip.evaluation.tokenizer.vocabulary import find_tokenizer, read_vocabulary
from polyclip.evaluation.tokenizer.wire import probe_frame
from polyclip.languages.resolve import resolve_language
from polyclip.models import feature_cache
from polyclip.models.backbone import BackboneSpec, describe
from tests.command import polyclip
from tests.toy import write_corpus, write_text_encoder

Ids = dict[str, Tensor]
SHALLOW = "e5-small:,layers=2"
FEW = 80  # real names in the small corpus


@pytest.fixture(scope="module")
def e5() -> BackboneSpec:
    return describe("encoders", "e5-small")


@pytest.fixture(scope="module")
def encoder(e5: BackboneSpec) -> Any:
    return e5.build()


@pytest.fixture(scope="module")
def shallow() -> BackboneSpec:
    """The first layers of the same: an illness shows there as well."""
    return describe("encoders", SHALLOW)


@pytest.fixture(scope="module")
def built(shallow: BackboneSpec) -> Any:
    return shallow.build()


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The pack of a corpus of one's own: FEW real concepts, named in English, Swahili, German and Cherokee."""
    folder = tmp_path_factory.mktemp("small")
    emoji = load_corpus("emoji")
    named = {
        code: {row.concept: row for row in emoji.reader.read(emoji.folder, code, "train")}
        for code in ("en", "sw", "de", "chr")
    }
    concepts = [concept for concept in named["en"] if all(concept in found for found in named.values())][::16][:FEW]
    assert len(concepts) == FEW
    lines = []
    for concept in concepts:
        Image.new("RGB", (4, 4)).save(folder / f"{concept}.png")
        captions = {code: list(found[concept].captions) for code, found in named.items()}
        lines.append(
            json.dumps(
                {"image": f"{concept}.png", "captions": captions, "split": "train", "group": named["en"][concept].group}
            )
        )
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    pack = folder / "small.toml"
    pack.write_text('name = "small"\nabout = "a few"\nreader = "jsonl"\nfolder = "."\n', "utf-8")
    return pack


@pytest.fixture(scope="module")
def healthy(e5: BackboneSpec, encoder: Any, small: Path) -> Checkup:
    languages = [resolve_language(code) for code in ("en", "de", "sw", "chr")]
    return examine(replace(e5, build=lambda: encoder), load_corpus(str(small)), languages)


def test_a_healthy_encoder_has_no_finding_and_its_languages_are_in_order(healthy: Checkup) -> None:
    assert [one.kind for one in healthy.findings] == ["double-images"]  # of `small`: two emoji are drawn alike
    english, german, swahili, cherokee = healthy.languages
    found = [one.closeness.mean.value for one in (german, swahili, cherokee) if one.closeness]
    assert len(found) == 3 and found[0] > found[1] + 0.1 > found[2] + 0.2
    assert (english.verdict.label, german.verdict.label, cherokee.verdict.label) == (HEADS, HEADS, NO_SCRIPT)
    assert english.closeness and english.closeness.pivot == "de" and german.closeness and german.closeness.pivot == "en"
    for one in healthy.languages:
        assert one.vectors and one.vectors.batch_distance < 1e-6 and one.closeness and one.closeness.pool == FEW
        assert one.closeness.to_pivot.low <= one.closeness.to_pivot.value <= one.closeness.to_pivot.high
        assert one.closeness.chance == pytest.approx(1 / FEW)
    assert (
        english.tokens.relative == 1.0
        and cherokee.tokens.unknown_captions > 0.9
        and german.tokens.unknown_captions == 0
    )
    assert healthy.twins is not None and healthy.twins > 0.99
    assert (healthy.frame.start_text, healthy.frame.end_text, healthy.frame.limit) == ("<s> query:", "</s>", 512)
    assert (healthy.frame.pad, healthy.frame.side) == (1, "right")


def test_fertility_is_the_tokenizers_own_count(healthy: Checkup, encoder: Any, small: Path) -> None:
    corpus, tokenizer = load_corpus(str(small)), find_tokenizer(encoder)
    count = {}
    for code in ("en", "sw"):
        rows = corpus.reader.read(corpus.folder, code, "train")
        texts = [caption for row in rows for caption in row.captions]
        pieces = sum(len(row) for row in tokenizer.encode_batch(texts, add_special_tokens=False))
        count[code] = sum(
            len(row) for row in tokenizer.encode_batch([row.captions[0] for row in rows], add_special_tokens=False)
        )
        tokens = next(one.tokens for one in healthy.languages if one.code == code)
        assert (tokens.tokens, tokens.captions, tokens.unit) == (pieces, len(texts), "word")
        assert tokens.fertility == pieces / sum(len(text.split()) for text in texts)
    assert tokens.relative == count["sw"] / count["en"]


# Ill encoders
# -------------------------------------------------------------------------------------------------------------------

Change = Callable[[Any], dict[str, Any]]


def shuffled_ids(encoder: Any) -> dict[str, Any]:
    """Ids of a vocabulary in another order, while the tokenizer at hand says the right ones."""
    order = torch.cat([torch.arange(4), 4 + torch.randperm(249_998)])
    feed = encoder.tokenize
    return {"tokenize": lambda texts: feed(texts) | {"input_ids": order[feed(texts)["input_ids"]]}}


def other_tokenizer(encoder: Any) -> dict[str, Any]:
    """A tokenizer that reads its own ids back without a flaw, but numbers pieces otherwise than the model."""
    order = torch.cat([torch.arange(4), 4 + torch.randperm(249_998)])
    feed, own = encoder.tokenize, find_tokenizer(encoder)
    back = {new: old for old, new in enumerate(order.tolist())}

    class Other:
        decoder = own.decoder
        normalizer = own.normalizer
        token_to_id = staticmethod(own.token_to_id)

        def get_vocab(self) -> dict[str, int]:
            return {piece: int(order[number]) for piece, number in own.get_vocab().items()}

        def decode_batch(self, rows: list[list[int]], skip_special_tokens: bool) -> list[str]:
            return own.decode_batch(
                [[back[number] for number in row] for row in rows], skip_special_tokens=skip_special_tokens
            )

    return {
        "tokenizer": Other(),
        "tokenize": lambda texts: feed(texts) | {"input_ids": order[feed(texts)["input_ids"]]},
    }


def larger_vocabulary(encoder: Any) -> dict[str, Any]:
    """Ids of a vocabulary that has more pieces than the embedding matrix has rows."""
    feed = encoder.tokenize

    def tokenize(texts: list[str]) -> Ids:
        found = feed(texts)
        return found | {"input_ids": torch.where(found["input_ids"] > 3, found["input_ids"] * 3, found["input_ids"])}

    return {"tokenize": tokenize}


def word_tokenizer(encoder: Any) -> dict[str, Any]:
    """A tokenizer that knows a few words and calls everything else unknown."""
    words = Tokenizer(
        models.WordLevel({"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3, "the": 4, "of": 5}, unk_token="<unk>")
    )
    words.pre_tokenizer = pre_tokenizers.Whitespace()

    def tokenize(texts: list[str]) -> Ids:
        return padded([[0, *row.ids[:500], 2] for row in words.encode_batch(list(texts))])

    return {"tokenizer": words, "tokenize": tokenize}


def unit_claimed(encoder: Any) -> dict[str, Any]:
    return {"unit": True}


def constant(encoder: Any) -> dict[str, Any]:
    return {"finish": lambda state, position: torch.ones(len(state["input_ids"]), 384)}


def not_a_number(encoder: Any) -> dict[str, Any]:
    return {"finish": lambda state, position: encoder.finish(state, position) / 0 * 0}


def leaking_padding(encoder: Any) -> dict[str, Any]:
    """The mean over whole rows, padding included."""
    return {"mean": lambda state: state["hidden"].mean(1)}


def left(encoder: Any) -> Callable[[list[str]], Ids]:
    """The same rows, filled up on the left."""
    feed = encoder.tokenize

    def tokenize(texts: list[str]) -> Ids:
        found = feed(texts)
        order = found["attention_mask"].argsort(dim=1, stable=True)
        return {name: tensor.gather(1, order) for name, tensor in found.items()}

    return tokenize


def first_token_of_left_padding(encoder: Any) -> dict[str, Any]:
    return {"tokenize": left(encoder), "pooling": "cls"}


def mean_of_left_padding(encoder: Any) -> dict[str, Any]:
    """Positions are counted from the left: padding moves them."""
    return {"tokenize": left(encoder)}


def cut_after_the_end_token(encoder: Any) -> dict[str, Any]:
    feed = encoder.tokenize
    return {"tokenize": lambda texts: {name: tensor[:, :64] for name, tensor in feed(texts).items()}}


def no_special_tokens(encoder: Any) -> dict[str, Any]:
    own = find_tokenizer(encoder)
    return {
        "tokenize": lambda texts: padded(
            [row.ids[:500] for row in own.encode_batch(list(texts), add_special_tokens=False)]
        )
    }


def padded(rows: list[list[int]]) -> Ids:
    longest = max(map(len, rows))
    ids = torch.tensor([row + [1] * (longest - len(row)) for row in rows])
    return {
        "input_ids": ids,
        "attention_mask": torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows]),
    }


ILL: list[tuple[Change, set[str]]] = [
    (shuffled_ids, {"wrong-tokenizer"}),
    (other_tokenizer, {"wrong-tokenizer"}),
    (word_tokenizer, {"wrong-tokenizer"}),
    (larger_vocabulary, {"wrong-tokenizer", "out-of-range"}),
    (unit_claimed, {"not-unit"}),
    (constant, {"constant"}),
    (not_a_number, {"non-finite"}),
    (leaking_padding, {"batch-dependent"}),
    (first_token_of_left_padding, {"batch-dependent"}),
    (mean_of_left_padding, {"batch-dependent"}),
    (cut_after_the_end_token, {"lost-specials"}),
    (no_special_tokens, {"lost-specials"}),
]


def ill(tower: BackboneSpec, encoder: Any, change: Change) -> BackboneSpec:
    """The same encoder with a part exchanged, under an identity of its own."""
    other = copy.copy(encoder)
    for name, part in change(encoder).items():
        setattr(other, name, part)
    other.get_inference_form = lambda: other  # encoding without padding would cure some
    return replace(tower, name=change.__name__, identity=hash_parts(change.__name__), build=lambda: other)


@pytest.mark.parametrize(("change", "kinds"), ILL, ids=lambda value: getattr(value, "__name__", ""))
def test_every_illness_is_seen_and_no_other(
    shallow: BackboneSpec, built: Any, small: Path, change: Change, kinds: set[str]
) -> None:
    found = examine(ill(shallow, built, change), load_corpus(str(small)), [resolve_language("en")], 30)
    seen = {finding.kind for finding in found.defects}
    if (
        change is first_token_of_left_padding
    ):  # a first token that is a word's own start is nearly the same in all captions of a few layers
        seen -= {"constant"}
    assert seen == kinds
    assert ("left-padding" in {finding.kind for finding in found.findings}) == change.__name__.endswith("left_padding")


def test_normalised_vectors_may_claim_to_be(shallow: BackboneSpec, built: Any, small: Path) -> None:
    def normalised(encoder: Any) -> dict[str, Any]:
        return {"unit": True, "finish": lambda state, position: normalize(encoder.finish(state, position))}

    found = examine(ill(shallow, built, normalised), load_corpus(str(small)), [resolve_language("en")], 30)
    assert [one.kind for one in found.findings] == ["double-images"]


def test_a_single_caption_that_is_not_finite_is_found_among_all(shallow: BackboneSpec, built: Any, small: Path) -> None:
    corpus = load_corpus(str(small))
    names = sorted(
        {row.captions[0] for row in corpus.reader.read(corpus.folder, "sw", "train")},
        key=lambda text: (len(text), text),
    )
    bad = built.tokenize([names[1]])["input_ids"][
        0
    ]  # not among those that are tried first: these are spread over all lengths

    def one_bad_caption(encoder: Any) -> dict[str, Any]:
        def finish(state: Ids, position: int) -> Tensor:
            hit = torch.tensor([row[: len(bad)].equal(bad) for row in state["input_ids"]])
            return encoder.finish(state, position).masked_fill(hit[:, None], torch.nan)

        return {"finish": finish}

    found = examine(ill(shallow, built, one_bad_caption), corpus, [resolve_language("sw")], FEW)
    assert [finding.kind for finding in found.defects] == ["non-finite"]
    assert found.languages[0].vectors is not None and found.languages[0].verdict.label == UNSURE


# What it does not do
# ------------------------------------------------------------------------------------------------------------


def test_nothing_is_encoded_twice_and_the_test_split_is_not_read(
    shallow: BackboneSpec, built: Any, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    corpus = load_corpus(str(small))
    asked, read = [], corpus.reader.read
    monkeypatch.setattr(
        corpus.reader, "read", lambda folder, language, split: asked.append(split) or read(folder, language, split)
    )
    tower, languages = replace(shallow, build=lambda: built), [resolve_language(code) for code in ("en", "sw")]
    first = examine(tower, corpus, languages)
    monkeypatch.setattr(feature_cache, "compute", lambda *_: pytest.fail("encoded again"))
    assert examine(tower, corpus, languages) == first and first.languages[1].closeness is not None
    assert set(asked) == {"train"}


# Figures by hand
# ----------------------------------------------------------------------------------------------------------------


class Fed:
    """Reads with a tokenizer of the library, and puts nothing around captions."""

    trunk = None

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def prepare(self, texts: list[str]) -> Ids:
        return padded([row.ids for row in self.tokenizer.encode_batch(list(texts))])


def read(fed: Any, script: str, *captions: str) -> TokenStats:
    vocabulary = read_vocabulary(fed)
    row = Row(concept="c", group="c", category="", language="xx", captions=captions)
    return measure_tokens(fed, vocabulary, probe_frame(fed, vocabulary), [row], script, lambda _: None)[0]


def byte_fallback() -> Tokenizer:
    pieces = ["<unk>", "\u2581", "a", "b", *(f"<0x{number:02X}>" for number in range(256))]
    vocabulary = {piece: number for number, piece in enumerate([*pieces, "\u2581a"])}
    tokenizer = Tokenizer(models.BPE(vocabulary, [("\u2581", "a")], unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    tokenizer.decoder = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse(), decoders.Metaspace()])
    return tokenizer


def byte_level() -> Tokenizer:
    pieces = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({piece: number for number, piece in enumerate(pieces)}, []))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    return tokenizer


def test_bytes_are_counted_in_both_kinds_of_tokenizer() -> None:
    fallback = read(Fed(byte_fallback()), "Latn", "aé")  # ▁a C3 A9
    assert (fallback.tokens, fallback.byte_tokens, fallback.unknown_tokens, fallback.lost_captions) == (
        3,
        pytest.approx(2 / 3),
        0.0,
        0.0,
    )
    level = read(Fed(byte_level()), "Latn", "aé")  # a C3 A9
    assert (level.tokens, level.byte_tokens, level.lost_captions) == (3, pytest.approx(2 / 3), 0.0)
    assert read(Fed(byte_level()), "Thai", "กก ก").fertility == 10 / 3  # three characters of three bytes, and a space


def test_lost_and_rewritten_characters_are_named(encoder: Any) -> None:
    found = read(encoder, "Cher", "Ꮳ cat", "cat")
    assert (found.unknown_captions, found.lost_captions, found.words) == (0.5, 0.5, 3)
    assert [(one.character, one.code, one.times, one.caption) for one in found.lost] == [("Ꮳ", "U+13E3", 1, "Ꮳ cat")]
    assert found.unknown_tokens == pytest.approx(1 / found.tokens)
    persian = read(encoder, "Arab", "می\u200cروم")
    assert (persian.lost_captions, persian.rewritten_captions, [one.code for one in persian.rewritten]) == (
        0.0,
        1.0,
        ["U+200C"],
    )
    assert read(encoder, "Latn", "e\u0301té").rewritten == []  # composed or not is no change


def test_a_caption_that_is_cut_is_not_called_lost(encoder: Any) -> None:
    found = read(encoder, "Latn", "paka mweusi " * 400, "paka")
    assert (found.truncated, found.lost_captions, found.longest, found.lost) == (0.5, 0.0, 512, [])


def test_padding_that_is_read_as_text_is_no_part_of_a_caption() -> None:
    words = Tokenizer(models.WordLevel({"<unk>": 0, "<pad>": 1, "</s>": 2, "paka": 3, "mweusi": 4}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    words.post_processor = processors.TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 2)])
    words.enable_truncation(8)
    words.enable_padding(length=8, pad_id=1, pad_token="<pad>")
    frame = probe_frame(Fed(words), read_vocabulary(Fed(words)))
    assert (frame.start, frame.end, frame.limit, frame.pad, frame.side) == ((), (2,), 8, 1, "none")
    found = read(Fed(words), "Latn", "paka mweusi", "paka " * 20)
    assert (found.tokens, found.longest, found.truncated, found.lost_captions) == (9, 8, 0.5, 0.0)


def rows_named(*names: str) -> list[Row]:
    return [Row(str(number), str(number), "", "xx", (name,)) for number, name in enumerate(names)]


def test_closeness_of_vectors_whose_answer_is_known() -> None:
    eye = torch.eye(40)
    own, other = rows_named(*map(str, range(40))), rows_named(*(f"n{number}" for number in range(40)))
    perfect = compute_closeness(eye, eye, own, other, "en")
    assert perfect is not None and (perfect.mean.value, perfect.mean.low, perfect.asked, perfect.same) == (
        1.0,
        1.0,
        40,
        0.0,
    )
    assert (perfect.unrelated, perfect.related, perfect.across) == (0.0, 1.0, 0.0)
    halved = compute_closeness(eye, torch.cat([eye[:20], eye[20:].roll(1, 0)]), own, other, "en")
    assert (
        halved is not None
        and halved.to_pivot.value == halved.from_pivot.value == 0.5
        and halved.mean.low < 0.5 < halved.mean.high
    )
    constant = compute_closeness(normalize(torch.ones(40, 4)), normalize(torch.ones(40, 4)), own, other, "en")
    assert constant is not None and constant.mean.value == 0.0  # ties count against the encoder
    alike = compute_closeness(eye, eye.roll(1, 0), own, [*own[:9], *other[9:]], "en")
    assert alike is not None and (alike.asked, alike.same) == (31, pytest.approx(9 / 40))
    # too few that spelling would not find
    assert compute_closeness(eye, eye, own, [*own[:11], *other[11:]], "en") is None


def test_verdicts_part_at_the_named_thresholds(healthy: Checkup) -> None:
    assert [choose_label(value, script=False) for value in (KNOWN, FAMILIAR, FOREIGN, 0.0)] == [
        HEADS,
        NORMS,
        ADAPTERS,
        NO_LANGUAGE,
    ]
    assert [choose_label(value - 1e-9, script=True) for value in (KNOWN, FAMILIAR, FOREIGN)] == [
        NORMS,
        ADAPTERS,
        NO_SCRIPT,
    ]
    german = healthy.languages[1]
    assert german.closeness is not None
    middle = replace(german.closeness, pool=400, mean=replace(german.closeness.mean, value=0.36, low=0.31, high=0.41))
    found = decide_verdict(german.tokens, middle, False)
    assert (found.label, found.method) == (NORMS, "lilt-ln") and ADAPTERS in found.doubt
    sure = decide_verdict(
        german.tokens, replace(middle, mean=replace(middle.mean, value=0.42, low=0.38, high=0.46)), False
    )
    assert (sure.label, sure.doubt) == (NORMS, "")
    assert (
        decide_verdict(german.tokens, middle, True).label == UNSURE
    )  # English by another language: which of the two is unknown?
    assert decide_verdict(german.tokens, None, False).label == UNSURE
    assert decide_verdict(healthy.languages[3].tokens, None, False).label == NO_SCRIPT


# The command
# --------------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A tiny random XLM-R and a corpus of squares."""
    folder = tmp_path_factory.mktemp("toy")
    pack = write_corpus(folder / "corpus")
    yield write_text_encoder(folder / "tiny-e5"), pack


def test_the_command_prints_json_alone(small: Path) -> None:
    said = polyclip(
        "doctor", "--lang", "Swahili", "--lang", "chr", "--corpus", small, "--text-encoder", SHALLOW, "--json"
    )
    table = json.loads(said.out)
    assert (said.code, table["schema"], table["defects"], table["corpus"]) == (0, 1, 0, "small")
    assert [one["code"] for one in table["languages"]] == ["sw", "chr"]
    assert table["languages"][1]["tokens"]["lost"][0]["code"].startswith("U+13")
    assert {threshold["value"] for threshold in table["thresholds"]} == {KNOWN, FAMILIAR, FOREIGN}
    assert table["languages"][0]["closeness"]["pool"] == FEW and table["frame"]["start_text"] == "<s> query:"


def test_one_language_is_a_report_and_several_a_table_of_80_columns(small: Path) -> None:
    given = ["--corpus", small, "--text-encoder", SHALLOW]
    one = polyclip("doctor", "--lang", "de", *given)
    assert one.code == 0 and "verdict: " in one.out and "recipe: head-mlp" in one.out and "<s> query: … </s>" in one.out
    several = polyclip("doctor", "--lang", "sw", "--lang", "en", "--lang", "chr", *given)
    assert several.code == 0 and "no script" in several.out and "sw Swahili" in several.out and "…" not in several.out
    assert max(map(len, (one.out + several.out).splitlines())) <= 80


def test_a_defect_ends_with_exit_code_1(toy: tuple[str, Path]) -> None:
    name, pack = toy
    well = polyclip("doctor", "--lang", "sw", "--corpus", pack, "--text-encoder", name)
    assert (well.code, "DEFECT" in well.out, "cannot say" in well.out) == (0, False, True), well
    assert 'note: E5 encoders were trained with "query: "' in well.out
    assert (
        "note"
        not in polyclip("doctor", "--lang", "sw", "--corpus", pack, "--text-encoder", f"{name},prefix=query: ").out
    )
    settings = Path(name.removeprefix("huggingface:")) / "tokenizer_config.json"
    settings.write_text(
        json.dumps(json.loads(settings.read_text("utf-8")) | {"model_max_length": 500}), "utf-8"
    )  # the model has 78 positions
    found = polyclip("doctor", "--lang", "sw", "--corpus", pack, "--text-encoder", name)
    assert found.code == 1 and "DEFECT: The model fails on 500 tokens" in found.out


def test_what_cannot_be_examined_is_one_sentence(toy: tuple[str, Path]) -> None:
    name, pack = toy
    without = polyclip("doctor", "--lang", "am", "--corpus", pack, "--text-encoder", name)
    assert (without.code, without.out, without.err.count("\n")) == (2, "", 1)
    assert "Corpus 'toy' has no caption in Amharic (am) in split 'train'" in without.err
    nowhere = polyclip("doctor", "--lang", "sw", "--text-encoder", "nobody/nothing")
    assert (nowhere.code, nowhere.out, nowhere.err.count("\n")) == (2, "", 1) and "nobody/nothing" in nowhere.err


def test_an_encoder_that_hides_its_tokenizer_is_told_so(shallow: BackboneSpec, built: Any, small: Path) -> None:
    def hidden(encoder: Any) -> dict[str, Any]:
        return {"tokenize": len}

    with pytest.raises(Exception, match="does not show its tokenizer: give it an attribute 'tokenizer'"):
        examine(ill(shallow, built, hidden), load_corpus(str(small)), [resolve_language("en")])
