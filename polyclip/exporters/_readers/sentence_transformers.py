"""Read a sentence-transformers folder with sentence-transformers."""

from pathlib import Path
from typing import Any


def encode(folder: Path, captions: list[str], images: list[Any]) -> dict[str, Any]:
    """Embed captions, and images where the export has a route for them."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", trust_remote_code=False)
    found = {"text": model.encode(captions, show_progress_bar=False)}
    return found | ({"pictures": model.encode(images, show_progress_bar=False)} if "image" in model.modalities else {})
