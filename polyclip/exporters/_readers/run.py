"""Usage: python -I run.py READER FOLDER MATERIAL; embeds MATERIAL's captions and images into MATERIAL/vectors.npz."""

import json
import runpy
import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image


def main() -> None:
    """Read, embed and write; fails if `polyclip` was imported on the way."""
    program, folder, material = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    captions = json.loads((material / "captions.json").read_text("utf-8"))
    images = [Image.open(path).convert("RGB") for path in sorted(material.glob("*.png"))]
    encode = runpy.run_path(program)["encode"]
    found = encode(folder, captions, images)
    if "polyclip" in sys.modules:
        raise ImportError("polyclip was imported: this check is to be made without it")
    arrays: dict[str, Any] = {name: np.asarray(value) for name, value in found.items()}
    np.savez(material / "vectors.npz", **arrays)


if __name__ == "__main__":
    main()
