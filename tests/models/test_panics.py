"""Panics of the tokenizers' Rust code, which a damaged tokenizer.json brings about, end in one sentence."""

from collections.abc import Sequence

import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel

from polyclip.errors import WeightsError
from polyclip.models.hf import explain_loading_errors
from polyclip.models.text_encoder import TextEncoder


class PanicException(BaseException):
    """In the place of pyo3's, which has the same name and base."""


class Silent(torch.nn.Module):
    """A model that is never asked."""

    def forward(self) -> None:
        raise AssertionError


def make_encoder(error: BaseException) -> TextEncoder:
    def tokenize(texts: Sequence[str]) -> dict[str, torch.Tensor]:
        raise error

    return TextEncoder(Silent(), tokenize, 3, "mean")


@pytest.mark.parametrize("use", ["prepare", "costs"])
@pytest.mark.parametrize("kind", [PanicException, Exception])
def test_a_failure_at_a_caption_is_a_damaged_tokenizer(use: str, kind: type[BaseException]) -> None:
    with pytest.raises(WeightsError, match=r"cannot read a caption \(no entry found for key\): its file is damaged"):
        getattr(make_encoder(kind("no entry found for key")), use)(["paka"])


def test_a_word_level_tokenizer_without_its_unknown_token_is_damaged() -> None:
    tokenizer = Tokenizer(WordLevel({"paka": 0}, unk_token="[UNK]"))
    encoder = TextEncoder(Silent(), lambda texts: tokenizer.encode_batch(list(texts)), 3, "mean")  # type: ignore[arg-type,return-value]
    with pytest.raises(WeightsError, match="Missing"):
        encoder.prepare(["mbwa"])


def test_a_panic_at_loading_is_a_model_that_cannot_be_loaded() -> None:
    with pytest.raises(WeightsError, match="Cannot load text encoder 'x': PanicException: no entry"):
        with explain_loading_errors("text encoder", "x"):
            raise PanicException("no entry")


def test_an_interruption_stays_one() -> None:
    with pytest.raises(KeyboardInterrupt):
        make_encoder(KeyboardInterrupt()).prepare(["paka"])
    with pytest.raises(KeyboardInterrupt), explain_loading_errors("text encoder", "x"):
        raise KeyboardInterrupt
