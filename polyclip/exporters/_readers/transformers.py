"""Read a VisionTextDualEncoderModel folder with transformers."""

from pathlib import Path
from typing import Any


def encode(folder: Path, captions: list[str], images: list[Any]) -> dict[str, Any]:
    """Embed captions and images with transformers."""
    import torch
    from transformers import AutoImageProcessor, AutoTokenizer, VisionTextDualEncoderModel

    model = VisionTextDualEncoderModel.from_pretrained(folder, use_safetensors=True).eval()
    tokenizer, processor = AutoTokenizer.from_pretrained(folder), AutoImageProcessor.from_pretrained(folder)
    with torch.inference_mode():
        batches = (
            tokenizer(captions[start : start + 16], padding=True, truncation=True, return_tensors="pt")
            for start in range(0, len(captions), 16)
        )
        text = torch.cat([model.get_text_features(**batch).pooler_output for batch in batches])
        image = torch.cat(
            [model.get_image_features(**processor(picture, return_tensors="pt")).pooler_output for picture in images]
        )
    return {"text": text.numpy(), "pictures": image.numpy()}
