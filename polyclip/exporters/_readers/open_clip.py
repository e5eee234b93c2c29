"""Read an open_clip folder with open_clip."""

from pathlib import Path
from typing import Any


def encode(folder: Path, captions: list[str], images: list[Any]) -> dict[str, Any]:
    """Embed captions and images with open_clip."""
    import open_clip
    import torch

    name = f"local-dir:{folder}"
    model, _, preprocess = open_clip.create_model_and_transforms(name)
    tokenizer = open_clip.get_tokenizer(name)
    model.eval()
    with torch.inference_mode():
        text = torch.cat(
            [
                model.encode_text(tokenizer(captions[start : start + 16]), normalize=True)
                for start in range(0, len(captions), 16)
            ]
        )
        image = torch.cat([model.encode_image(preprocess(picture)[None], normalize=True) for picture in images])
    return {
        "text": text.numpy(),
        "pictures": image.numpy(),
        "rewritten": [tokenizer.clean_fn(caption) != caption for caption in captions],
    }
