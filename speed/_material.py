"""Inputs that contenders share: real captions, images, and the embedded weights in the layouts of other libraries."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyclip.data.corpus import load_corpus
from polyclip.data.types import ImageSource
from polyclip.languages.schema import load_language
from polyclip.models.backbone import describe
from polyclip.models.converted_weights import convert_once
from polyclip.models.e5_file import FILE_SHA256, MAX_TOKENS, convert, find_source
from speed._worker import Turn

LANGUAGES = ("sw", "te", "th", "zh", "en")
TIMM_NAME = "tf_efficientnet_lite0"
TOWER = "efficientnet-lite0"


def load_captions(count: int, languages: Sequence[str] = LANGUAGES) -> list[str]:
    """Load distinct captions of the starter corpus, equally many per language, language by language."""
    corpus, found = load_corpus("emoji"), dict[str, None]()
    share = -(-count // len(languages))
    for code in languages:
        rows = corpus.reader.read(corpus.folder, corpus.get_locale(load_language(code)), "train")
        own = [
            caption
            for caption in dict.fromkeys(caption for row in rows for caption in row.captions)
            if caption not in found
        ]
        found |= dict.fromkeys(own[:share])
    return list(found)[:count]


def load_images(count: int, style: str) -> list[ImageSource]:
    """Load the first images of a style."""
    corpus = load_corpus("emoji")
    return list(corpus.reader.pictures(corpus.folder, style).values())[:count]


def export(settings: dict[str, Any], turn: Turn) -> None:
    """Write the text encoder as a transformers folder below the work folder."""
    from transformers import PreTrainedTokenizerFast

    folder = Path(settings["work"]) / "e5"
    describe("encoders", "e5-small").build().model.save_pretrained(folder)
    tokens = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    file = convert_once("e5-small", find_source(), FILE_SHA256, convert).get_file("tokenizer.json")
    PreTrainedTokenizerFast(tokenizer_file=str(file), model_max_length=MAX_TOKENS, **tokens).save_pretrained(folder)
    describe("towers", TOWER).build()
    turn()


def text_encoder_folder(settings: dict[str, Any]) -> str:
    """Return the folder of the text encoder."""
    return str(Path(settings["work"]) / "e5")


def load_trunk(model: torch.nn.Module) -> None:
    """Load the embedded weights into timm's model without a classifier.

    Raises:
        RuntimeError: A tensor is missing or unexpected.

    """
    tower: Any = describe("towers", TOWER).build()
    model.load_state_dict(tower.model.state_dict(), strict=True)


def to_pixels(found: Tensor) -> Tensor:
    """Convert bytes [image, size, size, 3] to the encoder's input [image, 3, size, size], in the memory order of data
    loaders.
    """
    return found.permute(0, 3, 1, 2).float().sub_(127.5).div_(127.5).contiguous()
