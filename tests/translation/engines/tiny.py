"""Models of the four families small enough to be made here: random weights, then a second of training on a few phrases.

The library's own classes and tokenizers, saved and read back as a hub's would be; the hub itself is out of reach of
tests. Having learnt two target languages by heart, a model shows in its words which language it was told.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sentencepiece
import torch
from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from transformers import (
    M2M100Config,
    M2M100ForConditionalGeneration,
    M2M100Tokenizer,
    MarianConfig,
    MarianMTModel,
    MarianTokenizer,
    NllbTokenizer,
    T5Config,
    T5ForConditionalGeneration,
    T5Tokenizer,
)

from polyclip.languages.schema import Codes, Language, load_language

Example = Callable[
    [str, str, str], tuple[list[int], list[int]]
]  # English, code, translation: what is read and what is written

CODES = {
    "en": Codes(nllb="eng_Latn", m2m100="en", madlad="en", apertium="eng", freedict="eng"),
    "sw": Codes(nllb="swh_Latn", m2m100="sw", madlad="sw", opus_mt="sw", freedict="swh"),
    "fr": Codes(nllb="fra_Latn", m2m100="fr", madlad="fr", opus_mt="fr"),
    "es": Codes(nllb="spa_Latn", apertium="spa"),
}
PHRASES = {
    "a red apple": {"sw": "tufaa jekundu", "fr": "une pomme rouge"},
    "a black cat": {"sw": "paka mweusi", "fr": "un chat noir"},
    "the green table": {"sw": "meza ya kijani", "fr": "la table verte"},
    "two dogs": {"sw": "mbwa wawili", "fr": "deux chiens"},
    "a child reads a book under the tree": {
        "sw": "mtoto anasoma kitabu chini ya mti",
        "fr": "un enfant lit un livre sous l'arbre",
    },
}


def language(code: str) -> Language:
    """A pack with the codes these tests need, whatever it says itself."""
    return load_language(code).model_copy(update={"codes": CODES[code]})


def lines() -> list[str]:
    return [text for english, others in PHRASES.items() for text in (english, *others.values())]


def train_pieces(folder: Path, kind: str, **options: Any) -> sentencepiece.SentencePieceProcessor:
    """A SentencePiece model of the phrases, `pieces.model`."""
    folder.mkdir(parents=True, exist_ok=True)
    text = folder / "phrases.txt"
    text.write_text("\n".join(lines()), "utf-8")
    trainer = sentencepiece.SentencePieceTrainer
    trainer.train(
        input=str(text),
        model_prefix=str(folder / "pieces"),
        vocab_size=90,
        model_type=kind,
        minloglevel=2,
        hard_vocab_limit=False,
        **options,
    )
    text.unlink()
    return sentencepiece.SentencePieceProcessor(model_file=str(folder / "pieces.model"))


SHAPE = {
    "d_model": 48,
    "encoder_layers": 1,
    "decoder_layers": 1,
    "encoder_attention_heads": 2,
    "decoder_attention_heads": 2,
}
WIDE = {
    "encoder_ffn_dim": 64,
    "decoder_ffn_dim": 64,
    "dropout": 0.0,
    "attention_dropout": 0.0,
    "activation_dropout": 0.0,
}


def m2m_model(size: int) -> Any:
    return M2M100ForConditionalGeneration(
        M2M100Config(
            vocab_size=size, max_position_embeddings=64, encoder_layerdrop=0.0, decoder_layerdrop=0.0, **SHAPE, **WIDE
        )
    )


def write_m2m100(folder: Path) -> Path:
    pieces = train_pieces(folder, "bpe")
    words = ["<s>", "<pad>", "</s>", "<unk>", *(pieces.id_to_piece(i) for i in range(3, pieces.get_piece_size()))]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}), "utf-8")
    tokenizer = M2M100Tokenizer(str(folder / "vocab.json"), str(folder / "pieces.model"), model_max_length=64)
    model = m2m_model(len(words) + 108)  # 100 languages, 8 made-up words

    def example(english: str, code: str, theirs: str) -> tuple[list[int], list[int]]:
        tokenizer.src_lang = "en"
        read = tokenizer(english).input_ids
        tokenizer.src_lang = code
        return read, tokenizer(theirs).input_ids

    return save(folder, model, tokenizer, example)


def write_nllb(folder: Path) -> Path:
    grown = Tokenizer(models.BPE(unk_token="<unk>"))
    grown.pre_tokenizer = pre_tokenizers.Metaspace()
    grown.train_from_iterator(
        lines(),
        trainers.BpeTrainer(vocab_size=120, special_tokens=["<s>", "<pad>", "</s>", "<unk>"], show_progress=False),
    )
    kept = json.loads(grown.to_str())["model"]
    tokenizer = NllbTokenizer(vocab=kept["vocab"], merges=[tuple(pair) for pair in kept["merges"]], model_max_length=64)

    def example(english: str, code: str, theirs: str) -> tuple[list[int], list[int]]:
        tokenizer.src_lang = "eng_Latn"
        read = tokenizer(english).input_ids
        tokenizer.src_lang = CODES[code].nllb
        return read, tokenizer(theirs).input_ids

    return save(folder, m2m_model(len(tokenizer)), tokenizer, example)


def write_opus_mt(folder: Path, *, many: bool = True) -> Path:
    """One target language (Swahili), or several told apart by `>>swh<<`."""
    pieces = train_pieces(folder, "bpe")
    tokens = [">>swh<<", ">>fra<<"] if many else []
    words = ["</s>", "<unk>", *tokens, *(pieces.id_to_piece(i) for i in range(3, pieces.get_piece_size())), "<pad>"]
    (folder / "vocab.json").write_text(json.dumps({word: number for number, word in enumerate(words)}), "utf-8")
    for name in ("source.spm", "target.spm"):
        shutil.copy(folder / "pieces.model", folder / name)
    files = {
        "source_spm": str(folder / "source.spm"),
        "target_spm": str(folder / "target.spm"),
        "vocab": str(folder / "vocab.json"),
    }
    tokenizer = MarianTokenizer(**files, source_lang="en", target_lang="mul" if many else "sw", model_max_length=64)
    pad = len(words) - 1
    ends = {"pad_token_id": pad, "eos_token_id": 0, "forced_eos_token_id": 0, "decoder_start_token_id": pad}
    model = MarianMTModel(
        MarianConfig(vocab_size=len(words), max_position_embeddings=64, scale_embedding=True, **SHAPE, **WIDE, **ends)
    )
    model.generation_config.update(bad_words_ids=[[pad]], num_beams=4, max_length=64)  # as OPUS-MT models have it

    def example(english: str, code: str, theirs: str) -> tuple[list[int], list[int]]:
        told = {"sw": ">>swh<< ", "fr": ">>fra<< "}[code] if many else ""
        return tokenizer(told + english).input_ids, tokenizer(text_target=theirs).input_ids

    return save(folder, model, tokenizer, example, codes=("sw", "fr") if many else ("sw",))


def write_madlad(folder: Path) -> Path:
    pieces = train_pieces(folder, "unigram", user_defined_symbols=["<2sw>", "<2fr>"], bos_id=-1)
    own = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    scores = {pieces.id_to_piece(i): pieces.get_score(i) for i in range(pieces.get_piece_size())}
    vocabulary = [*own, *((piece, score) for piece, score in scores.items() if piece not in dict(own))]
    tokenizer = T5Tokenizer(vocab=vocabulary, extra_ids=0, model_max_length=64)
    shape = {
        "d_model": 48,
        "d_kv": 24,
        "d_ff": 64,
        "num_layers": 1,
        "num_heads": 2,
        "dropout_rate": 0.0,
        "feed_forward_proj": "gated-gelu",
    }
    model = T5ForConditionalGeneration(
        T5Config(vocab_size=len(vocabulary), tie_word_embeddings=False, decoder_start_token_id=0, **shape)
    )

    def example(english: str, code: str, theirs: str) -> tuple[list[int], list[int]]:
        return tokenizer(f"<2{code}> {english}").input_ids, tokenizer(theirs).input_ids

    return save(folder, model, tokenizer, example)


def save(folder: Path, model: Any, tokenizer: Any, example: Example, codes: tuple[str, ...] = ("sw", "fr")) -> Path:
    """Learn the phrases by heart and write model and tokenizer; a language's token is given to the decoder."""
    pad, start = tokenizer.pad_token_id, model.config.decoder_start_token_id
    rows = [example(english, code, PHRASES[english][code]) for english in PHRASES for code in codes]
    told = {tokenizer.convert_tokens_to_ids(token) for token in ("__sw__", "__fr__", "swh_Latn", "fra_Latn")} - {
        tokenizer.unk_token_id
    }
    given = {
        "input_ids": square([read for read, _ in rows], pad),
        "decoder_input_ids": square([[start, *written[:-1]] for _, written in rows], pad),
        "labels": square([[-100 if token in told else token for token in written] for _, written in rows], -100),
    }
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    model.train()
    for _ in range(300):
        loss = model(attention_mask=(given["input_ids"] != pad).long(), **given).loss
        if loss < 0.01:
            break
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if model.config.model_type == "marian":
            model.get_input_embeddings().weight.data[pad] = 0.0  # Marian's decoder starts from nothing
    assert loss < 0.01, f"{folder.name} did not learn its phrases: {loss:.3f}"
    model.eval().save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def square(rows: list[list[int]], filler: int) -> torch.Tensor:
    width = max(map(len, rows))
    return torch.tensor([[*row, *[filler] * (width - len(row))] for row in rows])


WRITERS = {"nllb": write_nllb, "m2m100": write_m2m100, "madlad": write_madlad, "opus-mt": write_opus_mt}
