"""What contenders share: real captions, pictures, and the embedded weights in the layouts that other libraries read."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from polyclip.data.corpus import load_corpus
from polyclip.data.types import ImageSource
from polyclip.languages.schema import load_language
from polyclip.models.backbone import describe
from polyclip.models.converted_weights import converted
from polyclip.models.text.e5_small import FILE_SHA256, MAX_TOKENS, convert, source
from speed._worker import Turn

LANGUAGES = ("sw", "te", "th", "zh", "en")
TIMM_NAME = "tf_efficientnet_lite0"
TOWER = "efficientnet-lite0"


def captions(count: int, languages: Sequence[str] = LANGUAGES) -> list[str]:
    """Distinct captions of the starter corpus, as many of each language, in the order in which the languages follow each other."""
    corpus, found = load_corpus("emoji"), dict[str, None]()
    share = -(-count // len(languages))
    for code in languages:
        rows = corpus.reader.read(corpus.folder, corpus.locale(load_language(code)), "train")
        own = [
            caption
            for caption in dict.fromkeys(caption for row in rows for caption in row.captions)
            if caption not in found
        ]
        found |= dict.fromkeys(own[:share])
    return list(found)[:count]


def pictures(count: int, style: str) -> list[ImageSource]:
    """The first pictures of a style."""
    corpus = load_corpus("emoji")
    return list(corpus.reader.pictures(corpus.folder, style).values())[:count]


def export(settings: dict[str, Any], turn: Turn) -> None:
    """The text encoder as a folder of transformers' and the vision tower as a file of timm's, below the work folder; `e5` and `vision` find them."""
    from transformers import PreTrainedTokenizerFast

    folder = Path(settings["work"]) / "e5"
    describe("encoders", "e5-small").build().model.save_pretrained(folder)
    tokens = {"cls_token": "<s>", "sep_token": "</s>", "pad_token": "<pad>", "unk_token": "<unk>"}
    file = converted("e5-small", source(), FILE_SHA256, convert).file("tokenizer.json")
    PreTrainedTokenizerFast(tokenizer_file=str(file), model_max_length=MAX_TOKENS, **tokens).save_pretrained(folder)
    describe("towers", TOWER).build()
    turn()


def e5(settings: dict[str, Any]) -> str:
    """Folder of the text encoder."""
    return str(Path(settings["work"]) / "e5")


def load_trunk(model: torch.nn.Module) -> None:
    """The embedded weights into timm's model without a classifier.

    Raises RuntimeError where a tensor is missing or too many.
    """
    tower: Any = describe("towers", TOWER).build()
    model.load_state_dict(tower.model.state_dict(), strict=True)


def pixels(found: Tensor) -> Tensor:
    """Bytes [picture, size, size, 3] to what the tower takes, in the memory order that loaders give: [picture, 3, size, size]."""
    return found.permute(0, 3, 1, 2).float().sub_(127.5).div_(127.5).contiguous()
