"""Read ONNX graphs with onnxruntime, tokenizers, numpy and PIL, without torch."""

import json
from pathlib import Path
from typing import Any

import numpy as np


def encode(folder: Path, captions: list[str], images: list[Any]) -> dict[str, Any]:
    """Embed captions and images; the first of each is a batch of its own, which tests that batch size and length are
    free.
    """
    import onnxruntime
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(folder / "textual" / "tokenizer.json"))
    pad = json.loads((folder / "textual" / "tokenizer_config.json").read_text("utf-8"))["pad_token"]
    tokenizer.enable_padding(pad_token=pad, pad_id=tokenizer.token_to_id(pad))
    tokenizer.enable_truncation(json.loads((folder / "config.json").read_text("utf-8"))["text_cfg"]["context_length"])
    textual, visual = (
        onnxruntime.InferenceSession(folder / part / "model.onnx", providers=["CPUExecutionProvider"])
        for part in ("textual", "visual")
    )
    cfg = json.loads((folder / "visual" / "preprocess_cfg.json").read_text("utf-8"))
    batches = [tokenizer.encode_batch(captions[:1]), tokenizer.encode_batch(captions[1:])]
    text = [textual.run(None, {"text": np.array([row.ids for row in batch], np.int32)})[0] for batch in batches]
    pixels = np.stack([preprocess_image(picture, cfg) for picture in images])
    image = [visual.run(None, {"image": part})[0] for part in (pixels[:1], pixels[1:])]
    return {"text": np.concatenate(text), "pictures": np.concatenate(image)}


def preprocess_image(image: Any, cfg: dict[str, Any]) -> Any:
    """Return pixels [3, height, width] as preprocess_cfg describes."""
    from PIL import Image

    height, width = cfg["size"]
    way = Image.Resampling[cfg["interpolation"].upper()]
    if cfg["resize_mode"] == "squash":
        image = image.resize((width, height), way)
    else:
        short = min(image.size)
        sizes = [height if branch == short else int(height * branch / short) for branch in image.size]
        image = image.resize(sizes, way)
        left, top = round((image.width - width) / 2), round((image.height - height) / 2)
        image = image.crop((left, top, left + width, top + height))
    values = (np.asarray(image, np.float32) / 255 - np.array(cfg["mean"], np.float32)) / np.array(
        cfg["std"], np.float32
    )
    return values.transpose(2, 0, 1)
