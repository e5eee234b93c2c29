"""Read a sentence-transformers folder."""

from pathlib import Path
from typing import Any


def vectors(folder: Path, captions: list[str], pictures: list[Any]) -> dict[str, Any]:
    """See the package."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu", trust_remote_code=False)
    found = {"text": model.encode(captions, show_progress_bar=False)}
    return found | (
        {"pictures": model.encode(pictures, show_progress_bar=False)} if "image" in model.modalities else {}
    )
