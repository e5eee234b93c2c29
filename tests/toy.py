"""A corpus and two encoders small enough to train in a second: coloured squares, their names, and tiny random models.

The hub that has real models of these kinds is out of reach here; the embedded real ones are tested elsewhere.
"""

import json
from pathlib import Path

import timm
import torch
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer, models, pre_tokenizers, processors
from transformers import M2M100Config, M2M100Model, PreTrainedTokenizerFast, XLMRobertaConfig, XLMRobertaModel

COLOURS = {
    "red": "nyekundu",
    "green": "kijani",
    "blue": "bluu",
    "white": "nyeupe",
    "black": "nyeusi",
    "yellow": "njano",
}
SIZES = {"small": "ndogo", "middle": "wastani", "large": "kubwa", "huge": "kubwa sana"}


def write_corpus(folder: Path, *, french: bool = False) -> Path:
    """Write 24 images of squares, named in English and Swahili, optionally in French and German; returns the pack."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for i, (colour, rangi) in enumerate(COLOURS.items()):
        for j, (size, ukubwa) in enumerate(SIZES.items()):
            image = Image.new("RGB", (64, 64), "grey")
            edge = 8 + 14 * j
            image.paste(Image.new("RGB", (edge, edge), colour), (4, 4))
            image.save(folder / f"{colour}-{size}.png")
            split = ("train", "validation", "train", "test")[(i + j) % 4]
            captions = {"en": [f"{size} {colour} square", colour], "sw": [f"mraba {rangi} {ukubwa}", rangi]}
            if french:
                captions |= {"fr": [f"carré {colour} {size}"], "de": [f"{size} {colour} quadrat"]}
            lines.append(json.dumps({"image": f"{colour}-{size}.png", "captions": captions, "split": split}))
    (folder / "captions.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    pack = folder / "toy.toml"
    pack.write_text('name = "toy"\nabout = "squares"\nreader = "jsonl"\nfolder = "."\n', "utf-8")
    return pack


def write_text_encoder(folder: Path, kind: str = "xlm-r") -> str:
    """Write a tiny XLM-R, or the model of NLLB, with a word tokenizer."""
    words = sorted(
        {w for pair in (*COLOURS.items(), *SIZES.items()) for text in pair for w in text.split()}
        | {"square", "mraba", "query", ":"}
    )
    vocabulary = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", *words])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 2)]
    )
    names = {"bos_token": "<s>", "pad_token": "<pad>", "eos_token": "</s>", "unk_token": "<unk>"}
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, model_max_length=64, **names).save_pretrained(folder)
    torch.manual_seed(1)
    if kind == "nllb":
        shape = {
            "d_model": 32,
            "encoder_layers": 2,
            "decoder_layers": 1,
            "encoder_attention_heads": 2,
            "decoder_attention_heads": 2,
        }
        M2M100Model(M2M100Config(vocab_size=64, encoder_ffn_dim=64, decoder_ffn_dim=64, **shape)).save_pretrained(
            folder
        )
    else:
        shape = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}
        XLMRobertaModel(
            XLMRobertaConfig(vocab_size=64, max_position_embeddings=80, **shape), add_pooling_layer=False
        ).save_pretrained(folder)
    return f"huggingface:{folder}"


def write_vision_tower(folder: Path, name: str = "test_efficientnet") -> str:
    """Write a tiny convolutional vision encoder, of small images for speed, or `test_vit`."""
    folder.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(2)
    model = timm.create_model(name, pretrained=False)
    save_file(model.state_dict(), folder / f"{name}.safetensors")
    size = "" if model.pretrained_cfg["fixed_input_size"] else ",size=64"
    return f"timm:{name},weights={folder / name}.safetensors{size}"
