"""Read an export of trained parts: encoders with transformers and timm, updates with peft, heads as linear maps."""

import json
from pathlib import Path
from typing import Any


def encode(folder: Path, captions: list[str], images: list[Any]) -> dict[str, Any]:
    """Embed captions and images with transformers, timm and peft."""
    import timm
    import torch
    from safetensors.torch import load_file
    from timm.data import create_transform
    from transformers import AutoModel, AutoTokenizer

    text, vision = folder / "text", folder / "vision"
    facts, seen = (json.loads((part / "side.json").read_text("utf-8")) for part in (text, vision))
    speaker = load_trained(AutoModel.from_pretrained(text / "base", use_safetensors=True), text)
    watcher = timm.create_model(seen["timm"], pretrained=False, num_classes=0)
    watcher.load_state_dict(load_file(vision / "base" / "model.safetensors"), strict=True)
    watcher = load_trained(watcher, vision)
    cfg = seen["preprocess_cfg"]
    reading = {
        "input_size": (3, *cfg["size"]),
        "interpolation": cfg["interpolation"],
        "mean": cfg["mean"],
        "std": cfg["std"],
    }
    read = create_transform(**reading, is_training=False, crop_pct=1.0)
    tokens = AutoTokenizer.from_pretrained(text / "base")(captions, padding=True, truncation=True, return_tensors="pt")
    with torch.inference_mode():
        hidden = speaker(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]).last_hidden_state
        mask = tokens["attention_mask"][..., None]
        pooled = hidden[:, 0] if facts["pooling"] == "cls" else (hidden * mask).sum(1) / mask.sum(1)
        image = torch.cat([watcher(read(picture)[None]) for picture in images])
        found = [
            apply_head(rows, load_file(part / "head.safetensors")) for rows, part in ((pooled, text), (image, vision))
        ]
    return {"text": found[0].numpy(), "pictures": found[1].numpy()}


def apply_head(rows: Any, head: dict[str, Any]) -> Any:
    """Apply one linear map, or two with GELU between them."""
    from torch.nn.functional import gelu, linear

    if "weight" in head:
        return linear(rows, head["weight"], head["bias"])
    return linear(
        gelu(linear(rows, head["inner.weight"], head["inner.bias"])), head["outer.weight"], head["outer.bias"]
    )


def load_trained(model: Any, folder: Path) -> Any:
    """Load the trained parts into a model."""
    from safetensors.torch import load_file

    if (folder / "adapter_model.safetensors").is_file():
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, folder)
    if (folder / "changed.safetensors").is_file():
        found = load_file(folder / "changed.safetensors")
        if model.load_state_dict(found, strict=False).unexpected_keys:
            raise ValueError(f"{folder} changes tensors that the tower does not have")
    return model.eval()
